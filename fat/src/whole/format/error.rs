//! Why a disk could not be formatted.
use crate::{DeviceError, FatKind, MountError};
use core::fmt;

/// Why a disk could not be formatted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FormatError {
    Device(DeviceError),
    /// `least` bytes are needed for a volume of this kind.
    TooSmall {
        kind: FatKind,
        least: u64,
    },
    /// `most` bytes are all that a volume of this kind can have.
    TooLarge {
        kind: FatKind,
        most: u64,
    },
    /// What was read back is no volume.
    NotKept(MountError),
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(error) => error.fmt(f),
            Self::TooSmall { kind, least } => {
                write!(f, "too small for {kind}, which needs {} KiB", least.div_ceil(1024))
            }
            Self::TooLarge { kind, most } => {
                write!(f, "too large for {kind}, which ends at {} MiB", most >> 20)
            }
            Self::NotKept(error) => write!(f, "the disk did not keep what was written: {error}"),
        }
    }
}

impl core::error::Error for FormatError {}

impl From<DeviceError> for FormatError {
    fn from(error: DeviceError) -> Self {
        Self::Device(error)
    }
}
