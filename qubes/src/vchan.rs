//! A vchan: two rings of bytes in pages that two domains share, as libxenvchan has them
//! (xen/include/public/io/libxenvchan.h). The side that offers the pages is the server.
//!
//! The other side can write to the page of the indices at any time. An index of its is copied once
//! and must be possible; ours are kept here and only shown to it.
mod end;
mod layout;

pub use end::{Broken, End};
pub use layout::{BadLayout, Layout, Place};

/// The first page's fields: offsets in bytes.
pub mod field {
    /// u32 each: the ring that the client writes and the server reads.
    pub const LEFT_CONS: usize = 0;
    pub const LEFT_PROD: usize = 4;
    /// u32 each: the ring that the server writes and the client reads.
    pub const RIGHT_CONS: usize = 8;
    pub const RIGHT_PROD: usize = 12;
    /// u16 each: the rings' sizes are 2 to the power of these.
    pub const LEFT_ORDER: usize = 16;
    pub const RIGHT_ORDER: usize = 18;
    /// u8 each: 0 is gone, 1 is there; the server writes 2 for a client that has not come yet.
    pub const CLIENT_LIVE: usize = 20;
    pub const SERVER_LIVE: usize = 21;
    /// u8 each: what the server, and what the client, is to be told of by events.
    pub const CLIENT_NOTIFY: usize = 22;
    pub const SERVER_NOTIFY: usize = 23;
    /// u32 each: the grants of the left ring's pages, then of the right one's.
    pub const GRANTS: usize = 24;
}

/// Bits of the notify fields.
pub const NOTIFY_WRITE: u8 = 1;
pub const NOTIFY_READ: u8 = 2;

/// `CLIENT_LIVE` before a client came.
pub const LIVE_NOT_YET: u8 = 2;

/// Which side we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Server,
    Client,
}

/// The pages of a vchan. Offsets of fields are those of `field`; offsets in a ring are less than its
/// size, and no copy goes beyond its end.
pub trait Memory {
    fn read_u32(&self, field: usize) -> u32;
    fn write_u32(&self, field: usize, value: u32);
    fn read_u8(&self, field: usize) -> u8;
    fn write_u8(&self, field: usize, value: u8);
    /// Sets bits in one step.
    fn set_bits(&self, field: usize, bits: u8);
    /// Clears bits in one step, and says what was there before.
    fn clear_bits(&self, field: usize, bits: u8) -> u8;
    /// Copies out of the ring that we read.
    fn copy_out(&self, offset: usize, to: &mut [u8]);
    /// Copies into the ring that we write.
    fn copy_in(&self, offset: usize, from: &[u8]);
    /// What came before happens before what comes after, for the other side too.
    fn fence(&self);
    /// Sends the other side an event.
    fn notify(&self);
}
