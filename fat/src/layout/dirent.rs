//! What a directory says of one file or directory, in either format.
use crate::layout::entry::{ATTR_DIRECTORY, ATTR_READ_ONLY, Entry};
use crate::layout::exfat::set::Set;
use crate::layout::posix::Posix;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Dirent {
    Fat(Entry),
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
        self.attributes() & ATTR_DIRECTORY != 0
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
            Self::Fat(entry) => u64::from(entry.len()),
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

    /// Its clusters are neighbours, and the table says nothing of them.
    pub(crate) fn is_contiguous(&self) -> bool {
        matches!(self, Self::ExFat(set) if set.is_contiguous())
    }

    /// What it says of modes and owners, as far as its read-only attribute agrees; of a directory nothing.
    pub(crate) fn posix(&self) -> Option<Posix> {
        let Self::ExFat(set) = self else { return None };
        set.posix().filter(|_| !self.is_dir()).map(|posix| posix.agreeing(self.is_read_only()))
    }

    /// Whether it has an entry for that.
    pub(crate) fn has_posix(&self) -> bool {
        matches!(self, Self::ExFat(set) if set.has_posix())
    }

    pub(crate) fn set_posix(&mut self, posix: Option<Posix>) {
        if let Self::ExFat(set) = self {
            set.set_posix(posix);
        }
    }

    /// Where its bytes are. FAT's directories say no length.
    pub(crate) fn set_data(&mut self, first: u32, len: u64, valid: u64, contiguous: bool) {
        match self {
            Self::Fat(entry) => {
                entry.set_cluster(first);
                entry.set_len(u32::try_from(len).unwrap_or(u32::MAX));
            }
            Self::ExFat(set) => set.set_data(first, len, valid, contiguous),
        }
    }

    /// Takes the name of another, and on exFAT its place.
    pub(crate) fn take_name(&mut self, other: &Self) {
        match (self, other) {
            (Self::Fat(entry), Self::Fat(other)) => entry.set_name(other.name(), other.case()),
            (Self::ExFat(set), Self::ExFat(other)) => set.take_name(other),
            _ => {}
        }
    }

    pub(crate) fn set_attributes(&mut self, attributes: u8) {
        match self {
            Self::Fat(entry) => entry.set_attributes(attributes),
            Self::ExFat(set) => set.set_attributes(attributes),
        }
    }

    pub(crate) fn is_read_only(&self) -> bool {
        self.attributes() & ATTR_READ_ONLY != 0
    }

    pub(crate) fn set_read_only(&mut self, read_only: bool) {
        let attributes = self.attributes() & !ATTR_READ_ONLY;
        self.set_attributes(if read_only { attributes | ATTR_READ_ONLY } else { attributes });
    }

    pub(crate) fn set_modified(&mut self, unix: u64) {
        match self {
            Self::Fat(entry) => entry.set_modified(unix),
            Self::ExFat(set) => set.set_modified(unix),
        }
    }

    pub(crate) fn set_accessed(&mut self, unix: u64) {
        match self {
            Self::Fat(entry) => entry.set_accessed(unix),
            Self::ExFat(set) => set.set_accessed(unix),
        }
    }
}
