//! Repairing what a power cut leaves: clusters that the table has in use and nothing refers to,
//! chains longer than their file, half of an entry of FAT12 at their end, empty files with clusters,
//! copies of the table that are older than the first.
//!
//! The whole tree is followed first, past the cache. Whatever a power cut cannot leave ends the
//! repair before anything is changed. Then, each step flushed before the next, so that a further
//! cut leaves what the next mount repairs: the ends of chains and the entries of empty files, the free
//! clusters and the copies.
//!
//! Each table is read once: the walk notes of each page that it reads how much is free and in use there,
//! and whether the copies agree. What it did not read, or what must change, is read then; and the free
//! clusters are counted with it.
mod notes;
mod sets;
pub(crate) mod walk;

use crate::memory::cache::Class;
use crate::space::table::END;
use crate::whole::check::table::Link;
use crate::{BlockDevice, Error, FatKind, Volume};
use walk::{Stop, Walk};

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
                log::warn!("the volume is not repaired, fsck may do it: {why}");
                return Ok(());
            }
        };
        self.mark().await?;
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
        if self.is_exfat() {
            return self.reclaim_bits(&mut walk).await;
        }
        let (mut free, mut reclaimed) = (0u32, 0u32);
        for page in 0..walk.copies.pages() {
            let noted = walk.notes.get(page);
            let owned = walk.owned.count(walk.table.clusters_of(page));
            // What is in use has an owner. (Of FAT12 a half entry may look free and have one.)
            let is_whole = noted.read && !noted.differs && u32::from(noted.used) == owned;
            if is_whole && self.geometry.kind != FatKind::Fat12 {
                free = free.saturating_add(noted.free.into());
                continue;
            }
            let more = self.sweep(&walk, page).await?;
            free = free.saturating_add(more.0);
            reclaimed = reclaimed.saturating_add(more.1);
        }
        self.write_dirty(Class::Table).await?;
        self.unmark_backup().await?;
        self.flush().await?;
        self.space.end_count(free.saturating_add(reclaimed));
        log::info!("reclaimed {reclaimed} clusters after the power cut");
        Ok(())
    }

    /// Makes exFAT's bitmap say what was found. What is in use without its bit, as other systems may leave
    /// it, would be given to two files.
    async fn reclaim_bits(&self, walk: &mut Walk<'_, D>) -> Result<(), Error> {
        let end = self.geometry.clusters.saturating_add(2);
        let (mut cluster, mut reclaimed, mut missing) = (2u32, 0u32, 0u32);
        while cluster < end {
            let (base, at, ahead) = self.bit_line(cluster)?;
            let bytes = |line: &[u8]| line.get(at..).unwrap_or_default().to_vec();
            for byte in self.line(base, ahead, bytes).await? {
                for bit in 0..8 {
                    let (used, owned) = (byte >> bit & 1 != 0, walk.owned.has(cluster));
                    let there = cluster < end && used != owned;
                    if there && (owned || walk.table.link(cluster).await? != Link::Bad) {
                        self.set_bits(cluster, 1, owned).await?;
                        reclaimed = reclaimed.saturating_add(used.into());
                        missing = missing.saturating_add(owned.into());
                    }
                    cluster = cluster.saturating_add(1);
                }
            }
        }
        self.write_dirty(Class::Table).await?;
        self.flush().await?;
        log::info!("reclaimed {reclaimed} clusters after the power cut");
        if missing > 0 {
            log::warn!("{missing} clusters of files counted as free: they do no longer");
        }
        Ok(())
    }

    /// Makes the copies of a page of the table what it is, by which the volume was found to be whole, and
    /// frees what has no owner there. Returns how many clusters were free, and how many more are now.
    async fn sweep(&self, walk: &Walk<'_, D>, page: u64) -> Result<(u32, u32), Error> {
        let (noted, place) = (walk.notes.get(page), walk.copies.place(page));
        let bytes = walk.copies.read(page).await?;
        let differs = match noted.read {
            true => noted.differs,
            false => walk.copies.differ(page, &bytes).await?,
        };
        if differs {
            for away in &walk.copies.away {
                self.write_through(place.saturating_add(*away), &bytes).await?;
            }
        }
        let (mut free, mut reclaimed) = (0u32, 0u32);
        for (cluster, link) in walk.table.links_of(page, &bytes) {
            match link {
                Link::Free => free = free.saturating_add(1),
                Link::Bad => {}
                _ if walk.owned.has(cluster) => {}
                _ => {
                    if reclaimed == 0 {
                        self.remember(place, &bytes);
                    }
                    self.set_entry(cluster, 0).await?;
                    self.relieve().await?;
                    reclaimed = reclaimed.saturating_add(1);
                }
            }
        }
        Ok((free, reclaimed))
    }
}
