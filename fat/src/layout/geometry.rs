//! The boot sector: where the tables, the root directory and the clusters lie.
//! Microsoft FAT specification (fatgen103), sections "Boot Sector and BPB" and "FAT Type
//! Determination".
use crate::MountError;
use crate::bytes::{u8_at, u16_at, u32_at};
use crate::disk::partition::Region;
use crate::layout::exfat::boot::{self, Boot};
use core::fmt;

/// FAT12, FAT16 or FAT32, decided by the number of clusters, see [`Geometry::read_at`]; or exFAT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FatKind {
    Fat12,
    Fat16,
    Fat32,
    ExFat,
}

impl fmt::Display for FatKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fat12 => "FAT12",
            Self::Fat16 => "FAT16",
            Self::Fat32 => "FAT32",
            Self::ExFat => "exFAT",
        })
    }
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
    /// The size of its partition, or of the disk: what the volume could grow to.
    pub room: u64,
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
    /// FAT32 and exFAT: the first cluster of the root directory.
    pub root_cluster: u32,
    /// Where cluster 2 starts.
    pub data_start: u64,
    /// Clusters are numbered 2 to `clusters + 1`.
    pub clusters: u32,
    /// FAT32: the FSInfo sector.
    pub fs_info: Option<u64>,
    /// FAT32 and exFAT: the copy of the boot sector.
    pub backup_boot: Option<u64>,
    pub volume_id: u32,
    pub label: [u8; 11],
    /// Why it must not be written, if so: it is longer than its disk, or it is in doubt whether it is
    /// the volume.
    pub read_only: Option<&'static str>,
}

impl Geometry {
    /// Whether the entry of a cluster lies in two sectors, as some of FAT12 do: a power cut may leave
    /// half of it old and half of it new.
    pub(crate) fn is_split(&self, cluster: u32) -> bool {
        const SECTOR: u32 = 512;
        let byte = cluster.saturating_add(cluster / 2);
        self.kind == FatKind::Fat12 && byte % SECTOR == SECTOR - 1
    }

    fn of_exfat(boot: &Boot, region: Region) -> Self {
        let place = |at: u64| region.start.saturating_add(at);
        let backup = u64::from(boot.bytes_per_sector).saturating_mul(boot::SECTORS);
        Self {
            kind: FatKind::ExFat,
            start: region.start,
            size: boot.size,
            room: region.len,
            bytes_per_sector: boot.bytes_per_sector,
            cluster_size: boot.cluster_size,
            table_start: place(boot.table_start),
            table_size: boot.table_size,
            table_count: 1,
            active_table: None,
            root_start: 0,
            root_entries: 0,
            root_cluster: boot.root_cluster,
            data_start: place(boot.data_start),
            clusters: boot.clusters,
            fs_info: None,
            backup_boot: Some(place(backup)),
            volume_id: boot.serial,
            label: *NO_LABEL,
            read_only: None,
        }
    }

