//! FAT12, FAT16 and FAT32 volumes with long names over an asynchronous block device.
//!
//! Depends on nothing that needs an operating system, takes the time as an argument, and imports
//! no other crate of this project. It never panics on what it reads from the disk.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

#[cfg(test)]
extern crate std;

mod allocation;
mod attributes;
mod behind;
mod blank;
mod blocks;
mod cache;
mod check;
mod commit;
mod data;
mod device;
mod dir;
mod directory;
mod entry;
mod error;
mod extents;
mod file;
mod format;
mod geometry;
mod give_way;
mod grow;
mod index;
mod join;
mod journal;
mod lock;
mod long_name;
mod lookup;
mod metadata;
mod name;
mod namespace;
mod node;
mod partition;
mod path;
mod read_ahead;
mod reclaim;
mod record;
mod rename;
mod runs;
mod sectors;
mod short_name;
mod slots;
mod state;
mod table;
mod time;
mod volume;
mod write_back;

pub use blank::first_byte;
pub use check::{Problem, Summary, check};
pub use device::{BlockDevice, DeviceError};
pub use dir::{Dir, DirEntry};
pub use error::Error;
pub use format::{FormatError, FormatOptions, format, volume_label};
pub use geometry::{FatKind, Geometry, MountError};
pub use grow::{GrowError, Grown};
pub use metadata::Metadata;
pub use node::{File, OpenOptions};
pub use state::Space;
pub use volume::{MountOptions, Volume};
