//! The one in-memory node that all opens of a file share.
use crate::file::behind::Behind;
use crate::file::lists::{List, Listed, Marks};
use crate::file::sequence::Sequence;
use crate::layout::dirent::Dirent;
use crate::layout::posix::Posix;
use crate::memory::lock::Lock;
use crate::space::claims::Opens;
use crate::space::extents::{Extents, Run};
use crate::tree::actor::{Actor, By};
use crate::tree::directory::Directory;
use crate::{Error, Metadata};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

/// What an open file is by now. `entry` has the newest times and attributes, but its size and first
/// cluster are those of `len` and `extents` once the node is settled.
#[derive(Debug)]
pub(crate) struct Node {
    /// Of the file's data: readers share it, a writer has it alone.
    pub(crate) lock: Lock,
    pub(crate) opens: Rc<Opens>,
    pub(crate) state: RefCell<State>,
    pub(crate) behind: Behind,
    marks: Marks,
}

#[derive(Debug)]
pub(crate) struct State {
    /// Where the entry is on the disk; nothing once it was removed.
    pub(crate) place: Option<u64>,
    pub(crate) entry: Dirent,
    pub(crate) extents: Extents,
    /// The clusters are neighbours, and the table says nothing of them.
    pub(crate) contiguous: bool,
    pub(crate) len: u64,
    /// What lies behind this byte reads as zeros, whatever the clusters hold.
    pub(crate) valid: u64,
    /// The entry on the disk is older than this.
    pub(crate) dirty: bool,
    /// The epoch whose commit shortens the chain: before it the chain must not grow.
    pub(crate) cut_in: Option<u64>,
    /// The epoch that the last cluster was allocated in.
    pub(crate) grown_in: Option<u64>,
    /// The directory that the entry is in, where the entry may have to move to grow.
    pub(crate) home: Option<Rc<Directory>>,
}

#[cfg(test)]
std::thread_local! {
    /// How often something was asked of a node, which tells what looks at all of them.
    pub(crate) static LOOKS: Cell<usize> = const { Cell::new(0) };
}

fn look() {
    #[cfg(test)]
    LOOKS.set(LOOKS.get() + 1);
}

impl Listed for Node {
    fn marks(&self) -> &Marks {
        &self.marks
    }
}

impl Node {
    pub(crate) fn new(
        place: u64,
        entry: Dirent,
        extents: Extents,
        home: Option<Rc<Directory>>,
    ) -> Rc<Self> {
        // An empty file has no clusters: those of a damaged one are given back as if it had grown.
        let surplus = entry.len() == 0 && extents.clusters() > 0;
        Rc::new(Self {
            lock: Lock::default(),
            opens: Rc::default(),
            state: RefCell::new(State {
                place: Some(place),
                entry,
                extents,
                contiguous: entry.is_contiguous(),
                len: entry.len(),
                valid: entry.valid_len(),
                dirty: surplus,
                cut_in: None,
                grown_in: surplus.then_some(0),
                home,
            }),
            behind: Behind::default(),
            marks: Marks::default(),
        })
    }

    /// Whether the chain in the table is not yet the one in memory.
    pub(crate) fn is_ahead(&self, epoch: u64) -> bool {
        look();
        let state = self.state.borrow();
        state.cut_in == Some(epoch) || state.grown_in == Some(epoch)
    }

    pub(crate) fn is_closed(&self) -> bool {
        look();
        self.opens.none()
    }

    /// Whether the entry in the cache, or the clusters of a closed file, are not what they will be.
    pub(crate) fn is_unsettled(&self, cluster_size: u32) -> bool {
        let state = self.state.borrow();
        state.dirty || state.surplus(cluster_size).is_some()
    }

    /// Whether it lost its name.
    pub(crate) fn is_orphan(&self) -> bool {
        self.state.borrow().place.is_none()
    }

    /// Whether there is something of a closed file that a commit must put right.
    pub(crate) fn needs_settling(&self, cluster_size: u32) -> bool {
        look();
        self.is_unsettled(cluster_size) || self.is_orphan() || !self.behind.is_empty()
    }

    /// Whether nothing remains to be done for it.
    pub(crate) fn is_idle(&self, cluster_size: u32, epoch: u64) -> bool {
        self.is_closed() && !self.needs_settling(cluster_size) && !self.is_ahead(epoch)
    }

    /// The clusters that hold `len` bytes at `offset`, and where among them the first byte is.
    pub(crate) fn piece(&self, offset: u64, len: usize, cluster_size: u32) -> (Extents, u64) {
        let cluster_size = u64::from(cluster_size.max(1));
        let number = |byte: u64| u32::try_from(byte / cluster_size).unwrap_or(u32::MAX);
        let last = offset.saturating_add(len as u64).saturating_sub(1);
        let to = number(last).saturating_add(1);
        (self.state.borrow().extents.slice(number(offset), to), offset % cluster_size)
    }

