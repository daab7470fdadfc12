//! The guest-physical memory map (memory.h).
use zerocopy::{FromBytes, IntoBytes};

pub const ADD_TO_PHYSMAP_OP: u64 = 7;

/// `XENMAPSPACE_*`.
pub const SPACE_SHARED_INFO: u32 = 0;
pub const SPACE_GRANT_TABLE: u32 = 1;

/// `struct xen_add_to_physmap`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes)]
pub struct AddToPhysmap {
    pub domid: u16,
    pub size: u16,
    pub space: u32,
    /// Which frame of the space.
    pub index: u64,
    /// Where it is to appear.
    pub frame: u64,
}
