//! A host's side of a device, in the same memory: it may keep to the protocol or lie.
use crate::virtio::Device;
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use core::cell::RefCell;
use core::slice;
use virtio_drivers::transport::{DeviceStatus, DeviceType, InterruptStatus, Transport};
use virtio_drivers::{Error, PhysAddr};
use zerocopy::{FromBytes, Immutable, IntoBytes};

const DESCRIPTOR: u64 = 16;
const NEXT: u16 = 1;
const WRITABLE: u16 = 2;

/// A queue as the driver set it up.
#[derive(Clone, Copy, Default)]
struct Ring {
    size: u16,
    descriptors: PhysAddr,
    available: PhysAddr,
    used: PhysAddr,
    /// Requests that were taken.
    taken: u16,
}

#[derive(Default)]
struct State {
    features: u64,
    accepted: u64,
    config: Vec<u8>,
    status: u32,
    rings: [Ring; 2],
    notified: [usize; 2],
}

/// Clones are the same host.
#[derive(Clone)]
pub struct Host {
    kind: DeviceType,
    state: Rc<RefCell<State>>,
}

/// A request: buffers by address and length.
pub struct Request {
    pub head: u16,
    pub readable: Vec<(u64, usize)>,
    pub writable: Vec<(u64, usize)>,
}

impl Request {
    /// What the driver shows.
    pub fn bytes(&self) -> Vec<u8> {
        self.readable.iter().flat_map(|&(address, length)| peek(address, length)).collect()
    }

    /// Fills the writable buffers from the first on; how much that was.
    pub fn fill(&self, mut data: &[u8]) -> u32 {
        let length = data.len();
        for &(address, room) in &self.writable {
            let (now, later) = data.split_at(room.min(data.len()));
            poke(address, now);
            data = later;
        }
        (length - data.len()) as u32
    }
}

fn peek(address: u64, length: usize) -> Vec<u8> {
    // SAFETY: the tests give only addresses that the driver shared, and the driver's memory lives as
    // long as its device.
    unsafe { slice::from_raw_parts(address as *const u8, length) }.to_vec()
}

fn poke(address: u64, data: &[u8]) {
    // SAFETY: as for `peek`; the driver reads what is shared by raw pointers.
    unsafe { core::ptr::copy_nonoverlapping(data.as_ptr(), address as *mut u8, data.len()) }
}

fn number(address: u64, length: usize) -> u64 {
    peek(address, length).iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

impl Host {
    pub fn new(kind: DeviceType, features: u64, config: &[u8]) -> Self {
        // Version 1 is what all hosts have.
        let features = features | 1 << 32;
        let state = State { features, config: config.to_vec(), ..State::default() };
        Self { kind, state: Rc::new(RefCell::new(state)) }
    }

    pub fn device(&self) -> Device<Self> {
        Device::new(self.clone(), true)
    }

    pub fn accepted(&self) -> u64 {
        self.state.borrow().accepted
    }

    pub fn notified(&self, queue: usize) -> usize {
        self.state.borrow().notified[queue]
    }

    /// The requests that the driver has made since the last call.
    pub fn requests(&self, queue: usize) -> VecDeque<Request> {
        let ring = &mut self.state.borrow_mut().rings[queue];
        let mut requests = VecDeque::new();
        while number(ring.available + 2, 2) as u16 != ring.taken {
            let slot = u64::from(ring.taken % ring.size);
            let head = number(ring.available + 4 + 2 * slot, 2) as u16;
            ring.taken = ring.taken.wrapping_add(1);
            let mut request = Request { head, readable: Vec::new(), writable: Vec::new() };
            let mut next = Some(head);
            while let Some(at) = next {
                let descriptor = ring.descriptors + DESCRIPTOR * u64::from(at);
                let buffer = (number(descriptor, 8), number(descriptor + 8, 4) as usize);
                let flags = number(descriptor + 12, 2) as u16;
                match flags & WRITABLE {
                    0 => request.readable.push(buffer),
                    _ => request.writable.push(buffer),
                }
                next = (flags & NEXT != 0).then(|| number(descriptor + 14, 2) as u16);
            }
            requests.push_back(request);
        }
        requests
    }

    /// Says that a request is done, and how many bytes were written. Any number may be a lie.
    pub fn done(&self, queue: usize, head: u32, written: u32) {
        let ring = self.state.borrow().rings[queue];
        let index = number(ring.used + 2, 2) as u16;
        let element = ring.used + 4 + 8 * u64::from(index % ring.size);
        poke(element, &head.to_le_bytes());
        poke(element + 4, &written.to_le_bytes());
        poke(ring.used + 2, &index.wrapping_add(1).to_le_bytes());
    }
}

impl Transport for Host {
    fn device_type(&self) -> DeviceType {
        self.kind
    }

    fn read_device_features(&mut self) -> u64 {
        self.state.borrow().features
    }

    fn write_driver_features(&mut self, features: u64) {
        self.state.borrow_mut().accepted = features;
    }

    fn max_queue_size(&mut self, _: u16) -> u32 {
        256
    }

    fn notify(&mut self, queue: u16) {
        self.state.borrow_mut().notified[usize::from(queue)] += 1;
    }

    fn get_status(&self) -> DeviceStatus {
        DeviceStatus::from_bits_truncate(self.state.borrow().status)
    }

    fn set_status(&mut self, status: DeviceStatus) {
        self.state.borrow_mut().status = status.bits();
    }

    fn set_guest_page_size(&mut self, _: u32) {}

    fn requires_legacy_layout(&self) -> bool {
        false
    }

    fn queue_set(&mut self, queue: u16, size: u32, d: PhysAddr, a: PhysAddr, u: PhysAddr) {
        let ring =
            Ring { size: size as u16, descriptors: d, available: a, used: u, ..Ring::default() };
        self.state.borrow_mut().rings[usize::from(queue)] = ring;
    }

    fn queue_unset(&mut self, _: u16) {}

    fn queue_used(&mut self, queue: u16) -> bool {
        self.state.borrow().rings[usize::from(queue)].size != 0
    }

    fn ack_interrupt(&mut self) -> InterruptStatus {
        InterruptStatus::empty()
    }

    fn read_config_generation(&self) -> u32 {
        0
    }

    fn read_config_space<T: FromBytes + IntoBytes>(&self, offset: usize) -> Result<T, Error> {
        let config = &self.state.borrow().config;
        let bytes = config.get(offset..offset + size_of::<T>());
        let value = bytes.and_then(|bytes| T::read_from_bytes(bytes).ok());
        value.ok_or(Error::ConfigSpaceTooSmall)
    }

    fn write_config_space<T: IntoBytes + Immutable>(
        &mut self,
        _: usize,
        _: T,
    ) -> Result<(), Error> {
        Err(Error::Unsupported)
    }
}
