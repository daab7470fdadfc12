//! Block devices (io/blkif.h), with the layout of `protocol` = "x86_64-abi".
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Bytes of a slot: the larger of a request and a response.
pub const SLOT_SIZE: usize = 112;

pub const OP_READ: u8 = 0;
pub const OP_WRITE: u8 = 1;
pub const OP_WRITE_BARRIER: u8 = 2;
pub const OP_FLUSH_DISKCACHE: u8 = 3;
pub const OP_INDIRECT: u8 = 6;

/// Segments in a request's own slot.
pub const SEGMENTS: usize = 11;
/// Pages of segments of an indirect request.
pub const INDIRECT_PAGES: usize = 8;
/// Segments in one of them.
pub const SEGMENTS_PER_PAGE: usize = 512;

/// The unit of `sector`, `first_sect`, `last_sect` and of the node `sectors`, whatever the disk's
/// own sector size is.
pub const SECTOR_SIZE: usize = 512;

pub const RSP_OKAY: i16 = 0;
pub const RSP_ERROR: i16 = -1;
pub const RSP_EOPNOTSUPP: i16 = -2;

/// Bits of the node `info`.
pub const VDISK_CDROM: u32 = 1;
pub const VDISK_READONLY: u32 = 4;

/// `struct blkif_request_segment`: part of one page.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable)]
pub struct Segment {
    pub gref: u32,
    /// First and last sector in the page, both included.
    pub first_sector: u8,
    pub last_sector: u8,
    pub pad: u16,
}

/// `struct blkif_request`.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable)]
pub struct Request {
    pub operation: u8,
    pub segment_count: u8,
    pub handle: u16,
    pub pad: u32,
    pub id: u64,
    pub sector: u64,
    pub segments: [Segment; SEGMENTS],
}

/// `struct blkif_request_indirect`, filled up to the size of a slot.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable)]
pub struct IndirectRequest {
    pub operation: u8,
    /// `OP_READ` or `OP_WRITE`.
    pub indirect_operation: u8,
    pub segment_count: u16,
    pub pad: u32,
    pub id: u64,
    pub sector: u64,
    pub handle: u16,
    pub pad2: u16,
    pub pages: [u32; INDIRECT_PAGES],
    pub pad3: [u32; 13],
}

/// `struct blkif_response`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable)]
pub struct Response {
    pub id: u64,
    pub operation: u8,
    pub pad: u8,
    pub status: i16,
    pub pad2: u32,
}

const _: () = assert!(size_of::<Request>() == SLOT_SIZE);
const _: () = assert!(size_of::<IndirectRequest>() == SLOT_SIZE);
const _: () = assert!(size_of::<Response>() == 16);
