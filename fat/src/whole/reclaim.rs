//! Repairing what a power cut leaves: clusters that the table has in use and nothing refers to,
//! chains longer than their file, half of an entry of FAT12 at their end, empty files with clusters,
//! copies of the table that are older than the first.
//!
//! The whole tree is followed first, past the cache. Whatever a power cut cannot leave ends the
//! repair before anything is changed. Then, each step flushed before the next, so that a further
//! cut leaves what the next mount repairs: the copies, the ends of chains and the entries of empty
//! files, the free clusters.
pub(crate) mod walk;

use crate::memory::cache::Class;
use crate::space::table::END;
use crate::whole::check::table::Link;
use crate::{BlockDevice, Error, Volume};
use alloc::vec;
use walk::{Stop, Walk};

/// How much of the copies of the table is compared at once.
const COMPARED: u64 = 32 << 10;

impl<D: BlockDevice> Volume<D> {
    /// Repairs a volume that was not unmounted, before anything else uses it. From then on it counts
    /// as in use, so that unmounting marks it clean.
    pub(crate) async fn reclaim(&self) -> Result<(), Error> {
        let mut walk = match Walk::take(&self.device, &self.geometry, self.memory.walk_bytes).await
        {
            Ok(walk) => walk,
            // What can be read is served.
            Err(Stop::Device(error)) => {
                log::warn!("the volume is not repaired, part of it cannot be read: {error}");
                return Ok(());
            }
            Err(Stop::Unfit(why)) => {
                log::warn!("the volume is not repaired, fsck.fat may do it: {why}");
                return Ok(());
            }
        };
        self.mark().await?;
        self.equalize_tables().await?;
        for last in &walk.ends {
            self.set_entry(*last, END).await?;
            self.relieve().await?;
        }
        self.write_dirty(Class::Table).await?;
        for place in &walk.empty {
            let mut entry = self.read_entry(*place).await?;
            entry.set_cluster(0);
            self.write_slot(*place, &entry).await?;
            self.write_dirty(Class::Directory).await?;
        }
        self.flush().await?;
        let mut reclaimed = 0u32;
        for cluster in 2..=self.geometry.clusters.saturating_add(1) {
            if walk.owned.has(cluster)
                || matches!(walk.table.link(cluster).await?, Link::Free | Link::Bad)
            {
                continue;
            }
            self.set_entry(cluster, 0).await?;
            self.relieve().await?;
            reclaimed = reclaimed.saturating_add(1);
        }
        self.write_dirty(Class::Table).await?;
        self.unmark_backup().await?;
        self.flush().await?;
        log::info!("reclaimed {reclaimed} clusters after the power cut");
        Ok(())
    }

    /// Makes the other tables what the first one is, by which the volume was found to be whole.
    async fn equalize_tables(&self) -> Result<(), Error> {
        let start = self.geometry.table_start;
        let mut changed = false;
        for away in self.table_copies().into_iter().skip(1) {
            let mut done = 0u64;
            while done < self.geometry.table_size {
                let length = self.geometry.table_size.saturating_sub(done).min(COMPARED);
                let mut first = vec![0; usize::try_from(length).unwrap_or(0)];
                let mut copy = first.clone();
                let at = start.saturating_add(done);
                self.device.read(at, &mut first).await?;
                self.device.read(at.saturating_add(away), &mut copy).await?;
                if first != copy {
                    self.write_through(at.saturating_add(away), &first).await?;
                    changed = true;
                }
                done = done.saturating_add(length);
            }
        }
        if changed { self.flush().await } else { Ok(()) }
    }
}
