//! Growing an exFAT volume. No cluster moves: the table becomes longer into the room between it and the
//! clusters, and a longer bitmap takes the place of the old one, in the first new clusters.
//!
//! What nobody has yet is written at once: the new bitmap and the end of the table. The rest goes through
//! the log: the table's entries of the new bitmap, where the root directory says that the bitmap is, and
//! both boot regions.
use super::error::{GrowError, Grown};
use super::log::Log;
use crate::layout::exfat::boot::{self, MOST_CLUSTERS, SECTORS};
use crate::layout::exfat::set::{self, BITMAP, Kind};
use crate::whole::format::zeros::zero;
use crate::{BlockDevice, Geometry, Volume};
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

/// How much is written at once.
const CHUNK: u64 = 64 << 10;

/// The new layout. Sizes and offsets on the disk in bytes.
#[derive(Debug)]
struct Plan {
    clusters: u32,
    size: u64,
    table_size: u64,
    /// How long the bitmap is, and how many clusters it takes.
    bitmap: u64,
    bitmap_clusters: u32,
    /// Where the old volume's last cluster ends and the new bitmap begins.
    old_end: u64,
    log_start: u64,
    room_end: u64,
    /// The table has no room for all clusters that fit.
    limited: bool,
}

impl Plan {
    /// The largest volume in the room; nothing when that is no larger.
    fn new(geometry: &Geometry) -> Result<Option<Self>, GrowError> {
        let overflow = GrowError::Refused("its numbers are too large");
        let sector = u64::from(geometry.bytes_per_sector.max(1));
        let cluster = u64::from(geometry.cluster_size.max(1));
        let old = u64::from(geometry.clusters);
        let room = geometry.room / sector * sector;
        let room_end = geometry.start.checked_add(room).ok_or(overflow)?;
        let fitting = room_end.saturating_sub(geometry.data_start) / cluster;
        let fitting = fitting.min(MOST_CLUSTERS.into());
        if fitting <= old {
            return Ok(None);
        }
        let listed = geometry.data_start.saturating_sub(geometry.table_start) / 4;
        let clusters = fitting.min(listed.saturating_sub(2));
        if clusters <= old {
            return Err(GrowError::Refused(
                "its table has no room for more clusters, which begin right behind it",
            ));
        }
        let bitmap = clusters.div_ceil(8);
        let bitmap_clusters = bitmap.div_ceil(cluster);
        if old.saturating_add(bitmap_clusters) > clusters {
            return Err(GrowError::Refused("there is too little new room to do it safely"));
        }
        let ends = |clusters: u64| {
            let data = clusters.checked_mul(cluster)?;
            geometry.data_start.checked_add(data)
        };
        let needed = clusters.saturating_add(2).saturating_mul(4).next_multiple_of(sector);
        Ok(Some(Self {
            clusters: u32::try_from(clusters).map_err(|_| overflow)?,
            size: ends(clusters).ok_or(overflow)?.saturating_sub(geometry.start),
            table_size: needed.max(geometry.table_size),
            bitmap,
            bitmap_clusters: u32::try_from(bitmap_clusters).map_err(|_| overflow)?,
            old_end: ends(old).ok_or(overflow)?,
            log_start: ends(old.saturating_add(bitmap_clusters)).ok_or(overflow)?,
            room_end,
            limited: fitting > clusters,
        }))
    }

    /// The first cluster of the new bitmap, which is the first new one.
    fn first(geometry: &Geometry) -> u32 {
        geometry.clusters.saturating_add(2)
    }
}

impl<D: BlockDevice> Volume<D> {
    pub(super) async fn grow_exfat(&self) -> Result<Option<Grown>, GrowError> {
        let Some(plan) = Plan::new(&self.geometry)? else {
            return Ok(None);
        };
        let _lock = self.rest("it needs a repair first, by fsck.exfat").await?;
        self.write_bitmap(&plan).await?;
        let mut log = Log::new(&self.device, plan.log_start, plan.room_end);
        self.log_table(&plan, &mut log).await?;
        self.log_bitmap_place(&plan, &mut log).await?;
        let boot = self.log_boot_regions(&plan, &mut log).await?;
        ::log::info!("growing from {} to {} clusters", self.geometry.clusters, plan.clusters);
        self.complete(&boot, &log).await?;
        Ok(Some(Grown { from: self.geometry.size, to: plan.size, limited: plan.limited }))
    }

    /// Writes the new bitmap into the first new clusters: it has them itself, and the old one's are free.
    async fn write_bitmap(&self, plan: &Plan) -> Result<(), GrowError> {
        let (old, old_len) = self.bitmap();
        let bits = |first: u32, count: u32| {
            let first = u64::from(first.saturating_sub(2));
            first..first.saturating_add(count.into())
        };
        let cluster = u64::from(self.geometry.cluster_size);
        let size = u64::from(plan.bitmap_clusters).saturating_mul(cluster);
        let mut at = 0u64;
        while at < size {
            let len = size.saturating_sub(at).min(CHUNK);
            let mut part = vec![0; usize::try_from(len).unwrap_or(0)];
            let there = usize::try_from(old_len.saturating_sub(at).min(len)).unwrap_or(0);
            self.read_data(&old, at, part.get_mut(..there).unwrap_or_default()).await?;
            let base = at.saturating_mul(8);
            // Bits behind the last cluster mean nothing.
            mark(&mut part, base, bits(Plan::first(&self.geometry), 7), false);
            for run in old.runs() {
                mark(&mut part, base, bits(run.cluster, run.count), false);
            }
            mark(&mut part, base, bits(Plan::first(&self.geometry), plan.bitmap_clusters), true);
            self.device.write(plan.old_end.saturating_add(at), &part).await?;
            at = at.saturating_add(len);
        }
        Ok(())
    }

