//! Solo5's `hvt` (include/hvt_abi.h of Solo5): a tender that is asked by writes to ports, one disk and one
//! network interface. Every call ends before the next instruction; nothing interrupts.
//!
//! The tender can read and write all of this machine's memory, so it is not an enemy here. Drivers reach
//! it through the trait `Tender` alone, so that they run against a fake on the host.
mod disk;
#[allow(unsafe_code)]
mod hypercall;
mod net;
#[cfg(test)]
mod tests;

pub use disk::{BadDisk, Solo5Disk};
pub use hypercall::Hypercalls;
pub use net::{Received, Room, Solo5Net};

/// What a tender answers that did not do what it was asked (include/solo5.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Nothing is there now.
    Again,
    /// The place, the length or the device is wrong.
    Invalid,
    Other,
}

/// The tender, or the fake of the tests.
pub trait Tender {
    /// Nanoseconds since 1970.
    fn wall_time(&self) -> u64;

    /// Waits until a network interface has a frame, but no longer than so many nanoseconds.
    fn poll(&self, nanoseconds: u64);

    fn read_block(&self, device: u64, offset: u64, data: &mut [u8]) -> Result<(), Refusal>;

    fn write_block(&self, device: u64, offset: u64, data: &[u8]) -> Result<(), Refusal>;

    /// Takes the next frame, and says how long it is. What has no room in `frame` is lost.
    fn read_net(&self, device: u64, frame: &mut [u8]) -> Result<usize, Refusal>;

    fn write_net(&self, device: u64, frame: &[u8]) -> Result<(), Refusal>;
}
