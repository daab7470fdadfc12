//! Time since the start by the CPU's time stamp counter. Its rate comes from what the hypervisor
//! or the CPU says, or is measured by the interval timer.
use crate::cpu::{time_stamp, xen_leaves};
use crate::port::Port;
use core::arch::x86_64::{__cpuid, __cpuid_count};
use core::fmt;
use core::time::Duration;
use spin::Once;

static CLOCK: Once<Clock> = Once::new();

struct Clock {
    start: u64,
    /// Counts a second.
    rate: u64,
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
    let rate = xen_rate().or_else(kvm_rate).or_else(crystal_rate).or_else(measured_rate);
    let rate = rate.filter(|&rate| rate > 0).ok_or(NoClock)?;
    CLOCK.call_once(|| Clock { start: time_stamp(), rate });
    Ok(())
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

/// The timing leaf that KVM and VMware have: kHz.
fn kvm_rate() -> Option<u64> {
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
