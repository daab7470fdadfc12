//! Puts the slots of a long name together.
use crate::layout::entry::{Entry, MAX_LONG_SLOTS, UNITS};
use crate::layout::name;
use alloc::string::String;

/// Slots come in the order of the disk. A set that breaks a rule is forgotten, so that its entry is
/// known by its short name.
#[derive(Debug)]
pub(crate) struct LongName {
    units: [u16; UNITS * MAX_LONG_SLOTS as usize],
    used: usize,
    first_slot: u32,
    /// The ordinal that the next slot must have; 0: the short entry comes next.
    next: Option<u32>,
    checksum: u8,
}

impl Default for LongName {
    fn default() -> Self {
        Self {
            units: [0; UNITS * MAX_LONG_SLOTS as usize],
            used: 0,
            first_slot: 0,
            next: None,
            checksum: 0,
        }
    }
}

impl LongName {
    pub(crate) fn clear(&mut self) {
        self.next = None;
    }

    pub(crate) fn push(&mut self, slot: u32, entry: &Entry) {
        let (ordinal, last, checksum) = entry.long_part();
        if last && (1..=MAX_LONG_SLOTS).contains(&ordinal) {
            self.used = ordinal as usize * UNITS;
            self.first_slot = slot;
            self.checksum = checksum;
        } else if ordinal == 0 || self.next != Some(ordinal) || self.checksum != checksum {
            self.next = None;
            return;
        }
        let before = ordinal - 1;
        self.next = Some(before);
        let place = self.units.iter_mut().skip(before as usize * UNITS);
        for (to, from) in place.zip(entry.long_units()) {
            *to = from;
        }
    }

    /// The name and its first slot, when the set is whole and belongs to an entry with this
    /// checksum.
    pub(crate) fn finish(&mut self, checksum: u8) -> Option<(String, u32)> {
        let whole = self.next.take() == Some(0) && self.checksum == checksum;
        let units = self.units.get(..self.used).filter(|_| whole)?;
        let end = units.iter().position(|unit| *unit == 0).unwrap_or(units.len());
        let units = units.get(..end).filter(|units| units.len() <= name::MAX_UNITS)?;
        Some((name::decode(units)?, self.first_slot))
    }
}
