//! What is on its way from memory to the disk.
use crate::DeviceError;
use crate::file::behind::Held;
use crate::file::node::Node;
use alloc::rc::Rc;
use core::ops::Range;
use core::task::Waker;

/// Bytes of a file on their way from memory to the disk.
#[derive(Debug)]
pub(crate) struct Flight {
    node: Rc<Node>,
    held: Rc<Held>,
    range: Range<u64>,
    landed: bool,
}

impl Flight {
    pub(crate) fn new(node: &Rc<Node>, held: &Rc<Held>, range: Range<u64>) -> Self {
        node.behind.depart(range.clone());
        held.flights.set(held.flights.get().saturating_add(1));
        Self { node: node.clone(), held: held.clone(), range, landed: false }
    }

    pub(crate) fn node(&self) -> &Rc<Node> {
        &self.node
    }

    /// The disk has answered.
    pub(crate) fn land(&mut self) {
        self.landed = true;
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if !self.landed {
            // Its future was dropped: nobody knows what of it is on the disk.
            self.node.behind.fail(DeviceError::Io);
        }
        self.node.behind.arrive(&self.range);
        self.held.flights.set(self.held.flights.get().saturating_sub(1));
        self.held.waiting.take().into_iter().for_each(Waker::wake);
    }
}
