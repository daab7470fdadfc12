//! Short (8.3) names: 11 bytes in the OEM code page, here 437, padded with spaces.
//! Microsoft FAT specification, sections "FAT Directory Structure" and "The Basis-Name Generation
//! Algorithm".
use crate::bytes::Fnv;
use crate::layout::name::{self, valid};
use alloc::string::String;

const LOWER_BASE: u8 = 0x08;
const LOWER_EXTENSION: u8 = 0x10;
/// The upper half of code page 437.
const CP437: &str = "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷×²·\u{25A0}\u{A0}";

/// The checksum that ties long-name slots to their short entry.
pub(crate) fn checksum(name: &[u8; 11]) -> u8 {
    name.iter().fold(0u8, |sum, byte| sum.rotate_right(1).wrapping_add(*byte))
}

fn oem(byte: u8) -> char {
    match byte {
        0..=0x7F => char::from(byte),
        _ => CP437.chars().nth(usize::from(byte) - 0x80).unwrap_or('_'),
    }
}

/// The name as users see it, with the case bits of Windows NT applied. What could not be one path
/// component becomes `_`.
pub(crate) fn decode(name: &[u8; 11], case: u8) -> String {
    let part = |from: usize, to: usize, lower: bool| -> String {
        let bytes = name.get(from..to).unwrap_or_default();
        let used = bytes.iter().rposition(|byte| *byte != b' ').map_or(0, |last| last + 1);
        bytes
            .iter()
            .take(used)
            .enumerate()
            .map(|(index, &byte)| {
                let byte = if from + index == 0 && byte == 0x05 { 0xE5 } else { byte };
                match oem(byte) {
                    '/' | '\0' => '_',
                    char if lower => name::lower(char),
                    char => char,
                }
            })
            .collect()
    };
    let mut text = part(0, 8, case & LOWER_BASE != 0);
    let extension = part(8, 11, case & LOWER_EXTENSION != 0);
    if !extension.is_empty() {
        text.push('.');
        text.push_str(&extension);
    }
    if valid(&text) { text } else { text.replace('.', "_") + "_" }
}

/// Whether a short name of ours can hold this character as it is. What others a byte stands for
/// depends on the reader's code page, so that they are in long names alone.
fn allowed(char: char) -> bool {
    char.is_ascii_uppercase() || char.is_ascii_digit() || "!#$%&'()-@^_`{}~".contains(char)
}

/// The base and the extension: what stands before and after the last dot, leading dots aside.
fn split(name: &str) -> (&str, &str) {
    match name.trim_start_matches(['.', ' ']).rsplit_once('.') {
        Some(parts) => parts,
        None => (name, ""),
    }
}

/// The short name that says `name` by itself, with the bits of Windows NT for a base and an
/// extension in lower case, so that no long name is needed.
pub(crate) fn exact(name: &str) -> Option<([u8; 11], u8)> {
    let upper = name.to_ascii_uppercase();
    let (base, extension) = upper.split_once('.').unwrap_or((&upper, ""));
    let fits = (1..=8).contains(&base.len())
        && extension.len() <= 3
        && extension.is_empty() != name.contains('.')
        && base.chars().chain(extension.chars()).all(allowed);
    let packed = pack(base, extension);
    // The right bits are those that give the name back: none do for a mixed case.
    let mut bits = [0, LOWER_BASE, LOWER_EXTENSION, LOWER_BASE | LOWER_EXTENSION].into_iter();
    let case = bits.find(|case| fits && decode(&packed, *case) == name)?;
    Some((packed, case))
}

fn pack(base: &str, extension: &str) -> [u8; 11] {
    let mut packed = [b' '; 11];
    for (to, from) in packed.iter_mut().take(8).zip(base.bytes()) {
        *to = from;
    }
    for (to, from) in packed.iter_mut().skip(8).zip(extension.bytes()) {
        *to = from;
    }
    packed
}

