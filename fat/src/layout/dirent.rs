//! What a directory says of one file or directory, in either format.
use crate::layout::entry::Entry;
use crate::layout::exfat::set::Set;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Dirent {
    Fat(Entry),
    /// Volumes with these are not written: what sets something changes FAT's alone.
    ExFat(Set),
}

impl Dirent {
    pub(crate) fn attributes(&self) -> u8 {
        match self {
            Self::Fat(entry) => entry.attributes(),
            Self::ExFat(set) => set.attributes(),
        }
    }

    pub(crate) fn is_dir(&self) -> bool {
        self.attributes() & crate::layout::entry::ATTR_DIRECTORY != 0
    }

    /// The first cluster, 0 when there is none; `wide` for FAT32.
    pub(crate) fn cluster(&self, wide: bool) -> u32 {
        match self {
            Self::Fat(entry) => entry.cluster(wide),
            Self::ExFat(set) => set.cluster(),
        }
    }

    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Fat(entry) => u64::from(entry.len()),
            Self::ExFat(set) => set.len(),
        }
    }

    /// From this byte on the file reads as zeros.
    pub(crate) fn valid_len(&self) -> u64 {
        match self {
            Self::Fat(_) => u64::MAX,
            Self::ExFat(set) => set.valid_len(),
        }
    }

    pub(crate) fn created(&self) -> u64 {
        match self {
            Self::Fat(entry) => entry.created(),
            Self::ExFat(set) => set.created(),
        }
    }

    pub(crate) fn modified(&self) -> u64 {
        match self {
            Self::Fat(entry) => entry.modified(),
            Self::ExFat(set) => set.modified(),
        }
    }

    pub(crate) fn accessed(&self) -> u64 {
        match self {
            Self::Fat(entry) => entry.accessed(),
            Self::ExFat(set) => set.accessed(),
        }
    }

    /// FAT's entry, to be changed.
    pub(crate) fn fat(&mut self) -> Option<&mut Entry> {
        match self {
            Self::Fat(entry) => Some(entry),
            Self::ExFat(_) => None,
        }
    }
}
