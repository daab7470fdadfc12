//! Where a new volume's regions go: the kind, the cluster size and the size of the tables.
//! Every region starts and ends on a 4 KiB boundary, so that no cluster straddles two blocks of
//! the disk beneath. Cluster sizes are those of fatgen103, "FAT Volume Initialization".
use super::error::FormatError;
use crate::FatKind;

/// A layout in bytes, ready to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub kind: FatKind,
    pub bytes_per_sector: u64,
    /// The size of the volume, a whole number of sectors.
    pub size: u64,
    pub cluster_size: u64,
    pub reserved: u64,
    /// The size of each of the two tables.
    pub table_size: u64,
    /// FAT12 and FAT16: the size of the fixed root directory.
    pub root_size: u64,
    pub clusters: u64,
}

const BLOCK: u64 = 4096;
const LARGEST_CLUSTER: u64 = 64 << 10;
pub(super) const TABLES: u64 = 2;
/// Microsoft asks for this distance from the counts where the kind changes, because others are
/// off by a few in their sums.
const MARGIN: u64 = 16;

impl Layout {
    /// Chooses a layout for a disk of `size` bytes. Without a kind: FAT32 from 512 MiB, FAT16
    /// below, and FAT12 where FAT16 would have too few clusters.
    pub fn choose(
        kind: Option<FatKind>,
        size: u64,
        bytes_per_sector: u64,
    ) -> Result<Self, FormatError> {
        let size = size.saturating_sub(size.checked_rem(bytes_per_sector).unwrap_or(0));
        match kind {
            Some(kind) => Self::of_kind(kind, size, bytes_per_sector),
            None if size >= 512 << 20 => Self::of_kind(FatKind::Fat32, size, bytes_per_sector),
            // Microsoft's table: no FAT16 below 8,400 sectors.
            None if size > 8400 * 512 => Self::of_kind(FatKind::Fat16, size, bytes_per_sector)
                .or_else(|_| Self::of_kind(FatKind::Fat12, size, bytes_per_sector)),
            None => Self::of_kind(FatKind::Fat12, size, bytes_per_sector),
        }
    }

    fn of_kind(kind: FatKind, size: u64, bytes_per_sector: u64) -> Result<Self, FormatError> {
        let (fewest, most) = cluster_limits(kind);
        if size.checked_div(bytes_per_sector).unwrap_or(0) > u64::from(u32::MAX) {
            let most = bytes_per_sector.saturating_mul(u64::from(u32::MAX));
            return Err(FormatError::TooLarge { kind, most });
        }
        let mut cluster_size = usual_cluster_size(kind, size).max(bytes_per_sector);
        loop {
            let layout = Self::with_clusters(kind, size, bytes_per_sector, cluster_size);
            match layout {
                // The fewest and the most lie far more than a factor of two apart: a size that
                // was doubled is never halved again.
                Some(layout) if layout.clusters > most => {
                    cluster_size = cluster_size.saturating_mul(2);
                    if cluster_size > LARGEST_CLUSTER {
                        let most = most.saturating_mul(LARGEST_CLUSTER);
                        return Err(FormatError::TooLarge { kind, most });
                    }
                }
                Some(layout) if layout.clusters >= fewest => return Ok(layout),
                _ => {
                    cluster_size /= 2;
                    if cluster_size < bytes_per_sector {
                        let least = least_size(kind, bytes_per_sector);
                        return Err(FormatError::TooSmall { kind, least });
                    }
                }
            }
        }
    }

