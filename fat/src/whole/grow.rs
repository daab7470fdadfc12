//! Growing a volume into the room behind it, when its disk or partition has become larger. Of FAT; what is
//! otherwise on exFAT is said in `exfat`.
//!
//! More clusters need larger tables, and the tables lie before the clusters: the first clusters make
//! way. They are copied behind the last one, and all are numbered anew, in the order of the disk
//! from the new start on, so that no other cluster moves.
//!
//! Until the last step only the new room is written: the copies, and a log of all that is to be
//! written elsewhere: the new tables, the directories with the new numbers, the boot sector. Then
//! the boot sector is replaced by one that leads to the log: from that moment on the volume is
//! grown, and who mounts it writes what the log holds, as often as power cuts ask for it. Its last
//! entry is the new boot sector.
mod error;
mod exfat;
mod log;
mod plan;
mod renumber;

use crate::commit::state::set_fs_info;
use crate::memory::lock::Guard;
use crate::whole::check::table::{Link, Table};
use crate::whole::reclaim::walk::{Stop, Walk};
use crate::{BlockDevice, Volume};
use ::log::info;
use alloc::vec;
pub use error::{GrowError, Grown};
pub(crate) use log::finish;
use log::{Log, marker};
use plan::Plan;
use renumber::Renumber;

/// How much is copied at once.
const CHUNK: u64 = 64 << 10;
/// Entries of a table that are written at once: whole sectors of every kind.
const ENTRIES: u64 = 8192;

impl<D: BlockDevice> Volume<D> {
    /// Grows the volume to what its disk or partition has room for, or its kind can have. Nothing
    /// may be open; afterwards the volume must be mounted again, see [`Volume::into_device`].
    /// `None`: there is no room to gain, and the volume can be used on.
    ///
    /// # Errors
    /// `Refused`: the volume is damaged, read-only, or its new room is too small for the change.
    pub async fn grow(&self) -> Result<Option<Grown>, GrowError> {
        if self.is_exfat() {
            return self.grow_exfat().await;
        }
        let Some(plan) = Plan::new(&self.geometry)? else {
            return Ok(None);
        };
        let _lock = self.rest("it needs a repair first, by fsck.fat").await?;
        let walk = Walk::take(&self.device, &self.geometry, self.memory.walk_bytes).await;
        let mut walk = walk.map_err(|stop| match stop {
            Stop::Device(error) => GrowError::Volume(error.into()),
            Stop::Unfit(why) => GrowError::Refused(why),
        })?;
        self.move_clusters(&plan).await?;
        let mut log = Log::new(&self.device, plan.log_start, plan.room_end);
        self.log_directories(&plan, &mut walk.table, &mut log).await?;
        let free = self.log_tables(&plan, &mut walk.table, &mut log).await?;
        let boot = self.log_boot_sectors(&plan, free, &mut log).await?;
        self.complete(&boot, &log).await?;
        Ok(Some(Grown { from: self.geometry.size, to: plan.size, limited: plan.limited }))
    }

