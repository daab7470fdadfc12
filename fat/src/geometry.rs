//! The boot sector: where the tables, the root directory and the clusters lie.
//! Microsoft FAT specification (fatgen103), sections "Boot Sector and BPB" and "FAT Type
//! Determination".

/// FAT12, FAT16 or FAT32: decided by the number of clusters alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FatKind {
    Fat12,
    Fat16,
    Fat32,
}

/// The layout of a volume. All offsets are in bytes from the start of the disk (not of the
/// partition), all sizes in bytes unless the name says otherwise. A value of this type has been
/// checked: every region lies inside the disk and no sum overflows.
#[derive(Clone, Debug)]
pub struct Geometry {
    pub kind: FatKind,
    /// Where the volume starts on the disk.
    pub start: u64,
    /// The size of the volume.
    pub size: u64,
    pub bytes_per_sector: u32,
    pub cluster_size: u32,
    /// Where the first table starts.
    pub table_start: u64,
    /// The size of one table.
    pub table_size: u64,
    pub table_count: u8,
    /// FAT32 with mirroring off uses this table alone.
    pub active_table: Option<u8>,
    /// FAT12 and FAT16: the fixed root directory.
    pub root_start: u64,
    pub root_entries: u32,
    /// FAT32: the first cluster of the root directory.
    pub root_cluster: u32,
    /// Where cluster 2 starts.
    pub data_start: u64,
    /// Clusters are numbered 2 to `clusters + 1`.
    pub clusters: u32,
    /// FAT32: the FSInfo sector.
    pub fs_info: Option<u64>,
    /// FAT32: the copy of the boot sector.
    pub backup_boot: Option<u64>,
    pub volume_id: u32,
    pub label: [u8; 11],
}
