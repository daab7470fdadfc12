//! What an entry of our own behind a name may say.
use crate::layout::entry::SLOT;
use crate::layout::exfat::set::Set;
use crate::layout::metadata::MOST_OF_TARGET;
use crate::layout::posix::Posix;

/// What the entries behind a name are.
pub(super) enum Found {
    None,
    /// Modes and owners of a file.
    File,
    /// A symbolic link, whose target is to be looked at.
    Link,
    Wrong(&'static str),
}

pub(super) fn find(set: &Set, others: &[[u8; SLOT]]) -> Found {
    let ours = others.iter().filter(|entry| Posix::of_entry(entry).is_some()).count();
    let is_dir = set.attributes() & crate::layout::entry::ATTR_DIRECTORY != 0;
    match set.posix() {
        _ if ours == 0 => Found::None,
        _ if ours > 1 => Found::Wrong("more than one entry says its mode"),
        _ if is_dir => Found::Wrong("a directory with an entry for its mode"),
        None => Found::Wrong("the entry for its mode says neither file nor link"),
        Some(posix) if posix.nanoseconds > 999_999_999 => {
            Found::Wrong("the entry for its mode says too many nanoseconds")
        }
        Some(posix) if !posix.is_link() => Found::File,
        Some(_) if !(1..=MOST_OF_TARGET).contains(&set.len()) => {
            Found::Wrong("a symbolic link whose target is empty or too long")
        }
        Some(_) if set.valid_len() < set.len() => Found::Wrong(BAD_TARGET),
        Some(_) => Found::Link,
    }
}

pub(super) const BAD_TARGET: &str = "a symbolic link whose target has a NUL or is not UTF-8";

pub(super) fn is_target(bytes: &[u8]) -> bool {
    !bytes.contains(&0) && core::str::from_utf8(bytes).is_ok()
}
