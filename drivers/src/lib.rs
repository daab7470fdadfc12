//! What a PVH guest needs of Xen: hypercalls, events, grants, the clock, xenstore, the console,
//! disks and network interfaces; and disks and network interfaces of virtio and of Solo5 for other machines.
//!
//! One thread and no interrupts: everything is polled by the loop, which sleeps in
//! `Hypervisor::sleep` when nothing moved. The other side of every ring is not trusted: what it
//! writes is copied once and then validated; the worst it can do is to end its own device.
//!
//! Drivers reach the hypervisor through the trait `Xen` alone, so that they run against fakes on the host.
//! Unsafe code is in `xen::page`, `xen::hypercall`, `solo5::hypercall` and `virtio`, and `xen::hypervisor` passes conditions on.
#![cfg_attr(not(test), no_std)]
#![deny(unsafe_code)]

extern crate alloc;

pub mod any;
mod checksum;
mod data;
mod share;
pub mod solo5;
pub mod task;
mod turns;
pub mod virtio;
pub mod xen;

pub use any::{AnyDisk, AnyNet};
pub use xen::blkfront::Blkfront;
pub use xen::console::Console;
pub use xen::hypervisor::Hypervisor;
pub use xen::netfront::Netfront;
pub use xen::page::Page;
pub use xen::shutdown::Shutdown;
pub use xen::vchan::qrexec::Qrexec;
pub use xen::vchan::qubesdb::QubesDb;
pub use xen::xenstore::Xenstore;
pub use xen::{DomId, GrantRef, Port, Xen, XenError};
