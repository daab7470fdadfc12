//! Lists of the files that something remains to be done for, so that nobody has to look at all files.
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use core::cell::{Cell, RefCell};

/// What a file is listed for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum For {
    /// It was closed, and nobody has looked yet what remains to be done.
    Closing = 1,
    /// Its entry in the cache is older than it, or it has clusters to give back.
    Settling = 2,
    /// Nothing remains to be done.
    Forgetting = 4,
    /// Some of its bytes wait in memory.
    Writing = 8,
}

/// Which lists a file is in.
#[derive(Debug, Default)]
pub(crate) struct Marks(Cell<u8>);

impl Marks {
    fn set(&self, what: For, is_in: bool) {
        let others = self.0.get() & !(what as u8);
        self.0.set(if is_in { others | what as u8 } else { others });
    }

    fn has(&self, what: For) -> bool {
        self.0.get() & what as u8 != 0
    }
}

/// What can be in lists.
pub(crate) trait Listed {
    fn marks(&self) -> &Marks;
}

/// Files in the order in which they came, each once. They may have changed since.
#[derive(Debug)]
pub(crate) struct List<T> {
    what: For,
    nodes: RefCell<VecDeque<Rc<T>>>,
}

impl<T: Listed> List<T> {
    pub(crate) fn new(what: For) -> Self {
        Self { what, nodes: RefCell::default() }
    }

    pub(crate) fn add(&self, node: &Rc<T>) {
        if !node.marks().has(self.what) {
            node.marks().set(self.what, true);
            self.nodes.borrow_mut().push_back(node.clone());
        }
    }

    /// Takes the oldest off the list.
    pub(crate) fn take(&self) -> Option<Rc<T>> {
        let node = self.nodes.borrow_mut().pop_front()?;
        node.marks().set(self.what, false);
        Some(node)
    }

    pub(crate) fn clear(&self) {
        while self.take().is_some() {}
    }

    pub(crate) fn len(&self) -> usize {
        self.nodes.borrow().len()
    }

    pub(crate) fn any(&self, is: impl FnMut(&Rc<T>) -> bool) -> bool {
        self.nodes.borrow().iter().any(is)
    }
}
