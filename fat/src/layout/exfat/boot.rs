//! The boot region: where the table, the clusters and the root directory lie. Section 3 "Main and
//! Backup Boot Regions".
use super::sum32;
use crate::MountError;
use crate::bytes::{put, u8_at, u16_at, u32_at, u64_at};
use alloc::vec;
use alloc::vec::Vec;

/// What stands in the place of the name of the system that formatted the volume.
pub(crate) const NAME: &[u8; 8] = b"EXFAT   ";
/// Sectors of a boot region: the boot sector, eight more, one for the maker, a spare, the sum.
pub(crate) const SECTORS: u64 = 12;
/// Where the state of the volume is in the boot sector, and the bit that says that it is in use.
pub(crate) const FLAGS: usize = 106;
pub(crate) const DIRTY: u8 = 2;
const ACTIVE_FAT: u8 = 1;
/// Who changes the volume clears this one.
pub(crate) const CLEAR_TO_ZERO: u8 = 8;
const PERCENT_IN_USE: usize = 112;
/// The most clusters that can be numbered.
pub(crate) const MOST_CLUSTERS: u32 = 0xFFFF_FFF5;

/// A boot region that has been checked: all lies inside the volume, and the volume inside its room.
/// Offsets and sizes in bytes, from the start of the volume.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Boot {
    pub(crate) size: u64,
    pub(crate) bytes_per_sector: u32,
    pub(crate) cluster_size: u32,
    pub(crate) table_start: u64,
    pub(crate) table_size: u64,
    pub(crate) data_start: u64,
    pub(crate) clusters: u32,
    pub(crate) root_cluster: u32,
    pub(crate) serial: u32,
}

/// Says how much of the clusters is in use, which the sum leaves out.
pub(crate) fn set_percent(sector: &mut [u8], percent: u8) {
    put(sector, PERCENT_IN_USE, &[percent]);
}

/// Whether a sector is the first of an exFAT volume.
pub(crate) fn is_exfat(sector: &[u8]) -> bool {
    sector.get(3..11) == Some(NAME)
}

/// The size of a sector that a boot sector tells, if it can be one.
pub(crate) fn sector_size(sector: &[u8]) -> Option<u32> {
    let shift = u8_at(sector, 108);
    (9..=12).contains(&shift).then(|| 1 << shift)
}

/// How long the boot region is that a sector of exFAT begins.
pub(crate) fn region_len(sector: &[u8]) -> Option<u64> {
    let size = sector_size(sector).filter(|_| is_exfat(sector))?;
    Some(u64::from(size).saturating_mul(SECTORS))
}

/// The bytes of a boot region that its sum is over. What changes while the volume is used is left out.
pub(crate) fn summed(region: &[u8], sector: usize) -> impl Iterator<Item = u8> {
    let bytes = region.iter().take(sector.saturating_mul(11)).enumerate();
    let left_out = |at: usize| matches!(at, FLAGS | PERCENT_IN_USE) || at == FLAGS + 1;
    bytes.filter(move |(at, _)| !left_out(*at)).map(|(_, byte)| *byte)
}

/// Writes the sum of a boot region into its last sector.
pub(crate) fn set_sum(region: &mut [u8], sector: usize) {
    let sum = sum32(0, summed(region, sector)).to_le_bytes();
    for kept in region.iter_mut().skip(sector.saturating_mul(11)).zip(sum.iter().cycle()) {
        *kept.0 = *kept.1;
    }
}

/// Says how long a volume is, its table, and how many clusters it has. Sizes in bytes; the sum is as it was.
pub(crate) fn set_sizes(region: &mut [u8], sector: u64, size: u64, table: u64, clusters: u32) {
    let in_sectors = |bytes: u64| bytes.checked_div(sector).unwrap_or(0);
    put(region, 72, &in_sectors(size).to_le_bytes());
    put(region, 84, &(in_sectors(table) as u32).to_le_bytes());
    put(region, 92, &clusters.to_le_bytes());
}

