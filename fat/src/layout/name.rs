//! Long names: UTF-8 outside, UTF-16 on the disk, compared without case.
//! Microsoft FAT specification, section "FAT Long Directory Entries".
//!
//! The characters that FAT forbids are kept as U+F000 + code, as Samba and Linux' cifs do, so that
//! `a:b` can be stored and comes back as `a:b`.
use crate::Error;
use crate::bytes::Fnv;
use alloc::string::String;
use alloc::vec::Vec;

/// The most UTF-16 units a long name has.
pub(crate) const MAX_UNITS: usize = 255;
const PRIVATE: u16 = 0xF000;

/// Whether FAT forbids this anywhere in a long name (`/` and NUL are refused, not mapped).
fn forbidden(unit: u16) -> bool {
    matches!(unit, 1..=31) || br#""*:<>?|\"#.iter().any(|byte| u16::from(*byte) == unit)
}

fn dot_or_space(unit: u16) -> bool {
    unit == u16::from(b'.') || unit == u16::from(b' ')
}

/// Unicode's noncharacters (The Unicode Standard, section 23.7). U+FFFF fills the slots behind a name,
/// and other systems refuse or cut names that hold one of them.
fn noncharacter(char: char) -> bool {
    let code = u32::from(char);
    code & 0xFFFE == 0xFFFE || (0xFDD0..=0xFDEF).contains(&code)
}

/// The units that go to the disk for one path component.
pub(crate) fn encode(name: &str) -> Result<Vec<u16>, Error> {
    if !valid(name) || name.contains(noncharacter) {
        return Err(Error::NameInvalid);
    }
    let mut units: Vec<u16> = name
        .encode_utf16()
        .map(|unit| if forbidden(unit) { PRIVATE | unit } else { unit })
        .collect();
    if let Some(last) = units.last_mut()
        && dot_or_space(*last)
    {
        *last |= PRIVATE;
    }
    if units.len() > MAX_UNITS {
        return Err(Error::NameTooLong);
    }
    // U+F03A would come back as the `:` that it stands for.
    if decode(&units).as_deref() == Some(name) { Ok(units) } else { Err(Error::NameInvalid) }
}

/// The path component for the units on the disk, or nothing when no path could ever name it.
pub(crate) fn decode(units: &[u16]) -> Option<String> {
    let last = units.len().checked_sub(1)?;
    let plain = units.iter().enumerate().map(|(index, &unit)| {
        let code = unit & 0xFF;
        if unit & 0xFF00 == PRIVATE && (forbidden(code) || index == last && dot_or_space(code)) {
            code
        } else {
            unit
        }
    });
    let name: String =
        char::decode_utf16(plain).map(|char| char.unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
    valid(&name).then_some(name)
}

/// Whether a name read from the disk may be shown as one path component.
pub(crate) fn valid(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && !name.contains(['/', '\0'])
}

/// Upper case one char to one char, as FAT's collation does (`ß` stays).
pub(crate) fn fold(char: char) -> char {
    single(char.to_uppercase()).unwrap_or(char)
}

/// Lower case one char to one char.
pub(crate) fn lower(char: char) -> char {
    single(char.to_lowercase()).unwrap_or(char)
}

fn single(mut chars: impl Iterator<Item = char>) -> Option<char> {
    chars.next().filter(|_| chars.next().is_none())
}

pub(crate) fn same(a: &str, b: &str) -> bool {
    a.chars().map(fold).eq(b.chars().map(fold))
}

/// A hash that is equal for names that differ in case only (FNV-1a, folded to 32 bits).
pub(crate) fn hash(name: &str) -> u32 {
    hash_folded(name.chars().map(fold))
}

/// A hash of characters whose case does not matter any more.
pub(crate) fn hash_folded(chars: impl Iterator<Item = char>) -> u32 {
    let mut hash = Fnv::default();
    for char in chars {
        hash.add(&u32::from(char).to_le_bytes());
    }
    let hash = hash.finish();
    (hash >> 32) as u32 ^ hash as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back() {
        for name in ["a", "a:b", "what?", "end.", "end ", "...", "\u{1}x\u{1f}", "ΣΔ", "😀", "\\"]
        {
            assert_eq!(decode(&encode(name).unwrap()).unwrap(), name);
        }
        assert_eq!(encode("a:b.").unwrap(), [0x61, 0xF03A, 0x62, 0xF02E]);
    }

    #[test]
    fn lengths_count_units() {
        assert_eq!(encode(&"a".repeat(255)).unwrap().len(), 255);
        assert_eq!(encode(&"a".repeat(256)), Err(Error::NameTooLong));
        assert_eq!(encode(&"😀".repeat(128)), Err(Error::NameTooLong));
    }

    #[test]
    fn names_that_would_not_come_back() {
        for name in ["", ".", "..", "a/b", "a\0", "\u{FFFF}", "x\u{FFFE}", "\u{FDD0}", "\u{2FFFF}"]
        {
            assert_eq!(encode(name), Err(Error::NameInvalid), "{name:?}");
        }
        for name in ["a\u{F03A}", "\u{F01F}", "a\u{F020}"] {
            assert_eq!(encode(name), Err(Error::NameInvalid), "{name:?}");
        }
    }

    #[test]
    fn a_crafted_name_is_no_path() {
        assert_eq!(decode(&[0xF02E]), None);
        assert_eq!(decode(&[0x2E, 0xF02E]), None);
        assert_eq!(decode(&[0x61, 0x2F, 0x62]), None);
        assert_eq!(decode(&[]), None);
    }

    #[test]
    fn case_is_ignored() {
        assert!(same("Straße Ünïcode σ Ж", "STRAßE ÜNÏCODE Σ ж"));
        assert_eq!(hash("Ünïcode"), hash("üNÏCODE"));
        assert!(!same("a", "b"));
    }
}
