//! Directories: listing, looking up, paths, creating, removing, renaming, attributes, the system folder's records.
pub(crate) mod actor;
pub(crate) mod dir;
pub(crate) mod directory;
pub(crate) mod index;
pub(crate) mod link;
pub(crate) mod lookup;
pub(crate) mod namespace;
pub(crate) mod path;
pub(crate) mod posix;
pub(crate) mod record;
pub(crate) mod rename;
pub(crate) mod sets;
pub(crate) mod slots;
pub(crate) mod system;

use crate::layout::case::Case;
use crate::layout::dirent::Dirent;
use actor::Actors;
use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::string::String;
use core::cell::{Cell, OnceCell, RefCell};
use directory::Directory;
use lookup::Found;

/// The directories that are remembered. What must hold: there is one `Directory` for each first
/// cluster, so that all who are in it see it grow and go; one that grew in this commit stays, because
/// the disk does not know all of its chain yet.
#[derive(Debug)]
pub(crate) struct Tree {
    directories: RefCell<BTreeMap<u32, Rc<Directory>>>,
    /// Counts uses, which say what was not used for longest.
    clock: Cell<u64>,
    label: RefCell<String>,
    /// Set once, at mount.
    case: OnceCell<Case>,
    /// Modes, owners and links are kept.
    posix: Cell<bool>,
    pub(crate) actors: Actors,
}

impl Tree {
    pub(crate) fn new(label: String) -> Self {
        Self {
            directories: RefCell::default(),
            clock: Cell::new(0),
            label: RefCell::new(label),
            case: OnceCell::new(),
            posix: Cell::new(false),
            actors: Actors::default(),
        }
    }

    /// The volume's label.
    pub(crate) fn label(&self) -> String {
        self.label.borrow().clone()
    }

    pub(crate) fn set_label(&self, label: String) {
        *self.label.borrow_mut() = label;
    }

    /// Which names are the same.
    pub(crate) fn case(&self) -> &Case {
        self.case.get_or_init(Case::default)
    }

    /// To be called before any name is looked up.
    pub(crate) fn set_case(&self, case: Case) {
        // The first one stays: names that were hashed another way would not be found again.
        let _ = self.case.set(case);
    }

    /// A directory's entry is elsewhere.
    pub(crate) fn moved(&self, new: &Found) {
        let wide = matches!(new.entry, Dirent::ExFat(_));
        if let Some(directory) = self.directories.borrow().get(&new.entry.cluster(wide)) {
            directory.spot.set(Some(new.spot()));
        }
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
