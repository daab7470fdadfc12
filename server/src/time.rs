//! Times as text: as authorized_keys has them, the absolute times of TIME FORMATS in sshd_config(5), and
//! as `date` prints them.
use alloc::format;
use alloc::string::String;

/// Seconds since 1970 of `YYYYMMDD[Z]` and `YYYYMMDDHHMM[SS][Z]`. It is always UTC: there is no
/// other time zone here.
pub(crate) fn timespec(text: &str) -> Option<u64> {
    let digits = text.strip_suffix(['Z', 'z']).unwrap_or(text);
    if !matches!(digits.len(), 8 | 12 | 14) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number = |from: usize, to: usize| match digits.get(from..to) {
        Some(part) => part.parse::<u64>().ok(),
        // What is not told is midnight, or a full minute.
        None => Some(0),
    };
    let (year, month, day) = (number(0, 4)?, number(4, 6)?, number(6, 8)?);
    let (hour, minute, second) = (number(8, 10)?, number(10, 12)?, number(12, 14)?);
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let days = days(year, month, day)?;
    days.checked_mul(24)?
        .checked_add(hour)?
        .checked_mul(60)?
        .checked_add(minute)?
        .checked_mul(60)?
        .checked_add(second)
}

/// Days from 1970 on of a date of the Gregorian calendar.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let length = match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if year < 1970 || !(1..=length).contains(&day) {
        return None;
    }
    const BEFORE: [u64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let before = BEFORE.get(usize::try_from(month.checked_sub(1)?).ok()?)?;
    let leap_day = u64::from(is_leap && month > 2);
    let last = year.checked_sub(1)?;
    // Leap days of the years before, less those before 1970.
    let leap_days =
        (last / 4).checked_sub(last / 100)?.checked_add(last / 400)?.checked_sub(477)?;
    let years = year.checked_sub(1970)?.checked_mul(365)?;
    years
        .checked_add(leap_days)?
        .checked_add(*before)?
        .checked_add(leap_day)?
        .checked_add(day)?
        .checked_sub(1)
}

/// Seconds since 1970 as `date -u -Iseconds` prints them.
pub(crate) fn iso_date(seconds: u64) -> String {
    // Days to a date of the Gregorian calendar, which repeats each 400 years (146,097 days); years
    // begin in March, so that the leap day is the last.
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let days = days.saturating_add(719_468);
    let (era, day) = (days / 146_097, days % 146_097);
    let years = day.saturating_add(day / 36_524).saturating_sub(day / 1_460);
    let year_of_era = years.saturating_sub(day / 146_096) / 365;
    let before = year_of_era
        .saturating_mul(365)
        .saturating_add(year_of_era / 4)
        .saturating_sub(year_of_era / 100);
    let day = day.saturating_sub(before);
    let month = day.saturating_mul(5).saturating_add(2) / 153;
    let day = day.saturating_sub(month.saturating_mul(153).saturating_add(2) / 5).saturating_add(1);
    let january = u64::from(month >= 10);
    let year = era.saturating_mul(400).saturating_add(year_of_era).saturating_add(january);
    let month = if month < 10 { month.saturating_add(3) } else { month.saturating_sub(9) };
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}+00:00\n")
}

#[cfg(test)]
mod tests {
    use super::{iso_date, timespec};

    /// Against `date -u -d … +%s`.
    #[test]
    fn known_times() {
        for (text, seconds) in [
            ("19700101", 0),
            ("19991231", 946_598_400),
            ("20000229", 951_782_400),
            ("20000301Z", 951_868_800),
            ("20260901", 1_788_220_800),
            ("20260430", 1_777_507_200),
            ("202611231519", 1_795_447_140),
            ("20261123151960", 1_795_447_200),
            ("20261123151907Z", 1_795_447_147),
            ("21000301", 4_107_542_400),
            ("99991231235959", 253_402_300_799),
        ] {
            assert_eq!(timespec(text), Some(seconds), "{text}");
        }
    }

    #[test]
    fn what_is_no_time() {
        for text in [
            "",
            "Z",
            "2026",
            "20261301",
            "20260001",
            "20260231",
            "20260431",
            "20260631",
            "20260931",
            "20261131",
            "202601010",
            "2026010x",
            "20260101120061",
            "21000229",
            "20260100",
            "2026010124",
            "202601012400",
            "202601010060",
            "20260101000061",
            "+2026010",
            "2026-1-1",
            "19691231",
            "２０２６０１０１",
        ] {
            assert_eq!(timespec(text), None, "{text}");
        }
    }

    #[test]
    fn dates_as_date_prints_them() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00+00:00\n"),
            (951_782_399, "2000-02-28T23:59:59+00:00\n"),
            (951_782_400, "2000-02-29T00:00:00+00:00\n"),
            (1_709_251_199, "2024-02-29T23:59:59+00:00\n"),
            (1_795_451_165, "2026-11-23T16:26:05+00:00\n"),
            (4_107_542_400, "2100-03-01T00:00:00+00:00\n"),
        ] {
            assert_eq!(iso_date(seconds), text);
        }
        iso_date(u64::MAX);
    }
}
