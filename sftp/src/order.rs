//! Which requests of one session may run at the same time.
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;

/// What a request does, as far as its order matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// READ of this handle.
    Read(u64),
    /// WRITE of this handle.
    Write(u64),
    /// Everything else: it sees what was asked before it, and is seen by what is asked after it.
    /// sshfs sends OPEN and LSTAT of one path together: the LSTAT must find the file.
    Alone,
}

impl Class {
    fn may_run_with(self, other: Self) -> bool {
        match (self, other) {
            (Self::Alone, _) | (_, Self::Alone) => false,
            (Self::Read(a), Self::Write(b)) | (Self::Write(a), Self::Read(b)) => a != b,
            (Self::Read(_), Self::Read(_)) | (Self::Write(_), Self::Write(_)) => true,
        }
    }
}

/// The requests that run.
#[derive(Debug, Default)]
pub(crate) struct Order {
    running: RefCell<Vec<Class>>,
}

impl Order {
    pub(crate) fn may_start(&self, class: Class) -> bool {
        let running = self.running.borrow();
        running.iter().all(|&other| class.may_run_with(other))
    }

    /// Counts a request as running until the guard is dropped.
    pub(crate) fn start(self: &Rc<Self>, class: Class) -> Running {
        self.running.borrow_mut().push(class);
        Running { order: self.clone(), class }
    }
}

/// One request that runs. A guard, so that the count is right for a future that is dropped too.
pub(crate) struct Running {
    order: Rc<Order>,
    class: Class,
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut running = self.order.running.borrow_mut();
        if let Some(at) = running.iter().position(|&class| class == self.class) {
            running.swap_remove(at);
        }
    }
}
