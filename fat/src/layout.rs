//! Bytes on the disk and nothing else: the boot sector, entries, names, times.
pub(crate) mod case;
pub(crate) mod dirent;
pub(crate) mod entry;
pub(crate) mod exfat;
pub(crate) mod find;
pub(crate) mod geometry;
pub(crate) mod long_name;
pub(crate) mod metadata;
pub(crate) mod name;
pub(crate) mod posix;
pub(crate) mod short_name;
pub(crate) mod time;
