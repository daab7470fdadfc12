//! Xenstore: the tree of names and values by which domains find each other
//! (docs/misc/xenstore.txt).
//!
//! Every operation is a future that `Xenstore::poll` moves on; any number may be in flight.
mod reply;
#[cfg(test)]
mod tests;
mod transaction;
mod watch;
mod wire;

pub use reply::StoreError;
pub use transaction::Transaction;
pub use watch::Watch;

use crate::task::until;
use crate::xen::page::Page;
use crate::xen::{Port, Xen};
use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::str::FromStr;
use reply::Reply;
use wire::Wire;
use xen_sys::xs_wire::{Header, PAYLOAD_MAX, kind};

/// How often a turn looks into the ring, of 1 KiB: who feeds it for ever must not keep the turn.
const LOOKS: usize = 64;

/// Requests that xenstored holds for us at once; it stops reading at 20 (quota-outstanding).
const IN_FLIGHT: usize = 16;

/// A connection to xenstore; clones share it.
#[derive(Clone)]
pub struct Xenstore {
    xen: Rc<dyn Xen>,
    port: Rc<Cell<Port>>,
    state: Rc<RefCell<State>>,
}

struct State {
    wire: Wire,
    /// The number of the latest request and of the latest watch.
    last: u32,
    in_flight: BTreeMap<u32, Option<Reply>>,
    watches: BTreeMap<u32, Rc<Cell<bool>>>,
    broken: bool,
}

impl Xenstore {
    /// The ring in `page`, whose events come by `port`.
    pub fn new(xen: Rc<dyn Xen>, page: Page, port: Port) -> Self {
        let state = State {
            wire: Wire::new(page),
            last: 0,
            in_flight: BTreeMap::new(),
            watches: BTreeMap::new(),
            broken: false,
        };
        Self { xen, port: Rc::new(Cell::new(port)), state: Rc::new(RefCell::new(state)) }
    }

    /// Begins anew when the domain went on as another: xenstored knows of no watch, and no reply comes to what
    /// was asked before. Who watched or asked is to be dropped.
    pub fn resume(&self, port: Port) {
        self.port.set(port);
        let mut state = self.state.borrow_mut();
        state.wire.begin();
        state.in_flight.clear();
        state.watches.clear();
        state.broken = false;
    }

    /// The loop sleeps on this.
    pub fn port(&self) -> Port {
        self.port.get()
    }

    /// Sends and receives what it can; true when anything moved.
    pub fn poll(&self) -> bool {
        self.xen.take_pending(self.port());
        let mut state = self.state.borrow_mut();
        if state.broken {
            return false;
        }
        for look in 0..LOOKS {
            match state.transfer() {
                Ok(false) => return look > 0,
                Ok(true) => {
                    // Consumption is told as well as production.
                    self.xen.notify(self.port());
                }
                Err(wire::Broken) => {
                    log::error!("xenstore does not keep to its protocol; it is not used any more");
                    state.broken = true;
                    return true;
                }
            }
        }
        true
    }

    /// The value of a node.
    pub async fn read(&self, path: &str) -> Result<Vec<u8>, StoreError> {
        self.request(kind::READ, 0, &[path.as_bytes(), b"\0"]).await
    }

    /// The value of a node that holds text.
    pub async fn read_text(&self, path: &str) -> Result<String, StoreError> {
        String::from_utf8(self.read(path).await?).map_err(|_| StoreError::NotText)
    }

    /// The value of a node that holds a number in decimal.
    pub async fn read_number<N: FromStr>(&self, path: &str) -> Result<N, StoreError> {
        self.read_text(path).await?.trim().parse().map_err(|_| StoreError::NotText)
    }

    /// Makes the node if need be.
    pub async fn write(&self, path: &str, value: &str) -> Result<(), StoreError> {
        let payload = [path.as_bytes(), b"\0", value.as_bytes()];
        self.request(kind::WRITE, 0, &payload).await.map(drop)
    }

    /// The names of a node's children.
    pub async fn list(&self, path: &str) -> Result<Vec<String>, StoreError> {
        let names = self.request(kind::DIRECTORY, 0, &[path.as_bytes(), b"\0"]).await?;
        let names = names.split(|&b| b == 0).filter(|name| !name.is_empty());
        names.map(|n| String::from_utf8(n.into()).map_err(|_| StoreError::NotText)).collect()
    }

    /// Removes a node and all below it.
    pub async fn rm(&self, path: &str) -> Result<(), StoreError> {
        self.request(kind::RM, 0, &[path.as_bytes(), b"\0"]).await.map(drop)
    }

    /// Sends a request and waits for its reply.
    async fn request(
        &self,
        kind: u32,
        transaction: u32,
        payload: &[&[u8]],
    ) -> Result<Vec<u8>, StoreError> {
        let payload = payload.concat();
        until(|| {
            let state = self.state.borrow();
            (state.broken || state.in_flight.len() < IN_FLIGHT).then_some(())
        })
        .await;
        let sent = Sent { store: self, id: self.send(kind, transaction, &payload)? };
        let reply = until(|| {
            let state = self.state.borrow();
            match state.in_flight.get(&sent.id) {
                Some(Some(reply)) => Some(Ok(reply.clone())),
                Some(None) if !state.broken => None,
                _ => Some(Err(StoreError::Broken)),
            }
        })
        .await?;
        reply.into_result(kind)
    }

    /// Sends a request whose reply nobody looks for.
    fn forget(&self, kind: u32, transaction: u32, payload: &[u8]) {
        if let Ok(id) = self.send(kind, transaction, payload) {
            self.state.borrow_mut().in_flight.remove(&id);
        }
    }

    /// Queues a request whose reply is kept for whoever looks for it.
    fn send(&self, kind: u32, transaction: u32, payload: &[u8]) -> Result<u32, StoreError> {
        let mut state = self.state.borrow_mut();
        if state.broken {
            return Err(StoreError::Broken);
        }
        let length = u32::try_from(payload.len()).map_err(|_| StoreError::TooLong)?;
        if payload.len() > PAYLOAD_MAX {
            return Err(StoreError::TooLong);
        }
        let request = state.next();
        state.in_flight.insert(request, None);
        state.wire.send(Header { kind, request, transaction, length }, payload);
        drop(state);
        // At once, so that no request waits for a turn that may not come.
        self.poll();
        Ok(request)
    }
}

impl State {
    /// A number that was not used for long. 0 is that of watch events.
    fn next(&mut self) -> u32 {
        self.last = self.last.checked_add(1).unwrap_or(1);
        self.last
    }

    fn transfer(&mut self) -> Result<bool, wire::Broken> {
        let moved = self.wire.transfer()?;
        while let Some((header, payload)) = self.wire.next()? {
            if header.kind == kind::WATCH_EVENT {
                // Events of watches that just ended find nobody.
                if let Some(fired) = reply::token(&payload).and_then(|t| self.watches.get(&t)) {
                    fired.set(true);
                }
            } else if let Some(reply) = self.in_flight.get_mut(&header.request) {
                *reply = Some(Reply { kind: header.kind, payload });
            }
        }
        Ok(moved)
    }
}

/// A request in flight: nobody looks for its reply when this is gone.
struct Sent<'s> {
    store: &'s Xenstore,
    id: u32,
}

impl Drop for Sent<'_> {
    fn drop(&mut self) {
        self.store.state.borrow_mut().in_flight.remove(&self.id);
    }
}
