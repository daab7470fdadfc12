//! Time since the start by the CPU's time stamp counter. Its rate comes from what the hypervisor
//! or the CPU says, or is measured by the interval timer. Without Xen the time of day comes from KVM
//! or from the machine's clock.
use crate::cpu::port::Port;
use crate::cpu::rtc;
use crate::cpu::{kvm_leaves, time_stamp, write_msr, xen_leaves};
use core::arch::x86_64::{__cpuid, __cpuid_count};
use core::fmt;
use core::time::Duration;
use drivers::Page;
use drivers::xen::time;
use spin::Once;

static CLOCK: Once<Clock> = Once::new();

struct Clock {
    start: u64,
    /// Counts a second.
    rate: u64,
    /// Since 1970, at `start`.
    day: Option<Duration>,
}

/// Neither CPUID nor a timer tells the rate of the counter.
#[derive(Debug)]
pub struct NoClock;

impl fmt::Display for NoClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no clock: neither CPUID nor the interval timer tells the counter's rate")
    }
}

/// Starts the clock.
pub fn init() -> Result<(), NoClock> {
    let kvm = kvm_clock();
    let rate = xen_rate().or_else(|| Some(kvm?.rate)).or_else(timing_rate).or_else(crystal_rate);
    let rate = rate.or_else(measured_rate).filter(|&rate| rate > 0).ok_or(NoClock)?;
    let day = match xen_leaves() {
        // Xen's own time is for those who have started its drivers.
        Some(_) => None,
        None => kvm.map(|kvm| kvm.day).or_else(rtc::now),
    };
    CLOCK.call_once(|| Clock { start: time_stamp(), rate, day });
    Ok(())
}

/// Starts the clock of a machine that was told the counter's rate, and tells the time of day itself.
pub fn init_at(rate: u64) -> Result<(), NoClock> {
    let rate = Some(rate).filter(|&rate| rate > 0).ok_or(NoClock)?;
    CLOCK.call_once(|| Clock { start: time_stamp(), rate, day: None });
    Ok(())
}

/// The time since 1970; None where nothing tells it.
pub fn unix_time() -> Option<Duration> {
    CLOCK.get()?.day?.checked_add(since_boot())
}

/// Zero until `init` has run.
pub fn since_boot() -> Duration {
    CLOCK.get().map_or(Duration::ZERO, |clock| {
        let counts = u128::from(time_stamp().saturating_sub(clock.start));
        let nanoseconds = (counts * 1_000_000_000).checked_div(clock.rate.into());
        Duration::from_nanos(nanoseconds.and_then(|n| n.try_into().ok()).unwrap_or(u64::MAX))
    })
}

/// Xen's leaf 3: the guest's rate in kHz (xen/include/public/arch-x86/cpuid.h).
fn xen_rate() -> Option<u64> {
    xen_leaves().map(|base| u64::from(__cpuid_count(base | 3, 0).ecx) * 1000)
}

#[derive(Clone, Copy)]
struct KvmClock {
    rate: u64,
    /// Now, since 1970.
    day: Duration,
}

/// Asks KVM once what time it is (Linux' Documentation/virt/kvm/x86/msr.rst): its records are those
/// of Xen's shared page, and go where a page of ours has them.
fn kvm_clock() -> Option<KvmClock> {
    const WALL_CLOCK: u32 = 0x4b56_4d00;
    const SYSTEM_TIME: u32 = 0x4b56_4d01;
    /// KVM_FEATURE_CLOCKSOURCE2: the CPU has both registers.
    const HAS_CLOCK: u32 = 1 << 3;
    const ENABLE: u64 = 1;
    let base = kvm_leaves()?;
    if __cpuid(base | 1).eax & HAS_CLOCK == 0 {
        return None;
    }
    let page = Page::new()?;
    let start = page.frame() << 12;
    // SAFETY: CPUID told that there are these registers. KVM writes 12 and 32 bytes, both inside
    // `page`, which nothing else uses and which outlives the last write, that turns the clock off.
    let (system_time, rate) = unsafe {
        write_msr(WALL_CLOCK, start + time::WC_VERSION as u64);
        write_msr(SYSTEM_TIME, (start + time::TIME as u64) | ENABLE);
        let told = (time::system_time(&page, time_stamp), time::counter_rate(&page));
        write_msr(SYSTEM_TIME, 0);
        told
    };
    let day = time::wall_clock_base(&page)?.checked_add(Duration::from_nanos(system_time?))?;
    Some(KvmClock { rate: rate?, day })
}

/// The timing leaf that KVM and VMware have: kHz.
fn timing_rate() -> Option<u64> {
    const TIMING: u32 = 0x4000_0010;
    let hypervisor = __cpuid(1).ecx & (1 << 31) != 0;
    let range = TIMING..0x4000_0100;
    let known = hypervisor && range.contains(&__cpuid(0x4000_0000).eax);
    known.then(|| u64::from(__cpuid(TIMING).eax) * 1000).filter(|&rate| rate > 0)
}

/// Leaf 0x15: the core crystal's rate in Hz and the counter's ratio to it (Intel SDM 2A, CPUID).
fn crystal_rate() -> Option<u64> {
    const CRYSTAL: u32 = 0x15;
    if __cpuid(0).eax < CRYSTAL {
        return None;
    }
    let leaf = __cpuid(CRYSTAL);
    let rate = u64::from(leaf.ecx) * u64::from(leaf.ebx);
    rate.checked_div(leaf.eax.into()).filter(|&rate| rate > 0)
}

/// Counts while channel 0 of the interval timer (Intel 8254) counts down 20 ms. Its interrupts go
/// nowhere.
fn measured_rate() -> Option<u64> {
    const TIMER_RATE: u64 = 1_193_182;
    const TICKS: u16 = 23_864;
    const TRIES: u32 = 1_000_000;
    Port::TimerCommand.write(0x30); // Channel 0, low and high byte, mode 0: down once.
    Port::TimerChannel0.write(0xff);
    Port::TimerChannel0.write(0xff);
    let (first, start) = (timer(), time_stamp());
    for _ in 0..TRIES {
        let (count, now) = (timer(), time_stamp());
        let ticks = first.wrapping_sub(count);
        // A port without a timer always reads the same.
        if ticks >= TICKS {
            let rate =
                u128::from(now.saturating_sub(start)) * u128::from(TIMER_RATE) / u128::from(ticks);
            return rate.try_into().ok();
        }
    }
    None
}

/// The count of channel 0, latched.
fn timer() -> u16 {
    Port::TimerCommand.write(0);
    let low = Port::TimerChannel0.read();
    u16::from_le_bytes([low, Port::TimerChannel0.read()])
}
