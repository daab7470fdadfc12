//! Making changes durable, in an order that no power cut can turn into damage.
//!
//! 1. What is held of files is written. Table sectors are written, which hold new chains, and all is flushed.
//! 2. Chains that the disk knows are linked to the new clusters they grew by. Flush.
//! 3. Directory sectors go to the journal when they are more than one. Flush.
//! 4. Directory sectors are written in place and flushed.
//! 5. Only now the table is changed where no entry on the disk refers to it any more: freed
//!    clusters and the ends of shortened chains, which the next commit writes. What such a chain
//!    loses is freed one commit later.
//!
//! So a cut leaves at worst clusters that nobody uses, a chain longer than its file, or half of FAT12's
//! entry that ends it, and nothing is used again while the disk says that it is something else's.
use crate::file::io::IDLE_NODES;
use crate::file::node::File;
use crate::memory::cache::Class;
use crate::{BlockDevice, Error, Volume};

impl<D: BlockDevice> Volume<D> {
    /// Returns when everything done before the call survives a power cut. Fails also when something
    /// that was accepted could not be written.
    pub async fn sync(&self) -> Result<(), Error> {
        let synced = self.sync_changes().await;
        let lost = self.report_lost();
        synced.and(lost)
    }

    /// Returns when everything done to this file before the call survives a power cut.
    pub async fn sync_file(&self, file: &File) -> Result<(), Error> {
        // Writes under way were asked for before.
        drop(file.node.lock.shared().await);
        self.sync_changes().await?;
        file.check()
    }

    async fn sync_changes(&self) -> Result<(), Error> {
        /// So many bytes take their time to become durable.
        const MANY: u64 = 1 << 20;
        let begun = self.commit.begun.get();
        let _turn = self.commit.syncing.exclusive().await;
        // One commit serves all who waited for the one before it.
        if self.commit.committed.get() > begun || self.is_synced() {
            return Ok(());
        }
        // Others go on meanwhile; what is left to do while the lock is held is short.
        self.write_behind().await;
        if self.memory.unflushed_bytes() > MANY {
            self.flush().await?;
        }
        let _lock = self.memory.lock.exclusive().await;
        self.commit().await
    }

    /// Whether all is durable. A commit that is under way has taken what there is to do, and one that failed
    /// has not done it.
    fn is_synced(&self) -> bool {
        let is_over = self.commit.committed.get() == self.commit.begun.get();
        is_over && self.unsynced_since().is_none() && !self.is_unflushed()
    }

    fn report_lost(&self) -> Result<(), Error> {
        self.files.take_lost().map_or(Ok(()), |error| Err(error.into()))
    }

    /// Makes everything durable and marks the volume clean. It can be used on: the next change
    /// marks it again.
    pub async fn unmount(&self) -> Result<(), Error> {
        let _lock = self.memory.lock.exclusive().await;
        if !self.commit.marked.get() {
            return Ok(());
        }
        self.commit().await?;
        if self.space.soon_free() > 0 {
            self.commit().await?;
        }
        self.write_dirty(Class::Table).await?;
        self.clear_journal().await?;
        if self.is_unflushed() {
            self.flush().await?;
        }
        self.unmark().await?;
        self.report_lost()
    }

    /// Goes through the steps above. The lock is held exclusively.
    pub(crate) async fn commit(&self) -> Result<(), Error> {
        // A write that is under way now may note a newer change.
        let since = self.commit.changed_since.take();
        let number = self.commit.begun.get().wrapping_add(1);
        self.commit.begun.set(number);
        let result = self.try_commit().await;
        match since {
            _ if result.is_ok() => self.commit.committed.set(number),
            Some(_) => self.commit.changed_since.set(since),
            None => {}
        }
        result
    }

    async fn try_commit(&self) -> Result<(), Error> {
        let settled = self.settle().await;
        // Also when directories cannot be read.
        self.write_behind().await;
        settled?;
        self.clear_journal().await?;
        self.write_dirty(Class::Table).await?;
        if self.is_unflushed() {
            self.flush().await?;
        }
        if self.apply_links().await? {
            // Before the journal: replaying it must not show sizes without their clusters.
            self.flush().await?;
        }
        if self.write_journal().await? {
            self.flush().await?;
        }
        if self.memory.cache.dirty_count(Class::Directory) > 0 {
            self.write_dirty(Class::Directory).await?;
            self.flush().await?;
        }
        self.commit.epoch.set(self.epoch().wrapping_add(1));
        self.apply_frees().await?;
        self.files.forget_settled(self.geometry.cluster_size);
        Ok(())
    }

    /// Writes what open files know to the cached directory sectors, and gives back what closed ones
    /// do not need.
    pub(crate) async fn settle(&self) -> Result<(), Error> {
        self.sweep_orphans();
        self.drop_claims();
        self.drop_idle_nodes(IDLE_NODES);
        // Others may write meanwhile to what they have open.
        for _ in 0..self.files.settling.len() {
            let Some(node) = self.files.settling.take() else {
                break;
            };
            let write = {
                let mut state = node.state.borrow_mut();
                if node.is_closed() && state.surplus(self.geometry.cluster_size).is_some() {
                    self.cut(&mut state);
                }
                let dirty = core::mem::take(&mut state.dirty);
                state.place.filter(|_| dirty).map(|place| (place, state.settled()))
            };
            if let Some((place, entry)) = write
                && let Err(error) = self.write_entry(place, &entry).await
            {
                self.soil(&node, &mut node.state.borrow_mut());
                return Err(error);
            }
            if node.is_closed() {
                self.files.closing.add(&node);
            }
        }
        self.drop_idle_nodes(IDLE_NODES);
        Ok(())
    }
}
