//! A set of directory entries, which is what a file or directory has: its own entry, that of its bytes,
//! those of its name, and others. Section 6 "Directory Structure", 7.4 "File Directory Entry", 7.6
//! "Stream Extension Directory Entry", 7.7 "File Name Directory Entry".
use super::sum16;
use crate::bytes::{put, u8_at, u16_at, u32_at, u64_at};
use crate::layout::entry::SLOT;
use crate::layout::name::MAX_UNITS;
use crate::layout::posix::Posix;
use crate::layout::time;
use alloc::vec::Vec;

pub(crate) const BITMAP: u8 = 0x81;
pub(crate) const UPCASE: u8 = 0x82;
pub(crate) const LABEL: u8 = 0x83;
const FILE: u8 = 0x85;
const STREAM: u8 = 0xC0;
const NAME: u8 = 0xC1;
const IN_USE: u8 = 0x80;
const SECONDARY: u8 = 0x40;
const BENIGN: u8 = 0x20;
const ALLOCATION_POSSIBLE: u8 = 1;
const NO_FAT_CHAIN: u8 = 2;
/// Offsets to UTC are known, and none.
const UTC: u8 = 0x80;
/// The most clusters that a set of 256 entries reaches into, behind its first.
const MOST_CLUSTERS: usize = 16;
/// UTF-16 units in an entry of a name.
const UNITS: usize = 15;

/// What an entry is, by its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// This entry and all behind it are free.
    End,
    Free,
    /// The first of the set of a file or directory; so many follow that belong to it.
    File(u8),
    /// The bitmap, the up-case table, the label.
    System(u8),
    /// What may be left alone.
    Benign,
    /// What must be understood, and is not.
    Critical,
    /// One that belongs to a set, without it.
    Stray,
}

pub(crate) fn kind(entry: &[u8]) -> Kind {
    match u8_at(entry, 0) {
        0 => Kind::End,
        kind if kind & IN_USE == 0 => Kind::Free,
        FILE => Kind::File(u8_at(entry, 1)),
        kind @ (BITMAP | UPCASE | LABEL) => Kind::System(kind),
        kind if kind & SECONDARY != 0 => Kind::Stray,
        kind if kind & BENIGN != 0 => Kind::Benign,
        _ => Kind::Critical,
    }
}

/// Where the entries of a set are.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spot {
    /// The place of the first on the disk; 0 for a set that is nowhere yet.
    pub(crate) first: u64,
    /// The clusters in which the set goes on, in turn.
    pub(crate) next: [u32; MOST_CLUSTERS],
}

/// The entry of a file or directory and that of its bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Set {
    file: [u8; SLOT],
    stream: [u8; SLOT],
    /// What its first entry of ours says, whatever that is.
    posix: Option<[u8; Posix::LEN]>,
    pub(crate) spot: Spot,
}

/// A set and its name.
pub(crate) struct Named {
    pub(crate) set: Set,
    pub(crate) units: Vec<u16>,
    /// The sum over the set is what it says.
    pub(crate) sum_is_right: bool,
}

impl Named {
    /// Reads the entries of a set, which are all that its first one counts. Why not, when it is none.
    pub(crate) fn read(entries: &[[u8; SLOT]]) -> Result<Self, &'static str> {
        let [file, stream, rest @ ..] = entries else {
            return Err("its set of entries is cut short");
        };
        if u8_at(stream, 0) != STREAM {
            return Err("its second entry does not say where its bytes are");
        }
        let count = usize::from(u8_at(stream, 3));
        let (names, others) =
            rest.split_at_checked(count.div_ceil(UNITS)).ok_or("its name is cut short")?;
        if count == 0 || count > MAX_UNITS || names.iter().any(|name| u8_at(name, 0) != NAME) {
            return Err("its name is not whole");
        }
        let benign = |entry: &[u8; SLOT]| {
            let bits = IN_USE | SECONDARY | BENIGN;
            u8_at(entry, 0) & bits == bits
        };
        if !others.iter().all(benign) {
            return Err("it has an entry that must be understood and is not");
        }
        let mut units: Vec<u16> = (names.iter())
            .flat_map(|name| (0..UNITS).map(|unit| u16_at(name, unit.saturating_mul(2) + 2)))
            .collect();
        units.truncate(count);
        let posix = others.iter().find_map(Posix::of_entry);
        let set = Set { file: *file, stream: *stream, posix, spot: Spot::default() };
        Ok(Self { set, units, sum_is_right: sum_of(entries) == u16_at(file, 2) })
    }
}

