//! A queue of a device (2.6, 2.7) with buffers that belong to it while the device has them.
use super::device::{Device, DeviceError};
use super::memory::Memory;
use alloc::vec::Vec;
use core::mem::ManuallyDrop;
use core::sync::atomic::{Ordering, fence};
use virtio_drivers::queue::VirtQueue;
use virtio_drivers::transport::Transport;

/// Buffers that can be with the device. All hosts known have queues of at least so many.
pub const SIZE: usize = 128;

/// The buffers of one request, each of them possibly empty: first those that the device reads, then
/// those that it writes.
#[derive(Default)]
pub struct Chain {
    pub readable: [Vec<u8>; 2],
    pub writable: [Vec<u8>; 2],
}

impl Chain {
    fn buffers(&self) -> usize {
        self.readable.iter().chain(&self.writable).filter(|buffer| !buffer.is_empty()).count()
    }

    /// Calls with the buffers that are not empty.
    fn with<T>(
        &mut self,
        f: impl for<'a> FnOnce(&'a [&'a [u8]], &'a mut [&'a mut [u8]]) -> T,
    ) -> T {
        let [a, b] = &self.readable;
        let [c, d] = &mut self.writable;
        let readable: &[&[u8]] = match (a.is_empty(), b.is_empty()) {
            (false, false) => &[a, b],
            (false, true) => &[a],
            (true, false) => &[b],
            (true, true) => &[],
        };
        match (c.is_empty(), d.is_empty()) {
            (false, false) => f(readable, &mut [&mut c[..], &mut d[..]]),
            (false, true) => f(readable, &mut [&mut c[..]]),
            (true, false) => f(readable, &mut [&mut d[..]]),
            (true, true) => f(readable, &mut []),
        }
    }
}

/// The device does not keep to the protocol.
#[derive(Debug)]
pub struct Broken;

/// What the device is done with.
pub struct Used {
    pub ticket: u64,
    pub chain: Chain,
    /// How many bytes it wrote.
    pub written: usize,
}

/// What the device may reach is never freed: it need not let go of it, even when asked to (Firecracker knows
/// no reset of a device that runs).
pub struct Queue {
    queue: ManuallyDrop<VirtQueue<Memory, SIZE>>,
    number: u16,
    /// What the device has, by the first of its descriptors.
    sent: ManuallyDrop<[Option<(u64, Chain)>; SIZE]>,
    tickets: u64,
    /// There is something that the device was not told of.
    unpublished: bool,
    armed: bool,
}

impl Queue {
    pub fn new<T: Transport>(device: &mut Device<T>, number: u16) -> Result<Self, DeviceError> {
        let mut queue = ManuallyDrop::new(device.queue(number)?);
        queue.set_dev_notify(false);
        let sent = ManuallyDrop::new([const { None }; SIZE]);
        Ok(Self { queue, number, sent, tickets: 0, unpublished: false, armed: false })
    }

    /// Buffers for which there is room.
    pub fn room(&self) -> usize {
        self.queue.available_desc()
    }

    /// Gives a request to the device, and a number that `take` gives again. None, and the request is
    /// dropped, when there is no room for it or it is empty.
    pub fn send(&mut self, mut chain: Chain) -> Option<u64> {
        if chain.buffers() == 0 || chain.buffers() > self.room() {
            return None;
        }
        let queue = &mut self.queue;
        // SAFETY: the chain is kept in `sent`, where nothing touches it, until `take` pops the same
        // buffers; the heap memory of its vectors stays where it is when they move, and
        // neither `sent` nor the queue is ever dropped.
        let token =
            chain.with(|readable, writable| unsafe { queue.add(readable, writable) }).ok()?;
        self.tickets = self.tickets.wrapping_add(1);
        *self.sent.get_mut(usize::from(token))? = Some((self.tickets, chain));
        self.unpublished = true;
        Some(self.tickets)
    }

    /// The next request that the device is done with.
    pub fn take(&mut self) -> Result<Option<Used>, Broken> {
        let Some(token) = self.queue.peek_used() else {
            return Ok(None);
        };
        let sent = self.sent.get_mut(usize::from(token)).and_then(Option::take);
        let (ticket, mut chain) = sent.ok_or(Broken)?;
        let most = chain.writable.iter().fold(0usize, |sum, b| sum.saturating_add(b.len()));
        let queue = &mut self.queue;
        // SAFETY: `sent` had the buffers that were added when `token` was given.
        let popped =
            chain.with(|readable, writable| unsafe { queue.pop_used(token, readable, writable) });
        let written = popped.map_err(|_| Broken)? as usize;
        if written > most { Err(Broken) } else { Ok(Some(Used { ticket, chain, written })) }
    }

    /// Tells the device what was sent, unless it looks by itself.
    pub fn publish<T: Transport>(&mut self, device: &mut Device<T>) {
        if core::mem::take(&mut self.unpublished) {
            // The device sees the request before we see whether it wants to be told.
            fence(Ordering::SeqCst);
            if self.queue.should_notify() {
                device.transport.notify(self.number);
            }
        }
    }

    /// Whether the device is to interrupt when it is done with something; true when it is so already.
    pub fn arm(&mut self, wanted: bool) -> bool {
        if self.armed != wanted {
            self.armed = wanted;
            self.queue.set_dev_notify(wanted);
        }
        // The device sees the wish before we look a last time.
        fence(Ordering::SeqCst);
        wanted && self.queue.can_pop()
    }
}
