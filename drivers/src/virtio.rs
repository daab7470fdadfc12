//! Virtio devices (Virtual I/O Device 1.2), over PCI and over MMIO, as QEMU, Firecracker and
//! cloud-hypervisor have them: disks and network interfaces. Transports and queues are those of the
//! crate virtio-drivers.
//!
//! The host can read and write all of this machine's memory, so a device is not an enemy here as
//! Xen's backends may be. What it says is still checked: a faulty one ends as an error.
mod device;
mod disk;
#[allow(unsafe_code)]
mod memory;
pub mod mmio;
mod network;
#[allow(unsafe_code)]
pub mod pci;
#[allow(unsafe_code)]
mod queue;
#[allow(unsafe_code)]
mod registers;
#[cfg(test)]
#[allow(unsafe_code)]
mod tests;
mod transport;

pub use device::{Device, DeviceError};
pub use disk::VirtioDisk;
pub use network::{Received, Room, VirtioNet};
pub use registers::{Mapped, Registers};
pub use transport::Transport;
pub use virtio_drivers::transport::DeviceType;
