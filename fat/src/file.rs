//! Open files: reading, writing, and what waits in memory on its way to the disk or back.
pub(crate) mod attributes;
pub(crate) mod behind;
pub(crate) mod data;
pub(crate) mod flight;
pub(crate) mod io;
pub(crate) mod lists;
pub(crate) mod node;
pub(crate) mod read_ahead;
pub(crate) mod sequence;
#[cfg(test)]
mod steady;
pub(crate) mod write_back;

use crate::DeviceError;
use crate::layout::dirent::Dirent;
use crate::memory::lock::Lock;
use crate::tree::directory::Directory;
use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::vec::Vec;
use behind::Held;
use core::cell::{Cell, RefCell};
use lists::{For, List};
use node::Node;
use read_ahead::Reading;

/// The files that are open or not settled yet. What must hold: there is one node for each entry, so that
/// all who have a file open see the same; a node whose entry was removed is among `orphans` until its
/// clusters are given back; `held` counts all that waits in memory, which with what was read ahead is at
/// most `data_bytes` and a little; whose bytes wait is in `writing`, who must be settled in `settling` or, when
/// it was just closed, in `closing`. So what is done for one file does not depend on how many there are.
#[derive(Debug)]
pub(crate) struct Files {
    /// By the place of their entry on the disk.
    nodes: RefCell<BTreeMap<u64, Rc<Node>>>,
    /// Files that were removed while open.
    orphans: RefCell<Vec<Rc<Node>>>,
    pub(crate) closing: Rc<List<Node>>,
    pub(crate) settling: List<Node>,
    /// Closed files that nothing remains to be done for, some of which are kept in case they are opened again.
    idle: List<Node>,
    writing: List<Node>,
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
            closing: Rc::new(List::new(For::Closing)),
            settling: List::new(For::Settling),
            idle: List::new(For::Forgetting),
            writing: List::new(For::Writing),
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

    pub(crate) fn len(&self) -> usize {
        self.nodes.borrow().len()
    }

    /// Takes a file along whose entry has moved.
    pub(crate) fn moved(&self, from: u64, to: u64, entry: &Dirent, home: Option<Rc<Directory>>) {
        let node = self.nodes.borrow_mut().remove(&from);
        if let Some(node) = node {
            node.moved(to, entry, home);
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
        let waits = |node: &Rc<Node>| node.is_closed() && node.needs_settling(cluster_size);
        self.orphans.borrow().iter().any(|node| node.is_closed())
            || self.closing.any(waits)
            || self.settling.any(waits)
    }

    /// How many files wait to be settled, those without a name included.
    pub(crate) fn unsettled(&self) -> usize {
        self.settling.len().saturating_add(self.orphans.borrow().len())
    }

    /// Forgets the closed files that nothing remains to be done for, but for the last `most` of them.
    pub(crate) fn forget_idle(&self, most: usize, cluster_size: u32, epoch: u64) {
        while let Some(node) = self.closing.take() {
            if node.is_idle(cluster_size, epoch) {
                self.idle.add(&node);
            } else if node.is_closed() && node.is_unsettled(cluster_size) {
                self.settling.add(&node);
            }
        }
        let mut nodes = self.nodes.borrow_mut();
        while self.idle.len() > most
            && let Some(node) = self.idle.take()
        {
            // A commit may have forgotten it already, and somebody may have opened the file anew.
            let place = node.state.borrow().place.filter(|place| {
                nodes.get(place).is_some_and(|there| Rc::ptr_eq(there, &node))
                    && node.is_idle(cluster_size, epoch)
            });
            if let Some(place) = place {
                nodes.remove(&place);
            }
        }
    }

    /// Forgets the files that were closed and are settled, when a commit has done all for them.
    pub(crate) fn forget_settled(&self, cluster_size: u32) {
        self.idle.clear();
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