    /// Unmounts the volume and keeps everybody from it. `damaged` is why one that is not clean is not grown.
    async fn rest(&self, damaged: &'static str) -> Result<Guard<'_>, GrowError> {
        if let Some(why) = self.read_only() {
            return Err(GrowError::Refused(why));
        }
        self.unmount().await?;
        let lock = self.memory.lock.exclusive().await;
        if self.found_dirty().await? {
            return Err(GrowError::Refused(damaged));
        }
        Ok(lock)
    }

    /// Does what the log says. There is no way back.
    async fn complete(&self, boot: &[u8], log: &Log<'_, D>) -> Result<(), GrowError> {
        self.device.flush().await?;
        self.stop_writing("it has grown and must be mounted again");
        let mark = marker(boot, log, self.geometry.start);
        self.device.write(self.geometry.start, &mark).await?;
        self.device.flush().await?;
        finish(&self.device, self.geometry.start).await?;
        Ok(())
    }

    /// Copies the clusters that make way behind the last one.
    async fn move_clusters(&self, plan: &Plan) -> Result<(), GrowError> {
        let size = u64::from(plan.moved).saturating_mul(u64::from(self.geometry.cluster_size));
        let mut done = 0;
        while done < size {
            let len = size.saturating_sub(done).min(CHUNK);
            let mut data = vec![0; usize::try_from(len).unwrap_or(0)];
            self.device.read(self.geometry.data_start.saturating_add(done), &mut data).await?;
            self.device.write(plan.old_end.saturating_add(done), &data).await?;
            done = done.saturating_add(len);
        }
        Ok(())
    }

    /// Gives every directory the new numbers.
    async fn log_directories(
        &self,
        plan: &Plan,
        table: &mut Table<'_, D>,
        log: &mut Log<'_, D>,
    ) -> Result<(), GrowError> {
        if plan.moved == 0 {
            return Ok(());
        }
        let new = Renumber::new(&self.geometry, plan.moved);
        let mut waiting = vec![];
        if self.wide() {
            waiting.push(self.geometry.root_cluster);
        } else {
            // The fixed root directory moves with the end of the tables.
            let size = self.geometry.data_start.saturating_sub(self.geometry.root_start);
            let mut root = vec![0; usize::try_from(size).unwrap_or(0)];
            self.device.read(self.geometry.root_start, &mut root).await?;
            new.directory(&mut root, &mut waiting);
            let mut place = self.geometry.root_start.saturating_add(plan.shift);
            for part in root.chunks(CHUNK as usize) {
                log.add(place, part).await?;
                place = place.saturating_add(part.len() as u64);
            }
        }
        let mut cluster_of_data = vec![0; self.geometry.cluster_size as usize];
        while let Some(first) = waiting.pop() {
            let mut cluster = first;
            loop {
                self.device.read(self.cluster_offset(cluster), &mut cluster_of_data).await?;
                let more = new.directory(&mut cluster_of_data, &mut waiting);
                if plan.makes_way(cluster) {
                    // It lies in the new room already.
                    let before = u64::from(cluster.saturating_sub(2));
                    let before = before.saturating_mul(u64::from(self.geometry.cluster_size));
                    let copy = plan.old_end.saturating_add(before);
                    self.device.write(copy, &cluster_of_data).await?;
                } else {
                    log.add(self.cluster_offset(cluster), &cluster_of_data).await?;
                }
                match table.link(cluster).await? {
                    Link::Next(next) if more => cluster = next,
                    _ => break,
                }
            }
        }
        Ok(())
    }

    /// Logs the new tables and returns how many clusters are free in them.
    async fn log_tables(
        &self,
        plan: &Plan,
        table: &mut Table<'_, D>,
        log: &mut Log<'_, D>,
    ) -> Result<u32, GrowError> {
        let new = Renumber::new(&self.geometry, plan.moved);
        let kind = self.geometry.kind;
        let end = plan.clusters.saturating_add(2);
        let mut free = 0u32;
        let (mut number, mut done) = (0u32, 0u64);
        while done < plan.table_size {
            let mut values = vec![];
            for _ in 0..ENTRIES {
                let value = match number {
                    0 | 1 => table.raw(number).await?,
                    _ if number >= end => 0,
                    _ => match new.old(number) {
                        Some(old) => new.link(table.link(old).await?),
                        None => 0,
                    },
                };
                free = free.saturating_add(u32::from(number < end && value == 0));
                values.push(value);
                number = number.saturating_add(1);
            }
            let mut bytes = renumber::encode(kind, &values);
            let left = usize::try_from(plan.table_size.saturating_sub(done)).unwrap_or(usize::MAX);
            bytes.truncate(left);
            for copy in 0..u64::from(self.geometry.table_count) {
                let away = plan.table_size.saturating_mul(copy).saturating_add(done);
                log.add(self.geometry.table_start.saturating_add(away), &bytes).await?;
            }
            done = done.saturating_add(bytes.len() as u64);
        }
        Ok(free)
    }

    /// Logs FSInfo and the boot sectors, the boot sector itself last, and returns it.
    async fn log_boot_sectors(
        &self,
        plan: &Plan,
        free: u32,
        log: &mut Log<'_, D>,
    ) -> Result<vec::Vec<u8>, GrowError> {
        let sector = usize::try_from(self.geometry.bytes_per_sector).unwrap_or(512);
        let mut boot = vec![0; sector];
        if let Some(info) = self.geometry.fs_info {
            self.device.read(info, &mut boot).await?;
            set_fs_info(&mut boot, free, u32::MAX);
            log.add(info, &boot).await?;
        }
        self.device.read(self.geometry.start, &mut boot).await?;
        plan.boot_sector(&self.geometry, &mut boot);
        if let Some(backup) = self.geometry.backup_boot {
            log.add(backup, &boot).await?;
        }
        log.add(self.geometry.start, &boot).await?;
        info!("growing from {} to {} clusters", self.geometry.clusters, plan.clusters);
        Ok(boot)
    }

    /// The disk of a volume that is not used any more.
    pub fn into_device(self) -> D {
        self.device
    }
}
