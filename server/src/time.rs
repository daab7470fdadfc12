//! Times as authorized_keys has them: the absolute times of TIME FORMATS in sshd_config(5).

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

#[cfg(test)]
mod tests {
    use super::timespec;

    /// Against `date -u -d … +%s`.
    #[test]
    fn known_times() {
        for (text, seconds) in [
            ("19700101", 0),
            ("19991231", 946_598_400),
            ("20000229", 951_782_400),
            ("20000301Z", 951_868_800),
            ("20260901", 1_788_220_800),
            ("202611231519", 1_795_447_140),
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
}
