//! A disk as its backend comes and goes: what it is, and the connection while there is one.
use super::geometry::{Flush, Geometry};
use super::link::{self, Link};
use crate::turns::Turns;
use crate::xen::Xen;
use crate::xen::bus::{Backend, BusError, Frontend, State};
use crate::xen::xenstore::Xenstore;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

/// Requests wait so long for a backend that went away to come back.
const GRACE_NS: u64 = 30_000_000_000;

/// What the handshake and the requests share.
pub struct Disk {
    pub xen: Rc<dyn Xen>,
    pub store: Xenstore,
    /// The device's number (docs/man/xen-vbd-interface.7).
    pub number: u32,
    pub link: RefCell<Option<Link>>,
    /// Some from the first connection on.
    pub geometry: Cell<Option<Geometry>>,
    pub queue: Turns,
    /// When the backend went away.
    pub lost_at: Cell<Option<u64>>,
    /// Whether there are writes that no flush has followed.
    pub unflushed: Cell<bool>,
    /// Whether such writes may have been lost together with a backend.
    pub lost_writes: Cell<bool>,
    /// Connections so far: tells them apart.
    pub generation: Cell<u64>,
}

impl Disk {
    /// Whether a request that has no link may still hope for one.
    pub fn may_return(&self) -> bool {
        let end = self.lost_at.get().map(|at| at.saturating_add(GRACE_NS));
        end.is_none_or(|end| self.xen.now_ns() < end)
    }

    /// When requests to a backend that is gone are given up, as `Xen::now_ns`.
    pub fn deadline(&self) -> Option<u64> {
        let end = self.lost_at.get()?.saturating_add(GRACE_NS);
        (end > self.xen.now_ns()).then_some(end)
    }

    /// The connection went together with the domain that had it. What its backend answered is on the same disk
    /// as before, so that the next flush is for it, too.
    pub fn forget_link(&self) {
        *self.link.borrow_mut() = None;
        self.lost_at.set(Some(self.xen.now_ns()));
        self.queue.moved();
    }

    /// The backend said that it cannot flush after all.
    pub fn no_flush(&self) {
        log::warn!("disk {}: the backend cannot flush; writes may be volatile", self.number);
        self.geometry.set(self.geometry.get().map(|g| Geometry { flush: Flush::None, ..g }));
    }
}

impl Frontend for Disk {
    const OFFERED: State = State::Initialised;

    async fn offer(&self, backend: &Backend) -> Result<Vec<(String, String)>, BusError> {
        let order = backend.number(&self.store, "max-ring-page-order", 0u32).await?;
        let order = order.min(link::MAX_RING_ORDER);
        self.generation.set(self.generation.get().wrapping_add(1));
        let handle = (self.number & 0xffff) as u16;
        let link = Link::new(&self.xen, backend.domain, order, handle, self.generation.get())?;
        let mut nodes = vec![
            ("event-channel".into(), link.port().0.to_string()),
            ("protocol".into(), "x86_64-abi".into()),
            ("feature-persistent".into(), "1".into()),
        ];
        if order == 0 {
            nodes.extend(link.grants().map(|grant| ("ring-ref".into(), grant.0.to_string())));
        } else {
            nodes.push(("ring-page-order".into(), order.to_string()));
            let grants = link.grants().enumerate();
            nodes.extend(grants.map(|(i, grant)| (format!("ring-ref{i}"), grant.0.to_string())));
        }
        *self.link.borrow_mut() = Some(link);
        Ok(nodes)
    }

    async fn connected(&self, backend: &Backend) -> Result<(), BusError> {
        let geometry = Geometry::read(&self.store, backend).await?;
        if self.geometry.get().is_some_and(|known| !known.fits(&geometry)) {
            return Err(BusError::Backend("its backend came back with another disk"));
        }
        if self.geometry.get().is_none() {
            log::info!("disk {}: {geometry}", self.number);
        }
        self.geometry.set(Some(geometry));
        self.lost_at.set(None);
        if let Some(link) = self.link.borrow_mut().as_mut() {
            link.open(geometry.segments);
        }
        self.generation.set(self.generation.get().wrapping_add(1));
        self.queue.moved();
        Ok(())
    }

    fn ended(&self) -> Option<BusError> {
        self.link.borrow().as_ref().is_some_and(Link::has_failed).then_some(BusError::PROTOCOL)
    }

    fn disconnected(&self) {
        let Some(link) = self.link.borrow_mut().take() else {
            return;
        };
        if link.is_open() {
            log::warn!("disk {}: the backend is gone", self.number);
            self.lost_at.set(Some(self.xen.now_ns()));
            self.lost_writes.set(self.lost_writes.get() | self.unflushed.take());
        }
        self.queue.moved();
    }
}
