//! Text for people: to standard output, sizes, times.
use std::io::{self, Write};
use std::process::ExitCode;

pub(super) fn print(text: &str) -> io::Result<ExitCode> {
    let mut output = std::io::stdout().lock();
    output.write_all(text.as_bytes())?;
    output.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// Text with names from a disk in it, which must not control the terminal.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|char| if char.is_control() { '?' } else { char }).collect()
}

/// A size with at most one decimal: `64 MiB`, `1.5 GiB`, `20 bytes`.
pub(super) fn size(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    let Some((power, unit)) =
        (1u32..).zip(units).take_while(|(power, _)| bytes >> (10 * power) > 0).last()
    else {
        return format!("{bytes} bytes");
    };
    let tenths = (u128::from(bytes) * 10) >> (10 * power);
    match tenths % 10 {
        0 => format!("{} {unit}", tenths / 10),
        tenth => format!("{}.{tenth} {unit}", tenths / 10),
    }
}

/// Unix seconds as `2024-01-31 12:59`, in UTC as FAT keeps it here.
pub(super) fn time(seconds: u64) -> String {
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Days since 1 March of year 0: a leap day is then the last of its year.
    let days = days.saturating_add(719_468);
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (year * 365 + year / 4 - year / 100);
    let month = (day * 5 + 2) / 153;
    let day = day - (month * 153 + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = era.saturating_mul(400).saturating_add(year + carry);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}", second / 3600, second / 60 % 60)
}

/// `1 file`, `2 files`, `3 directories`.
pub(super) fn count(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    #[test]
    fn sizes_and_times() {
        assert_eq!(super::size(20), "20 bytes");
        assert_eq!(super::size(64 << 20), "64 MiB");
        assert_eq!(super::size(1536), "1.5 KiB");
        assert_eq!(super::size(u64::MAX), "16777215.9 TiB");
        assert_eq!(super::time(0), "1970-01-01 00:00");
        assert_eq!(super::time(951_827_696), "2000-02-29 12:34");
        assert_eq!(super::time(4_354_819_199), "2107-12-31 23:59");
    }
}
