//! The time of day from the clock that has a battery (Motorola MC146818), as QEMU has one.
use crate::cpu::port::Port;
use core::time::Duration;

/// Registers: seconds, minutes, hours, day of the month, month, year, and the two of status.
const TIME: [u8; 6] = [0, 2, 4, 7, 8, 9];
const STATUS_A: u8 = 10;
const STATUS_B: u8 = 11;

const UPDATING: u8 = 1 << 7;
const BINARY: u8 = 1 << 2;
const HOURS_24: u8 = 1 << 1;
/// In 12-hour mode.
const AFTERNOON: u8 = 1 << 7;

/// The time since 1970, when there is such a clock.
pub fn now() -> Option<Duration> {
    read(|register| {
        Port::ClockIndex.write(register);
        Port::ClockData.read()
    })
}

/// What the registers say, read until it is the same twice.
fn read(register: impl Fn(u8) -> u8) -> Option<Duration> {
    const TRIES: usize = 10_000;
    let mut before = None;
    for _ in 0..TRIES {
        if register(STATUS_A) & UPDATING != 0 {
            before = None;
            continue;
        }
        let values = TIME.map(&register);
        if before.replace(values) == Some(values) {
            return seconds(values, register(STATUS_B)).map(Duration::from_secs);
        }
    }
    None
}

/// Seconds since 1970; None for what is no time, as a machine without the clock has.
fn seconds(values: [u8; 6], status: u8) -> Option<u64> {
    let number = |value: u8| match status & BINARY {
        0 if value & 15 < 10 && value >> 4 < 10 => {
            Some(u64::from(value >> 4) * 10 + u64::from(value & 15))
        }
        0 => None,
        _ => Some(value.into()),
    };
    let [second, minute, hour, day, month, year] = values;
    let hour = match status & HOURS_24 {
        0 => number(hour & !AFTERNOON)? % 12 + if hour & AFTERNOON == 0 { 0 } else { 12 },
        _ => number(hour)?,
    };
    let (second, minute, day) = (number(second)?, number(minute)?, number(day)?);
    let (month, year) = (number(month)?, 2000 + number(year)?);
    let valid = second < 60 && minute < 60 && hour < 24 && (1..=31).contains(&day);
    if !valid || !(1..=12).contains(&month) || year > 2099 {
        return None;
    }
    let leap = |year: u64| u64::from(year.is_multiple_of(4));
    let lengths = [31, 28 + leap(year), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let months: u64 = lengths.iter().take(month as usize - 1).sum();
    // 2000 was a leap year, and until 2099 each fourth is one. 10,957 days lie between 1970 and 2000.
    let years = (year - 2000) * 365 + (year - 2000).div_ceil(4);
    let days = 10_957 + years + months + day - 1;
    Some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_forms_of_one_time() {
        // 2026-11-23 16:05:09
        let expected = Some(1_795_449_909);
        assert_eq!(seconds([0x09, 0x05, 0x16, 0x23, 0x11, 0x26], HOURS_24), expected);
        assert_eq!(seconds([9, 5, 16, 23, 11, 26], HOURS_24 | BINARY), expected);
        assert_eq!(seconds([0x09, 0x05, 0x84, 0x23, 0x11, 0x26], 0), expected);
        assert_eq!(seconds([9, 5, 0x84, 23, 11, 26], BINARY), expected);
    }

    #[test]
    fn leap_years_and_midnight() {
        assert_eq!(seconds([0, 0, 0, 1, 1, 0], HOURS_24 | BINARY), Some(946_684_800));
        assert_eq!(seconds([59, 59, 23, 29, 2, 24], HOURS_24 | BINARY), Some(1_709_251_199));
        assert_eq!(seconds([0, 0, 0, 1, 3, 24], HOURS_24 | BINARY), Some(1_709_251_200));
        // Twelve in the night and at noon.
        assert_eq!(seconds([0, 0, 12, 1, 1, 0], BINARY), Some(946_684_800));
        assert_eq!(seconds([0, 0, 0x8c, 1, 1, 0], BINARY), Some(946_728_000));
    }

    #[test]
    fn no_clock_is_no_time() {
        assert_eq!(read(|_| 0xff), None);
        assert_eq!(read(|register| if register == STATUS_A { 0 } else { 0xff }), None);
        assert_eq!(read(|_| 0), None);
    }

    #[test]
    fn a_time_that_changes_is_read_again() {
        let reads = core::cell::Cell::new(0);
        let time = read(|register| {
            reads.set(reads.get() + 1);
            match register {
                STATUS_A => 0,
                STATUS_B => HOURS_24 | BINARY,
                // The second changes while it is read for the first time.
                0 => u8::from(reads.get() > 4),
                7 | 8 => 1,
                _ => 0,
            }
        });
        assert_eq!(time, Some(Duration::from_secs(946_684_801)));
    }
}
