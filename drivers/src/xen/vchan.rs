//! vchans: streams of bytes between two domains (libxenvchan), and what Qubes speaks over them. The server
//! offers the pages and says so in xenstore; the client maps them.
mod client;
mod pages;
pub mod qrexec;
pub mod qubesdb;
mod server;
#[cfg(test)]
mod tests;

pub use client::Dial;
pub use server::serve;

use crate::xen::xenstore::StoreError;
use crate::xen::{DomId, Xen, XenError};
use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use net::{Closed, Stream};
use pages::Pages;
use qubes::vchan::{BadLayout, End};

/// Bytes that are taken out of the ring at once.
const BUFFER: usize = 16 << 10;

/// Nanoseconds between looks whether the other domain is still there: one that is destroyed says
/// nothing.
const LOOK_EVERY: u64 = 2_000_000_000;

/// An open vchan. The event that something changed is taken by `fill`: call it in every turn.
pub struct Vchan {
    xen: Rc<dyn Xen>,
    end: End<Pages>,
    buffer: Vec<u8>,
    /// What of the buffer came and was not consumed.
    filled: core::ops::Range<usize>,
    looked: u64,
    broken: bool,
}

impl Vchan {
    fn new(xen: &Rc<dyn Xen>, end: End<Pages>, size: usize) -> Self {
        let looked = xen.now_ns();
        let buffer = vec![0; size.min(BUFFER)];
        Self { xen: xen.clone(), end, buffer, filled: 0..0, looked, broken: false }
    }

    /// Whether a server still waits for its client. Takes its events, too.
    fn is_waiting(&self) -> bool {
        self.end.memory().channel.take_pending();
        self.end.is_waiting()
    }

    /// Whether the other side is there. What it wrote before it went can be read after.
    fn is_open(&mut self) -> bool {
        let now = self.xen.now_ns();
        if now.saturating_sub(self.looked) >= LOOK_EVERY {
            self.looked = now;
            if !self.end.memory().channel.is_bound() {
                self.broken = true;
            }
        }
        self.end.memory().channel.is_there() && self.end.is_open() && !self.broken
    }

    fn or_break<T>(&mut self, result: Result<T, qubes::vchan::Broken>) -> Result<T, Closed> {
        result.map_err(|e| {
            if !core::mem::replace(&mut self.broken, true) {
                log::warn!("{e}: it is closed");
            }
            Closed
        })
    }
}

impl Stream for Vchan {
    fn fill(&mut self) -> Result<&[u8], Closed> {
        // Before the look at what it is about.
        self.end.memory().channel.take_pending();
        if self.filled.is_empty() {
            // In this order: what came before the end is read.
            let open = self.is_open();
            let read = self.end.read(&mut self.buffer);
            let read = self.or_break(read)?;
            if read == 0 && !open {
                return Err(Closed);
            }
            self.filled = 0..read;
        }
        Ok(self.buffer.get(self.filled.clone()).unwrap_or_default())
    }

    fn consume(&mut self, n: usize) {
        self.filled.start = self.filled.start.saturating_add(n).min(self.filled.end);
    }

    fn write(&mut self, data: &[u8]) -> Result<usize, Closed> {
        if !self.is_open() {
            return Err(Closed);
        }
        let written = self.end.write(data);
        self.or_break(written)
    }

    fn is_read(&mut self) -> bool {
        let read = self.end.is_read();
        self.or_break(read).unwrap_or(true)
    }
}

/// Why there is no vchan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VchanError {
    Store(StoreError),
    Xen(XenError),
    Layout(BadLayout),
    /// The server is gone.
    Closed,
}

impl From<StoreError> for VchanError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<XenError> for VchanError {
    fn from(error: XenError) -> Self {
        Self::Xen(error)
    }
}

impl From<BadLayout> for VchanError {
    fn from(error: BadLayout) -> Self {
        Self::Layout(error)
    }
}

impl fmt::Display for VchanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(e) => e.fmt(f),
            Self::Xen(e) => e.fmt(f),
            Self::Layout(e) => e.fmt(f),
            Self::Closed => f.write_str("its server is gone"),
        }
    }
}

impl core::error::Error for VchanError {}

/// The directory in xenstore of a vchan that `server` offers `client` at `port`.
fn directory(server: DomId, client: DomId, port: u32) -> alloc::string::String {
    alloc::format!("/local/domain/{}/data/vchan/{}/{port}", server.0, client.0)
}
