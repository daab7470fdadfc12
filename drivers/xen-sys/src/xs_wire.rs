//! Xenstore's ring and messages (io/xs_wire.h, docs/misc/xenstore-ring.txt).
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Offsets in the page; the indexes are u32, in bytes, and run freely.
pub const REQUESTS: usize = 0;
pub const REPLIES: usize = 1024;
pub const RING_SIZE: u32 = 1024;
pub const REQ_CONS: usize = 2048;
pub const REQ_PROD: usize = 2052;
pub const RSP_CONS: usize = 2056;
pub const RSP_PROD: usize = 2060;

/// The longest payload.
pub const PAYLOAD_MAX: usize = 4096;

/// `struct xsd_sockmsg`; the payload follows.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
pub struct Header {
    pub kind: u32,
    pub request: u32,
    pub transaction: u32,
    /// Of the payload, in bytes.
    pub length: u32,
}

pub const HEADER_SIZE: usize = size_of::<Header>();

/// `enum xsd_sockmsg_type`.
pub mod kind {
    pub const DIRECTORY: u32 = 1;
    pub const READ: u32 = 2;
    pub const WATCH: u32 = 4;
    pub const UNWATCH: u32 = 5;
    pub const TRANSACTION_START: u32 = 6;
    pub const TRANSACTION_END: u32 = 7;
    pub const WRITE: u32 = 11;
    pub const RM: u32 = 13;
    pub const SET_PERMS: u32 = 14;
    pub const WATCH_EVENT: u32 = 15;
    pub const ERROR: u32 = 16;
}
