//! Grant tables, version 1 (grant_table.h).

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
