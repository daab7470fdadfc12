//! What a grown volume looks like.
use super::error::GrowError;
use super::renumber::Renumber;
use crate::bytes::{put, u16_at};
use crate::{FatKind, Geometry};

/// The new layout. Offsets in bytes on the disk.
#[derive(Debug)]
pub(super) struct Plan {
    /// How many clusters make way for the tables.
    pub moved: u32,
    /// How far everything behind the tables starts later.
    pub shift: u64,
    /// The size of one table.
    pub table_size: u64,
    pub clusters: u32,
    /// The size of the volume.
    pub size: u64,
    /// Where the old volume's last cluster ends: the copies of those that make way start here.
    pub old_end: u64,
    pub log_start: u64,
    pub room_end: u64,
    /// The kind of FAT has fewer clusters than there is room for.
    pub limited: bool,
}

/// Some systems are off by a few where the kind of FAT changes.
const MARGIN: u64 = 16;

impl Plan {
    /// The largest volume in the room; nothing when that is no larger.
    pub fn new(geometry: &Geometry) -> Result<Option<Self>, GrowError> {
        let overflow = GrowError::Refused("its numbers are too large");
        let sector = u64::from(geometry.bytes_per_sector.max(1));
        let cluster = u64::from(geometry.cluster_size.max(1));
        let tables = u64::from(geometry.table_count);
        let old = u64::from(geometry.clusters);
        // The boot sector counts in 32 bits.
        let room = (geometry.room / sector).min(u64::from(u32::MAX)).saturating_mul(sector);
        let room_end = geometry.start.checked_add(room).ok_or(overflow)?;
        let most = geometry.kind.most_clusters().saturating_sub(MARGIN).max(old);

        // How many clusters longer each table becomes.
        let mut longer = 0u64;
        let (shift, fitting) = loop {
            let shift = longer.saturating_mul(cluster).saturating_mul(tables);
            let data = room_end.saturating_sub(geometry.data_start.saturating_add(shift));
            let fitting = data / cluster;
            let listed = fitting.min(most).saturating_add(2);
            let needed = listed.saturating_mul(geometry.kind.entry_bits()).div_ceil(8);
            let has = longer.saturating_mul(cluster).saturating_add(geometry.table_size);
            if needed <= has {
                break (shift, fitting);
            }
            longer = needed.saturating_sub(geometry.table_size).div_ceil(cluster);
        };
        let clusters = fitting.min(most);
        if clusters <= old {
            return Ok(None);
        }
        if geometry.active_table.is_some() {
            return Err(GrowError::Refused("its tables are not kept alike"));
        }
        let moved = longer.saturating_mul(tables);
        if moved >= old {
            return Err(GrowError::Refused("it is too small for so much room: grow it in steps"));
        }
        let data = old.checked_mul(cluster).ok_or(overflow)?;
        let old_end = geometry.data_start.checked_add(data).ok_or(overflow)?;
        let log_start = moved.saturating_mul(cluster).checked_add(old_end).ok_or(overflow)?;
        let data = clusters.saturating_mul(cluster);
        let new_end = geometry.data_start.saturating_add(shift).saturating_add(data);
        Ok(Some(Self {
            moved: u32::try_from(moved).map_err(|_| overflow)?,
            shift,
            table_size: longer.saturating_mul(cluster).saturating_add(geometry.table_size),
            clusters: u32::try_from(clusters).map_err(|_| overflow)?,
            size: new_end.saturating_sub(geometry.start),
            old_end,
            log_start,
            room_end,
            limited: fitting > clusters,
        }))
    }

    /// Whether a cluster of the old volume lies where the tables will be.
    pub fn makes_way(&self, cluster: u32) -> bool {
        cluster.saturating_sub(2) < self.moved
    }

    /// Changes a boot sector of the old volume to one of the new.
    pub fn boot_sector(&self, geometry: &Geometry, boot: &mut [u8]) {
        let sector = u64::from(geometry.bytes_per_sector.max(1));
        let total = u32::try_from(self.size / sector).unwrap_or(u32::MAX);
        let table = u32::try_from(self.table_size / sector).unwrap_or(u32::MAX);
        let wide = geometry.kind == FatKind::Fat32;
        let short = u16::try_from(total).ok().filter(|_| !wide).unwrap_or(0);
        // Nothing goes by cylinders any more, but mtools refuses a volume that is not whole tracks.
        if total.checked_rem(u32::from(u16_at(boot, 24))).is_some_and(|rest| rest != 0) {
            let track = (1..=63u16).rev().find(|track| total.is_multiple_of(u32::from(*track)));
            put(boot, 24, &track.unwrap_or(1).to_le_bytes());
        }
        put(boot, 19, &short.to_le_bytes());
        put(boot, 32, &if short == 0 { total } else { 0 }.to_le_bytes());
        if wide {
            put(boot, 36, &table.to_le_bytes());
            let root = Renumber::new(geometry, self.moved).new_number(geometry.root_cluster);
            put(boot, 44, &root.to_le_bytes());
        } else {
            put(boot, 22, &u16::try_from(table).unwrap_or(u16::MAX).to_le_bytes());
        }
    }
}
