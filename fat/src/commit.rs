//! The order in which changes reach the disk, the journal, and what a power cut leaves.
pub(crate) mod change;
pub(crate) mod journal;
pub(crate) mod order;
pub(crate) mod state;

use crate::memory::lock::Lock;
use core::cell::{Cell, RefCell};
use journal::Journal;

/// How far changes have come on their way to the disk. What must hold: the disk says that the volume is
/// in use before anything else of it changes, and until all is on the disk; what is read-only stays so;
/// `epoch` goes on with each commit that succeeded, so that what was allocated in this one is told from
/// what the disk knows.
#[derive(Debug)]
pub(crate) struct Commit {
    now: Cell<u64>,
    /// How far FAT's local time is ahead of UTC, in seconds.
    ahead: i64,
    changed_since: Cell<Option<u64>>,
    /// Whether the dirty bits on the disk say that the volume is in use.
    marked: Cell<bool>,
    /// Held by the one sync that is under way.
    syncing: Lock,
    /// Counts commits.
    epoch: Cell<u64>,
    /// Commits begun, and the last of them that succeeded.
    begun: Cell<u64>,
    committed: Cell<u64>,
    journal: RefCell<Option<Journal>>,
    damaged: Cell<bool>,
    read_only: Cell<Option<&'static str>>,
}

impl Commit {
    /// `read_only` says why nothing may be changed, if that is so; `ahead` how far stamps are ahead of UTC,
    /// in seconds.
    pub(crate) fn new(read_only: Option<&'static str>, ahead: i64) -> Self {
        Self {
            now: Cell::new(0),
            ahead,
            changed_since: Cell::new(None),
            marked: Cell::new(false),
            syncing: Lock::default(),
            epoch: Cell::new(1),
            begun: Cell::new(0),
            committed: Cell::new(0),
            journal: RefCell::new(None),
            damaged: Cell::new(false),
            read_only: Cell::new(read_only),
        }
    }
}
