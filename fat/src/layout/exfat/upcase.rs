//! The up-case table: which characters a volume takes for one another. Section 7.2 "Up-case Table
//! Directory Entry".
use super::{sum16, sum32};
use alloc::vec::Vec;

/// The longest table in bytes: one number for each of 65,536 characters.
pub(crate) const MOST_BYTES: u64 = 128 << 10;
/// The most characters that are another in upper case; the usual table has about a thousand.
const MOST_PAIRS: usize = 16_384;
/// Followed by a number: so many characters are their own upper case.
const COMPRESSED: u16 = 0xFFFF;

/// The characters that are not their own upper case, in order, each with it. At most 64 KiB.
#[derive(Debug, Default)]
pub(crate) struct Upcase(Vec<(u16, u16)>);

/// Identities in a row from this many on are counted in the usual table, and fewer written out.
const COUNTED: u16 = 512;

/// The table that new volumes get, compressed: byte for byte the one that the specification recommends in
/// section 7.2.5.1 "Recommended Up-case Table".
pub(crate) fn usual() -> Vec<u8> {
    let mut table = Vec::new();
    let mut next = 0u32;
    let mut add = |unit: u32, upper: u32| {
        let same = u16::try_from(unit.saturating_sub(next)).unwrap_or(u16::MAX);
        if same >= COUNTED {
            table.extend([COMPRESSED, same].iter().flat_map(|unit| unit.to_le_bytes()));
        } else {
            table.extend((next..unit).flat_map(|unit| (unit as u16).to_le_bytes()));
        }
        table.extend_from_slice(&(upper as u16).to_le_bytes());
        next = unit.saturating_add(1);
    };
    for [first, shape, away] in USUAL.as_chunks::<3>().0 {
        let (count, step) = (shape & 0xFF, usize::from(shape >> 8));
        for unit in (*first..=u16::MAX).step_by(step.max(1)).take(count.into()) {
            add(unit.into(), unit.wrapping_add(*away).into());
        }
    }
    add(0xFFFF, 0xFFFF);
    table
}

impl Upcase {
    /// Reads a table, compressed or not; nothing when its sum is another or it is too long.
    pub(crate) fn parse(table: &[u8], checksum: u32) -> Option<Self> {
        if sum32(0, table.iter().copied()) != checksum {
            return None;
        }
        let mut pairs = Vec::new();
        let mut at = 0u32;
        let (units, rest) = table.as_chunks::<2>();
        let mut units = units.iter().map(|unit| u16::from_le_bytes(*unit));
        while let Some(unit) = units.next() {
            let from = u16::try_from(at).ok()?;
            if unit == COMPRESSED
                && from != COMPRESSED
                && let Some(same) = units.next()
            {
                at = at.saturating_add(u32::from(same));
                continue;
            }
            if unit != from {
                if pairs.len() >= MOST_PAIRS {
                    return None;
                }
                pairs.push((from, unit));
            }
            at = at.saturating_add(1);
        }
        (rest.is_empty() && at <= 0x1_0000).then_some(Self(pairs))
    }

    pub(crate) fn unit(&self, unit: u16) -> u16 {
        let place = self.0.binary_search_by_key(&unit, |(from, _)| *from);
        place.ok().and_then(|at| self.0.get(at)).map_or(unit, |(_, to)| *to)
    }

    /// The sum over a name in upper case. Section 7.6.4 "NameHash Field".
    pub(crate) fn hash(&self, units: &[u16]) -> u16 {
        sum16(units.iter().flat_map(|unit| self.unit(*unit).to_le_bytes()))
    }

    pub(crate) fn char(&self, char: char) -> char {
        let unit = u16::try_from(u32::from(char)).ok().map(|unit| self.unit(unit));
        unit.and_then(|unit| char::from_u32(unit.into())).unwrap_or(char)
    }
}

