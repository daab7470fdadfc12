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

/// Counts while channel 2 of the interval timer (Intel 8254) runs down once.
fn measured_rate() -> Option<u64> {
    const TIMER_RATE: u64 = 1_193_182;
    const TICKS: u16 = 23_864; // 20 ms
    const OUTPUT: u8 = 0x20;
    let control = Port::SystemControlB.read();
    if control == 0xff {
        return None; // No timer there.
    }
    Port::SystemControlB.write(control & !0x02 | 0x01); // Speaker off, gate on.
    Port::TimerCommand.write(0xb0); // Channel 2, low and high byte, mode 0: output rises at 0.
    let [low, high] = TICKS.to_le_bytes();
    Port::TimerChannel2.write(low);
    Port::TimerChannel2.write(high);
    let start = time_stamp();
    let ended = (0..50_000_000).any(|_| Port::SystemControlB.read() & OUTPUT != 0);
    let counts = time_stamp().saturating_sub(start);
    Port::SystemControlB.write(control);
    ended.then(|| counts.saturating_mul(TIMER_RATE) / u64::from(TICKS))
}