    /// The layout with this cluster size, however many clusters that makes. `None`: no room.
    fn with_clusters(
        kind: FatKind,
        size: u64,
        bytes_per_sector: u64,
        cluster_size: u64,
    ) -> Option<Self> {
        let reserved = reserved_size(kind, bytes_per_sector);
        let root_size = root_size(kind, size);
        let room = size.checked_sub(reserved)?.checked_sub(root_size)?;
        let clusters_beside =
            |table: u64| room.checked_sub(table.checked_mul(TABLES)?)?.checked_div(cluster_size);
        // Enough for a volume without tables is too much for one with them: shrink, then grow
        // until the clusters left over fit.
        let mut table_size = table_size_for(kind, clusters_beside(0)?);
        table_size = table_size_for(kind, clusters_beside(table_size)?);
        let mut clusters = clusters_beside(table_size)?;
        while table_size_for(kind, clusters) > table_size {
            table_size = table_size.checked_add(BLOCK)?;
            clusters = clusters_beside(table_size)?;
        }
        Some(Self {
            kind,
            bytes_per_sector,
            size,
            cluster_size,
            reserved,
            table_size,
            root_size,
            clusters,
        })
    }

    /// Where cluster 2 starts.
    pub fn data_start(&self) -> u64 {
        self.root_start().saturating_add(self.root_size)
    }

    /// Where the second table ends.
    pub fn root_start(&self) -> u64 {
        self.reserved.saturating_add(self.table_size.saturating_mul(TABLES))
    }
}

/// The fewest and the most clusters of a new volume.
fn cluster_limits(kind: FatKind) -> (u64, u64) {
    let most = kind.most_clusters().saturating_sub(MARGIN);
    match kind {
        FatKind::Fat12 => (MARGIN, most),
        FatKind::Fat16 => (FatKind::Fat12.most_clusters().saturating_add(MARGIN), most),
        FatKind::Fat32 | FatKind::ExFat => {
            (FatKind::Fat16.most_clusters().saturating_add(MARGIN), most)
        }
    }
}

fn usual_cluster_size(kind: FatKind, size: u64) -> u64 {
    const MIB: u64 = 1 << 20;
    const GIB: u64 = 1 << 30;
    match kind {
        FatKind::Fat12 => 512,
        FatKind::Fat16 => match size {
            ..=0x100_0000 => 1 << 10,
            size if size <= 128 * MIB => 2 << 10,
            size if size <= 256 * MIB => 4 << 10,
            size if size <= 512 * MIB => 8 << 10,
            size if size <= GIB => 16 << 10,
            size if size <= 2 * GIB => 32 << 10,
            _ => 64 << 10,
        },
        FatKind::Fat32 | FatKind::ExFat => match size {
            size if size <= 260 * MIB => 512,
            size if size <= 8 * GIB => 4 << 10,
            size if size <= 16 * GIB => 8 << 10,
            size if size <= 32 * GIB => 16 << 10,
            _ => 32 << 10,
        },
    }
}

/// FAT32 needs sectors 0, 1, 6 and 7; 32 of them are customary.
fn reserved_size(kind: FatKind, bytes_per_sector: u64) -> u64 {
    let sectors: u64 = if kind == FatKind::Fat32 { 32 } else { 1 };
    sectors.saturating_mul(bytes_per_sector).next_multiple_of(BLOCK)
}

/// 512 entries, or 128 on a volume of floppy size.
fn root_size(kind: FatKind, size: u64) -> u64 {
    match kind {
        FatKind::Fat32 => 0,
        _ if size < 1 << 20 => 128 * 32,
        _ => 512 * 32,
    }
}

/// The size of a table for this many clusters, and the two entries that stand for none.
fn table_size_for(kind: FatKind, clusters: u64) -> u64 {
    clusters.saturating_add(2).saturating_mul(kind.entry_bits()).div_ceil(8).next_multiple_of(BLOCK)
}

/// The size below which a volume has too few clusters for its kind.
fn least_size(kind: FatKind, bytes_per_sector: u64) -> u64 {
    let (fewest, _) = cluster_limits(kind);
    let tables = table_size_for(kind, fewest).saturating_mul(TABLES);
    reserved_size(kind, bytes_per_sector)
        .saturating_add(tables)
        .saturating_add(root_size(kind, fewest.saturating_mul(bytes_per_sector)))
        .saturating_add(fewest.saturating_mul(bytes_per_sector))
}