/// The pairs of the usual table as runs, of three numbers each: the first character; how many there are, and from bit 8
/// on their distance; how far their upper case lies behind them.
#[rustfmt::skip]
const USUAL: [u16; 357] = [
    0x61, 0x11A, 0xFFE0, 0xE0, 0x117, 0xFFE0, 0xF8, 0x107, 0xFFE0, 0xFF, 0x101, 0x79, 0x101, 0x218,
    0xFFFF, 0x133, 0x203, 0xFFFF, 0x13A, 0x208, 0xFFFF, 0x14B, 0x217, 0xFFFF, 0x17A, 0x203, 0xFFFF,
    0x180, 0x101, 0xC3, 0x183, 0x202, 0xFFFF, 0x188, 0x101, 0xFFFF, 0x18C, 0x101, 0xFFFF, 0x192,
    0x101, 0xFFFF, 0x195, 0x101, 0x61, 0x199, 0x101, 0xFFFF, 0x19A, 0x101, 0xA3, 0x19E, 0x101, 0x82,
    0x1A1, 0x203, 0xFFFF, 0x1A8, 0x101, 0xFFFF, 0x1AD, 0x101, 0xFFFF, 0x1B0, 0x101, 0xFFFF, 0x1B4,
    0x202, 0xFFFF, 0x1B9, 0x101, 0xFFFF, 0x1BD, 0x101, 0xFFFF, 0x1BF, 0x101, 0x38, 0x1C6, 0x101,
    0xFFFE, 0x1C9, 0x101, 0xFFFE, 0x1CC, 0x101, 0xFFFE, 0x1CE, 0x208, 0xFFFF, 0x1DD, 0x101, 0xFFB1,
    0x1DF, 0x209, 0xFFFF, 0x1F3, 0x101, 0xFFFE, 0x1F5, 0x101, 0xFFFF, 0x1F9, 0x214, 0xFFFF, 0x223,
    0x209, 0xFFFF, 0x23A, 0x101, 0x2A2B, 0x23C, 0x101, 0xFFFF, 0x23E, 0x101, 0x2A28, 0x242, 0x101,
    0xFFFF, 0x247, 0x205, 0xFFFF, 0x253, 0x101, 0xFF2E, 0x254, 0x101, 0xFF32, 0x256, 0x102, 0xFF33,
    0x259, 0x101, 0xFF36, 0x25B, 0x101, 0xFF35, 0x260, 0x101, 0xFF33, 0x263, 0x101, 0xFF31, 0x268,
    0x101, 0xFF2F, 0x269, 0x101, 0xFF2D, 0x26B, 0x101, 0x29F7, 0x26F, 0x101, 0xFF2D, 0x272, 0x101,
    0xFF2B, 0x275, 0x101, 0xFF2A, 0x27D, 0x101, 0x29E7, 0x280, 0x101, 0xFF26, 0x283, 0x101, 0xFF26,
    0x288, 0x101, 0xFF26, 0x289, 0x101, 0xFFBB, 0x28A, 0x102, 0xFF27, 0x28C, 0x101, 0xFFB9, 0x292,
    0x101, 0xFF25, 0x37B, 0x103, 0x82, 0x3AC, 0x101, 0xFFDA, 0x3AD, 0x103, 0xFFDB, 0x3B1, 0x111,
    0xFFE0, 0x3C2, 0x101, 0xFFE1, 0x3C3, 0x109, 0xFFE0, 0x3CC, 0x101, 0xFFC0, 0x3CD, 0x102, 0xFFC1,
    0x3D9, 0x20C, 0xFFFF, 0x3F2, 0x101, 0x7, 0x3F8, 0x101, 0xFFFF, 0x3FB, 0x101, 0xFFFF, 0x430,
    0x120, 0xFFE0, 0x450, 0x110, 0xFFB0, 0x461, 0x211, 0xFFFF, 0x48B, 0x21B, 0xFFFF, 0x4C2, 0x207,
    0xFFFF, 0x4CF, 0x101, 0xFFF1, 0x4D1, 0x222, 0xFFFF, 0x561, 0x126, 0xFFD0, 0x1D7D, 0x101, 0xEE6,
    0x1E01, 0x24B, 0xFFFF, 0x1EA1, 0x22D, 0xFFFF, 0x1F00, 0x108, 0x8, 0x1F10, 0x106, 0x8, 0x1F20,
    0x108, 0x8, 0x1F30, 0x108, 0x8, 0x1F40, 0x106, 0x8, 0x1F51, 0x204, 0x8, 0x1F60, 0x108, 0x8,
    0x1F70, 0x102, 0x4A, 0x1F72, 0x104, 0x56, 0x1F76, 0x102, 0x64, 0x1F78, 0x102, 0x80, 0x1F7A,
    0x102, 0x70, 0x1F7C, 0x102, 0x7E, 0x1F80, 0x108, 0x8, 0x1F90, 0x108, 0x8, 0x1FA0, 0x108, 0x8,
    0x1FB0, 0x102, 0x8, 0x1FB3, 0x101, 0x9, 0x1FCC, 0x101, 0xFFF7, 0x1FD0, 0x102, 0x8, 0x1FE0,
    0x102, 0x8, 0x1FE5, 0x101, 0x7, 0x1FFC, 0x101, 0xFFF7, 0x214E, 0x101, 0xFFE4, 0x2170, 0x110,
    0xFFF0, 0x2184, 0x101, 0xFFFF, 0x24D0, 0x11A, 0xFFE6, 0x2C30, 0x12F, 0xFFD0, 0x2C61, 0x101,
    0xFFFF, 0x2C68, 0x203, 0xFFFF, 0x2C76, 0x101, 0xFFFF, 0x2C81, 0x232, 0xFFFF, 0x2D00, 0x126,
    0xE3A0, 0xFF41, 0x11A, 0xFFE0,
];

#[cfg(test)]
mod tests {
    use super::*;

    fn table(units: &[u16]) -> Option<Upcase> {
        let bytes: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
        Upcase::parse(&bytes, sum32(0, bytes.iter().copied()))
    }

    #[test]
    fn a_compressed_table_is_read_and_a_torn_one_is_not() {
        let letters: Vec<u16> = (0..26).map(|letter| 0x41 + letter).collect();
        let upcase = table(&[&[COMPRESSED, 0x61], letters.as_slice()].concat()).unwrap();
        assert_eq!(
            ("azAZ[ß€".chars()).map(|c| upcase.char(c)).collect::<Vec<_>>(),
            ['A', 'Z', 'A', 'Z', '[', 'ß', '€']
        );
        assert!(Upcase::parse(&[1, 0, 2, 0], 5).is_none(), "a wrong sum");
        assert!(table(&[COMPRESSED, 0xFFF0, COMPRESSED, 0x20]).is_none(), "too long");
        assert_eq!(table(&[COMPRESSED, 0xFFFF, COMPRESSED]).unwrap().unit(0xFFFF), 0xFFFF);
    }

    /// The length and the sum are those that Microsoft's specification and mkfs.exfat's volumes have.
    #[test]
    fn the_usual_table_is_the_recommended_one() {
        let bytes = usual();
        assert_eq!((bytes.len(), sum32(0, bytes.iter().copied())), (5836, 0xE619_D30D));
        let upcase = Upcase::parse(&bytes, 0xE619_D30D).unwrap();
        let upper: Vec<char> = "zÿßƀǆωѓᾳⓩｚ\u{10428}".chars().map(|c| upcase.char(c)).collect();
        assert_eq!(upper, "ZŸßɃǄΩЃᾼⓏＺ\u{10428}".chars().collect::<Vec<_>>());
    }
}
