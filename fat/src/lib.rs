//! FAT12, FAT16 and FAT32 volumes with long names over an asynchronous block device.
//!
//! Depends on nothing that needs an operating system, takes the time as an argument, and imports
//! no other crate of this project. It never panics on what it reads from the disk.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod device;
mod format;
mod geometry;

pub use device::{BlockDevice, DeviceError};
pub use format::{FormatError, FormatOptions, format, volume_label};
pub use geometry::{FatKind, Geometry, MountError};
