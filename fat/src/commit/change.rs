//! What every change goes through: whether it may be, the mark on the disk, and room for it in memory.
use crate::commit::journal::Journal;
use crate::file::io::IDLE_NODES;
use crate::layout::metadata::Metadata;
use crate::memory::cache::Class;
use crate::memory::lock::Guard;
use crate::tree::actor::By;
use crate::{BlockDevice, Error, Volume};

/// When more files than this wait to be settled, they are.
const UNSETTLED: usize = 64;

impl<D: BlockDevice> Volume<D> {
    /// Why the volume cannot be written, if it cannot.
    pub fn read_only(&self) -> Option<&'static str> {
        self.commit.read_only.get()
    }

    /// Sets the clock that all time stamps come from, in Unix seconds.
    pub fn set_time(&self, unix_seconds: u64) {
        self.commit.now.set(unix_seconds);
    }

    /// The clock, in Unix seconds.
    pub fn now(&self) -> u64 {
        self.commit.now.get()
    }

    /// What a stamp on the disk says at a time in Unix seconds.
    pub(crate) fn to_stamp(&self, unix: u64) -> u64 {
        unix.saturating_add_signed(self.commit.ahead)
    }

    /// What a stamp on the disk says now.
    pub(crate) fn stamp(&self) -> u64 {
        self.to_stamp(self.now())
    }

    /// Metadata with stamps as the disk says them, in Unix seconds.
    pub(crate) fn in_utc(&self, metadata: Metadata) -> Metadata {
        let utc = |stamp: u64| stamp.saturating_add_signed(self.commit.ahead.saturating_neg());
        Metadata {
            modified: utc(metadata.modified),
            accessed: utc(metadata.accessed),
            created: utc(metadata.created),
            posix: metadata.posix.filter(|_| self.keeps_posix()),
            ..metadata
        }
    }

    /// The time of the oldest change that a power cut would lose, in Unix seconds.
    pub fn unsynced_since(&self) -> Option<u64> {
        let closed = || {
            self.drop_idle_nodes(IDLE_NODES);
            self.files.need_settling(self.geometry.cluster_size)
        };
        let now = || (self.commit.marked.get() && closed()).then(|| self.now());
        self.commit.changed_since.get().or_else(now)
    }

    /// The number of this commit.
    pub(crate) fn epoch(&self) -> u64 {
        self.commit.epoch.get()
    }

    /// From now on nothing is changed any more.
    pub(crate) fn stop_writing(&self, why: &'static str) {
        self.commit.read_only.set(Some(why));
    }

    /// As `stop_writing`, unless there is a reason already.
    pub(crate) fn keep_from_writing(&self, why: &'static str) {
        if self.commit.read_only.get().is_none() {
            self.stop_writing(why);
        }
    }

    pub(crate) fn note_change(&self) {
        if self.commit.changed_since.get().is_none() {
            self.commit.changed_since.set(Some(self.now()));
        }
    }

    pub(crate) fn writable(&self) -> Result<(), Error> {
        if self.commit.read_only.get().is_some() { Err(Error::ReadOnly) } else { Ok(()) }
    }

    /// Notes that the disk contradicts itself: from now on nothing is changed any more.
    pub(crate) fn damage(&self, what: &'static str) -> Error {
        self.commit.damaged.set(true);
        if self.commit.read_only.get().is_none() {
            log::error!("the volume is damaged and is read-only from now on: {what}");
            self.commit.read_only.set(Some(what));
        }
        Error::Damaged(what)
    }

    /// Begins a structural change: the only change until the guard is dropped.
    pub(crate) async fn change(&self) -> Result<Guard<'_>, Error> {
        self.change_by(None).await
    }

    /// As `change`, on behalf of one who may change less than everything.
    pub(crate) async fn change_by(&self, by: By<'_>) -> Result<Guard<'_>, Error> {
        self.writable()?;
        let guard = self.memory.lock.exclusive().await;
        self.tree.actors.begin(by);
        self.writable()?;
        self.mark().await?;
        self.make_room().await?;
        self.note_change();
        Ok(guard)
    }

    /// Settles files when there are many that need it: also those that are only written over and closed.
    pub(crate) async fn settle_some(&self) -> Result<(), Error> {
        if self.files.unsettled() > UNSETTLED {
            drop(self.change().await?);
        }
        Ok(())
    }

    /// Keeps what waits for a commit within its bounds. The lock is held exclusively.
    async fn make_room(&self) -> Result<(), Error> {
        /// Directory sectors that one operation may change.
        const ONE_OPERATION: usize = 24;
        let directory = self.memory.cache.dirty_count(Class::Directory);
        let journal = self.commit.journal.borrow().as_ref().map(Journal::capacity);
        let most = journal.unwrap_or(usize::MAX).min((self.memory.cache.capacity() / 4).max(64));
        if self.files.unsettled() > UNSETTLED.min(most / 2) {
            self.settle().await?;
        }
        // A set of exFAT may lie in two sectors.
        let open = self.files.len().saturating_mul(if self.is_exfat() { 2 } else { 1 });
        let pieces = self.space.pending();
        // Each open file may add the sectors of its entry.
        if directory.saturating_add(open.min(most / 2)).saturating_add(ONE_OPERATION) > most
            || pieces > 10_000
        {
            self.commit().await?;
        }
        self.relieve().await
    }
}
