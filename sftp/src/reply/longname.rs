//! The `longname` of a directory entry: a line as `ls -l` prints it (section 7).
use crate::attributes::Attributes;
use crate::files::Name;
use alloc::format;
use alloc::string::String;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Half a year in seconds: what is older, or of the future, is shown with its year, as `ls` does.
const RECENT: u64 = 31_556_952 / 2;

/// The columns that the draft gives, as seen at `now`, in seconds since 1970.
pub(crate) fn longname(Name { name, attributes }: &Name, now: u64) -> String {
    let Attributes { size, owner, permissions, times } = *attributes;
    let (user, group) = owner.unwrap_or_default();
    let (_, modified) = times.unwrap_or_default();
    format!(
        "{mode} {links:>3} {user:<8} {group:<8} {size:>8} {date} {name}",
        mode = mode(permissions),
        links = 1,
        size = size.unwrap_or(0),
        date = date(modified, now),
    )
}

/// `drwxr-xr-x` of an `st_mode`, and `?---------` of none.
fn mode(permissions: Option<u32>) -> String {
    let permissions = permissions.unwrap_or_default();
    let mut mode = String::with_capacity(10);
    mode.push(match permissions & 0o170_000 {
        0o040_000 => 'd',
        0o100_000 => '-',
        0o120_000 => 'l',
        _ => '?',
    });
    for shift in [6u32, 3, 0] {
        let bits = permissions >> shift;
        mode.push(if bits & 4 != 0 { 'r' } else { '-' });
        mode.push(if bits & 2 != 0 { 'w' } else { '-' });
        mode.push(if bits & 1 != 0 { 'x' } else { '-' });
    }
    mode
}

/// `Nov 23 13:19` of what is recent and `Nov 23  2026` of the rest, in UTC.
fn date(seconds: u32, now: u64) -> String {
    let is_leap = |year: u32| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let (mut year, mut day) = (1970u32, seconds / 86_400);
    loop {
        let days = if is_leap(year) { 366 } else { 365 };
        if day < days {
            break;
        }
        day = day.saturating_sub(days);
        year = year.saturating_add(1);
    }
    let february = if is_leap(year) { 29 } else { 28 };
    let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = "";
    for (name, length) in MONTHS.into_iter().zip(lengths) {
        month = name;
        if day < length {
            break;
        }
        day = day.saturating_sub(length);
    }
    let day = day.saturating_add(1);
    let recent = now.checked_sub(seconds.into()).is_some_and(|age| age < RECENT);
    match recent {
        true => {
            let (hour, minute) = (seconds / 3600 % 24, seconds / 60 % 60);
            format!("{month} {day:>2} {hour:02}:{minute:02}")
        }
        false => format!("{month} {day:>2}  {year}"),
    }
}
