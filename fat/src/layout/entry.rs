//! The 32 bytes of a directory slot: a short entry, or a part of a long name.
//! Microsoft FAT specification, sections "FAT Directory Structure" and "FAT Long Directory
//! Entries".
use crate::layout::time;
use alloc::vec::Vec;

/// The size of a slot in bytes.
pub(crate) const SLOT: usize = 32;
/// UTF-16 units in one long-name slot.
pub(crate) const UNITS: usize = 13;
/// The most long-name slots of one entry.
pub(crate) const MAX_LONG_SLOTS: u32 = 20;

pub(crate) const ATTR_READ_ONLY: u8 = 0x01;
pub(crate) const ATTR_HIDDEN: u8 = 0x02;
pub(crate) const ATTR_SYSTEM: u8 = 0x04;
pub(crate) const ATTR_VOLUME_ID: u8 = 0x08;
pub(crate) const ATTR_DIRECTORY: u8 = 0x10;
pub(crate) const ATTR_ARCHIVE: u8 = 0x20;
const ATTR_LONG_NAME: u8 = 0x0F;
const ATTR_LONG_NAME_MASK: u8 = 0x3F;

const FREE: u8 = 0xE5;
const LAST_LONG: u8 = 0x40;

/// What a slot is, by its first byte and its attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// This slot and all after it are free.
    End,
    Free,
    Long,
    Label,
    Short,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry(pub(crate) [u8; SLOT]);

impl Entry {
    pub(crate) fn short(name: [u8; 11], attributes: u8) -> Self {
        let mut slot = [0; SLOT];
        for (to, from) in slot.iter_mut().zip(name) {
            *to = from;
        }
        slot[11] = attributes;
        Self(slot)
    }

    pub(crate) fn kind(&self) -> Kind {
        match (self.0[0], self.attributes()) {
            (0, _) => Kind::End,
            (FREE, _) => Kind::Free,
            (_, attr) if attr & ATTR_LONG_NAME_MASK == ATTR_LONG_NAME => Kind::Long,
            (_, attr) if attr & ATTR_VOLUME_ID != 0 => Kind::Label,
            _ => Kind::Short,
        }
    }

    fn u16(&self, low: u8, high: u8) -> u16 {
        u16::from_le_bytes([low, high])
    }

    /// The 11 bytes of the short name as stored.
    pub(crate) fn name(&self) -> [u8; 11] {
        let mut name = [0; 11];
        for (to, from) in name.iter_mut().zip(self.0) {
            *to = from;
        }
        name
    }

    pub(crate) fn set_name(&mut self, name: [u8; 11], case: u8) {
        for (to, from) in self.0.iter_mut().zip(name) {
            *to = from;
        }
        self.0[12] = case;
    }

    /// The bits 0x08 and 0x10 that say a lower-case base and extension.
    pub(crate) fn case(&self) -> u8 {
        self.0[12]
    }

    pub(crate) fn attributes(&self) -> u8 {
        self.0[11]
    }

    pub(crate) fn set_attributes(&mut self, attributes: u8) {
        self.0[11] = attributes;
    }

    pub(crate) fn is_dir(&self) -> bool {
        self.attributes() & ATTR_DIRECTORY != 0
    }

    /// The first cluster; the high half has a meaning on FAT32 only.
    pub(crate) fn cluster(&self, wide: bool) -> u32 {
        let low = u32::from(self.u16(self.0[26], self.0[27]));
        let high = u32::from(self.u16(self.0[20], self.0[21]));
        if wide { high << 16 | low } else { low }
    }

    pub(crate) fn set_cluster(&mut self, cluster: u32) {
        [self.0[26], self.0[27], self.0[20], self.0[21]] = cluster.to_le_bytes();
    }

    pub(crate) fn len(&self) -> u32 {
        u32::from_le_bytes([self.0[28], self.0[29], self.0[30], self.0[31]])
    }

    pub(crate) fn set_len(&mut self, len: u32) {
        [self.0[28], self.0[29], self.0[30], self.0[31]] = len.to_le_bytes();
    }

    pub(crate) fn created(&self) -> u64 {
        let date = self.u16(self.0[16], self.0[17]);
        time::from_fat(date, self.u16(self.0[14], self.0[15]), self.0[13])
    }

    pub(crate) fn set_created(&mut self, unix: u64) {
        let (date, time, tenths) = time::to_fat(unix);
        self.0[13] = tenths;
        [self.0[14], self.0[15]] = time.to_le_bytes();
        [self.0[16], self.0[17]] = date.to_le_bytes();
    }

    pub(crate) fn accessed(&self) -> u64 {
        time::from_fat(self.u16(self.0[18], self.0[19]), 0, 0)
    }

    pub(crate) fn set_accessed(&mut self, unix: u64) {
        [self.0[18], self.0[19]] = time::to_fat(unix).0.to_le_bytes();
    }

    pub(crate) fn modified(&self) -> u64 {
        time::from_fat(self.u16(self.0[24], self.0[25]), self.u16(self.0[22], self.0[23]), 0)
    }

    pub(crate) fn set_modified(&mut self, unix: u64) {
        let (date, time, _) = time::to_fat(unix);
        [self.0[22], self.0[23]] = time.to_le_bytes();
        [self.0[24], self.0[25]] = date.to_le_bytes();
    }

    /// Long-name slots: `(ordinal from 1, whether it is the last part, checksum)`.
    pub(crate) fn long_part(&self) -> (u32, bool, u8) {
        (u32::from(self.0[0] & !LAST_LONG), self.0[0] & LAST_LONG != 0, self.0[13])
    }

    pub(crate) fn long_units(&self) -> [u16; UNITS] {
        let s = &self.0;
        [(1, 2), (3, 4), (5, 6), (7, 8), (9, 10), (14, 15), (16, 17), (18, 19), (20, 21), (22, 23)]
            .into_iter()
            .chain([(24, 25), (28, 29), (30, 31)])
            .zip(0..UNITS)
            .fold([0; UNITS], |mut units, ((low, high), at)| {
                if let (Some(unit), Some(&low), Some(&high)) =
                    (units.get_mut(at), s.get(low), s.get(high))
                {
                    *unit = u16::from_le_bytes([low, high]);
                }
                units
            })
    }
}

/// The long-name slots for `units` in the order of the disk: last part first.
pub(crate) fn long_slots(units: &[u16], checksum: u8) -> Vec<Entry> {
    let mut slots: Vec<Entry> = units
        .chunks(UNITS)
        .zip(1u8..)
        .map(|(part, ordinal)| {
            let mut slot = [0; SLOT];
            slot[0] = ordinal;
            slot[11] = ATTR_LONG_NAME;
            slot[13] = checksum;
            // One NUL after the name when it does not fill the slot, then 0xFFFF.
            let padded = part.iter().copied().chain([0]).chain(core::iter::repeat(0xFFFF));
            let places = (1..11).step_by(2).chain((14..26).step_by(2)).chain([28, 30]);
            for (unit, at) in padded.zip(places) {
                let [low, high] = unit.to_le_bytes();
                if let Some([to_low, to_high]) = slot.get_mut(at..at + 2) {
                    (*to_low, *to_high) = (low, high);
                }
            }
            Entry(slot)
        })
        .collect();
    if let Some(last) = slots.last_mut() {
        last.0[0] |= LAST_LONG;
    }
    slots.reverse();
    slots
}

/// The slot that a removed entry leaves.
pub(crate) fn mark_free(slot: &mut [u8]) {
    if let Some(first) = slot.first_mut() {
        *first = FREE;
    }
}
