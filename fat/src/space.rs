//! Which clusters are free, how they chain, and what a growing file gets.
pub(crate) mod allocation;
pub(crate) mod bitmap;
pub(crate) mod claims;
pub(crate) mod count;
pub(crate) mod extents;
pub(crate) mod pending;
pub(crate) mod runs;
pub(crate) mod table;

use crate::memory::lock::Lock;
use alloc::vec::Vec;
use claims::Claim;
use core::cell::{Cell, RefCell};
use count::Count;
use extents::Extents;
use pending::Pending;

/// What is known of a volume's clusters besides the table. What must hold: a cluster that something on
/// the disk refers to is never free in the cached table, so what is given up waits in `pending` until a
/// commit has taken the reference away; `free` is never more than the table has, once it is counted.
#[derive(Debug)]
pub(crate) struct Clusters {
    free: Cell<u32>,
    /// Whether `free` was counted, or is what the FSInfo sector says.
    counted: Cell<bool>,
    /// A count that is under way.
    count: Cell<Option<Count>>,
    /// Held by who counts while others go on.
    pub(crate) counting: Lock,
    /// Where the next search begins.
    next: Cell<u32>,
    claims: RefCell<Vec<Claim>>,
    /// Where exFAT's bitmap is, and its length in bytes.
    bitmap: RefCell<(Extents, u64)>,
    pending: RefCell<Pending>,
    /// The bound of runs in memory, in bytes.
    extent_bytes: usize,
    /// Of chains that are being read.
    runs_read: Cell<usize>,
}

impl Clusters {
    pub(crate) fn new(extent_bytes: usize) -> Self {
        Self {
            free: Cell::new(0),
            counted: Cell::new(false),
            count: Cell::new(None),
            counting: Lock::default(),
            next: Cell::new(2),
            claims: RefCell::default(),
            bitmap: RefCell::default(),
            pending: RefCell::default(),
            extent_bytes,
            runs_read: Cell::new(0),
        }
    }

    /// How many clusters are free now.
    pub(crate) fn free(&self) -> u32 {
        self.free.get()
    }

    /// How many more are free after the next two commits.
    pub(crate) fn soon_free(&self) -> u32 {
        self.pending.borrow().clusters()
    }

    /// How many pieces wait for a commit.
    pub(crate) fn pending(&self) -> usize {
        self.pending.borrow().len()
    }

    /// Where the next search for a free cluster begins.
    pub(crate) fn next(&self) -> u32 {
        self.next.get()
    }

    /// Takes somebody else's word for how many clusters are free.
    pub(crate) fn believe(&self, free: u32) {
        self.free.set(free);
    }

    /// Notes that free clusters have an owner now.
    pub(crate) fn take(&self, first: u32, count: u32) {
        self.free.set(self.free.get().saturating_sub(count));
        self.count.set(self.count.get().map(|going_on| going_on.take(first, count)));
    }

    /// Notes that some of `clusters` clusters have become free.
    pub(crate) fn give(&self, first: u32, count: u32, clusters: u32) {
        self.free.set(self.free.get().saturating_add(count).min(clusters));
        self.count.set(self.count.get().map(|going_on| going_on.give(first, count)));
    }

    /// Whether the number of free clusters is that of the table.
    pub(crate) fn is_counted(&self) -> bool {
        self.counted.get()
    }

    pub(crate) fn begin_count(&self) {
        self.count.set(Some(Count::begin()));
    }

    /// Notes how many clusters are free, which was counted.
    pub(crate) fn end_count(&self, free: u32) {
        self.count.set(None);
        self.free.set(free);
        self.counted.set(true);
    }

    /// The next search begins there.
    pub(crate) fn search_from(&self, cluster: u32) {
        self.next.set(cluster);
    }
}
