//! The file allocation table: links, chains and the count of free clusters.
//! Microsoft FAT specification, sections "FAT Data Structure" and "FSInfo Sector Structure".
use crate::memory::cache::Class;
use crate::space::extents::Extents;
use crate::{BlockDevice, Error, FatKind, Volume};
use alloc::vec;
use alloc::vec::Vec;

/// What the table says of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    Free,
    Next(u32),
    End,
    Bad,
}

/// The highest values of an entry; all of them end a chain.
pub(crate) const END: u32 = 0x0FFF_FFFF;
const BAD: u32 = 0x0FFF_FFF7;
/// exFAT uses all bits.
const BAD_OF_EXFAT: u32 = 0xFFFF_FFF7;
/// The bits of an entry that FAT32 uses.
const MASK: u32 = 0x0FFF_FFFF;
/// Entries between two looks at the number of dirty sectors.
const RELIEF: u32 = 4096;

/// Little-endian value of two or four bytes.
pub(crate) fn value(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |value, byte| value << 8 | u32::from(*byte))
}

impl<D: BlockDevice> Volume<D> {
    /// Bytes per entry, for the kinds whose entries do not share bytes.
    pub(crate) fn width(&self) -> Option<u32> {
        match self.geometry.kind {
            FatKind::Fat12 => None,
            FatKind::Fat16 => Some(2),
            FatKind::Fat32 | FatKind::ExFat => Some(4),
        }
    }

    /// Where the table that is read starts.
    pub(crate) fn table(&self) -> u64 {
        let active = u64::from(self.geometry.active_table.unwrap_or(0));
        self.geometry.table_start.saturating_add(active.saturating_mul(self.geometry.table_size))
    }

    /// How far the tables that are written lie behind the one that is read.
    pub(crate) fn table_copies(&self) -> Vec<u64> {
        match self.geometry.active_table {
            Some(_) => vec![0],
            None => (0..u64::from(self.geometry.table_count))
                .map(|copy| copy.saturating_mul(self.geometry.table_size))
                .collect(),
        }
    }

    /// The line of a byte of the table, where in the line, and what of the table follows.
    fn table_line(&self, byte: u64) -> (u64, usize, u64) {
        let (base, at) = self.line_of(self.table().saturating_add(byte));
        let end = self.table().saturating_add(self.geometry.table_size);
        (base, at, end.saturating_sub(base))
    }

    async fn table_bytes(&self, byte: u64, width: usize) -> Result<u32, Error> {
        let (base, at, ahead) = self.table_line(byte);
        self.line(base, ahead, |line| line.get(at..at.saturating_add(width)).map(value))
            .await?
            .ok_or_else(|| self.damage("the table is too small"))
    }

    /// The value of entry `number`, FAT12's and FAT16's special values widened to those of FAT32.
    pub(crate) async fn entry(&self, number: u32) -> Result<u32, Error> {
        let Some(width) = self.width() else {
            let byte = u64::from(number).saturating_add(u64::from(number / 2));
            let low = self.table_bytes(byte, 1).await?;
            let both = self.table_bytes(byte.saturating_add(1), 1).await? << 8 | low;
            let value = if number.is_multiple_of(2) { both & 0xFFF } else { both >> 4 };
            return Ok(if value >= 0xFF7 { value | 0x0FFF_F000 } else { value });
        };
        let byte = u64::from(number).saturating_mul(u64::from(width));
        let value = self.table_bytes(byte, width as usize).await?;
        Ok(self.widen(value))
    }

    pub(crate) fn widen(&self, value: u32) -> u32 {
        match self.geometry.kind {
            FatKind::Fat16 if value >= 0xFFF7 => value | 0x0FFF_0000,
            FatKind::ExFat => value,
            _ => value & MASK,
        }
    }

    /// Sets entry `number`. The lock is held exclusively.
    pub(crate) async fn set_entry(&self, number: u32, new: u32) -> Result<(), Error> {
        let Some(width) = self.width() else {
            let byte = u64::from(number).saturating_add(u64::from(number / 2));
            let shift = if number.is_multiple_of(2) { 0 } else { 4 };
            let (bits, mask) = ((new & 0xFFF) << shift, !(0xFFF << shift));
            for half in 0..2u64 {
                let (base, at, _) = self.table_line(byte.saturating_add(half));
                self.change_line(base, Class::Table, |line| {
                    if let Some(byte) = line.get_mut(at) {
                        let part = |value: u32| (value >> (8 * half)) as u8;
                        *byte = *byte & part(mask) | part(bits);
                    }
                })
                .await?;
            }
            return Ok(());
        };
        let mask = if self.is_exfat() { u32::MAX } else { MASK };
        let new = if new == END { END | mask } else { new };
        let (base, at, _) = self.table_line(u64::from(number).saturating_mul(u64::from(width)));
        self.change_line(base, Class::Table, |line| {
            let end = at.saturating_add(width as usize);
            if let Some(bytes) = line.get_mut(at..end) {
                // The upper four bits of FAT32 are not ours.
                let kept = if width == 4 { value(bytes) & !mask } else { 0 };
                for (byte, new) in bytes.iter_mut().zip((kept | new & mask).to_le_bytes()) {
                    *byte = new;
                }
            }
        })
        .await
    }

