//! Disks (5.2): `fat::BlockDevice` with many requests in flight.
use super::queue::{Chain, Queue};
use super::transfer::Transfer;
use super::{Device, DeviceError};
use crate::data::Data;
use crate::turns::Turns;
use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::string::String;
use bitflags::bitflags;
use core::cell::RefCell;
use fat::BlockDevice;
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

/// The unit of capacity and positions, whatever the block size.
pub const SECTOR: u64 = 512;

/// The most data in flight.
const MOST: usize = 512 << 10;

/// A disk. Clones share it.
pub struct VirtioDisk<T: Transport>(Rc<Disk<T>>);

impl<T: Transport> Clone for VirtioDisk<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

pub struct Disk<T: Transport> {
    name: String,
    sector_size: usize,
    /// In bytes; whole sectors.
    size: u64,
    read_only: bool,
    /// Whether it has a cache of its own that can be flushed.
    flushes: bool,
    pub turns: Turns,
    pub ring: RefCell<Ring<T>>,
}

/// The device and what it has to do.
pub struct Ring<T: Transport> {
    device: Device<T>,
    queue: Queue,
    /// Requests that somebody waits for, and what came back.
    answers: BTreeMap<u64, Option<Chain>>,
    /// Bytes of data in flight.
    bytes: usize,
    failed: bool,
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
        let ring = Ring { device, queue, answers: BTreeMap::new(), bytes: 0, failed: false };
        let disk = Disk {
            name: name.into(),
            sector_size: sector_size as usize,
            size,
            read_only: features.contains(Features::READ_ONLY),
            flushes: features.contains(Features::FLUSH),
            turns: Turns::default(),
            ring: RefCell::new(ring),
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
        let mut ring = self.0.ring.borrow_mut();
        ring.queue.arm(false);
        let moved = ring.poll(&self.0.name);
        moved | self.0.turns.take_moved()
    }

    /// Asks for an interrupt at the next answer; true when one is there.
    pub fn arm(&self) -> bool {
        let Ring { device, queue, .. } = &mut *self.0.ring.borrow_mut();
        device.acknowledge();
        queue.arm(true)
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

impl<T: Transport> Disk<T> {
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether a request of this place and length, in bytes, may be made.
    fn check(&self, offset: u64, length: usize) -> Result<(), fat::DeviceError> {
        let whole = |n: u64| n.is_multiple_of(self.sector_size as u64);
        let end = u64::try_from(length).ok().and_then(|n| offset.checked_add(n));
        let inside = end.is_some_and(|end| end <= self.size && whole(end));
        if inside && whole(offset) { Ok(()) } else { Err(fat::DeviceError::OutOfRange) }
    }
}

impl<T: Transport> Ring<T> {
    pub fn has_failed(&self) -> bool {
        self.failed
    }

    /// Whether a request with so many bytes of data has room.
    pub fn has_room(&self, bytes: usize) -> bool {
        /// Header, data, status.
        const BUFFERS: usize = 3;
        let fits = self.bytes == 0 || self.bytes.saturating_add(bytes) <= MOST;
        fits && self.queue.room() >= BUFFERS
    }

    /// Sends a request whose answer `take` gives.
    pub fn send(&mut self, chain: Chain) -> Option<u64> {
        let bytes = data_bytes(&chain);
        let ticket = self.queue.send(chain)?;
        self.bytes = self.bytes.saturating_add(bytes);
        self.answers.insert(ticket, None);
        Some(ticket)
    }

    /// The answer to a request, once.
    pub fn take(&mut self, ticket: u64) -> Option<Chain> {
        let chain = self.answers.get_mut(&ticket)?.take()?;
        self.answers.remove(&ticket);
        Some(chain)
    }

    /// Nobody waits for this answer any more.
    pub fn forget(&mut self, ticket: u64) {
        self.answers.remove(&ticket);
    }

    fn poll(&mut self, name: &str) -> bool {
        let mut moved = false;
        while !self.failed {
            match self.queue.take() {
                Ok(Some(used)) => {
                    moved = true;
                    self.bytes = self.bytes.saturating_sub(data_bytes(&used.chain));
                    if let Some(answer) = self.answers.get_mut(&used.ticket) {
                        *answer = Some(used.chain);
                    }
                }
                Ok(None) => break,
                Err(_) => {
                    log::error!("disk {name}: the device does not keep to the protocol");
                    self.failed = true;
                    moved = true;
                }
            }
        }
        if !self.failed {
            self.queue.publish(&mut self.device);
        }
        moved
    }
}

/// The second of the readable buffers or the first of the writable ones holds the data.
fn data_bytes(chain: &Chain) -> usize {
    let ([_, written], [read, _]) = (&chain.readable, &chain.writable);
    written.len().saturating_add(read.len())
}
