//! The table as a check reads it, and the note of which clusters have an owner.
use crate::{BlockDevice, DeviceError, FatKind, Geometry};
use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

/// What a table entry says. fatgen103, "FAT Data Structure".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    Free,
    Next(u32),
    End,
    Bad,
    /// A number that is no cluster.
    Outside(u32),
}

pub(crate) const PAGE: u64 = 32 << 10;
/// With that, 1 MiB of the table is in memory.
const MOST_PAGES: usize = 32;

/// A reader of one copy of the table through a few pages.
pub(crate) struct Table<'a, D> {
    device: &'a D,
    kind: FatKind,
    start: u64,
    size: u64,
    clusters: u32,
    pages: BTreeMap<u64, Vec<u8>>,
    /// The page that was read last, until somebody asks.
    fresh: Option<u64>,
}

impl<'a, D: BlockDevice> Table<'a, D> {
    /// The reader of copy `number`, from 0.
    pub fn new(device: &'a D, geometry: &Geometry, number: u8) -> Self {
        let skipped = geometry.table_size.saturating_mul(u64::from(number));
        Self {
            device,
            kind: geometry.kind,
            start: geometry.table_start.saturating_add(skipped),
            size: geometry.table_size,
            clusters: geometry.clusters,
            pages: BTreeMap::new(),
            fresh: None,
        }
    }

    /// The page that was read from the disk last, if that was since the last call.
    pub fn take_fresh(&mut self) -> Option<u64> {
        self.fresh.take()
    }

    /// The bytes of a page, if it is in memory.
    pub fn page(&self, number: u64) -> Option<&[u8]> {
        self.pages.get(&number).map(Vec::as_slice)
    }

    pub async fn link(&mut self, cluster: u32) -> Result<Link, DeviceError> {
        let raw = self.raw(cluster).await?;
        Ok(self.classify(raw))
    }

    fn classify(&self, raw: u32) -> Link {
        let last = self.clusters.saturating_add(1);
        let (bad, end) = match self.kind {
            FatKind::Fat12 => (0xFF7, 0xFF8),
            FatKind::Fat16 => (0xFFF7, 0xFFF8),
            FatKind::Fat32 => (0x0FFF_FFF7, 0x0FFF_FFF8),
            FatKind::ExFat => (0xFFFF_FFF7, 0xFFFF_FFF8),
        };
        match raw {
            0 => Link::Free,
            next if (2..=last).contains(&next) => Link::Next(next),
            raw if raw == bad => Link::Bad,
            raw if raw >= end => Link::End,
            raw => Link::Outside(raw),
        }
    }

    /// The clusters whose entries begin in a page. FAT12's table has but one.
    pub fn clusters_of(&self, page: u64) -> Range<u32> {
        let each = match self.kind {
            FatKind::Fat12 => u64::from(u32::MAX),
            FatKind::Fat16 => PAGE / 2,
            FatKind::Fat32 | FatKind::ExFat => PAGE / 4,
        };
        let end = self.clusters.saturating_add(2);
        let number = |at: u64| u32::try_from(at).unwrap_or(u32::MAX).min(end);
        let first = page.saturating_mul(each);
        number(first).max(2)..number(first.saturating_add(each)).max(2)
    }

