//! A disk's device, and the requests that are with it.
use crate::turns::Turns;
use crate::virtio::device::Device;
use crate::virtio::queue::{Chain, Queue};
use alloc::collections::BTreeMap;
use alloc::string::String;
use core::cell::RefCell;
use virtio_drivers::transport::Transport;

/// The unit of capacity and positions, whatever the block size.
pub const SECTOR: u64 = 512;

/// The most data in flight.
const MOST: usize = 512 << 10;

pub struct Disk<T: Transport> {
    pub name: String,
    pub sector_size: usize,
    /// In bytes; whole sectors.
    pub size: u64,
    pub read_only: bool,
    /// Whether it has a cache of its own that can be flushed.
    pub flushes: bool,
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

impl<T: Transport> Disk<T> {
    /// Whether a request of this place and length, in bytes, may be made.
    pub fn check(&self, offset: u64, length: usize) -> Result<(), fat::DeviceError> {
        let whole = |n: u64| n.is_multiple_of(self.sector_size as u64);
        let end = u64::try_from(length).ok().and_then(|n| offset.checked_add(n));
        let inside = end.is_some_and(|end| end <= self.size && whole(end));
        if inside && whole(offset) { Ok(()) } else { Err(fat::DeviceError::OutOfRange) }
    }
}

impl<T: Transport> Ring<T> {
    pub fn new(device: Device<T>, queue: Queue) -> Self {
        Self { device, queue, answers: BTreeMap::new(), bytes: 0, failed: false }
    }

    /// Asks for an interrupt at the next answer; true when one is there.
    pub fn arm(&mut self) -> bool {
        self.device.acknowledge();
        self.queue.arm(true)
    }

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

    /// Takes answers and sends requests, without interrupts; true when there were answers.
    pub fn poll(&mut self, name: &str) -> bool {
        self.queue.arm(false);
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