    pub(crate) fn is_cluster(&self, number: u32) -> bool {
        number >= 2 && number - 2 < self.geometry.clusters
    }

    fn classify(&self, value: u32) -> Result<Link, Error> {
        let bad = if self.is_exfat() { BAD_OF_EXFAT } else { BAD };
        match value {
            0 => Ok(Link::Free),
            _ if value == bad => Ok(Link::Bad),
            _ if value > bad => Ok(Link::End),
            _ if self.is_cluster(value) => Ok(Link::Next(value)),
            _ => Err(self.damage("a cluster chain leaves the volume")),
        }
    }

    pub(crate) async fn link(&self, cluster: u32) -> Result<Link, Error> {
        if !self.is_cluster(cluster) {
            return Err(self.damage("a cluster number outside the volume"));
        }
        self.classify(self.entry(cluster).await?)
    }

    /// How many clusters from `cluster` on link to their neighbour within one sector of the table,
    /// plus one, and the link of the last of them.
    async fn follow(&self, cluster: u32) -> Result<(u32, Link), Error> {
        let Some(width) = self.width().filter(|_| self.is_cluster(cluster)) else {
            return Ok((1, self.link(cluster).await?));
        };
        let (base, at, ahead) =
            self.table_line(u64::from(cluster).saturating_mul(u64::from(width)));
        let (count, last) = self
            .line(base, ahead, |line| {
                let entries = line.get(at..).unwrap_or_default().chunks_exact(width as usize);
                let (mut count, mut next) = (0u32, cluster);
                for entry in entries {
                    let entry = self.widen(value(entry));
                    count += 1;
                    next = next.saturating_add(1);
                    if entry != next || !self.is_cluster(next) {
                        return (count, entry);
                    }
                }
                (count, next)
            })
            .await?;
        Ok((count.max(1), self.classify(last)?))
    }

    /// Reads the chain that starts at `first`.
    pub(crate) async fn chain(&self, first: u32) -> Result<Extents, Error> {
        let mut extents = Extents::default();
        let mut reading = self.begin_reading();
        let mut cluster = first;
        // A loop comes back to the cluster that was noted last (Brent's algorithm).
        let (mut noted, mut steps, mut most) = (first, 0u32, 1u32);
        loop {
            let (count, link) = self.follow(cluster).await?;
            self.may_read(&mut reading, extents.runs().len())?;
            extents.push(cluster, count);
            if extents.clusters() > self.geometry.clusters {
                return Err(self.damage("a cluster chain loops"));
            }
            match link {
                Link::Next(next) if next == noted => {
                    return Err(self.damage("a cluster chain loops"));
                }
                Link::Next(next) => cluster = next,
                Link::End => return Ok(extents),
                Link::Free => return Err(self.damage("a chain runs into a free cluster")),
                Link::Bad => return Err(self.damage("a chain runs into a bad cluster")),
            }
            steps = steps.saturating_add(1);
            if steps == most {
                (noted, steps, most) = (cluster, 0, most.saturating_mul(2));
            }
        }
    }

    /// The first cluster of `from..to` that is free, or with `free` false the first that is not.
    pub(crate) async fn first(&self, free: bool, from: u32, to: u32) -> Result<Option<u32>, Error> {
        if self.is_exfat() {
            return self.first_bit(free, from, to).await;
        }
        let mut cluster = from;
        while cluster < to {
            let Some(width) = self.width() else {
                if (self.entry(cluster).await? == 0) == free {
                    return Ok(Some(cluster));
                }
                cluster += 1;
                continue;
            };
            let (base, at, ahead) =
                self.table_line(u64::from(cluster).saturating_mul(u64::from(width)));
            let (seen, found) = self
                .line(base, ahead, |line| {
                    let mut entries =
                        line.get(at..).unwrap_or_default().chunks_exact(width as usize);
                    let seen = entries.len();
                    (seen, entries.position(|entry| (self.widen(value(entry)) == 0) == free))
                })
                .await?;
            if let Some(found) =
                found.and_then(|found| cluster.checked_add(u32::try_from(found).ok()?))
            {
                return Ok((found < to).then_some(found));
            }
            cluster = cluster.saturating_add(u32::try_from(seen.max(1)).unwrap_or(u32::MAX));
        }
        Ok(None)
    }

    /// How many clusters from `from` on are free, of at most `most`.
    pub(crate) async fn free_from(&self, from: u32, most: u32) -> Result<u32, Error> {
        let last = self.geometry.clusters.saturating_add(2);
        let end = from.saturating_add(most).min(last);
        Ok(self.first(false, from, end).await?.unwrap_or(end).saturating_sub(from))
    }

    /// Chains neighbouring clusters, the last of which is followed by `after`.
    pub(crate) async fn chain_up(&self, first: u32, count: u32, after: u32) -> Result<(), Error> {
        let last = first.saturating_add(count.saturating_sub(1));
        for cluster in first..last {
            self.set_entry(cluster, cluster.saturating_add(1)).await?;
            if cluster.is_multiple_of(RELIEF) {
                self.relieve().await?;
            }
        }
        self.set_entry(last, after).await
    }
}
