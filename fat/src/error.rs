//! Why an operation on a volume, or a mount, failed.
use crate::DeviceError;
use core::fmt;

/// The reason in one word; `Display` says it in plain words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    Device(DeviceError),
    NotFound,
    NotADirectory,
    IsADirectory,
    AlreadyExists,
    NotEmpty,
    /// No free cluster.
    NoSpace,
    /// The directory has its 65,536 slots, of which a long name takes up to 21; of exFAT 8,388,608.
    FolderFull,
    /// No free slot in the root directory of FAT12 or FAT16, which has a fixed size.
    RootFull,
    /// The file would be larger than 4 GiB - 1, or on exFAT than any can be. Nothing has been written.
    TooLarge,
    /// Empty, `.` or `..`, with `/`, NUL, one of Unicode's noncharacters, or a character of private use
    /// that stands for one that FAT forbids.
    NameInvalid,
    /// More than 255 UTF-16 units.
    NameTooLong,
    /// The volume cannot be written; `Volume::read_only` says why.
    ReadOnly,
    /// The file has the read-only attribute.
    ReadOnlyFile,
    /// The file was not opened for this.
    NotOpenForThis,
    /// Who may only add has not made it, or somebody else has touched it since.
    NotMade,
    /// The name belongs to the server's own folder.
    Reserved,
    /// The root directory cannot be removed, renamed or replaced.
    Root,
    /// A directory cannot be moved into itself.
    IntoItself,
    /// A symbolic link, which is not opened.
    IsALink,
    NotALink,
    /// Its target is none, or has a NUL, is not UTF-8, or longer than 4095 bytes.
    BadLink,
    /// The volume keeps no links, modes and owners.
    NoLinks,
    /// The file lies in more pieces than the engine keeps in memory.
    TooManyExtents,
    /// The structures on the disk contradict themselves; the text names what.
    Damaged(&'static str),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Device(error) => return error.fmt(f),
            Self::NotFound => "no such file or directory",
            Self::NotADirectory => "not a directory",
            Self::IsADirectory => "is a directory",
            Self::AlreadyExists => "already exists",
            Self::NotEmpty => "the directory is not empty",
            Self::NoSpace => "no space left on the volume",
            Self::TooLarge => "larger than 4 GiB - 1, the most a file on FAT can hold",
            Self::FolderFull => {
                "the folder is full: one of FAT has 65,536 places, and a long name takes 2 to 21"
            }
            Self::RootFull => {
                "the root folder is full: on FAT12 and FAT16 its size is fixed, other folders have room"
            }
            Self::NameInvalid => "the name cannot be kept",
            Self::NameTooLong => "the name is longer than 255 characters",
            Self::ReadOnly => "the volume is read-only",
            Self::ReadOnlyFile => "the file is read-only",
            Self::NotOpenForThis => "the file was not opened for this",
            Self::NotMade => "only what was added here may be changed",
            Self::Reserved => "the name is reserved for the server",
            Self::Root => "the root directory cannot be changed",
            Self::IntoItself => "a directory cannot be moved into itself",
            Self::IsALink => "is a symbolic link",
            Self::NotALink => "not a symbolic link",
            Self::BadLink => "no target of a symbolic link",
            Self::NoLinks => "the volume keeps no symbolic links",
            Self::TooManyExtents => "the file is too fragmented",
            Self::Damaged(what) => return write!(f, "the volume is damaged: {what}"),
        })
    }
}

impl core::error::Error for Error {}

impl From<DeviceError> for Error {
    fn from(error: DeviceError) -> Self {
        Self::Device(error)
    }
}

/// Why a disk cannot be used as a FAT volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MountError {
    Device(DeviceError),
    /// The disk begins with a sector of zeros.
    Blank,
    /// The growth of the volume that starts at this byte was interrupted; a mount that may write
    /// completes it.
    Growing(u64),
    /// There is no intact FAT volume here; the text says what was found instead.
    NotFat(&'static str),
    /// Something else is there, on the whole disk or in a partition of this number.
    Foreign {
        what: &'static str,
        partition: Option<u32>,
    },
    /// The disk has no partition of this number.
    NoPartition(u32),
    /// A FAT volume, but of a shape that this crate does not serve.
    Unsupported(&'static str),
}

impl fmt::Display for MountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(error) => error.fmt(f),
            Self::Blank => f.write_str("not a FAT volume: the disk is blank"),
            Self::Growing(_) => f.write_str(
                "its growth was interrupted: the next start that may write completes it",
            ),
            Self::NotFat(why) => write!(f, "not a FAT volume: {why}"),
            Self::Foreign { what, partition: None } => write!(f, "not a FAT volume: {what}"),
            Self::Foreign { what, partition: Some(number) } => {
                write!(
                    f,
                    "not a FAT volume: a partitioned disk, whose partition {number} is {what}"
                )
            }
            Self::NoPartition(number) => write!(f, "the disk has no partition {number}"),
            Self::Unsupported(why) => write!(f, "a FAT volume that cannot be served: {why}"),
        }
    }
}

impl core::error::Error for MountError {}

impl From<DeviceError> for MountError {
    fn from(error: DeviceError) -> Self {
        Self::Device(error)
    }
}
