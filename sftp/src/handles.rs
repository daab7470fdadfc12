//! The open files and directories of one session.
use crate::files::{Files, OpenFlags};
use crate::status::{Status, StatusCode};
use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::string::String;
use core::cell::{Cell, RefCell};

const TOO_MANY: Status = Status::new(StatusCode::Failure, "too many open handles");
const NOT_A_FILE: Status = Status::new(StatusCode::Failure, "the handle is of a directory");
const NOT_A_DIRECTORY: Status = Status::new(StatusCode::Failure, "the handle is of a file");

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

/// Handles are serial numbers that are never used again, so a stale one is always refused.
pub(crate) struct Handles<F: Files> {
    open: RefCell<BTreeMap<u64, Open<F>>>,
    last: Cell<u64>,
    most: usize,
}

impl<F: Files> Handles<F> {
    /// A table for `most` handles.
    pub(crate) fn new(most: usize) -> Self {
        Self { open: RefCell::default(), last: Cell::new(0), most }
    }

    pub(crate) fn most(&self) -> usize {
        self.most
    }

    /// Fails when another handle would be one too many. To be asked before the file is opened: what
    /// opens runs alone, so the place is still free afterwards.
    pub(crate) fn room(&self) -> Result<(), Status> {
        if self.open.borrow().len() < self.most { Ok(()) } else { Err(TOO_MANY) }
    }

    pub(crate) fn insert(&self, open: Open<F>) -> u64 {
        let handle = self.last.get().wrapping_add(1);
        self.last.set(handle);
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
        let removed = self.open.borrow_mut().remove(&handle);
        removed.ok_or(Status::INVALID_HANDLE)
    }
}
