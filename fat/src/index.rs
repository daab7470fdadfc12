//! What is remembered of a directory: where each name is, and which slots are free.
use alloc::vec;
use alloc::vec::Vec;

/// Names by their hash, in memory for 8 bytes each; who looks one up compares the entry itself.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// `(hash of a name without case, slot of its short entry)`, sorted. An entry with a long name
    /// is here twice.
    keys: Vec<(u32, u32)>,
    /// A bit for each slot that is in use.
    used: Vec<u64>,
    /// All slots from here on are free, whatever they hold.
    pub(crate) end: u32,
    /// No slot before this one is free.
    first_free: u32,
    /// The volume label, when this is the root directory and has one.
    pub(crate) label: Option<[u8; 11]>,
}

impl Index {
    pub(crate) fn new(slots: u32) -> Self {
        let words = (slots as usize).div_ceil(64);
        Self { used: vec![0; words], ..Self::default() }
    }

    /// Adds a key while the index is built; `sort` comes after the last.
    pub(crate) fn add_unsorted(&mut self, hash: u32, slot: u32) {
        self.keys.push((hash, slot));
    }

    pub(crate) fn sort(&mut self) {
        self.keys.sort_unstable();
        self.keys.dedup();
        self.keys.shrink_to_fit();
    }

    pub(crate) fn add(&mut self, hash: u32, slot: u32) {
        if let Err(at) = self.keys.binary_search(&(hash, slot)) {
            self.keys.insert(at, (hash, slot));
        }
    }

    pub(crate) fn remove(&mut self, hash: u32, slot: u32) {
        if let Ok(at) = self.keys.binary_search(&(hash, slot)) {
            self.keys.remove(at);
        }
    }

    /// The slots of the entries whose name may be the one with this hash.
    pub(crate) fn slots(&self, hash: u32) -> Vec<u32> {
        let from = self.keys.partition_point(|(key, _)| *key < hash);
        let keys = self.keys.get(from..).unwrap_or_default();
        keys.iter().take_while(|(key, _)| *key == hash).map(|(_, slot)| *slot).collect()
    }

    pub(crate) fn has(&self, hash: u32) -> bool {
        let from = self.keys.partition_point(|(key, _)| *key < hash);
        self.keys.get(from).is_some_and(|(key, _)| *key == hash)
    }

    pub(crate) fn set_used(&mut self, slot: u32, used: bool) {
        let word = (slot / 64) as usize;
        if word >= self.used.len() && used {
            self.used.resize(word + 1, 0);
        }
        if let Some(word) = self.used.get_mut(word) {
            let bit = 1 << (slot % 64);
            if used {
                *word |= bit;
            } else {
                *word &= !bit;
                self.first_free = self.first_free.min(slot);
            }
        }
    }

    fn is_used(&self, slot: u32) -> bool {
        let word = self.used.get((slot / 64) as usize).copied().unwrap_or(0);
        word >> (slot % 64) & 1 != 0
    }

    /// The first of `count` free neighbouring slots, which may lie past the last slot there is.
    pub(crate) fn free_slots(&mut self, count: u32) -> u32 {
        while self.first_free < self.end && self.is_used(self.first_free) {
            self.first_free += 1;
        }
        let mut start = self.first_free;
        let mut slot = start;
        while slot < self.end {
            if self.is_used(slot) {
                start = slot + 1;
            } else if slot - start + 1 >= count {
                return start;
            }
            slot += 1;
        }
        start
    }

    /// Memory in bytes.
    pub(crate) fn size(&self) -> usize {
        self.keys.capacity() * 8 + self.used.capacity() * 8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_slots_are_found_again() {
        let mut index = Index::new(16);
        for slot in 0..10 {
            index.set_used(slot, true);
        }
        index.end = 10;
        assert_eq!(index.free_slots(3), 10);
        for slot in [2, 3, 5, 6, 7] {
            index.set_used(slot, false);
        }
        assert_eq!(index.free_slots(1), 2);
        assert_eq!(index.free_slots(3), 5);
        assert_eq!(index.free_slots(4), 10);
        index.set_used(9, false);
        assert_eq!(index.free_slots(4), 9);
    }

    #[test]
    fn keys_with_one_hash_are_all_found() {
        let mut index = Index::new(16);
        for (hash, slot) in [(5, 9), (5, 3), (7, 1)] {
            index.add(hash, slot);
        }
        assert_eq!(index.slots(5), [3, 9]);
        index.remove(5, 3);
        assert_eq!(index.slots(5), [9]);
        assert!(index.has(7) && !index.has(6));
    }
}
