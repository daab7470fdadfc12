//! Disks (5.2): `fat::BlockDevice` with many requests in flight.
mod ring;
mod transfer;

use super::device::{Device, DeviceError};
use super::queue::Queue;
use crate::data::Data;
use crate::turns::Turns;
use alloc::rc::Rc;
use bitflags::bitflags;
use core::cell::RefCell;
use fat::BlockDevice;
use ring::{Disk, Ring, SECTOR};
use transfer::Transfer;
use virtio_drivers::transport::Transport;

bitflags! {
    #[derive(Clone, Copy, Debug)]
    struct Features: u64 {
        const READ_ONLY = 1 << 5;
        const BLOCK_SIZE = 1 << 6;
        const FLUSH = 1 << 9;
    }
}

/// Offsets in the configuration space (5.2.4).
const CAPACITY: usize = 0;
const BLOCK_SIZE: usize = 20;

/// A disk. Clones share it.
pub struct VirtioDisk<T: Transport>(Rc<Disk<T>>);

impl<T: Transport> Clone for VirtioDisk<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Transport> VirtioDisk<T> {
    /// Starts a device of the type `DeviceType::Block`.
    pub fn start(name: &str, mut device: Device<T>) -> Result<Self, DeviceError> {
        let features = Features::from_bits_retain(device.begin(Features::all().bits())?);
        let queue = Queue::new(&mut device, 0)?;
        device.finish();
        let transport = &device.transport;
        let capacity: u64 = transport.read_consistent(|| {
            let low: u32 = transport.read_config_space(CAPACITY)?;
            let high: u32 = transport.read_config_space(CAPACITY.saturating_add(4))?;
            Ok(u64::from(high) << 32 | u64::from(low))
        })?;
        let sector_size = match features.contains(Features::BLOCK_SIZE) {
            true => transport.read_config_space::<u32>(BLOCK_SIZE)?,
            false => SECTOR as u32,
        };
        if !sector_size.is_power_of_two() || !(512..=4096).contains(&sector_size) {
            return Err(DeviceError::Geometry);
        }
        let size = capacity.checked_mul(SECTOR).ok_or(DeviceError::Geometry)?;
        let size = size & !u64::from(sector_size).saturating_sub(1);
        if size == 0 {
            return Err(DeviceError::Geometry);
        }
        let disk = Disk {
            name: name.into(),
            sector_size: sector_size as usize,
            size,
            read_only: features.contains(Features::READ_ONLY),
            flushes: features.contains(Features::FLUSH),
            turns: Turns::default(),
            ring: RefCell::new(Ring::new(device, queue)),
        };
        log::info!(
            "disk {name}: {} MiB, {}, sectors of {sector_size} bytes, {}",
            size >> 20,
            if disk.read_only { "read-only" } else { "writable" },
            if disk.flushes { "flushes" } else { "no flush: the device has none" },
        );
        Ok(Self(Rc::new(disk)))
    }

    /// Takes answers and sends requests. To be called in each turn, after whatever makes requests
    /// and before sleep; true when another turn may find something to do.
    pub fn poll(&self) -> bool {
        let moved = self.0.ring.borrow_mut().poll(&self.0.name);
        moved | self.0.turns.take_moved()
    }

    /// Asks for an interrupt at the next answer; true when one is there.
    pub fn arm(&self) -> bool {
        self.0.ring.borrow_mut().arm()
    }

    async fn transfer(&self, offset: u64, data: Data<'_>) -> Result<(), fat::DeviceError> {
        self.0.check(offset, data.len())?;
        if matches!(data, Data::Write(_)) && self.0.read_only {
            return Err(fat::DeviceError::ReadOnly);
        }
        if data.len() == 0 && !matches!(data, Data::Flush) {
            return Ok(());
        }
        Transfer::new(&self.0, offset, data).await
    }
}

impl<T: Transport> BlockDevice for VirtioDisk<T> {
    fn sector_size(&self) -> usize {
        self.0.sector_size
    }

    fn size(&self) -> u64 {
        self.0.size
    }

    fn read_only(&self) -> bool {
        self.0.read_only
    }

    async fn read(&self, offset: u64, buf: &mut [u8]) -> Result<(), fat::DeviceError> {
        self.transfer(offset, Data::Read(buf)).await
    }

    async fn write(&self, offset: u64, data: &[u8]) -> Result<(), fat::DeviceError> {
        self.transfer(offset, Data::Write(data)).await
    }

    async fn flush(&self) -> Result<(), fat::DeviceError> {
        // Without the feature there is no cache that the device would answer for (5.2.6.2).
        if self.0.flushes { self.transfer(0, Data::Flush).await } else { Ok(()) }
    }
}
