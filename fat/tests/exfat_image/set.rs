//! Sets of exFAT's directory entries.
#![allow(dead_code)] // Each who uses this uses its part.

/// How a file or directory is stored.
#[derive(Clone, Copy)]
pub struct How {
    /// Every other cluster, linked by the table; else neighbours, of which the table says nothing.
    pub chained: bool,
    /// How many bytes are valid, when not all.
    pub valid: Option<u64>,
    pub attributes: u16,
    /// The three offsets to UTC.
    pub offset: u8,
    /// A benign entry of a vendor behind the name.
    pub vendor: bool,
}

pub const PLAIN: How =
    How { chained: false, valid: None, attributes: 0x20, offset: 0x80, vendor: false };
pub const CHAINED: How = How { chained: true, ..PLAIN };
/// 2023-11-14 22:13:20, which is 1,700,000,000, and 50 hundredths.
const STAMP: u32 = ((2023 - 1980) << 9 | 11 << 5 | 14) << 16 | 22 << 11 | 13 << 5 | 10;

pub fn sum16(bytes: impl Iterator<Item = u8>) -> u16 {
    bytes.fold(0u16, |sum, byte| sum.rotate_right(1).wrapping_add(u16::from(byte)))
}

/// The set of a file or directory. `len` is in bytes.
pub fn entries(name: &str, len: u64, first: u32, contiguous: bool, how: &How) -> Vec<[u8; 32]> {
    let units: Vec<u16> = name.encode_utf16().collect();
    let upper: String = name
        .chars()
        .map(|c| if c.to_uppercase().count() == 1 { c.to_uppercase().next().unwrap() } else { c })
        .collect();
    let mut file = [0; 32];
    let mut stream = [0; 32];
    file[0] = 0x85;
    file[4..6].copy_from_slice(&how.attributes.to_le_bytes());
    for at in [8, 12, 16] {
        file[at..at + 4].copy_from_slice(&STAMP.to_le_bytes());
    }
    file[20..25].copy_from_slice(&[50, 150, how.offset, how.offset, how.offset]);
    stream[0] = 0xC0;
    stream[1] = 1 | if contiguous { 2 } else { 0 };
    stream[3] = units.len() as u8;
    let hash = sum16(upper.encode_utf16().flat_map(u16::to_le_bytes));
    stream[4..6].copy_from_slice(&hash.to_le_bytes());
    stream[8..16].copy_from_slice(&how.valid.unwrap_or(len).to_le_bytes());
    stream[20..24].copy_from_slice(&first.to_le_bytes());
    stream[24..32].copy_from_slice(&len.to_le_bytes());
    let mut set = vec![file, stream];
    for part in units.chunks(15) {
        let mut entry = [0; 32];
        entry[0] = 0xC1;
        for (at, unit) in part.iter().enumerate() {
            entry[2 + 2 * at..4 + 2 * at].copy_from_slice(&unit.to_le_bytes());
        }
        set.push(entry);
    }
    if how.vendor {
        let mut entry = [7; 32];
        (entry[0], entry[1]) = (0xE0, 0);
        set.push(entry);
    }
    set[0][1] = set.len() as u8 - 1;
    sign(&mut set);
    set
}

/// Puts the checksum of a set right.
pub fn sign(set: &mut [[u8; 32]]) {
    let bytes = set.as_flattened().iter().enumerate();
    let sum = sum16(bytes.filter(|(at, _)| !matches!(at, 2 | 3)).map(|(_, byte)| *byte));
    set[0][2..4].copy_from_slice(&sum.to_le_bytes());
}

/// Where the set of a name lies that is in one piece; the last one, since the journal may have copies.
pub fn find(slots: &[[u8; 32]], name: &str) -> std::ops::Range<usize> {
    let units: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let is = |at: &usize| {
        let set = &slots[*at..];
        set[0][0] == 0x85
            && set[1][0] == 0xC0
            && usize::from(set[1][3]) * 2 == units.len()
            && set[2][2..].iter().zip(&units).all(|(a, b)| a == b)
    };
    let at = (0..slots.len() - 2).rfind(is).unwrap();
    at..at + 1 + usize::from(slots[at][1])
}
