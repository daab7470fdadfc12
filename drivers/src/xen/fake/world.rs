//! A guest's surroundings: the hypervisor, xenstore, and the order of a turn.
use super::FakeXen;
use super::stored::Stored;
use crate::xen::page::Page;
use crate::xen::xenstore::Xenstore;
use crate::xen::{DomId, Xen};
use std::cell::RefCell;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use xen_sys::xs_wire::{REQ_CONS, REQ_PROD, RSP_CONS, RSP_PROD};

pub struct World {
    pub xen: Rc<FakeXen>,
    pub stored: RefCell<Stored>,
    pub store: Xenstore,
    pub page: Page,
}

impl World {
    pub fn new() -> Self {
        let xen = Rc::new(FakeXen::default());
        let page = Page::new().unwrap();
        // Indexes about to wrap.
        for index in [REQ_CONS, REQ_PROD, RSP_CONS, RSP_PROD] {
            page.write_u32(index, u32::MAX - 100);
        }
        let port = xen.alloc_unbound(DomId(0)).unwrap();
        let stored = RefCell::new(Stored::new(xen.clone(), page.alias(), port.0));
        let store = Xenstore::new(xen.clone(), page.alias(), port);
        Self { xen, stored, store, page }
    }

    /// The domain goes on as another: neither Xen nor xenstored knows anything of before.
    pub fn restore(&self) {
        self.xen.restore();
        for index in [REQ_CONS, REQ_PROD, RSP_CONS, RSP_PROD] {
            self.page.write_u32(index, 0);
        }
        let port = self.xen.alloc_unbound(DomId(0)).unwrap();
        *self.stored.borrow_mut() = Stored::new(self.xen.clone(), self.page.alias(), port.0);
        self.store.resume(port);
    }

    pub fn xen(&self) -> Rc<dyn Xen> {
        self.xen.clone()
    }

    /// Runs a future to its end, with a turn of everything else between its steps; None when it
    /// does not end within so many turns.
    pub fn try_run<T>(
        &self,
        turns: usize,
        future: impl Future<Output = T>,
        mut turn: impl FnMut(),
    ) -> Option<T> {
        let mut future = pin!(future);
        for _ in 0..turns {
            let mut context = Context::from_waker(Waker::noop());
            if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
                return Some(value);
            }
            self.stored.borrow_mut().turn();
            self.store.poll();
            turn();
        }
        None
    }

    pub fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.try_run(10_000, future, || ()).expect("an end")
    }
}
