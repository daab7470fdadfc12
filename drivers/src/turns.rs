//! Who may make requests when there is not room for all: first come, first served.
use alloc::collections::VecDeque;
use core::cell::{Cell, RefCell};

#[derive(Default)]
pub struct Turns {
    waiting: RefCell<VecDeque<u64>>,
    last: Cell<u64>,
    moved: Cell<bool>,
}

impl Turns {
    /// A number for one that may have to wait.
    pub fn ticket(&self) -> u64 {
        self.last.set(self.last.get().wrapping_add(1));
        self.last.get()
    }

    /// Whether it is this one's turn; if not, it waits from now on.
    pub fn may_go(&self, ticket: u64) -> bool {
        let mut waiting = self.waiting.borrow_mut();
        if !waiting.contains(&ticket) {
            waiting.push_back(ticket);
        }
        waiting.front() == Some(&ticket)
    }

    /// This one needs nothing more.
    pub fn leave(&self, ticket: u64) {
        let mut waiting = self.waiting.borrow_mut();
        if let Some(place) = waiting.iter().position(|&t| t == ticket) {
            waiting.remove(place);
            // Those behind may have been asked already in this turn.
            self.moved.set(self.moved.get() | !waiting.is_empty());
        }
    }

    /// Those who wait may find something new.
    pub fn moved(&self) {
        self.moved.set(true);
    }

    /// Whether those who wait should be asked again.
    pub fn take_moved(&self) -> bool {
        self.moved.take()
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.borrow().is_empty()
    }
}
