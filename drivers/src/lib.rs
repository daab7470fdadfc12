//! What a PVH guest needs of Xen: hypercalls, events, grants, the clock, xenstore, the console,
//! disks and network interfaces; and virtio's disks and network interfaces for other machines.
//!
//! One thread and no interrupts: everything is polled by the loop, which sleeps in
//! `Hypervisor::sleep` when nothing moved. The other side of every ring is not trusted: what it
//! writes is copied once and then validated; the worst it can do is to end its own device.
//!
//! Drivers reach the hypervisor through the trait `Xen` alone, so that they run against fakes on
//! the host. Unsafe code is in `page`, `hypercall` and `virtio`, and `hypervisor` passes conditions on.
#![cfg_attr(not(test), no_std)]
#![deny(unsafe_code)]

extern crate alloc;

pub mod any;
pub mod blkfront;
pub mod bus;
pub mod console;
mod data;
mod events;
#[cfg(test)]
mod fake;
mod grants;
#[allow(unsafe_code)]
mod hypercall;
pub mod hypervisor;
pub mod netfront;
#[allow(unsafe_code)]
pub mod page;
pub mod qrexec;
pub mod qubesdb;
pub mod ring;
pub mod shared;
pub mod shutdown;
pub mod task;
pub mod time;
mod turns;
pub mod vchan;
pub mod virtio;
pub mod xen;
pub mod xenstore;

pub use any::{AnyDisk, AnyNet};
pub use blkfront::Blkfront;
pub use console::Console;
pub use hypervisor::Hypervisor;
pub use netfront::Netfront;
pub use page::Page;
pub use qrexec::Qrexec;
pub use qubesdb::QubesDb;
pub use shutdown::Shutdown;
pub use xen::{DomId, GrantRef, Port, Xen, XenError};
pub use xenstore::Xenstore;
