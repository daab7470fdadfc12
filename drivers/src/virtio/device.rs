//! A device that was found, and how it is started (3.1.1).
use super::memory::Memory;
use super::transport::Transport;
use bitflags::bitflags;
use core::fmt;
use virtio_drivers::queue::VirtQueue;
use virtio_drivers::transport::{self, DeviceStatus, DeviceType};

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
    /// It does not end its reset.
    Reset,
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
            Self::Reset => f.write_str("the device does not end its reset"),
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
pub struct Device<T: transport::Transport = Transport> {
    pub transport: T,
    /// It interrupts by messages, which need no answer.
    messages: bool,
}

impl<T: transport::Transport> Device<T> {
    pub fn new(transport: T, messages: bool) -> Self {
        Self { transport, messages }
    }

    pub fn kind(&self) -> DeviceType {
        self.transport.device_type()
    }

    /// Sets one more bit of the status. Some monitors take no two at once.
    fn step(&mut self, bit: DeviceStatus) {
        let status = self.transport.get_status();
        self.transport.set_status(status | bit);
    }

    /// Resets the device and takes of these features what it has, by their bits.
    pub fn begin(&mut self, wanted: u64) -> Result<u64, DeviceError> {
        /// A device says when the reset is over (4.1.4.3.2), within a few reads if ever.
        const LOOKS: usize = 100_000;
        let common = Common::ANY_LAYOUT | Common::VERSION_1;
        self.transport.set_status(DeviceStatus::empty());
        if !(0..LOOKS).any(|_| self.transport.get_status().is_empty()) {
            return Err(DeviceError::Reset);
        }
        self.step(DeviceStatus::ACKNOWLEDGE);
        self.step(DeviceStatus::DRIVER);
        let features = self.transport.read_device_features() & (wanted | common.bits());
        self.transport.write_driver_features(features);
        if features & Common::VERSION_1.bits() == 0 {
            // Before version 1 there was no such step.
            self.transport.set_guest_page_size(virtio_drivers::PAGE_SIZE as u32);
            return Ok(features);
        }
        self.step(DeviceStatus::FEATURES_OK);
        match self.transport.get_status().contains(DeviceStatus::FEATURES_OK) {
            true => Ok(features),
            false => Err(DeviceError::Features),
        }
    }

    /// Its queue of this number, between `begin` and `finish`.
    pub fn queue<const N: usize>(
        &mut self,
        number: u16,
    ) -> Result<VirtQueue<Memory, N>, virtio_drivers::Error> {
        VirtQueue::new(&mut self.transport, number, false, false)
    }

    pub fn finish(&mut self) {
        self.step(DeviceStatus::DRIVER_OK);
    }

    /// Takes back the interrupt of a device that has no messages.
    pub fn acknowledge(&mut self) {
        if !self.messages {
            self.transport.ack_interrupt();
        }
    }
}
