//! Checking a volume without changing it: every directory and chain is followed from the raw
//! structures, past the engine's cache and its view of them. Works on one bit for each cluster,
//! 1 MiB of table, one directory, and the names of the directories.
mod directory;
mod exfat;
mod posix;
mod problem;
mod state;
pub(crate) mod table;
mod tree;

use crate::bytes::{u8_at, u32_at};
use crate::{BlockDevice, FatKind, Geometry, MountError, Place};
use alloc::vec;
use alloc::vec::Vec;
pub use problem::Problem;
use state::Check;
pub use state::Summary;
use table::{Link, Owned, Table};

/// Looks at the whole volume and tells `report` what is wrong with it. `progress` is told how much
/// of a total that does not change is done.
///
/// The volume must not be mounted for writing meanwhile: what the engine has not written yet would
/// be reported as damage.
///
/// # Errors
/// As [`Geometry::read_at`]; `Device` also when anything else cannot be read.
pub async fn check<D: BlockDevice>(
    device: &D,
    report: &mut dyn FnMut(&Problem),
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Summary, MountError> {
    check_at(device, Place::Found, report, progress).await
}

/// As [`check`], of the volume at this place.
///
/// # Errors
/// As there.
pub async fn check_at<D: BlockDevice>(
    device: &D,
    place: Place,
    report: &mut dyn FnMut(&Problem),
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Summary, MountError> {
    let geometry = Geometry::read_at(device, place).await?;
    if geometry.kind == FatKind::ExFat {
        return exfat::check(device, &geometry, report, progress).await;
    }
    let table = Table::new(device, &geometry, geometry.active_table.unwrap_or(0));
    let mut check = Check {
        device,
        table,
        owned: Owned::new(geometry.clusters),
        folders: Vec::new(),
        followed: 0,
        summary: Summary { clusters: geometry.clusters, ..Summary::default() },
        geometry,
        report,
        progress,
    };
    if let Some(why) = check.geometry.read_only {
        check.problem(Problem::ReadOnly(why));
    }
    check.boot_sector().await?;
    check.tables().await?;
    check.fs_info().await?;
    check.tree().await?;
    let leaked = check.summary.used.saturating_sub(check.followed);
    if leaked > 0 {
        check.problem(Problem::Leaked { clusters: leaked });
    }
    Ok(check.summary)
}

const READ: usize = 64 << 10;

impl<D: BlockDevice> Check<'_, D> {
    async fn sector(&self, offset: u64) -> Result<Vec<u8>, MountError> {
        let mut sector = vec![0; usize::try_from(self.geometry.bytes_per_sector).unwrap_or(512)];
        self.device.read(offset, &mut sector).await?;
        Ok(sector)
    }

    /// The dirty bits, and the copy of the boot sector.
    async fn boot_sector(&mut self) -> Result<(), MountError> {
        let mut boot = self.sector(self.geometry.start).await?;
        let (state, clean_bit) = match self.geometry.kind {
            FatKind::Fat12 => (0x25, 0),
            FatKind::Fat16 => (0x25, 0x8000),
            FatKind::Fat32 | FatKind::ExFat => (0x41, 0x0800_0000),
        };
        let clean = self.table.raw(1).await? & clean_bit == clean_bit;
        if u8_at(&boot, state) & 1 != 0 || !clean {
            self.problem(Problem::Dirty);
        }
        if let Some(offset) = self.geometry.backup_boot {
            let mut backup = self.sector(offset).await?;
            for sector in [&mut boot, &mut backup] {
                if let Some(byte) = sector.get_mut(state) {
                    *byte = 0; // the copy is not marked dirty and clean again
                }
            }
            if boot != backup {
                self.problem(Problem::BackupBootDiffers);
            }
        }
        Ok(())
    }

    /// Counts what is in use, and compares the copies of the table.
    async fn tables(&mut self) -> Result<(), MountError> {
        let last = self.geometry.clusters.saturating_add(1);
        for cluster in 2..=last {
            let count = match self.table.link(cluster).await? {
                Link::Free => &mut self.summary.free,
                Link::Bad => &mut self.summary.bad,
                _ => &mut self.summary.used,
            };
            *count = count.saturating_add(1);
            if cluster.is_multiple_of(8192) {
                (self.progress)(u64::from(cluster), u64::from(last).saturating_mul(2));
            }
        }
        if self.geometry.active_table.is_some() {
            return Ok(()); // the others are out of use
        }
        for number in 1..self.geometry.table_count {
            if self.same_bytes(number).await? {
                continue;
            }
            let mut copy = Table::new(self.device, &self.geometry, number);
            let mut clusters = 0u32;
            for cluster in 0..=last {
                if copy.raw(cluster).await? != self.table.raw(cluster).await? {
                    clusters = clusters.saturating_add(1);
                }
            }
            // Differences behind the last entry harm nobody.
            if clusters > 0 {
                self.problem(Problem::TablesDiffer { table: number, clusters });
            }
        }
        Ok(())
    }

    /// Whether a copy of the table is the first one to the last byte.
    async fn same_bytes(&self, number: u8) -> Result<bool, MountError> {
        let size = self.geometry.table_size;
        let away = size.saturating_mul(u64::from(number));
        let (mut one, mut other) = (vec![0; READ], vec![0; READ]);
        let mut done = 0u64;
        while done < size {
            let length = usize::try_from(size.saturating_sub(done)).unwrap_or(READ).min(READ);
            one.truncate(length);
            other.truncate(length);
            let at = self.geometry.table_start.saturating_add(done);
            self.device.read(at, &mut one).await?;
            self.device.read(at.saturating_add(away), &mut other).await?;
            if one != other {
                return Ok(false);
            }
            done = done.saturating_add(length as u64);
        }
        Ok(true)
    }

    async fn fs_info(&mut self) -> Result<(), MountError> {
        let Some(offset) = self.geometry.fs_info else {
            return Ok(());
        };
        let info = self.sector(offset).await?;
        let signed = u32_at(&info, 0) == 0x4161_5252 && u32_at(&info, 484) == 0x6141_7272;
        let (kept, counted) = (u32_at(&info, 488), self.summary.free);
        if !signed {
            self.problem(Problem::BadFsInfo);
        } else if kept != u32::MAX && kept != counted {
            // All ones say that nobody has counted.
            self.problem(Problem::WrongFreeCount { kept, counted });
        }
        Ok(())
    }
}
