//! Directories: listing, looking up, paths, creating, removing, renaming, attributes, the system folder's records.
pub(crate) mod dir;
pub(crate) mod directory;
pub(crate) mod index;
pub(crate) mod lookup;
pub(crate) mod namespace;
pub(crate) mod path;
pub(crate) mod record;
pub(crate) mod rename;
pub(crate) mod slots;

use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use core::cell::{Cell, RefCell};
use directory::Directory;

/// The directories that are remembered. What must hold: there is one `Directory` for each first
/// cluster, so that all who are in it see it grow and go; one that grew in this commit stays, because
/// the disk does not know all of its chain yet.
#[derive(Debug)]
pub(crate) struct Tree {
    directories: RefCell<BTreeMap<u32, Rc<Directory>>>,
    /// Counts uses, which say what was not used for longest.
    clock: Cell<u64>,
    label: Cell<[u8; 11]>,
}

impl Tree {
    pub(crate) fn new(label: [u8; 11]) -> Self {
        Self { directories: RefCell::default(), clock: Cell::new(0), label: Cell::new(label) }
    }

    /// The volume's label, padded.
    pub(crate) fn label(&self) -> [u8; 11] {
        self.label.get()
    }

    pub(crate) fn set_label(&self, label: [u8; 11]) {
        self.label.set(label);
    }

    /// How many runs the clusters of all directories lie in.
    pub(crate) fn runs(&self) -> usize {
        let directories = self.directories.borrow();
        directories.values().map(|directory| directory.runs()).fold(0, usize::saturating_add)
    }

    /// Forgets everything: somebody wrote to directories past them.
    pub(crate) fn forget_all(&self) {
        self.directories.borrow_mut().clear();
    }

    /// Forgets directories that nobody uses and that the disk knows all of.
    pub(crate) fn forget_unused(&self, epoch: u64) {
        self.directories.borrow_mut().retain(|_, directory| {
            Rc::strong_count(directory) > 1 || directory.has_grown_in(epoch)
        });
    }
}