    /// The cluster that holds byte `offset`, where in it the byte is, and how many bytes of the file
    /// follow there on the disk.
    pub(crate) fn find(&self, offset: u64, cluster_size: u32) -> Option<(u32, u64, u64)> {
        let cluster_size = u64::from(cluster_size.max(1));
        let state = self.state.borrow();
        let (cluster, count) = state.extents.find(u32::try_from(offset / cluster_size).ok()?)?;
        let inside = offset % cluster_size;
        let there = u64::from(count).saturating_mul(cluster_size).saturating_sub(inside);
        Some((cluster, inside, there.min(state.len.saturating_sub(offset))))
    }

    /// The entry has moved to `place` and has the name that `new` has there.
    pub(crate) fn moved(&self, place: u64, new: &Dirent, home: Option<Rc<Directory>>) {
        let mut state = self.state.borrow_mut();
        state.place = Some(place);
        state.home = home;
        state.entry.take_name(new);
    }

    /// The entry is gone.
    pub(crate) fn unlink(&self) {
        let mut state = self.state.borrow_mut();
        (state.place, state.home) = (None, None);
    }

    /// The entry as the disk should have it.
    pub(crate) fn settled(&self) -> Dirent {
        self.state.borrow().settled()
    }

    /// The clusters of a file without a name, which has none from now on.
    pub(crate) fn take_clusters(&self) -> Vec<Run> {
        self.state.borrow_mut().extents.truncate(0)
    }

    pub(crate) fn clusters(&self) -> u32 {
        look();
        self.state.borrow().extents.clusters()
    }

    /// How many runs its clusters lie in.
    pub(crate) fn runs(&self) -> usize {
        look();
        self.state.borrow().extents.runs().len()
    }

    pub(crate) fn metadata(&self) -> Metadata {
        let state = self.state.borrow();
        let metadata = Metadata::new(&state.entry, state.place.unwrap_or(0));
        Metadata { len: state.len, is_dir: false, ..metadata }
    }
}

/// How many clusters so many bytes take.
pub(crate) fn clusters(len: u64, cluster_size: u32) -> u32 {
    u32::try_from(len.div_ceil(cluster_size.max(1).into())).unwrap_or(u32::MAX)
}

impl State {
    /// The file has `len` bytes now. What it gained is valid, or zeros.
    pub(crate) fn set_len(&mut self, len: u64, valid: u64) {
        self.len = len;
        self.valid = valid.min(len);
    }

    /// How many clusters to keep, when the file has more than it needs because it grew.
    pub(crate) fn surplus(&self, cluster_size: u32) -> Option<u32> {
        let needed = clusters(self.len, cluster_size);
        (self.grown_in.is_some() && self.extents.clusters() > needed).then_some(needed)
    }

    /// The entry as the disk should have it.
    pub(crate) fn settled(&self) -> Dirent {
        self.settled_as(self.entry)
    }

    /// As `settled`, with what `entry` says else.
    pub(crate) fn settled_as(&self, mut entry: Dirent) -> Dirent {
        // An empty file has no clusters; what was allocated for it comes to light with its size.
        let first = if self.len == 0 { 0 } else { self.extents.first() };
        entry.set_data(first, self.len, self.valid, self.contiguous);
        entry
    }
}

/// How to open a file.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenOptions {
    pub read: bool,
    pub write: bool,
    /// Create the file when it is missing.
    pub create: bool,
    /// Create the file; it must not exist.
    pub create_new: bool,
    /// Make an existing file empty; needs `write`.
    pub truncate: bool,
    /// What a file that is made gets, on a volume that keeps it, and what one without an entry for it has.
    pub posix: Option<(Posix, Posix)>,
}

/// An open file; dropping it closes it. What `write` left in memory reaches the disk with the next
/// `sync`.
#[derive(Debug)]
pub struct File {
    pub(crate) node: Rc<Node>,
    pub(crate) read: bool,
    pub(crate) write: bool,
    /// Who has it open, when that one may change less than everything.
    pub(crate) by: Option<Rc<Actor>>,
    /// Failures of writing behind that it has reported, or that happened before it was opened.
    failures: Cell<u32>,
    pub(crate) sequence: Cell<Sequence>,
    /// Where it is noted when nobody has it open any more.
    closing: Rc<List<Node>>,
}

impl File {
    pub(crate) fn new(
        node: Rc<Node>,
        options: &OpenOptions,
        by: By<'_>,
        closing: Rc<List<Node>>,
    ) -> Self {
        node.opens.add();
        let failures = Cell::new(node.behind.failures());
        let (read, write) = (options.read, options.write);
        let by = by.cloned();
        Self { node, read, write, by, failures, sequence: Cell::default(), closing }
    }

    /// Fails once when something that was accepted since the last call could not be written.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let seen = self.failures.replace(self.node.behind.failures());
        match self.node.behind.failed_since(seen) {
            Some(error) if self.write => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Closes the file, and says when something that was accepted could not be written. What is
    /// still held may fail later, which `Volume::sync` tells.
    pub fn close(self) -> Result<(), Error> {
        self.check()
    }

    /// Whether both are opens of one file, by whatever names.
    pub fn is_same_as(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.node, &other.node)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        self.node.opens.remove();
        if self.node.is_closed() {
            self.closing.add(&self.node);
        }
    }
}
