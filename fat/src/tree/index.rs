//! What is remembered of a directory: where each name is, and which slots are free.
use alloc::vec;
use alloc::vec::Vec;

/// A name's hash without case, and the slot of its short entry.
type Key = (u32, u32);

/// Sorted keys, in pieces so short that adding one costs the same among 50,000 as among 50.
#[derive(Debug, Default)]
struct Keys {
    /// None is empty.
    pieces: Vec<Vec<Key>>,
}

impl Keys {
    /// 2 KiB.
    const MOST: usize = 256;

    /// Of keys in any order.
    fn new(mut keys: Vec<Key>) -> Self {
        keys.sort_unstable();
        keys.dedup();
        Self { pieces: keys.chunks(Self::MOST / 4 * 3).map(<[Key]>::to_vec).collect() }
    }

    /// The piece that has the key, if any has it.
    fn piece(&self, key: Key) -> usize {
        let after = self.pieces.partition_point(|piece| piece.first().is_some_and(|k| *k <= key));
        after.saturating_sub(1)
    }

    fn add(&mut self, key: Key) {
        let at = self.piece(key);
        let Some(piece) = self.pieces.get_mut(at) else {
            self.pieces.push(vec![key]);
            return;
        };
        if let Err(place) = piece.binary_search(&key) {
            piece.insert(place, key);
            if piece.len() > Self::MOST {
                let rest = piece.split_off(Self::MOST / 2);
                piece.shrink_to_fit();
                self.pieces.insert(at + 1, rest);
            }
        }
    }

    fn remove(&mut self, key: Key) {
        let at = self.piece(key);
        if let Some(piece) = self.pieces.get_mut(at)
            && let Ok(place) = piece.binary_search(&key)
        {
            piece.remove(place);
            if piece.is_empty() {
                self.pieces.remove(at);
            }
        }
    }

    /// The keys from this one on.
    fn from(&self, key: Key) -> impl Iterator<Item = &Key> {
        let mut pieces = self.pieces.get(self.piece(key)..).unwrap_or_default().iter();
        let first = pieces.next().map_or(&[][..], Vec::as_slice);
        let from = first.partition_point(|k| *k < key);
        first.iter().skip(from).chain(pieces.flatten())
    }

    /// Memory in bytes.
    fn size(&self) -> usize {
        let keys: usize = self.pieces.iter().map(Vec::capacity).sum();
        keys * size_of::<Key>() + self.pieces.capacity() * size_of::<Vec<Key>>()
    }
}

/// Names by their hash; who looks one up compares the entry itself.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// An entry with a long name is here twice.
    keys: Keys,
    /// A bit for each slot that is in use.
    used: Vec<u64>,
    /// All slots from here on are free, whatever they hold.
    pub(crate) end: u32,
    /// No slot before this one is free.
    first_free: u32,
    /// All names are here. A directory of exFAT may have more than there is room for.
    pub(crate) is_whole: bool,
    /// The volume label, when this is the root directory and has one.
    pub(crate) label: Option<[u8; 11]>,
}

impl Index {
    pub(crate) fn new(slots: u32) -> Self {
        let words = (slots as usize).div_ceil(64);
        Self { used: vec![0; words], is_whole: true, ..Self::default() }
    }

    /// Gives a new index its keys, in any order.
    pub(crate) fn fill(&mut self, keys: Vec<(u32, u32)>) {
        self.keys = Keys::new(keys);
    }

    pub(crate) fn add(&mut self, hash: u32, slot: u32) {
        if self.is_whole {
            self.keys.add((hash, slot));
        }
    }

    pub(crate) fn remove(&mut self, hash: u32, slot: u32) {
        self.keys.remove((hash, slot));
    }

    /// The slots of the entries whose name may be the one with this hash.
    pub(crate) fn slots(&self, hash: u32) -> Vec<u32> {
        let keys = self.keys.from((hash, 0)).take_while(|(key, _)| *key == hash);
        keys.map(|(_, slot)| *slot).collect()
    }

    pub(crate) fn has(&self, hash: u32) -> bool {
        self.keys.from((hash, 0)).next().is_some_and(|(key, _)| *key == hash)
    }

    /// Whether there are more names than memory is for: 720 KiB.
    pub(crate) fn is_too_large(&self) -> bool {
        self.keys.pieces.len() > 352
    }

    /// Forgets all but where the free slots at the end begin.
    pub(crate) fn forget_names(&mut self) {
        *self = Self { end: self.end, ..Self::default() };
    }

    pub(crate) fn set_used(&mut self, slot: u32, used: bool) {
        if !self.is_whole {
            return;
        }
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

    /// Whether a slot is known to be free.
    pub(crate) fn is_free(&self, slot: u32) -> bool {
        slot >= self.end || self.is_whole && !self.is_used(slot)
    }

    /// The first of `count` free neighbouring slots from `from` on, which may lie past the last slot there is.
    pub(crate) fn free_slots(&mut self, count: u32, from: u32) -> u32 {
        if !self.is_whole {
            return self.end;
        }
        while self.first_free < self.end && self.is_used(self.first_free) {
            self.first_free += 1;
        }
        let mut start = self.first_free.max(from);
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
        self.keys.size() + self.used.capacity() * 8
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
        assert_eq!(index.free_slots(3, 0), 10);
        for slot in [2, 3, 5, 6, 7] {
            index.set_used(slot, false);
        }
        assert_eq!(index.free_slots(1, 0), 2);
        assert_eq!(index.free_slots(3, 0), 5);
        assert_eq!(index.free_slots(4, 0), 10);
        assert_eq!(index.free_slots(1, 4), 5);
        assert_eq!(index.free_slots(1, 12), 12);
        assert!(index.is_free(6) && !index.is_free(8) && index.is_free(10));
        index.set_used(9, false);
        assert_eq!(index.free_slots(4, 0), 9);
    }

    /// Of keys that come and go in an order of their own, as a plain set knows them.
    #[test]
    fn many_keys_are_those_of_a_set() {
        let (mut index, mut set) = (Index::new(0), std::collections::BTreeSet::new());
        let mut random = 1u32;
        for round in 0..30_000u32 {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // Few hashes, so that some have more keys than a piece.
            let key = (random >> 16 & 7, round % 2_000);
            if random >> 8 & 3 == 0 || (20_000..26_000).contains(&round) {
                index.remove(key.0, key.1);
                set.remove(&key);
            } else {
                index.add(key.0, key.1);
                set.insert(key);
            }
        }
        assert!(set.len() > 1000, "{}", set.len());
        for hash in 0..9 {
            let expected = set.range((hash, 0)..(hash + 1, 0)).map(|k| k.1).collect::<Vec<_>>();
            assert_eq!(index.slots(hash), expected);
            assert_eq!(index.has(hash), !expected.is_empty());
        }
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
