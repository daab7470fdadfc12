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
}