/// The sum over a set.
fn sum_of(entries: &[[u8; SLOT]]) -> u16 {
    let bytes = entries.as_flattened().iter().enumerate();
    sum16(bytes.filter(|(at, _)| !matches!(at, 2 | 3)).map(|(_, byte)| *byte))
}

/// What any secondary entry may have clusters for: the first, how many bytes, and whether they are
/// neighbours. Section 6.4 "Generic Secondary DirectoryEntry Template".
pub(crate) fn allocation(secondary: &[u8]) -> Option<(u32, u64, bool)> {
    let flags = u8_at(secondary, 1);
    let (first, len) = place(secondary);
    ((flags & ALLOCATION_POSSIBLE != 0 || is_stream(secondary)) && len > 0).then_some((
        first,
        len,
        flags & NO_FAT_CHAIN != 0,
    ))
}

/// As `allocation`, of a primary entry. Section 6.3 "Generic Primary DirectoryEntry Template".
pub(crate) fn allocation_of_primary(primary: &[u8]) -> Option<(u32, u64, bool)> {
    let flags = u8_at(primary, 4);
    let (first, len) = place(primary);
    (flags & ALLOCATION_POSSIBLE != 0 && len > 0).then_some((first, len, flags & NO_FAT_CHAIN != 0))
}

pub(crate) fn is_stream(entry: &[u8]) -> bool {
    u8_at(entry, 0) == STREAM
}

/// The entries of a name.
fn name_entries(units: &[u16]) -> impl Iterator<Item = [u8; SLOT]> {
    units.chunks(UNITS).map(|part| {
        let mut entry = [0; SLOT];
        entry[0] = NAME;
        for (unit, at) in part.iter().zip((2..).step_by(2)) {
            put(&mut entry, at, &unit.to_le_bytes());
        }
        entry
    })
}

impl Set {
    pub(crate) fn new(attributes: u8, now: u64) -> Self {
        let (mut file, mut stream) = ([0; SLOT], [0; SLOT]);
        (file[0], file[4]) = (FILE, attributes);
        (stream[0], stream[1]) = (STREAM, ALLOCATION_POSSIBLE);
        let mut set = Self { file, stream, posix: None, spot: Spot::default() };
        set.set_created(now);
        set.set_modified(now);
        set.set_accessed(now);
        set
    }

    /// How many entries it has.
    pub(crate) fn count(&self) -> usize {
        usize::from(self.file[1]).saturating_add(1)
    }

    /// How many of them are that of the file, that of its bytes, and those of its name.
    pub(crate) fn known(&self) -> usize {
        usize::from(self.stream[3]).div_ceil(UNITS).saturating_add(2)
    }

    /// Gives it a name, whose hash is `hash`. All its entries, with `others` behind them, which are made
    /// to say what it says of modes and owners.
    pub(crate) fn entries(
        &mut self,
        units: &[u16],
        hash: u16,
        mut others: Vec<[u8; SLOT]>,
    ) -> Vec<[u8; SLOT]> {
        self.renew_others(&mut others);
        let mut entries: Vec<_> = [self.file, self.stream].into_iter().collect();
        entries.extend(name_entries(units).chain(others));
        self.set_count(entries.len());
        self.stream[3] = u8::try_from(units.len()).unwrap_or(u8::MAX);
        put(&mut self.stream, 4, &hash.to_le_bytes());
        self.renew(&mut entries);
        entries
    }

