//! Whether the volume is in use, and how much of it: the dirty bits and the FSInfo sector.
//! Microsoft FAT specification, sections "FAT Data Structure" (entry 1), "FSInfo Sector Structure";
//! Linux' and Windows' use of the byte after the drive number in the boot sector.
use crate::give_way::give_way;
use crate::layout::exfat::boot;
use crate::{BlockDevice, Error, FatKind, Volume};
use alloc::vec;

/// Bit 0 of this byte of the boot sector says dirty.
const STATE_FAT16: usize = 0x25;
const STATE_FAT32: usize = 0x41;
const DIRTY: u8 = 1;
/// These bits of entry 1 say clean.
const CLEAN_FAT16: u32 = 0x8000;
const CLEAN_FAT32: u32 = 0x0800_0000;

const LEAD: u32 = 0x4161_5252;
const STRUCTURE: u32 = 0x6141_7272;
const TRAIL: u32 = 0xAA55_0000;
const FREE_COUNT: usize = 488;
const NEXT_FREE: usize = 492;

/// What `space` reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// In bytes.
    pub cluster_size: u32,
    pub total_clusters: u32,
    pub free_clusters: u32,
}

fn get(sector: &[u8], at: usize) -> Option<u32> {
    let bytes = sector.get(at..)?.first_chunk::<4>()?;
    Some(u32::from_le_bytes(*bytes))
}

fn put(sector: &mut [u8], at: usize, value: u32) {
    if let Some(bytes) = sector.get_mut(at..).and_then(<[u8]>::first_chunk_mut::<4>) {
        *bytes = value.to_le_bytes();
    }
}

fn is_fs_info(sector: &[u8]) -> bool {
    (get(sector, 0), get(sector, 484), get(sector, 508))
        == (Some(LEAD), Some(STRUCTURE), Some(TRAIL))
}

/// Sets the two numbers of an FSInfo sector; leaves anything else as it is.
pub(crate) fn set_fs_info(sector: &mut [u8], free: u32, next: u32) {
    if is_fs_info(sector) {
        put(sector, FREE_COUNT, free);
        put(sector, NEXT_FREE, next);
    }
}

impl<D: BlockDevice> Volume<D> {
    /// Counts the free clusters, unless that was done, piece by piece while others go on, as long as it
    /// may go on. Until then what is known is what the FSInfo sector says, and who wrote the volume last
    /// need not have kept it.
    pub async fn count(&self, may_go_on: impl Fn() -> bool) -> Result<(), Error> {
        let _alone = self.space.counting.exclusive().await;
        self.space.begin_count();
        while !self.space.is_counted() && may_go_on() {
            let lock = self.memory.lock.shared().await;
            // Who needed the number has counted meanwhile, else this does one piece.
            self.count_piece().await?;
            drop(lock);
            give_way().await;
        }
        Ok(())
    }

    /// Clusters that are only waiting for a commit count as free. The first call counts, unless `count`
    /// has.
    pub async fn space(&self) -> Result<Space, Error> {
        if !self.space.is_counted() {
            self.count(|| true).await?;
        }
        // What the next commit frees counts.
        let orphans = self.files.clusters_of_closed_orphans();
        let soon = self.space.soon_free().saturating_add(orphans);
        Ok(Space {
            cluster_size: self.geometry.cluster_size,
            total_clusters: self.geometry.clusters,
            free_clusters: self.space.free().saturating_add(soon).min(self.geometry.clusters),
        })
    }

    fn state_byte(&self) -> usize {
        match self.geometry.kind {
            FatKind::Fat12 | FatKind::Fat16 => STATE_FAT16,
            FatKind::Fat32 => STATE_FAT32,
            FatKind::ExFat => boot::FLAGS,
        }
    }

    /// The bit of that byte that says dirty.
    fn dirty_bit(&self) -> u8 {
        if self.is_exfat() { boot::DIRTY } else { DIRTY }
    }

    /// The bit of entry 1; FAT12 and exFAT have none.
    fn clean_bit(&self) -> Option<u32> {
        match self.geometry.kind {
            FatKind::Fat12 | FatKind::ExFat => None,
            FatKind::Fat16 => Some(CLEAN_FAT16),
            FatKind::Fat32 => Some(CLEAN_FAT32),
        }
    }

    /// Whether the disk says that the volume is in use.
    pub(crate) async fn found_dirty(&self) -> Result<bool, Error> {
        let byte = self.state_byte();
        let boot = self.line(self.geometry.start, 0, |line| line.get(byte).copied()).await?;
        // Boot sectors are changed past the cache.
        self.memory.cache.discard(self.geometry.start, 1);
        let bit = match self.clean_bit() {
            Some(bit) => self.entry(1).await? & bit == 0,
            None => false,
        };
        Ok(bit || boot.is_some_and(|byte| byte & self.dirty_bit() != 0))
    }

