//! The time that Xen tells in the shared page (xen/include/public/xen.h, `struct vcpu_time_info`),
//! and KVM in the same form where it is told to (Linux' Documentation/virt/kvm/x86/msr.rst).
use crate::xen::page::Page;
use core::cell::Cell;
use core::time::Duration;
use xen_sys::shared_info::{
    TIME_SYSTEM_TIME, TIME_TSC_SHIFT, TIME_TSC_TIMESTAMP, TIME_TSC_TO_SYSTEM_MUL, TIME_VERSION,
    WC_NSEC, WC_SEC, WC_SEC_HI,
};

pub use xen_sys::shared_info::{TIME, WC_VERSION};

/// Nanoseconds of system time when the time stamp counter has the value that `now` gives. None
/// while Xen writes and will not end.
pub fn system_time(shared_info: &Page, now: impl Fn() -> u64) -> Option<u64> {
    let at = |field: usize| TIME.saturating_add(field);
    consistent(shared_info, at(TIME_VERSION), || {
        let then = shared_info.read_u64(at(TIME_TSC_TIMESTAMP))?;
        let system_time = shared_info.read_u64(at(TIME_SYSTEM_TIME))?;
        let multiplier = shared_info.read_u32(at(TIME_TSC_TO_SYSTEM_MUL))?;
        let shift = shared_info.read_u8(at(TIME_TSC_SHIFT))?.cast_signed();
        let since = scale(now().saturating_sub(then), multiplier, shift);
        Some(system_time.saturating_add(since))
    })
}

/// Xen's time as it is told here: it never goes back, also when the domain goes on at a host that counts from a later
/// start.
#[derive(Default)]
pub struct Steady {
    /// The latest time that was told.
    latest: Cell<u64>,
    /// What is told is so much later than Xen's.
    ahead: Cell<u64>,
}

impl Steady {
    /// What is told when Xen's time is `xen`.
    pub fn tell(&self, xen: u64) -> u64 {
        self.latest.set(xen.saturating_add(self.ahead.get()).max(self.latest.get()));
        self.latest.get()
    }

    /// Xen's time when `told` is told.
    pub fn of_xen(&self, told: u64) -> u64 {
        told.saturating_sub(self.ahead.get())
    }

    /// Goes on in a domain that was restored, where Xen's time is `xen`.
    pub fn go_on(&self, xen: u64) {
        self.ahead.set(self.latest.get().saturating_sub(xen));
    }
}

/// Ticks of the time stamp counter in a second; None before it is told.
pub fn counter_rate(shared_info: &Page) -> Option<u64> {
    let at = |field: usize| TIME.saturating_add(field);
    consistent(shared_info, at(TIME_VERSION), || {
        let multiplier = shared_info.read_u32(at(TIME_TSC_TO_SYSTEM_MUL))?;
        let shift = shared_info.read_u8(at(TIME_TSC_SHIFT))?.cast_signed();
        let rate = (1_000_000_000u64 << 32).checked_div(multiplier.into())?;
        let by = u32::from(shift.unsigned_abs());
        if shift < 0 { rate.checked_mul(1u64.checked_shl(by)?) } else { rate.checked_shr(by) }
    })
    .filter(|&rate| rate > 0)
}

/// Ticks of the counter as nanoseconds: shifted, then multiplied by a fraction of 2^32.
fn scale(ticks: u64, multiplier: u32, shift: i8) -> u64 {
    let by = u32::from(shift.unsigned_abs());
    let shifted = match shift {
        ..0 => ticks.checked_shr(by).unwrap_or(0),
        0.. => ticks.saturating_mul(1u64.checked_shl(by).unwrap_or(0)),
    };
    let scaled = u128::from(shifted).saturating_mul(multiplier.into()) >> 32;
    u64::try_from(scaled).unwrap_or(u64::MAX)
}

