//! Messages over xenstore's ring (docs/misc/xenstore-ring.txt).
use crate::xen::page::Page;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::sync::atomic::{Ordering, fence};
use xen_sys::xs_wire::{
    HEADER_SIZE, Header, PAYLOAD_MAX, REPLIES, REQ_CONS, REQ_PROD, REQUESTS, RING_SIZE, RSP_CONS,
    RSP_PROD,
};
use zerocopy::{FromBytes, IntoBytes};

/// Bytes go in and out of the page here; nobody is notified.
pub struct Wire {
    page: Page,
    /// Our own indexes: requests produced, replies consumed.
    produced: u32,
    consumed: u32,
    outgoing: VecDeque<u8>,
    incoming: Vec<u8>,
}

/// The other side does not keep to the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken;

impl Wire {
    /// Takes up the ring where it stands: an earlier user may have left its indexes anywhere.
    pub fn new(page: Page) -> Self {
        let (outgoing, incoming) = (VecDeque::new(), Vec::new());
        let mut wire = Self { page, produced: 0, consumed: 0, outgoing, incoming };
        wire.begin();
        wire
    }

    /// Takes up the ring where it stands, without what was on its way.
    pub fn begin(&mut self) {
        (self.produced, self.consumed) = (self.index(REQ_PROD), self.index(RSP_CONS));
        self.outgoing.clear();
        self.incoming.clear();
    }

    /// Queues a message.
    pub fn send(&mut self, header: Header, payload: &[u8]) {
        self.outgoing.extend(header.as_bytes());
        self.outgoing.extend(payload);
    }

    /// Moves what there is and what fits; true when anything moved.
    pub fn transfer(&mut self) -> Result<bool, Broken> {
        // Both must run.
        Ok(self.transmit()? | self.receive()?)
    }

    fn transmit(&mut self) -> Result<bool, Broken> {
        let used = self.produced.wrapping_sub(self.index(REQ_CONS));
        let mut room = RING_SIZE.checked_sub(used).ok_or(Broken)?;
        // What the other side consumed before we overwrite it.
        fence(Ordering::SeqCst);
        let start = self.produced;
        while room > 0 {
            let Some(byte) = self.outgoing.pop_front() else {
                break;
            };
            self.page.write_u8(place(REQUESTS, self.produced), byte);
            self.produced = self.produced.wrapping_add(1);
            room = room.saturating_sub(1);
        }
        fence(Ordering::SeqCst);
        self.page.write_u32(REQ_PROD, self.produced);
        Ok(self.produced != start)
    }

    fn receive(&mut self) -> Result<bool, Broken> {
        let waiting = self.index(RSP_PROD).wrapping_sub(self.consumed);
        if waiting > RING_SIZE {
            return Err(Broken);
        }
        fence(Ordering::SeqCst);
        for _ in 0..waiting {
            let byte = self.page.read_u8(place(REPLIES, self.consumed)).unwrap_or_default();
            self.incoming.push(byte);
            self.consumed = self.consumed.wrapping_add(1);
        }
        fence(Ordering::SeqCst);
        self.page.write_u32(RSP_CONS, self.consumed);
        Ok(waiting > 0)
    }

    /// The next message that has arrived whole.
    pub fn next(&mut self) -> Result<Option<(Header, Vec<u8>)>, Broken> {
        let Ok((header, rest)) = Header::read_from_prefix(&self.incoming) else {
            return Ok(None);
        };
        let length = usize::try_from(header.length).map_err(|_| Broken)?;
        if length > PAYLOAD_MAX {
            return Err(Broken);
        }
        let Some(payload) = rest.get(..length).map(Vec::from) else {
            return Ok(None);
        };
        self.incoming.drain(..HEADER_SIZE.saturating_add(length));
        Ok(Some((header, payload)))
    }

    fn index(&self, offset: usize) -> u32 {
        self.page.read_u32(offset).unwrap_or_default()
    }
}

/// The offset of a byte of a ring whose size is a power of two.
fn place(ring: usize, index: u32) -> usize {
    ring.saturating_add((index & RING_SIZE.saturating_sub(1)) as usize)
}
