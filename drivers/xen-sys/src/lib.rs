//! Xen's public interface as an x86-64 PVH guest needs it: the numbers and layouts of the headers
//! under xen/include/public/ of Xen 4.17, each module named after its header. Nothing here does
//! anything.
#![no_std]
#![forbid(unsafe_code)]

pub mod blkif;
pub mod console;
pub mod event_channel;
pub mod grant_table;
pub mod hvm;
pub mod memory;
pub mod netif;
pub mod ring;
pub mod sched;
pub mod shared_info;
pub mod xenbus;
pub mod xs_wire;

/// The size in bytes of every page of this interface.
pub const PAGE_SIZE: usize = 4096;

/// The calling domain itself (xen.h).
pub const DOMID_SELF: u16 = 0x7ff0;

/// Hypercall numbers (xen.h, `__HYPERVISOR_*`).
pub mod hypercall {
    pub const MEMORY_OP: u64 = 12;
    pub const GRANT_TABLE_OP: u64 = 20;
    pub const SCHED_OP: u64 = 29;
    pub const EVENT_CHANNEL_OP: u64 = 32;
    pub const HVM_OP: u64 = 34;
}

/// Xen's leaves of CPUID (arch-x86/cpuid.h).
pub mod cpuid {
    /// The first leaf lies at one of these, in steps of `STEP`.
    pub const FIRST: u32 = 0x4000_0000;
    pub const LAST: u32 = 0x4001_0000;
    pub const STEP: usize = 0x100;
    /// EBX, ECX and EDX of the first leaf.
    pub const SIGNATURE: [u32; 3] = [0x566e_6558, 0x6558_4d4d, 0x4d4d_566e];
}