impl Boot {
    /// The boot region of a new volume of one table.
    pub(crate) fn region(&self) -> Vec<u8> {
        let sector = self.bytes_per_sector as usize;
        let in_sectors = |bytes: u64| bytes.checked_div(self.bytes_per_sector.into()).unwrap_or(0);
        let mut region = vec![0; sector.saturating_mul(SECTORS as usize)];
        put(&mut region, 0, &[0xEB, 0x76, 0x90]);
        put(&mut region, 3, NAME);
        put(&mut region, 80, &(in_sectors(self.table_start) as u32).to_le_bytes());
        put(&mut region, 88, &(in_sectors(self.data_start) as u32).to_le_bytes());
        put(&mut region, 96, &self.root_cluster.to_le_bytes());
        put(&mut region, 100, &self.serial.to_le_bytes());
        put(&mut region, 104, &0x0100u16.to_le_bytes());
        let cluster = in_sectors(self.cluster_size.into());
        let shifts = [self.bytes_per_sector.trailing_zeros(), cluster.trailing_zeros()];
        put(&mut region, 108, &shifts.map(|shift| shift as u8));
        put(&mut region, 110, &[1, 0x80, 0]); // tables, the drive that BIOS asks, percent in use
        let size = u64::from(self.bytes_per_sector);
        set_sizes(&mut region, size, self.size, self.table_size, self.clusters);
        // A machine that boots from here goes on to its next disk: int 0x18; hlt; jmp to the hlt.
        put(&mut region, 120, &[0xF4; 390]);
        put(&mut region, 120, &[0xCD, 0x18, 0xF4, 0xEB, 0xFD]);
        put(&mut region, 510, &[0x55, 0xAA]);
        for extended in 2..=9usize {
            put(&mut region, extended.saturating_mul(sector).saturating_sub(2), &[0x55, 0xAA]);
        }
        set_sum(&mut region, sector);
        region
    }

    /// Reads the twelve sectors of a boot region of a volume that has `room` bytes. Nothing in it is
    /// believed.
    ///
    /// # Errors
    /// `NotFat` for what is damaged, `Unsupported` for what is not served.
    pub(crate) fn parse(
        region: &[u8],
        room: u64,
        device_sector: usize,
    ) -> Result<Self, MountError> {
        let bytes_per_sector = sector_size(region).ok_or(NONSENSE)?;
        let sector = usize::try_from(bytes_per_sector).unwrap_or(512);
        let region = region
            .get(..sector.saturating_mul(12))
            .ok_or(MountError::NotFat("exFAT, but smaller than its boot sectors"))?;
        let sum = sum32(0, summed(region, sector));
        let last = region.get(sector.saturating_mul(11)..).unwrap_or_default();
        let (sums, _) = last.as_chunks::<4>();
        if sums.is_empty() || sums.iter().any(|kept| u32::from_le_bytes(*kept) != sum) {
            return Err(MountError::NotFat(
                "exFAT, but the checksum of its boot region is wrong (fsck.exfat may restore it)",
            ));
        }
        if u16_at(region, 510) != 0xAA55 || region.iter().skip(11).take(53).any(|byte| *byte != 0) {
            return Err(NONSENSE);
        }
        if u16_at(region, 104) >> 8 != 1 {
            return Err(MountError::Unsupported("exFAT of another revision than 1"));
        }
        match u8_at(region, 110) {
            1 => {}
            2 => return Err(MountError::Unsupported("exFAT with two tables (TexFAT)")),
            _ => return Err(NONSENSE),
        }
        if u8_at(region, FLAGS) & ACTIVE_FAT != 0 {
            return Err(MountError::Unsupported("exFAT whose second table is in use (TexFAT)"));
        }
        if sector < device_sector {
            return Err(MountError::Unsupported("its sectors are smaller than the disk's"));
        }
        let cluster_shift = u8_at(region, 109);
        let most = 25u8.saturating_sub(u8_at(region, 108));
        if cluster_shift > most {
            return Err(NONSENSE);
        }
        let cluster_size = bytes_per_sector << cluster_shift;
        let bytes = |sectors: u64| sectors.checked_mul(u64::from(bytes_per_sector)).ok_or(OUTSIDE);
        let size = bytes(u64_at(region, 72))?;
        if size > room {
            return Err(MountError::NotFat(
                "the exFAT volume is larger than its disk or partition (was the disk cut short?)",
            ));
        }
        let table_start = bytes(u32_at(region, 80).into())?;
        let table_size = bytes(u32_at(region, 84).into())?;
        let data_start = bytes(u32_at(region, 88).into())?;
        let clusters = u32_at(region, 92);
        let data_size = u64::from(clusters).saturating_mul(cluster_size.into());
        let needed = u64::from(clusters).saturating_add(2).saturating_mul(4);
        if table_start < bytes(SECTORS.saturating_mul(2))?
            || table_start.saturating_add(table_size) > data_start
            || table_size < needed
            || clusters == 0
            || clusters > MOST_CLUSTERS
            || data_start.saturating_add(data_size) > size
        {
            return Err(OUTSIDE);
        }
        let root_cluster = u32_at(region, 96);
        if !(2..=clusters.saturating_add(1)).contains(&root_cluster) {
            return Err(MountError::NotFat("the root directory lies outside the volume"));
        }
        Ok(Self {
            size,
            bytes_per_sector,
            cluster_size,
            table_start,
            table_size,
            data_start,
            clusters,
            root_cluster,
            serial: u32_at(region, 100),
        })
    }
}

const NONSENSE: MountError = MountError::NotFat("exFAT, but its boot sector makes no sense");
const OUTSIDE: MountError =
    MountError::NotFat("exFAT, but its table or its clusters lie outside the volume");