/// A short name for `name`, beside a long one, that `taken` does not know. The number of tries does
/// not grow with the number of similar names: after `~4` a hash of the long name takes the place of
/// most of the base, as Windows does.
pub(crate) fn generate(name: &str, taken: impl Fn(&[u8; 11]) -> bool) -> Option<[u8; 11]> {
    let mut lossy = false;
    let mut clean = |text: &str, most: usize| -> String {
        let mut kept = String::new();
        for char in text.chars() {
            let upper = char.to_ascii_uppercase();
            match upper {
                '.' | ' ' => lossy = true,
                _ if kept.len() == most => lossy = true,
                _ if allowed(upper) => kept.push(upper),
                _ => {
                    lossy = true;
                    kept.push('_');
                }
            }
        }
        kept
    };
    let (base, extension) = split(name);
    let mut base = clean(base, 8);
    let extension = clean(extension, 3);
    if base.is_empty() {
        base.push('_');
        lossy = true;
    }
    let tailed = |base: &str, keep: usize, tail: &str| {
        let mut text: String = base.chars().take(keep).collect();
        text.push_str(tail);
        pack(&text, &extension)
    };
    let plain = (!lossy).then(|| pack(&base, &extension));
    let mut hash = Fnv::default();
    hash.add(name.as_bytes());
    let start = hash.finish();
    let numbered = (1..=4).map(|n| tailed(&base, 6, &alloc::format!("~{n}")));
    // 2 characters, 4 of the hash, a tail: 589,824 names for one beginning.
    let hashed = (0..65_536u64).flat_map(|step| {
        let hash = start.wrapping_add(step) & 0xFFFF;
        let tailed = &tailed;
        let base = &base;
        (1..=9).map(move |n| tailed(base, 2, &alloc::format!("{hash:04X}~{n}")))
    });
    plain.into_iter().chain(numbered).chain(hashed).find(|candidate| !taken(candidate))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_that_need_no_long_one() {
        assert_eq!(exact("README.TXT"), Some((*b"README  TXT", 0)));
        assert_eq!(exact("A"), Some((*b"A          ", 0)));
        assert_eq!(exact("readme.TXT"), Some((*b"README  TXT", 0x08)));
        assert_eq!(exact("README.txt"), Some((*b"README  TXT", 0x10)));
        assert_eq!(exact("readme-1.txt"), Some((*b"README-1TXT", 0x18)));
        for long in
            ["Readme.txt", "r\u{e4}.txt", "A.B.C", "A.", ".A", "TOOLONGNAME", "A.LONG", "A B", ""]
        {
            assert_eq!(exact(long), None, "{long}");
        }
    }

    #[test]
    fn generated_names() {
        let free = |_: &[u8; 11]| false;
        assert_eq!(generate("readme.txt", free), Some(*b"README  TXT"));
        assert_eq!(generate("a long name.text", free), Some(*b"ALONGN~1TEX"));
        assert_eq!(generate(".mirage-sshfs", free), Some(*b"MIRAGE~1   "));
        assert_eq!(generate("ünïcode.tar.gz", free), Some(*b"_N_COD~1GZ "));
        assert_eq!(generate("日本", free), Some(*b"__~1       "));
    }

    #[test]
    fn thousands_of_similar_names_take_few_tries() {
        let mut taken = std::collections::BTreeSet::new();
        let tries = core::cell::Cell::new(0);
        for n in 0..20_000 {
            let name = std::format!("a very similar name {n}.dat");
            let short = generate(&name, |short| {
                tries.set(tries.get() + 1);
                taken.contains(short)
            });
            assert!(taken.insert(short.unwrap()));
        }
        assert!(tries.get() < 20_000 * 10, "{}", tries.get());
    }

    #[test]
    fn stored_names_are_shown() {
        assert_eq!(decode(b"README  TXT", 0), "README.TXT");
        assert_eq!(decode(b"README  TXT", 0x18), "readme.txt");
        assert_eq!(decode(b"\x05BC\x81    \x80  ", 0), "σBCü.Ç");
        assert_eq!(decode(b"CAF\x90    T\x99 ", 0x18), "café.tö");
        assert_eq!(decode(b"CAF\x90    T\x99 ", 0x08), "café.TÖ");
        assert_eq!(decode(b"\xE1\x81\xE4        ", 0x08), "ßüσ");
        assert_eq!(decode(b"A/B     \0  ", 0), "A_B._");
        assert_eq!(decode(b".          ", 0), "__");
    }
}
