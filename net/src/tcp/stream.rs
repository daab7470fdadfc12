//! Handles to the interface's sockets, as sessions want them.
use super::sockets::Sockets;
use crate::Closed;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::net::IpAddr;
use smoltcp::iface::SocketHandle;

/// Bytes that `fill` shows at a time: they stay in the processor's nearest cache.
const CHUNK: usize = 16 * 1024;

/// Where an interface's connections come from.
pub struct Listener {
    pub(super) sockets: Rc<RefCell<Sockets>>,
}

impl crate::Listener for Listener {
    type Stream = Stream;

    fn accept(&mut self) -> Option<(Stream, String)> {
        let (handle, peer) = self.sockets.borrow_mut().accept()?;
        let sockets = self.sockets.clone();
        Some((Stream { sockets, handle, chunk: Vec::new(), used: 0 }, peer))
    }
}

/// A connection. Dropping it closes it: what was written is still sent.
pub struct Stream {
    sockets: Rc<RefCell<Sockets>>,
    handle: SocketHandle,
    /// What `fill` shows: a copy, because the socket must stay where the interface finds it.
    chunk: Vec<u8>,
    used: usize,
}

impl crate::Stream for Stream {
    fn fill(&mut self) -> Result<&[u8], Closed> {
        if self.used >= self.chunk.len() {
            self.used = 0;
            self.chunk.clear();
            let mut sockets = self.sockets.borrow_mut();
            let socket = sockets.set.get_mut::<smoltcp::socket::tcp::Socket>(self.handle);
            if !socket.may_recv() {
                return Err(Closed);
            }
            // Twice, because the data may go round the end of the socket's ring.
            for _ in 0..2 {
                let room = CHUNK.saturating_sub(self.chunk.len());
                if room == 0 || !socket.can_recv() {
                    break;
                }
                let chunk = &mut self.chunk;
                let taken = socket.recv(|bytes| {
                    let bytes = bytes.get(..room).unwrap_or(bytes);
                    chunk.extend_from_slice(bytes);
                    (bytes.len(), ())
                });
                taken.map_err(|_| Closed)?;
            }
            // The window may have opened.
            sockets.touched |= !self.chunk.is_empty();
        }
        Ok(self.chunk.get(self.used..).unwrap_or_default())
    }

    fn consume(&mut self, n: usize) {
        self.used = self.used.saturating_add(n);
    }

    fn write(&mut self, data: &[u8]) -> Result<usize, Closed> {
        let mut sockets = self.sockets.borrow_mut();
        let sent = sockets.socket(self.handle).send_slice(data);
        sent.map_err(|_| Closed)
    }

    fn peer_address(&self) -> Option<IpAddr> {
        self.sockets.borrow().peer(self.handle).map(|endpoint| endpoint.addr.into())
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.sockets.borrow_mut().release(self.handle);
    }
}
