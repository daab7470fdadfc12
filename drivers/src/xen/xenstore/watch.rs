//! Watches: being told of changes.
use super::{StoreError, Xenstore};
use crate::task::until;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::Cell;
use xen_sys::xs_wire::kind;

impl Xenstore {
    /// Tells of every change of a node and below it, and once at its start.
    pub async fn watch(&self, path: &str) -> Result<Watch, StoreError> {
        Watch::start(self, path).await
    }
}

/// Tells of every change of a node and below it; ends when it is dropped.
pub struct Watch {
    store: Xenstore,
    path: String,
    token: u32,
    fired: Rc<Cell<bool>>,
}

impl Watch {
    async fn start(store: &Xenstore, path: &str) -> Result<Self, StoreError> {
        let token = store.state.borrow_mut().next();
        let fired = Rc::new(Cell::new(false));
        store.state.borrow_mut().watches.insert(token, fired.clone());
        // Before the request: its drop takes the entry away again, whatever happens.
        let watch = Self { store: store.clone(), path: path.into(), token, fired };
        store.request(kind::WATCH, 0, &[&watch.payload()]).await?;
        Ok(watch)
    }

    /// Waits for a change after the last one that was told of.
    pub async fn changed(&self) {
        until(|| self.take().then_some(())).await;
    }

    /// Whether there was a change after the last one that was told of.
    pub fn take(&self) -> bool {
        self.fired.take()
    }

    /// Whether there is a change that `take` would tell of.
    pub fn has_fired(&self) -> bool {
        self.fired.get()
    }

    fn payload(&self) -> Vec<u8> {
        format!("{}\0{:x}\0", self.path, self.token).into_bytes()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.store.state.borrow_mut().watches.remove(&self.token);
        self.store.forget(kind::UNWATCH, 0, &self.payload());
    }
}
