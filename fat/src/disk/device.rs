//! What the engine asks of a disk.
use core::fmt;

/// A disk that can have many requests in flight: every method is a future, and the engine polls
/// several at once. Offsets and lengths are in bytes and multiples of `sector_size`.
///
/// A future that is dropped before it is ready leaves the written range undefined, nothing else.
#[allow(async_fn_in_trait)] // One thread: nothing here is ever sent to another.
pub trait BlockDevice {
    /// The unit of a request in bytes: a power of two from 512 to 4096.
    fn sector_size(&self) -> usize;

    /// The size of the disk in bytes.
    fn size(&self) -> u64;

    fn read_only(&self) -> bool;

    /// The largest request in bytes that costs no more than a small one. Longer ones are allowed:
    /// the device parts them as it must.
    fn largest_request(&self) -> usize {
        1 << 20
    }

    async fn read(&self, offset: u64, buf: &mut [u8]) -> Result<(), DeviceError>;

    async fn write(&self, offset: u64, data: &[u8]) -> Result<(), DeviceError>;

    /// Returns when everything written before the call would survive a power cut.
    async fn flush(&self) -> Result<(), DeviceError>;
}

/// Why a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceError {
    /// The medium or the backend reported an error.
    Io,
    /// The request goes past the end of the disk or is not a whole number of sectors.
    OutOfRange,
    ReadOnly,
    /// The disk is gone.
    Gone,
}

impl fmt::Display for DeviceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Io => "the disk reported an error",
            Self::OutOfRange => "a request outside the disk",
            Self::ReadOnly => "the disk is read-only",
            Self::Gone => "the disk is gone",
        })
    }
}

impl core::error::Error for DeviceError {}