    /// Logs the sectors of the table with the new bitmap's chain, of which the first may have entries of the
    /// old volume, and clears what follows.
    async fn log_table(&self, plan: &Plan, log: &mut Log<'_, D>) -> Result<(), GrowError> {
        let sector = u64::from(self.geometry.bytes_per_sector.max(1));
        let first = Plan::first(&self.geometry);
        let last = first.saturating_add(plan.bitmap_clusters).saturating_sub(1);
        let start = u64::from(first).saturating_mul(4) / sector * sector;
        let end = u64::from(last).saturating_add(1).saturating_mul(4).next_multiple_of(sector);
        let mut at = start;
        while at < end {
            let len = end.saturating_sub(at).min(CHUNK);
            let place = self.geometry.table_start.saturating_add(at);
            let mut part = vec![0; usize::try_from(len).unwrap_or(0)];
            self.device.read(place, &mut part).await?;
            for (number, entry) in (at / 4..).zip(part.as_chunks_mut::<4>().0) {
                let next = match u32::try_from(number).unwrap_or(u32::MAX) {
                    number if number < first => continue,
                    number if number < last => number.saturating_add(1),
                    number if number == last => u32::MAX,
                    _ => 0,
                };
                *entry = next.to_le_bytes();
            }
            log.add(place, &part).await?;
            at = at.saturating_add(len);
        }
        let from = self.geometry.table_start.saturating_add(end);
        let to = self.geometry.table_start.saturating_add(plan.table_size);
        zero(&self.device, from, to, &mut |_| ()).await?;
        Ok(())
    }

    /// Logs the sector of the root directory that says where the bitmap is.
    async fn log_bitmap_place(&self, plan: &Plan, log: &mut Log<'_, D>) -> Result<(), GrowError> {
        let sector = u64::from(self.geometry.bytes_per_sector.max(1));
        let (root, old) = (self.root().await?, self.bitmap().0.first());
        let mut slot = 0u32;
        while let Some((entry, place)) = self.slot(&root, slot).await? {
            match set::kind(&entry.0) {
                Kind::End => break,
                Kind::System(BITMAP) if set::place(&entry.0).0 == old => {
                    let mut bytes = vec![0; usize::try_from(sector).unwrap_or(0)];
                    let (start, inside) = (place / sector * sector, place % sector);
                    self.device.read(start, &mut bytes).await?;
                    let inside = usize::try_from(inside).unwrap_or(usize::MAX);
                    let entry = bytes.get_mut(inside..).unwrap_or_default();
                    set::set_place(entry, Plan::first(&self.geometry), plan.bitmap);
                    return log.add(start, &bytes).await;
                }
                _ => slot = slot.saturating_add(1),
            }
        }
        Err(GrowError::Refused("its root directory does not tell where the bitmap is"))
    }

    /// Logs both boot regions, the boot sector itself last, and returns it.
    async fn log_boot_regions(
        &self,
        plan: &Plan,
        log: &mut Log<'_, D>,
    ) -> Result<Vec<u8>, GrowError> {
        let sector = u64::from(self.geometry.bytes_per_sector.max(1));
        let len = sector.saturating_mul(SECTORS);
        let mut region = vec![0; usize::try_from(len).unwrap_or(0)];
        let start = self.geometry.start;
        self.device.read(start, &mut region).await?;
        boot::set_sizes(&mut region, sector, plan.size, plan.table_size, plan.clusters);
        // Not known.
        boot::set_percent(&mut region, 0xFF);
        let sector = usize::try_from(sector).unwrap_or(512);
        boot::set_sum(&mut region, sector);
        let (first, rest) = region.split_at_checked(sector).unwrap_or_default();
        log.add(start.saturating_add(len), &region).await?;
        log.add(start.saturating_add(sector as u64), rest).await?;
        log.add(start, first).await?;
        Ok(first.to_vec())
    }
}

/// Sets or clears those of `bits` that lie in a part of a bitmap, whose first is bit `base`.
fn mark(part: &mut [u8], base: u64, bits: Range<u64>, used: bool) {
    let end = base.saturating_add((part.len() as u64).saturating_mul(8));
    for bit in bits.start.max(base)..bits.end.min(end) {
        let at = bit.saturating_sub(base);
        if let Some(byte) = part.get_mut(usize::try_from(at / 8).unwrap_or(usize::MAX)) {
            let mask = 1 << (at % 8);
            *byte = if used { *byte | mask } else { *byte & !mask };
        }
    }
}
