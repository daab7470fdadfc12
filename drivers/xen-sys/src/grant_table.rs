//! Grant tables, version 1 (grant_table.h). The structures are arguments of `GRANT_TABLE_OP`.
use zerocopy::{FromBytes, IntoBytes};

pub const MAP_GRANT_REF_OP: u64 = 0;
pub const UNMAP_GRANT_REF_OP: u64 = 1;

/// Bytes of an entry: u16 flags, u16 domain, u32 frame.
pub const ENTRY_SIZE: usize = 8;
pub const ENTRY_FLAGS: usize = 0;
pub const ENTRY_DOMAIN: usize = 2;
pub const ENTRY_FRAME: usize = 4;

/// References below this are the toolstack's (`GNTTAB_NR_RESERVED_ENTRIES`).
pub const RESERVED_ENTRIES: u32 = 8;

/// Xen's default for the frames of a table (docs/misc/xen-command-line: gnttab_max_frames).
pub const MAX_FRAMES: u32 = 64;

pub const FLAG_PERMIT_ACCESS: u16 = 1;
pub const FLAG_READ_ONLY: u16 = 1 << 2;
/// Set by Xen while the other domain maps or copies the frame.
pub const FLAG_READING: u16 = 1 << 3;
pub const FLAG_WRITING: u16 = 1 << 4;

/// `GNTMAP_*`: map into the guest's memory, and only for reading.
pub const MAP_HOST: u32 = 1 << 1;
pub const MAP_READ_ONLY: u32 = 1 << 2;

/// `struct gnttab_map_grant_ref`, 32 bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes)]
pub struct MapGrantRef {
    /// The guest-physical address where the page is to appear.
    pub host_address: u64,
    pub flags: u32,
    pub reference: u32,
    pub domain: u16,
    /// Out: 0, or a negative `GNTST_*`.
    pub status: i16,
    /// Out.
    pub handle: u32,
    pub device_address: u64,
}

/// `struct gnttab_unmap_grant_ref`, 24 bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes)]
pub struct UnmapGrantRef {
    pub host_address: u64,
    pub device_address: u64,
    pub handle: u32,
    /// Out.
    pub status: i16,
    pub pad: u16,
}
