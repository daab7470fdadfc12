//! The open files and directories of one session.
use crate::files::{Files, OpenFlags};
use crate::status::{Status, StatusCode};
use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::string::String;
use core::cell::{Cell, RefCell};

const TOO_MANY: Status = Status::new(StatusCode::Failure, "too many open handles");
const TOO_MANY_OF_ALL: Status =
    Status::new(StatusCode::Failure, "all clients together have too much open");
const NOT_A_FILE: Status = Status::new(StatusCode::Failure, "the handle is of a directory");
const NOT_A_DIRECTORY: Status = Status::new(StatusCode::Failure, "the handle is of a file");

/// Of a file with what the volume keeps of it, or of a directory without its path, which is kept twice.
const COST: usize = 1024;

pub(crate) struct OpenFile<F: Files> {
    pub(crate) file: F::File,
    pub(crate) flags: OpenFlags,
}

pub(crate) struct OpenDir<F: Files> {
    pub(crate) dir: F::Dir,
    pub(crate) path: String,
    /// All entries have been told.
    pub(crate) ended: Cell<bool>,
}

/// Counted, so that an operation keeps what it works on when the handle is closed meanwhile.
pub(crate) enum Open<F: Files> {
    File(Rc<OpenFile<F>>),
    Dir(Rc<OpenDir<F>>),
}

impl<F: Files> Clone for Open<F> {
    fn clone(&self) -> Self {
        match self {
            Self::File(file) => Self::File(file.clone()),
            Self::Dir(dir) => Self::Dir(dir.clone()),
        }
    }
}

impl<F: Files> Open<F> {
    /// What it holds in bytes, generously.
    fn cost(&self) -> usize {
        match self {
            Self::File(_) => COST,
            Self::Dir(dir) => COST.saturating_add(dir.path.len().saturating_mul(2)),
        }
    }
}

/// What the handles of many sessions together may hold.
#[derive(Debug)]
pub struct HandleMemory {
    most: usize,
    held: Cell<usize>,
}

impl HandleMemory {
    /// At most about so many bytes.
    pub fn new(most: usize) -> Self {
        Self { most, held: Cell::new(0) }
    }
}

impl Default for HandleMemory {
    /// No bound but that of each session.
    fn default() -> Self {
        Self::new(usize::MAX)
    }
}

/// Handles are serial numbers that are never used again, so a stale one is always refused.
pub(crate) struct Handles<F: Files> {
    open: RefCell<BTreeMap<u64, Open<F>>>,
    last: Cell<u64>,
    most: usize,
    /// What they hold of the memory.
    held: Cell<usize>,
    memory: Rc<HandleMemory>,
}

impl<F: Files> Drop for Handles<F> {
    fn drop(&mut self) {
        self.memory.held.set(self.memory.held.get().saturating_sub(self.held.get()));
    }
}

impl<F: Files> Handles<F> {
    /// A table for `most` handles.
    pub(crate) fn new(most: usize, memory: Rc<HandleMemory>) -> Self {
        Self { open: RefCell::default(), last: Cell::new(0), most, held: Cell::new(0), memory }
    }

    pub(crate) fn most(&self) -> usize {
        self.most
    }

    /// Fails when another handle would be one too many. To be asked before the file is opened: what
    /// opens runs alone, so the place is still free afterwards.
    pub(crate) fn room(&self) -> Result<(), Status> {
        if self.open.borrow().len() >= self.most {
            return Err(TOO_MANY);
        }
        // No session has more than it leaves to the others, so that there is always something left.
        let left = self.memory.most.saturating_sub(self.memory.held.get());
        if self.held.get() >= left { Err(TOO_MANY_OF_ALL) } else { Ok(()) }
    }

    pub(crate) fn insert(&self, open: Open<F>) -> u64 {
        let handle = self.last.get().wrapping_add(1);
        self.last.set(handle);
        self.hold(open.cost());
        self.open.borrow_mut().insert(handle, open);
        handle
    }

    pub(crate) fn get(&self, handle: u64) -> Result<Open<F>, Status> {
        let open = self.open.borrow();
        open.get(&handle).cloned().ok_or(Status::INVALID_HANDLE)
    }

    pub(crate) fn file(&self, handle: u64) -> Result<Rc<OpenFile<F>>, Status> {
        match self.get(handle)? {
            Open::File(file) => Ok(file),
            Open::Dir(_) => Err(NOT_A_FILE),
        }
    }

    pub(crate) fn dir(&self, handle: u64) -> Result<Rc<OpenDir<F>>, Status> {
        match self.get(handle)? {
            Open::Dir(dir) => Ok(dir),
            Open::File(_) => Err(NOT_A_DIRECTORY),
        }
    }

    /// Takes it out of the table; the handle is invalid from now on.
    pub(crate) fn remove(&self, handle: u64) -> Result<Open<F>, Status> {
        let removed = self.open.borrow_mut().remove(&handle).ok_or(Status::INVALID_HANDLE)?;
        let cost = removed.cost();
        self.held.set(self.held.get().saturating_sub(cost));
        self.memory.held.set(self.memory.held.get().saturating_sub(cost));
        Ok(removed)
    }

    fn hold(&self, cost: usize) {
        self.held.set(self.held.get().saturating_add(cost));
        self.memory.held.set(self.memory.held.get().saturating_add(cost));
    }
}
