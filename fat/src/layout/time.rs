//! FAT time stamps and Unix seconds. Microsoft FAT specification, section "Date and Time Formats".
//! FAT keeps local time without a zone. Here it is taken for UTC; `MountOptions` has how far it is from that.

/// 1980-01-01 00:00:00, the first second that FAT can say.
const FIRST: u64 = 315_532_800;
/// 2107-12-31 23:59:58, the last.
const LAST: u64 = 4_354_819_198;
const DAY: u64 = 86_400;

/// The `(date, time, tenths)` fields of a directory entry: `time` counts two seconds, `tenths`
/// hundredths of a second within them (0 to 199). Years outside 1980 to 2107 are clamped.
pub(crate) fn to_fat(unix: u64) -> (u16, u16, u8) {
    let unix = unix.clamp(FIRST, LAST);
    let (year, month, day) = civil(unix / DAY);
    let seconds = unix % DAY;
    let date = (year - 1980) << 9 | month << 5 | day;
    let time = (seconds / 3600) << 11 | (seconds / 60 % 60) << 5 | (seconds % 60 / 2);
    let tenths = if seconds % 2 == 1 { 100 } else { 0 };
    (u16::try_from(date).unwrap_or(0x21), u16::try_from(time).unwrap_or(0), tenths)
}

/// Unix seconds of the fields of a directory entry. Impossible dates are clamped to possible ones;
/// a date of 0 (never set) is 1980-01-01.
pub(crate) fn from_fat(date: u16, time: u16, tenths: u8) -> u64 {
    let year = 1980 + u64::from(date >> 9);
    let month = u64::from(date >> 5 & 15).clamp(1, 12);
    let day = u64::from(date & 31).clamp(1, 31);
    let hour = u64::from(time >> 11).min(23);
    let minute = u64::from(time >> 5 & 63).min(59);
    let second = u64::from(time & 31).min(29) * 2 + u64::from(tenths.min(199)) / 100;
    days(year, month, day) * DAY + hour * 3600 + minute * 60 + second
}

/// Days since 1970-01-01 of a date from 1970 on.
fn days(year: u64, month: u64, day: u64) -> u64 {
    // Years begin in March, so that the leap day is the last of its year.
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    let in_year = (153 * month + 2) / 5 + day - 1;
    year * 365 + year / 4 - year / 100 + year / 400 + in_year - 719_468
}

/// `(year, month, day)` of a day since 1970-01-01.
fn civil(day: u64) -> (u64, u64, u64) {
    let day = day + 719_468;
    let era = day / 146_097;
    let in_era = day % 146_097;
    let year = (in_era - in_era / 1460 + in_era / 36_524 - in_era / 146_096) / 365;
    let in_year = in_era - (365 * year + year / 4 - year / 100);
    let month = (5 * in_year + 2) / 153;
    let day = in_year - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + carry, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_second_second_of_some_days_comes_back() {
        for start in [FIRST, 951_782_400, 1_709_164_800, 4_102_444_800, LAST - DAY] {
            for unix in (start..start + DAY).step_by(601) {
                let (date, time, tenths) = to_fat(unix);
                assert_eq!(from_fat(date, time, tenths), unix);
                assert_eq!(from_fat(date, time, 0), unix & !1);
            }
        }
    }

    #[test]
    fn known_dates() {
        // 2024-02-29 12:34:56
        assert_eq!(to_fat(1_709_210_096), (44 << 9 | 2 << 5 | 29, 12 << 11 | 34 << 5 | 28, 0));
        assert_eq!(to_fat(0), (0x21, 0, 0));
        assert_eq!(to_fat(u64::MAX).0, 127 << 9 | 12 << 5 | 31);
        assert_eq!(from_fat(0, 0, 0), FIRST);
    }
}