    /// The layout from the first bytes of a volume in `region`: of the boot sector, of which at least 512
    /// are needed, or of exFAT's boot region. What is only a little wrong can be read.
    pub(crate) fn parse(
        boot: &[u8],
        device_sector: usize,
        region: Region,
    ) -> Result<Self, MountError> {
        if boot::is_exfat(boot) {
            return Ok(Self::of_exfat(&Boot::parse(boot, region.len, device_sector)?, region));
        }
        let signed = is_signed(boot)?;
        if boot.get(GROWING_AT..GROWING_AT + GROWING.len()) == Some(GROWING) {
            return Err(MountError::Growing(region.start));
        }
        let bytes_per_sector = u32::from(u16_at(boot, 11));
        let cluster_sectors = u32::from(u8_at(boot, 13));
        if !(512..=4096).contains(&bytes_per_sector) || !bytes_per_sector.is_power_of_two() {
            return Err(NO_BOOT_SECTOR);
        }
        if !cluster_sectors.is_power_of_two() {
            return Err(NO_BOOT_SECTOR);
        }
        let media = u8_at(boot, 21);
        if media != 0xF0 && media < 0xF8 {
            return Err(MountError::NotFat("the media byte is none that FAT knows"));
        }
        if u64::from(bytes_per_sector) < device_sector as u64 {
            return Err(MountError::Unsupported("its sectors are smaller than the disk's"));
        }
        let sectors = |count: u32| u64::from(count).saturating_mul(u64::from(bytes_per_sector));

        let total = match u16_at(boot, 19) {
            0 => u32_at(boot, 32),
            few => u32::from(few),
        };
        let size = sectors(total);
        if total == 0 {
            return Err(MountError::NotFat("the boot sector says that the volume has no sectors"));
        }
        // What is there of it.
        let per_sector = u64::from(bytes_per_sector);
        let present = size.min(region.len / per_sector * per_sector);
        let too_long = MountError::NotFat(match region.start {
            0 => "the volume is larger than its disk (was the disk cut short?)",
            _ => "the volume is larger than its partition",
        });

        let reserved = u16_at(boot, 14);
        let table_count = u8_at(boot, 16);
        if reserved == 0 || table_count == 0 {
            return Err(MountError::NotFat("the boot sector leaves no room for a table"));
        }
        // A table size of zero in the old field is what makes the layout FAT32's.
        let (wide, table_sectors) = match u16_at(boot, 22) {
            0 => (true, u32_at(boot, 36)),
            few => (false, u32::from(few)),
        };
        if table_sectors == 0 {
            return Err(MountError::NotFat("the boot sector gives the tables no size"));
        }
        let root_entries = u32::from(u16_at(boot, 17));
        let table_start = region.start.checked_add(sectors(reserved.into())).ok_or(OUTSIDE)?;
        let table_size = sectors(table_sectors);
        let root_start = table_size
            .checked_mul(u64::from(table_count))
            .and_then(|tables| tables.checked_add(table_start))
            .ok_or(OUTSIDE)?;
        let root_size = u64::from(root_entries)
            .saturating_mul(DIRECTORY_ENTRY)
            .next_multiple_of(u64::from(bytes_per_sector));
        let data_start = root_start.checked_add(root_size).ok_or(OUTSIDE)?;
        let end = region.start.checked_add(size).ok_or(OUTSIDE)?;
        let data_size = end.checked_sub(data_start).ok_or(OUTSIDE)?;
        let cluster_size = cluster_sectors.saturating_mul(bytes_per_sector);
        let fitting = data_size.checked_div(u64::from(cluster_size)).unwrap_or(0);

        let kind = FatKind::of(wide, fitting);
        let kind = kind.map_err(|error| if present < size { too_long } else { error })?;
        let before_data = data_start.saturating_sub(region.start);
        let there = present.saturating_sub(before_data).checked_div(u64::from(cluster_size));
        let there = there.unwrap_or(0);
        if there == 0 && fitting > 0 {
            return Err(too_long);
        }
        let listed = (table_size.saturating_mul(8) / kind.entry_bits()).saturating_sub(2);
        let clusters = fitting.min(there).min(listed).min(kind.most_clusters());
        let clusters = u32::try_from(clusters).unwrap_or(0);
        if clusters == 0 {
            return Err(MountError::NotFat("there is no room for a single cluster"));
        }
        if kind != FatKind::Fat32 && root_entries == 0 {
            return Err(MountError::NotFat("the root directory has no room"));
        }

        let mut geometry = Self {
            kind,
            start: region.start,
            size: present,
            room: region.len,
            bytes_per_sector,
            cluster_size,
            table_start,
            table_size,
            table_count,
            active_table: None,
            root_start,
            root_entries,
            root_cluster: 0,
            data_start,
            clusters,
            fs_info: None,
            backup_boot: None,
            volume_id: 0,
            label: *NO_LABEL,
            read_only: match (present < size, region.start) {
                (true, 0) => Some("it is longer than its disk (was the disk cut short?)"),
                (true, _) => Some("it is longer than its partition"),
                (false, _) => (!signed).then_some("the mark 55 AA of boot sectors is missing"),
            },
        };
        if kind == FatKind::Fat32 {
            geometry.parse_fat32(boot, reserved)?;
        }
        // The extended boot signature: 0x28 comes without a label.
        let extended = if kind == FatKind::Fat32 { 66 } else { 38 };
        if matches!(u8_at(boot, extended), 0x28 | 0x29) {
            geometry.volume_id = u32_at(boot, extended.saturating_add(1));
        }
        if u8_at(boot, extended) == 0x29 {
            let at = extended.saturating_add(5);
            if let Some(label) = boot.get(at..).and_then(|rest| rest.first_chunk()) {
                geometry.label = *label;
            }
        }
        Ok(geometry)
    }