    /// Says on the disk that the volume is in use, before the first change. The lock is held
    /// exclusively.
    pub(crate) async fn mark(&self) -> Result<(), Error> {
        if self.commit.marked.get() {
            return Ok(());
        }
        self.mark_boot(true).await?;
        self.flush().await?;
        // The boot sector says it already: no cut leaves copies of the table that differ unnoticed.
        self.mark_table(true).await?;
        self.commit.marked.set(true);
        Ok(())
    }

    /// As `mark`, for who does not hold the lock.
    pub(crate) async fn mark_shared(&self) -> Result<(), Error> {
        if self.commit.marked.get() {
            return Ok(());
        }
        let _lock = self.memory.lock.exclusive().await;
        self.mark().await
    }

    async fn mark_boot(&self, dirty: bool) -> Result<(), Error> {
        let (byte, bit) = (self.state_byte(), self.dirty_bit());
        let cleared = if self.is_exfat() { boot::CLEAR_TO_ZERO } else { 0 };
        let clusters = u64::from(self.geometry.clusters);
        let used = clusters.saturating_sub(self.space.free().into());
        let percent = used.saturating_mul(100).checked_div(clusters).unwrap_or(0);
        let percent = u8::try_from(percent).ok().filter(|_| self.is_exfat() && !dirty);
        self.patch(self.geometry.start, |sector| {
            if let Some(state) = sector.get_mut(byte) {
                *state = if dirty { *state | bit } else { *state & !bit };
                *state &= !cleared;
            }
            if let Some(percent) = percent {
                boot::set_percent(sector, percent);
            }
        })
        .await
    }

    async fn mark_table(&self, dirty: bool) -> Result<(), Error> {
        if let Some(bit) = self.clean_bit() {
            let entry = self.entry(1).await?;
            let new = if dirty { entry & !bit } else { entry | bit };
            if new != entry {
                self.set_entry(1, new).await?;
                self.write_dirty(crate::memory::cache::Class::Table).await?;
            }
        }
        Ok(())
    }

    /// Clears the dirty bit in the copy of the boot sector, which nobody sets on purpose, when the
    /// copy is otherwise one.
    pub(crate) async fn unmark_backup(&self) -> Result<(), Error> {
        let Some(backup) = self.geometry.backup_boot else {
            return Ok(());
        };
        let clean = |sector: &mut [u8]| {
            if let Some(state) = sector.get_mut(STATE_FAT32) {
                *state &= !DIRTY;
            }
        };
        let mut boot = vec![0; usize::try_from(self.memory.cache.line_size()).unwrap_or(512)];
        self.device.read(self.geometry.start, &mut boot).await?;
        clean(&mut boot);
        self.patch(backup, |sector| {
            let before = sector.to_vec();
            clean(sector);
            if *sector != *boot {
                sector.copy_from_slice(&before);
            }
        })
        .await
    }

    /// Everything is on the disk: says so. Damage keeps the volume marked.
    pub(crate) async fn unmark(&self) -> Result<(), Error> {
        if let Some(base) = self.geometry.fs_info {
            let (free, next) = (self.space.free(), self.space.next());
            self.patch(base, |sector| {
                set_fs_info(sector, free, next);
            })
            .await?;
        }
        if !self.commit.damaged.get() {
            self.mark_table(false).await?;
            if self.is_unflushed() {
                self.flush().await?;
            }
            self.mark_boot(false).await?;
        }
        self.flush().await?;
        self.commit.marked.set(false);
        Ok(())
    }

    /// Takes the FSInfo sector's word for how many clusters are free when the volume was clean, until
    /// they are counted; else counts.
    pub(crate) async fn load_free_count(&self, clean: bool) -> Result<(), Error> {
        if let Some(base) = self.geometry.fs_info {
            let mut sector = vec![0; usize::try_from(self.memory.cache.line_size()).unwrap_or(512)];
            self.device.read(base, &mut sector).await?;
            if is_fs_info(&sector) {
                let next = get(&sector, NEXT_FREE).filter(|next| self.is_cluster(*next));
                self.space.search_from(next.unwrap_or(2));
                let free = get(&sector, FREE_COUNT);
                if let Some(free) = free.filter(|free| clean && *free <= self.geometry.clusters) {
                    self.space.believe(free);
                    return Ok(());
                }
            }
        }
        // A repair has counted them.
        if self.space.is_counted() { Ok(()) } else { self.count_free().await }
    }
}