/// The time since 1970 at system time 0; None before Xen has told it.
pub fn wall_clock_base(shared_info: &Page) -> Option<Duration> {
    let base = consistent(shared_info, WC_VERSION, || {
        let low = shared_info.read_u32(WC_SEC)?;
        let high = shared_info.read_u32(WC_SEC_HI)?;
        let nanoseconds = shared_info.read_u32(WC_NSEC)?;
        let seconds = u64::from(high) << 32 | u64::from(low);
        Duration::from_secs(seconds).checked_add(Duration::from_nanos(nanoseconds.into()))
    });
    base.filter(|base| base.as_secs() > 0)
}

/// What `read` gives while the version is even and the same before and after.
fn consistent<T>(page: &Page, version: usize, read: impl Fn() -> Option<T>) -> Option<T> {
    const TRIES: usize = 10_000;
    for _ in 0..TRIES {
        // x86 keeps loads in order, and the compiler keeps volatile ones so.
        let before = page.read_u32(version)?;
        let value = read();
        if before & 1 == 0 && page.read_u32(version)? == before {
            return value;
        }
        core::hint::spin_loop();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(multiplier: u32, shift: u8) -> Page {
        let page = Page::new().unwrap();
        page.write_u32(TIME + TIME_VERSION, 2);
        page.write_u64(TIME + TIME_TSC_TIMESTAMP, 1000);
        page.write_u64(TIME + TIME_SYSTEM_TIME, 5_000_000);
        page.write_u32(TIME + TIME_TSC_TO_SYSTEM_MUL, multiplier);
        page.write_u8(TIME + TIME_TSC_SHIFT, shift);
        page
    }

    #[test]
    fn the_counter_is_scaled() {
        // 2 GHz: a tick is half a nanosecond.
        assert_eq!(system_time(&page(1 << 31, 0), || 3000), Some(5_001_000));
        // 4 GHz, by a shift of -1; 1 GHz by a shift of 1.
        assert_eq!(system_time(&page(1 << 31, 0xff), || 5000), Some(5_001_000));
        assert_eq!(system_time(&page(1 << 31, 1), || 2000), Some(5_001_000));
    }

    #[test]
    fn a_restored_domain_goes_on_from_where_it_was() {
        let clock = Steady::default();
        assert_eq!((clock.tell(100), clock.tell(90), clock.tell(200)), (100, 100, 200));
        // A host that started later, and then one that started earlier.
        clock.go_on(30);
        assert_eq!((clock.tell(30), clock.tell(45)), (200, 215));
        assert_eq!((clock.of_xen(215), clock.of_xen(300)), (45, 130));
        clock.go_on(5000);
        assert_eq!((clock.tell(5000), clock.of_xen(5001)), (5000, 5001));
    }

    #[test]
    fn the_rate_is_that_of_the_scale() {
        assert_eq!(counter_rate(&page(1 << 31, 0)), Some(2_000_000_000));
        assert_eq!(counter_rate(&page(1 << 31, 0xff)), Some(4_000_000_000));
        assert_eq!(counter_rate(&page(1 << 31, 1)), Some(1_000_000_000));
        assert_eq!(counter_rate(&page(0, 0)), None);
        assert!((0..=255).all(|shift| counter_rate(&page(1, shift)) != Some(0)));
    }

    #[test]
    fn no_value_overflows() {
        for shift in 0..=255 {
            let page = page(u32::MAX, shift);
            assert!(system_time(&page, || u64::MAX).is_some());
            assert_eq!(system_time(&page, || 0), Some(5_000_000));
        }
    }

    #[test]
    fn a_version_that_stays_odd_gives_none() {
        let page = page(1, 0);
        page.write_u32(TIME, 3);
        assert_eq!(system_time(&page, || 2000), None);
    }

    #[test]
    fn wall_clock() {
        let page = Page::new().unwrap();
        assert_eq!(wall_clock_base(&page), None);
        page.write_u32(WC_SEC, 7);
        page.write_u32(WC_SEC_HI, 1);
        page.write_u32(WC_NSEC, 9);
        assert_eq!(wall_clock_base(&page), Some(Duration::new((1 << 32) + 7, 9)));
    }
}