    /// The fields that FAT32 alone has. fatgen103, "FAT32 Structure Starting at Offset 36".
    fn parse_fat32(&mut self, boot: &[u8], reserved: u16) -> Result<(), MountError> {
        if u16_at(boot, 42) != 0 {
            return Err(MountError::Unsupported("a FAT32 version newer than 0.0"));
        }
        let flags = u16_at(boot, 40);
        if flags & 0x80 != 0 {
            let active = (flags & 0x0F) as u8;
            if active >= self.table_count {
                return Err(MountError::NotFat("the active table does not exist"));
            }
            self.active_table = Some(active);
        }
        self.root_cluster = u32_at(boot, 44);
        if !(2..=self.clusters.saturating_add(1)).contains(&self.root_cluster) {
            return Err(MountError::NotFat("the root directory lies outside the volume"));
        }
        // 0 and 0xFFFF say that there is none; so, here, does one outside the reserved sectors.
        let reserved_sector = |number: u16| {
            let inside = u64::from(number).saturating_mul(u64::from(self.bytes_per_sector));
            (1..reserved).contains(&number).then(|| self.start.saturating_add(inside))
        };
        let (fs_info, backup_boot) = (u16_at(boot, 48), u16_at(boot, 50));
        self.fs_info = reserved_sector(fs_info);
        self.backup_boot = reserved_sector(backup_boot);
        Ok(())
    }
}

impl FatKind {
    /// fatgen103, "FAT Type Determination", with one exception that every system makes: a table
    /// size in FAT32's field alone means FAT32 however few the clusters (`mkfs.fat -F 32` makes
    /// such volumes), since the layout has no room for another root directory.
    fn of(wide: bool, clusters: u64) -> Result<Self, MountError> {
        match (wide, clusters) {
            (true, _) => Ok(Self::Fat32),
            (false, ..=FAT12_CLUSTERS) => Ok(Self::Fat12),
            (false, ..=FAT16_CLUSTERS) => Ok(Self::Fat16),
            (false, _) => Err(MountError::NotFat("more clusters than FAT16 can number")),
        }
    }

    /// The size of a table entry in bits.
    pub(crate) fn entry_bits(self) -> u64 {
        match self {
            Self::Fat12 => 12,
            Self::Fat16 => 16,
            Self::Fat32 | Self::ExFat => 32,
        }
    }

    /// The most clusters that a volume of this kind can number.
    pub(crate) fn most_clusters(self) -> u64 {
        match self {
            Self::Fat12 => FAT12_CLUSTERS,
            Self::Fat16 => FAT16_CLUSTERS,
            Self::Fat32 => 0x0FFF_FFF5,
            Self::ExFat => 0xFFFF_FFF5,
        }
    }
}

/// Whether there is the mark that a boot sector ends with. Without it there must be the jump that FAT's
/// begins with.
fn is_signed(boot: &[u8]) -> Result<bool, MountError> {
    if boot.iter().take(BOOT_SECTOR).all(|byte| *byte == 0) {
        return Err(MountError::Blank);
    }
    if boot.get(3..11) == Some(b"NTFS    ") {
        return Err(MountError::NotFat("an NTFS volume"));
    }
    match (u16_at(boot, 510), boot) {
        (0xAA55, _) => Ok(true),
        (_, [0xEB, _, 0x90, ..] | [0xE9, ..]) => Ok(false),
        _ => Err(MountError::NotFat("there is no boot sector at the start of the disk")),
    }
}

/// What is in the place of the name of the system that formatted the volume while it grows.
pub(crate) const GROWING: &[u8; 8] = b"MSFSGROW";
pub(crate) const GROWING_AT: usize = 3;
const NO_BOOT_SECTOR: MountError = MountError::NotFat("the boot sector makes no sense");
/// So much of it is looked at.
pub(crate) const BOOT_SECTOR: usize = 512;
const DIRECTORY_ENTRY: u64 = 32;
const NO_LABEL: &[u8; 11] = b"NO NAME    ";
const FAT12_CLUSTERS: u64 = 4084;
const FAT16_CLUSTERS: u64 = 65524;
const OUTSIDE: MountError = MountError::NotFat("the tables lie outside the volume");
