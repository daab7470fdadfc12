//! The table as a check reads it, and the note of which clusters have an owner.
use crate::{BlockDevice, DeviceError, FatKind, Geometry};
use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;

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

const PAGE: u64 = 32 << 10;
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
        }
    }

    pub async fn link(&mut self, cluster: u32) -> Result<Link, DeviceError> {
        let raw = self.raw(cluster).await?;
        let last = self.clusters.saturating_add(1);
        let (bad, end) = match self.kind {
            FatKind::Fat12 => (0xFF7, 0xFF8),
            FatKind::Fat16 => (0xFFF7, 0xFFF8),
            FatKind::Fat32 => (0x0FFF_FFF7, 0x0FFF_FFF8),
            FatKind::ExFat => (0xFFFF_FFF7, 0xFFFF_FFF8),
        };
        Ok(match raw {
            0 => Link::Free,
            next if (2..=last).contains(&next) => Link::Next(next),
            raw if raw == bad => Link::Bad,
            raw if raw >= end => Link::End,
            raw => Link::Outside(raw),
        })
    }

    /// An entry as it is stored, without FAT32's four reserved bits.
    pub async fn raw(&mut self, cluster: u32) -> Result<u32, DeviceError> {
        let cluster = u64::from(cluster);
        match self.kind {
            FatKind::Fat12 => {
                let at = cluster.saturating_add(cluster / 2);
                let low = self.byte(at).await?;
                let both = low | self.byte(at.saturating_add(1)).await? << 8;
                Ok(if cluster.is_multiple_of(2) { both & 0xFFF } else { both >> 4 })
            }
            FatKind::Fat16 => {
                let at = cluster.saturating_mul(2);
                Ok(u32::from(u16::from_le_bytes(self.bytes(at).await?)))
            }
            FatKind::Fat32 => {
                let at = cluster.saturating_mul(4);
                Ok(u32::from_le_bytes(self.bytes(at).await?) & 0x0FFF_FFFF)
            }
            FatKind::ExFat => {
                let at = cluster.saturating_mul(4);
                Ok(u32::from_le_bytes(self.bytes(at).await?))
            }
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
}
