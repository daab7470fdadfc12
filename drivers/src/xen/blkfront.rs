//! Disks of Xen (xen/include/public/io/blkif.h): `fat::BlockDevice` over a ring shared with the
//! backend, with as many requests in flight as the ring and the pool of pages hold.
mod discover;
mod geometry;
mod link;
mod pool;
#[cfg(test)]
mod tests;
mod transfer;

pub use discover::{choose, disks};

use crate::data::Data;
use crate::task::Task;
use crate::turns::Turns;
use crate::xen::Xen;
use crate::xen::bus::{self, Backend, BusError, Frontend, State};
use crate::xen::xenstore::Xenstore;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use fat::{BlockDevice, DeviceError};
use geometry::{Flush, Geometry};
use link::Link;
use transfer::Transfer;

/// Requests wait so long for a backend that went away to come back.
const GRACE_NS: u64 = 30_000_000_000;

/// A disk. Clones share it.
#[derive(Clone)]
pub struct Blkfront {
    disk: Rc<Disk>,
    task: Rc<RefCell<Task>>,
}

/// What the handshake and the requests share.
struct Disk {
    xen: Rc<dyn Xen>,
    store: Xenstore,
    /// The device's number (docs/man/xen-vbd-interface.7).
    number: u32,
    link: RefCell<Option<Link>>,
    /// Some from the first connection on.
    geometry: Cell<Option<Geometry>>,
    queue: Turns,
    /// When the backend went away.
    lost_at: Cell<Option<u64>>,
    /// Whether there are writes that no flush has followed.
    unflushed: Cell<bool>,
    /// Whether such writes may have been lost together with a backend.
    lost_writes: Cell<bool>,
    /// Connections so far: tells them apart.
    generation: Cell<u64>,
}

impl Blkfront {
    /// Starts to connect the disk of this number, `device/vbd/<number>` in xenstore.
    pub fn start(xen: Rc<dyn Xen>, store: &Xenstore, number: u32) -> Self {
        let disk = Rc::new(Disk {
            xen,
            store: store.clone(),
            number,
            link: RefCell::default(),
            geometry: Cell::default(),
            queue: Turns::default(),
            lost_at: Cell::default(),
            unflushed: Cell::default(),
            lost_writes: Cell::default(),
            generation: Cell::default(),
        });
        let (store, followed) = (store.clone(), disk.clone());
        let task = Task::new(async move {
            bus::follow(store, format!("device/vbd/{number}"), &*followed).await;
        });
        let blkfront = Self { disk, task: Rc::new(RefCell::new(task)) };
        blkfront.task.borrow_mut().poll();
        blkfront
    }

    /// Whether requests can be made; size and sector size are known from then on, whatever
    /// happens to the backend.
    pub fn is_connected(&self) -> bool {
        self.disk.geometry.get().is_some()
    }

    /// Takes responses and sends requests. To be called in each turn, after whatever makes requests
    /// and before sleep; true when another turn may find something to do.
    pub fn poll(&self) -> bool {
        let before = self.disk.generation.get();
        self.task.borrow_mut().poll();
        let mut moved = self.disk.generation.get() != before;
        if let Some(link) = self.disk.link.borrow_mut().as_mut() {
            moved |= link.poll();
        }
        moved | self.disk.queue.take_moved()
    }

    /// When the loop must wake to give up requests to a backend that is gone, as `Xen::now_ns`.
    pub fn deadline(&self) -> Option<u64> {
        let end = self.disk.lost_at.get()?.saturating_add(GRACE_NS);
        (end > self.disk.xen.now_ns()).then_some(end)
    }

    async fn transfer(&self, offset: u64, data: Data<'_>) -> Result<(), DeviceError> {
        let geometry = self.disk.geometry.get().ok_or(DeviceError::Gone)?;
        geometry.check(offset, data.len())?;
        if matches!(data, Data::Write(_)) && geometry.read_only {
            return Err(DeviceError::ReadOnly);
        }
        if data.len() == 0 && !matches!(data, Data::Flush) {
            return Ok(());
        }
        Transfer::new(&self.disk, offset, data).await
    }
}

impl BlockDevice for Blkfront {
    fn sector_size(&self) -> usize {
        self.disk.geometry.get().map_or(xen_sys::blkif::SECTOR_SIZE, |g| g.sector_size)
    }

    fn size(&self) -> u64 {
        self.disk.geometry.get().map_or(0, |g| g.size)
    }

    fn read_only(&self) -> bool {
        self.disk.geometry.get().is_some_and(|g| g.read_only)
    }

    /// Of a backend that takes less, parts of it are in flight together.
    fn largest_request(&self) -> usize {
        link::MAX_SEGMENTS.saturating_mul(xen_sys::PAGE_SIZE)
    }

    async fn read(&self, offset: u64, buf: &mut [u8]) -> Result<(), DeviceError> {
        self.transfer(offset, Data::Read(buf)).await
    }

    async fn write(&self, offset: u64, data: &[u8]) -> Result<(), DeviceError> {
        self.transfer(offset, Data::Write(data)).await
    }

    async fn flush(&self) -> Result<(), DeviceError> {
        let disk = &self.disk;
        // Writes that end while the flush runs are not its business.
        let unflushed = disk.unflushed.take();
        let flushed = match disk.geometry.get().map(|g| g.flush) {
            Some(Flush::None) => Ok(()),
            _ => self.transfer(0, Data::Flush).await,
        };
        if flushed.is_err() && unflushed {
            disk.unflushed.set(true);
        }
        if flushed.is_ok() && disk.lost_writes.take() {
            log::error!("disk {}: writes before the backend went away may be lost", disk.number);
            return Err(DeviceError::Io);
        }
        flushed
    }
}

impl Disk {
    /// Whether a request that has no link may still hope for one.
    fn may_return(&self) -> bool {
        let end = self.lost_at.get().map(|at| at.saturating_add(GRACE_NS));
        end.is_none_or(|end| self.xen.now_ns() < end)
    }

    /// The backend said that it cannot flush after all.
    fn no_flush(&self) {
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

    fn has_failed(&self) -> bool {
        self.link.borrow().as_ref().is_some_and(Link::has_failed)
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
