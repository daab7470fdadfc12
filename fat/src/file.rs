//! Open files: reading, writing, and what waits in memory on its way to the disk or back.
pub(crate) mod attributes;
pub(crate) mod behind;
pub(crate) mod data;
pub(crate) mod flight;
pub(crate) mod io;
pub(crate) mod node;
pub(crate) mod read_ahead;
pub(crate) mod sequence;
pub(crate) mod write_back;

use crate::DeviceError;
use crate::memory::lock::Lock;
use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::vec::Vec;
use behind::Held;
use core::cell::{Cell, RefCell};
use node::Node;
use read_ahead::Reading;

/// The files that are open or not settled yet. What must hold: there is one node for each entry, so that
/// all who have a file open see the same; a node whose entry was removed is among `orphans` until its
/// clusters are given back; `held` counts all that waits in memory, which with what was read ahead is at
/// most `data_bytes` and a little.
#[derive(Debug)]
pub(crate) struct Files {
    /// By the place of their entry on the disk.
    nodes: RefCell<BTreeMap<u64, Rc<Node>>>,
    /// Files that were removed while open.
    orphans: RefCell<Vec<Rc<Node>>>,
    /// What is just being read into memory.
    reading: RefCell<Vec<Rc<Reading>>>,
    held: Rc<Held>,
    /// Held shared by what is in flight from memory to the disk.
    flying: Lock,
    /// Something that was accepted could not be written.
    lost: Cell<Option<DeviceError>>,
    data_bytes: usize,
}

impl Files {
    pub(crate) fn new(data_bytes: usize) -> Self {
        Self {
            nodes: RefCell::default(),
            orphans: RefCell::default(),
            reading: RefCell::default(),
            held: Rc::default(),
            flying: Lock::default(),
            lost: Cell::new(None),
            data_bytes,
        }
    }

    /// The file whose entry is there, if it is open or not settled yet.
    pub(crate) fn at(&self, place: u64) -> Option<Rc<Node>> {
        self.nodes.borrow().get(&place).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Rc<Node>> {
        self.nodes.borrow().values().cloned().collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.nodes.borrow().len()
    }

    /// Takes a file along whose entry has moved.
    pub(crate) fn moved(&self, from: u64, to: u64, name: [u8; 11], case: u8) {
        let node = self.nodes.borrow_mut().remove(&from);
        if let Some(node) = node {
            node.moved(to, name, case);
            self.nodes.borrow_mut().insert(to, node);
        }
    }

    /// Parts a file from its entry, if it is open: it lives on without a name. Returns whether it is.
    pub(crate) fn unlink(&self, place: u64) -> bool {
        let Some(node) = self.nodes.borrow_mut().remove(&place) else {
            return false;
        };
        node.unlink();
        self.orphans.borrow_mut().push(node);
        true
    }

    /// The files without a name that were closed meanwhile, which are forgotten here.
    pub(crate) fn take_closed_orphans(&self) -> Vec<Rc<Node>> {
        let mut orphans = self.orphans.borrow_mut();
        let (closed, open): (Vec<_>, Vec<_>) = orphans.drain(..).partition(|node| node.is_closed());
        *orphans = open;
        closed
    }

    /// How many clusters closed files without a name have.
    pub(crate) fn clusters_of_closed_orphans(&self) -> u32 {
        let orphans = self.orphans.borrow();
        let closed = orphans.iter().filter(|node| node.is_closed());
        closed.map(|node| node.clusters()).fold(0, u32::saturating_add)
    }

    /// Whether a commit must put something right of a file that was closed.
    pub(crate) fn need_settling(&self, cluster_size: u32) -> bool {
        self.orphans.borrow().iter().any(|node| node.is_closed())
            || (self.nodes.borrow().values())
                .any(|node| node.is_closed() && node.needs_settling(cluster_size))
    }

    /// Forgets the files that were closed and are settled.
    pub(crate) fn forget_settled(&self, cluster_size: u32) {
        let mut nodes = self.nodes.borrow_mut();
        nodes.retain(|_, node| !node.is_closed() || node.needs_settling(cluster_size));
    }

    /// How many runs the clusters of all files lie in.
    pub(crate) fn runs(&self) -> usize {
        let (nodes, orphans) = (self.nodes.borrow(), self.orphans.borrow());
        nodes.values().chain(orphans.iter()).map(|node| node.runs()).fold(0, usize::saturating_add)
    }

    /// What was lost since the last call.
    pub(crate) fn take_lost(&self) -> Option<DeviceError> {
        self.lost.take()
    }
}
