//! Disks of Xen (xen/include/public/io/blkif.h): `fat::BlockDevice` over a ring shared with the
//! backend, with as many requests in flight as the ring and the pool of pages hold.
mod discover;
mod disk;
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
use crate::xen::bus;
use crate::xen::xenstore::Xenstore;
use alloc::format;
use alloc::rc::Rc;
use core::cell::{Cell, RefCell};
use disk::Disk;
use fat::{BlockDevice, DeviceError};
use geometry::Flush;
use transfer::Transfer;

/// A disk. Clones share it.
#[derive(Clone)]
pub struct Blkfront {
    disk: Rc<Disk>,
    task: Rc<RefCell<Task>>,
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
        let task = Rc::new(RefCell::new(follow(&disk)));
        Self { disk, task }
    }

    /// Connects anew when the domain went on as another; what was in flight is done again.
    pub fn resume(&self) {
        self.disk.forget_link();
        *self.task.borrow_mut() = follow(&self.disk);
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
        self.disk.deadline()
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

/// Follows the disk's backend.
fn follow(disk: &Rc<Disk>) -> Task {
    let disk = disk.clone();
    let mut task = Task::new(async move {
        let path = format!("device/vbd/{}", disk.number);
        bus::follow(disk.store.clone(), path, &*disk).await;
    });
    task.poll();
    task
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