    /// What a page, whose number and bytes these are, says of its clusters.
    pub fn links_of(&self, page: u64, bytes: &[u8]) -> impl Iterator<Item = (u32, Link)> {
        let start = page.saturating_mul(PAGE);
        self.clusters_of(page).map_while(move |cluster| {
            let at = usize::try_from(self.place(cluster).saturating_sub(start)).ok()?;
            let raw = match self.kind {
                FatKind::Fat12 => {
                    let both = u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?);
                    u32::from(if cluster.is_multiple_of(2) { both & 0xFFF } else { both >> 4 })
                }
                FatKind::Fat16 => u32::from(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?)),
                FatKind::Fat32 => {
                    u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?) & 0x0FFF_FFFF
                }
                FatKind::ExFat => u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?),
            };
            Some((cluster, self.classify(raw)))
        })
    }

    /// Where in the table an entry begins.
    fn place(&self, cluster: u32) -> u64 {
        let cluster = u64::from(cluster);
        match self.kind {
            FatKind::Fat12 => cluster.saturating_add(cluster / 2),
            FatKind::Fat16 => cluster.saturating_mul(2),
            FatKind::Fat32 | FatKind::ExFat => cluster.saturating_mul(4),
        }
    }

    /// An entry as it is stored, without FAT32's four reserved bits.
    pub async fn raw(&mut self, cluster: u32) -> Result<u32, DeviceError> {
        let at = self.place(cluster);
        match self.kind {
            FatKind::Fat12 => {
                let low = self.byte(at).await?;
                let both = low | self.byte(at.saturating_add(1)).await? << 8;
                Ok(if cluster.is_multiple_of(2) { both & 0xFFF } else { both >> 4 })
            }
            FatKind::Fat16 => Ok(u32::from(u16::from_le_bytes(self.bytes(at).await?))),
            FatKind::Fat32 => Ok(u32::from_le_bytes(self.bytes(at).await?) & 0x0FFF_FFFF),
            FatKind::ExFat => Ok(u32::from_le_bytes(self.bytes(at).await?)),
        }
    }

    async fn byte(&mut self, at: u64) -> Result<u32, DeviceError> {
        let [byte] = self.bytes(at).await?;
        Ok(u32::from(byte))
    }

    /// `N` bytes that do not cross a page.
    async fn bytes<const N: usize>(&mut self, at: u64) -> Result<[u8; N], DeviceError> {
        let number = at / PAGE;
        if !self.pages.contains_key(&number) {
            let start = number.saturating_mul(PAGE);
            let length = self.size.saturating_sub(start).min(PAGE);
            let mut page = vec![0; usize::try_from(length).unwrap_or(0)];
            self.device.read(self.start.saturating_add(start), &mut page).await?;
            if self.pages.len() >= MOST_PAGES {
                // Chains mostly go up: the lowest page is the least likely to be asked for again,
                // unless the chain has gone back below it.
                let lowest = self.pages.keys().next().copied().unwrap_or(0);
                let highest = self.pages.keys().next_back().copied().unwrap_or(0);
                self.pages.remove(if lowest < number { &lowest } else { &highest });
            }
            self.pages.insert(number, page);
            self.fresh = Some(number);
        }
        let within = usize::try_from(at % PAGE).unwrap_or(0);
        let bytes = self.pages.get(&number).and_then(|page| page.get(within..)?.first_chunk());
        bytes.copied().ok_or(DeviceError::OutOfRange)
    }
}

/// One bit for every cluster: whether something has it.
pub(crate) struct Owned {
    bits: Vec<u64>,
}

impl Owned {
    pub fn new(clusters: u32) -> Self {
        let words = u64::from(clusters).saturating_add(2).div_ceil(64);
        Self { bits: vec![0; usize::try_from(words).unwrap_or(0)] }
    }

    /// Takes a cluster for the caller: whether nobody had it.
    pub fn claim(&mut self, cluster: u32) -> bool {
        let mask = 1 << (cluster % 64);
        let word = usize::try_from(cluster / 64).ok().and_then(|word| self.bits.get_mut(word));
        word.is_some_and(|word| {
            let was_free = *word & mask == 0;
            *word |= mask;
            was_free
        })
    }

    /// Takes it back.
    pub fn release(&mut self, cluster: u32) {
        let word = usize::try_from(cluster / 64).ok().and_then(|word| self.bits.get_mut(word));
        if let Some(word) = word {
            *word &= !(1 << (cluster % 64));
        }
    }

    pub fn has(&self, cluster: u32) -> bool {
        let word = usize::try_from(cluster / 64).ok().and_then(|word| self.bits.get(word));
        word.is_some_and(|word| *word & 1 << (cluster % 64) != 0)
    }

    /// How many of these clusters have an owner.
    pub fn count(&self, clusters: Range<u32>) -> u32 {
        let Range { mut start, end } = clusters;
        let mut count = 0u32;
        while start < end {
            // As far as the word goes that its bit is in.
            let next = (start / 64).saturating_add(1).saturating_mul(64).min(end);
            let word = usize::try_from(start / 64).ok().and_then(|word| self.bits.get(word));
            let bits = word.map_or(0, |word| word >> (start % 64));
            let most = next.saturating_sub(start);
            let bits = if most < 64 { bits & !(u64::MAX << most) } else { bits };
            count = count.saturating_add(bits.count_ones());
            start = next;
        }
        count
    }
}
