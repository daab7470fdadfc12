//! What came of growing.
use crate::{DeviceError, Error, FatKind, MountError};
use core::fmt;

/// What growing came to, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grown {
    pub from: u64,
    pub to: u64,
    /// There was more room than this kind of FAT can have, or an exFAT volume's table.
    pub limited: bool,
}

impl Grown {
    /// What a volume of this kind has reached the end of, for behind the sizes; empty where it has not.
    pub fn limit(&self, kind: FatKind) -> &'static str {
        match kind {
            _ if !self.limited => "",
            FatKind::ExFat => ", the most that its table has room for",
            _ => ", the most of this kind of FAT",
        }
    }
}

/// Why a volume was not grown; it is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrowError {
    Volume(Error),
    /// The text says why not.
    Refused(&'static str),
}

impl fmt::Display for GrowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Volume(error) => error.fmt(f),
            Self::Refused(why) => write!(f, "the volume cannot be grown: {why}"),
        }
    }
}

impl core::error::Error for GrowError {}

impl From<Error> for GrowError {
    fn from(error: Error) -> Self {
        Self::Volume(error)
    }
}

impl From<DeviceError> for GrowError {
    fn from(error: DeviceError) -> Self {
        Self::Volume(error.into())
    }
}

impl From<MountError> for GrowError {
    fn from(error: MountError) -> Self {
        match error {
            MountError::Device(error) => error.into(),
            _ => Self::Refused("the disk did not keep what was written"),
        }
    }
}
