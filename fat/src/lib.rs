//! FAT12, FAT16 and FAT32 volumes with long names, and exFAT volumes, over an asynchronous block device.
//!
//! Depends on nothing that needs an operating system, takes the time as an argument, and imports
//! no other crate of this project. It never panics on what it reads from the disk.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

#[cfg(test)]
extern crate std;

// The ground of the tests speaks of this crate by its name.
#[cfg(test)]
extern crate self as fat;

mod bytes;
mod commit;
mod disk;
mod error;
mod file;
mod give_way;
mod layout;
mod memory;
mod space;
mod tree;
mod volume;
mod whole;

pub use commit::state::Space;
pub use disk::blank::first_byte;
pub use disk::device::{BlockDevice, DeviceError};
pub use disk::partition::{NoPlace, Place};
pub use error::{Error, MountError};
pub use file::node::{File, OpenOptions};
pub use layout::geometry::{FatKind, Geometry};
pub use layout::metadata::Metadata;
pub use layout::posix::Posix;
pub use tree::actor::Actor;
pub use tree::dir::{Dir, DirEntry};
pub use tree::link::Link;
pub use tree::posix::Change;
pub use volume::{MountOptions, Volume};
pub use whole::check::{Problem, Summary, check, check_at};
pub use whole::format::{FormatError, FormatOptions, format, volume_label};
pub use whole::grow::{GrowError, Grown};