    pub(crate) fn set_count(&mut self, count: usize) {
        self.file[1] = u8::try_from(count.saturating_sub(1)).unwrap_or(u8::MAX);
    }

    /// Makes what stands behind its name say what it says of modes and owners; entries of others stay.
    pub(crate) fn renew_others(&self, others: &mut Vec<[u8; SLOT]>) {
        let own = others.iter().position(|entry| Posix::of_entry(entry).is_some());
        match (own, self.posix) {
            (Some(at), Some(posix)) => {
                if let Some(entry) = others.get_mut(at) {
                    *entry = Posix::entry(&posix);
                }
            }
            (Some(at), None) => drop(others.remove(at)),
            (None, Some(posix)) => others.push(Posix::entry(&posix)),
            (None, None) => {}
        }
    }

    /// What its entry of ours says, when it has one that makes sense.
    pub(crate) fn posix(&self) -> Option<Posix> {
        Posix::read(self.posix.as_ref()?)
    }

    pub(crate) fn has_posix(&self) -> bool {
        self.posix.is_some()
    }

    pub(crate) fn set_posix(&mut self, posix: Option<Posix>) {
        self.posix = posix.map(|posix| posix.bytes());
    }

    /// Makes the first two of its entries what it is, with the sum over all.
    pub(crate) fn renew(&self, entries: &mut [[u8; SLOT]]) {
        for (entry, new) in entries.iter_mut().zip([self.file, self.stream]) {
            *entry = new;
        }
        let sum = sum_of(entries).to_le_bytes();
        if let Some(file) = entries.first_mut() {
            put(file, 2, &sum);
        }
    }

    /// Takes the name and the place of another.
    pub(crate) fn take_name(&mut self, other: &Self) {
        self.spot = other.spot;
        self.file[1] = other.file[1];
        self.stream[3..6].copy_from_slice(&other.stream[3..6]);
    }

    /// Where its bytes are: nowhere when there are none.
    pub(crate) fn set_data(&mut self, first: u32, len: u64, valid: u64, contiguous: bool) {
        let chain = if contiguous && len > 0 { NO_FAT_CHAIN } else { 0 };
        self.stream[1] = ALLOCATION_POSSIBLE | chain;
        put(&mut self.stream, 8, &valid.to_le_bytes());
        put(&mut self.stream, 20, &first.to_le_bytes());
        put(&mut self.stream, 24, &len.to_le_bytes());
    }

    pub(crate) fn set_attributes(&mut self, attributes: u8) {
        self.file[4] = attributes;
    }

    pub(crate) fn set_created(&mut self, unix: u64) {
        self.set_time(8, Some(20), 22, unix);
    }

    /// To the second.
    pub(crate) fn set_modified(&mut self, unix: u64) {
        self.set_time(12, Some(21), 23, unix);
        if let Some(mut posix) = self.posix() {
            posix.nanoseconds = 0;
            self.set_posix(Some(posix));
        }
    }

    pub(crate) fn set_accessed(&mut self, unix: u64) {
        self.set_time(16, None, 24, unix);
    }

    fn set_time(&mut self, at: usize, hundredths: Option<usize>, offset: usize, unix: u64) {
        let (date, time, more) = time::to_fat(unix);
        put(&mut self.file, at, &time.to_le_bytes());
        put(&mut self.file, at.saturating_add(2), &date.to_le_bytes());
        if let Some(at) = hundredths {
            put(&mut self.file, at, &[more]);
        }
        put(&mut self.file, offset, &[UTC]);
    }

    pub(crate) fn attributes(&self) -> u8 {
        self.file[4]
    }

    /// In bytes. A directory's is its clusters'.
    pub(crate) fn len(&self) -> u64 {
        u64_at(&self.stream, 24)
    }

