//! Virtio devices (Virtual I/O Device 1.2), over PCI and over MMIO, as QEMU, Firecracker and
//! cloud-hypervisor have them: disks and network interfaces. Transports and queues are those of the
//! crate virtio-drivers.
//!
//! The host can read and write all of this machine's memory, so a device is not an enemy here as
//! Xen's backends may be. What it says is still checked: a faulty one ends as an error.
mod disk;
#[allow(unsafe_code)]
mod memory;
pub mod mmio;
mod network;
#[allow(unsafe_code)]
pub mod pci;
#[allow(unsafe_code)]
mod queue;
#[cfg(test)]
#[allow(unsafe_code)]
mod tests;

pub use disk::VirtioDisk;
pub use network::{Received, Room, VirtioNet};
pub use virtio_drivers::transport::DeviceType;

use bitflags::bitflags;
use core::fmt;
use memory::Memory;
use pci::Vectors;
use virtio_drivers::queue::VirtQueue;
use virtio_drivers::transport::{self, DeviceStatus, SomeTransport};

/// PCI or MMIO.
pub type Transport = SomeTransport<'static>;

bitflags! {
    /// Features of any device (6) and of legacy ones (6.3).
    #[derive(Clone, Copy, Debug)]
    struct Common: u64 {
        /// Requests may be divided into buffers in any way.
        const ANY_LAYOUT = 1 << 27;
        const VERSION_1 = 1 << 32;
        /// Those of one type of device.
        const _ = !0;
    }
}

/// Why a device cannot be used.
#[derive(Debug)]
pub enum DeviceError {
    /// It refused what it had offered.
    Features,
    Device(virtio_drivers::Error),
    /// It tells a disk that cannot be.
    Geometry,
    NoMemory,
}

impl fmt::Display for DeviceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Features => f.write_str("the device refuses its own features"),
            Self::Device(e) => e.fmt(f),
            Self::Geometry => f.write_str("the device tells no usable disk"),
            Self::NoMemory => f.write_str("out of memory"),
        }
    }
}

impl core::error::Error for DeviceError {}

impl From<virtio_drivers::Error> for DeviceError {
    fn from(error: virtio_drivers::Error) -> Self {
        Self::Device(error)
    }
}

/// A device that was found.
pub struct Device<T: transport::Transport> {
    transport: T,
    /// Where a PCI device is told which queue sends which message.
    vectors: Option<Vectors>,
}

impl<T: transport::Transport> Device<T> {
    pub fn new(transport: T, vectors: Option<Vectors>) -> Self {
        Self { transport, vectors }
    }

    pub fn kind(&self) -> DeviceType {
        self.transport.device_type()
    }

    /// Resets the device and takes of these features what it has, by their bits.
    fn begin(&mut self, wanted: u64) -> Result<u64, DeviceError> {
        let wanted =
            Common::from_bits_retain(wanted | (Common::ANY_LAYOUT | Common::VERSION_1).bits());
        let features = self.transport.begin_init(wanted);
        let legacy = !features.contains(Common::VERSION_1);
        if !legacy && !self.transport.get_status().contains(DeviceStatus::FEATURES_OK) {
            return Err(DeviceError::Features);
        }
        Ok(features.bits())
    }

    /// Its queue of this number, between `begin` and `finish`.
    fn queue<const N: usize>(
        &mut self,
        number: u16,
    ) -> Result<VirtQueue<Memory, N>, virtio_drivers::Error> {
        if let Some(vectors) = &mut self.vectors {
            vectors.assign(number);
        }
        VirtQueue::new(&mut self.transport, number, false, false)
    }

    fn finish(&mut self) {
        self.transport.finish_init();
    }

    /// Takes back the interrupt of a device that has no messages.
    fn acknowledge(&mut self) {
        if self.vectors.is_none() {
            self.transport.ack_interrupt();
        }
    }
}