    /// From this byte on the file reads as zeros.
    pub(crate) fn valid_len(&self) -> u64 {
        u64_at(&self.stream, 8).min(self.len())
    }

    /// Whether it says more bytes to be valid than it has.
    pub(crate) fn is_valid_too_long(&self) -> bool {
        u64_at(&self.stream, 8) > self.len()
    }

    /// The first cluster; 0 when there is none.
    pub(crate) fn cluster(&self) -> u32 {
        u32_at(&self.stream, 20)
    }

    /// Its clusters are neighbours, and the table says nothing of them.
    pub(crate) fn is_contiguous(&self) -> bool {
        self.stream[1] & NO_FAT_CHAIN != 0
    }

    pub(crate) fn name_hash(&self) -> u16 {
        u16_at(&self.stream, 4)
    }

    pub(crate) fn created(&self) -> u64 {
        self.time(8, Some(20), 22)
    }

    pub(crate) fn modified(&self) -> u64 {
        self.time(12, Some(21), 23)
    }

    pub(crate) fn accessed(&self) -> u64 {
        self.time(16, None, 24)
    }

    /// Unix seconds of a stamp. Without an offset to UTC it is taken for UTC.
    fn time(&self, at: usize, hundredths: Option<usize>, offset: usize) -> u64 {
        let (time, date) = (u16_at(&self.file, at), u16_at(&self.file, at.saturating_add(2)));
        let hundredths = hundredths.map_or(0, |at| u8_at(&self.file, at));
        let local = time::from_fat(date, time, hundredths);
        let offset = u8_at(&self.file, offset);
        if offset & 0x80 == 0 {
            return local;
        }
        // Seven bits with a sign, in quarters of an hour.
        let quarters = i64::from((offset << 1).cast_signed() >> 1);
        local.saturating_add_signed(-quarters * 900)
    }
}

/// Where the bitmap or the up-case table is: its first cluster, its length in bytes.
pub(crate) fn place(entry: &[u8]) -> (u32, u64) {
    (u32_at(entry, 20), u64_at(entry, 24))
}

/// Says where the bitmap is.
pub(crate) fn set_place(entry: &mut [u8], first: u32, len: u64) {
    put(entry, 20, &first.to_le_bytes());
    put(entry, 24, &len.to_le_bytes());
}

/// The entries of the bitmap and of the up-case table, which has a sum.
pub(crate) fn system_entry(kind: u8, first: u32, len: u64, sum: u32) -> [u8; SLOT] {
    let mut entry = [0; SLOT];
    entry[0] = kind;
    put(&mut entry, 4, &sum.to_le_bytes());
    set_place(&mut entry, first, len);
    entry
}

/// The entry of a label of at most eleven units.
pub(crate) fn label_entry(units: &[u16]) -> [u8; SLOT] {
    let mut entry = [0; SLOT];
    entry[0] = LABEL;
    entry[1] = units.len() as u8;
    for (unit, at) in units.iter().zip((2..).step_by(2)) {
        put(&mut entry, at, &unit.to_le_bytes());
    }
    entry
}

/// The entry that a removed one leaves.
pub(crate) fn mark_free(entry: &mut [u8]) {
    if let Some(kind) = entry.first_mut() {
        *kind &= !IN_USE;
    }
}

/// The sum of the up-case table.
pub(crate) fn table_sum(entry: &[u8]) -> u32 {
    u32_at(entry, 4)
}

/// Whether a bitmap is that of the first table.
pub(crate) fn is_first(bitmap: &[u8]) -> bool {
    u8_at(bitmap, 1) & 1 == 0
}

/// The units of a label's entry.
pub(crate) fn label(entry: &[u8]) -> Vec<u16> {
    let count = usize::from(u8_at(entry, 1)).min(11);
    (0..count).map(|unit| u16_at(entry, unit.saturating_mul(2) + 2)).collect()
}
