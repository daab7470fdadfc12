//! What a check can find wrong with a volume.
use alloc::string::String;
use core::fmt;

/// One thing wrong, with the path it was met at. Clusters are numbered as in the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The volume can only be read, for this reason.
    ReadOnly(&'static str),
    /// The volume was not unmounted.
    Dirty,
    /// The boot sector and its copy say different things (FAT32).
    BackupBootDiffers,
    /// The FSInfo sector has no signatures (FAT32).
    BadFsInfo,
    /// The free count kept in FSInfo (FAT32) against the table's own.
    WrongFreeCount { kept: u32, counted: u32 },
    /// `clusters` entries of a further table (1 is the second) are not those of the table in use.
    TablesDiffer { table: u8, clusters: u32 },
    /// An entry starts at a cluster that does not exist, or has none and needs one.
    BadFirstCluster { path: String, cluster: u32 },
    /// The table goes on from `cluster` to `next`, which is free, bad or does not exist.
    BadLink { path: String, cluster: u32, next: u32 },
    /// The chain comes back to its own `cluster`.
    Loop { path: String, cluster: u32 },
    /// The chain runs into `cluster`, which something else has already.
    CrossLink { path: String, cluster: u32 },
    /// The chain has fewer clusters than the size needs.
    TooShort { path: String, clusters: u32, needed: u32 },
    /// The chain has more clusters than the size needs.
    TooLong { path: String, clusters: u32, needed: u32 },
    /// A directory without its `.` and `..`, or whose `.` and `..` lead elsewhere.
    BadDots { path: String },
    /// A directory's entry gives a size other than 0.
    DirectorySize { path: String, size: u32 },
    /// More than the 65,536 slots that a directory may have.
    DirectoryTooLong { path: String },
    /// Long-name slots of the directory `path`, before slot `slot`, that belong to no entry.
    BrokenLongName { path: String, slot: usize },
    /// A second entry of this name.
    DuplicateName { path: String },
    /// exFAT: what starts at entry `slot` of a directory, or the file `path`, is not as it must be.
    BadSet { path: String, slot: u32, why: &'static str },
    /// exFAT: something that the root directory must have is missing or damaged.
    BadSystem { what: &'static str },
    /// exFAT: clusters that something uses and the bitmap has free.
    Unmarked { clusters: u32 },
    /// Clusters that the table, on exFAT the bitmap, has in use and nothing uses.
    Leaked { clusters: u32 },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReadOnly(why) => write!(f, "the volume can only be read: {why}"),
            Self::Dirty => f.write_str("the volume was not unmounted"),
            Self::BackupBootDiffers => f.write_str("the copy of the boot sector differs from it"),
            Self::BadFsInfo => f.write_str("the FSInfo sector is damaged"),
            Self::WrongFreeCount { kept, counted } => {
                write!(f, "{counted} clusters are free, but FSInfo says {kept}")
            }
            Self::TablesDiffer { table, clusters } => {
                let number = u32::from(*table).saturating_add(1);
                write!(f, "table {number} differs from the one in use at {clusters} clusters")
            }
            Self::BadFirstCluster { path, cluster: 0 } => write!(f, "{path}: has no cluster"),
            Self::BadFirstCluster { path, cluster } => {
                write!(
                    f,
                    "{path}: starts at cluster {cluster}, which does not exist or is not in use"
                )
            }
            Self::BadLink { path, cluster, next: 0 } => {
                write!(f, "{path}: ends at cluster {cluster} with a link to nothing")
            }
            Self::BadLink { path, cluster, next } => {
                write!(
                    f,
                    "{path}: ends at cluster {cluster} with a link to {next}, which does not exist or is not in use"
                )
            }
            Self::Loop { path, cluster } => {
                write!(f, "{path}: its clusters form a loop, back to cluster {cluster}")
            }
            Self::CrossLink { path, cluster } => {
                write!(f, "{path}: shares cluster {cluster} and what follows with something else")
            }
            Self::TooShort { path, clusters, needed } => {
                write!(f, "{path}: has {clusters} clusters, but its size needs {needed}")
            }
            Self::TooLong { path, clusters, needed } => {
                write!(f, "{path}: has {clusters} clusters, more than the {needed} of its size")
            }
            Self::BadDots { path } => {
                write!(f, "{path}: its . and .. are missing or lead elsewhere")
            }
            Self::DirectorySize { path, size } => {
                write!(f, "{path}: a directory with a size ({size} bytes) in its entry")
            }
            Self::DirectoryTooLong { path } => {
                write!(f, "{path}: a directory of more than 65,536 entries")
            }
            Self::BrokenLongName { path, slot } => {
                write!(f, "{path}: parts of a long name without a file before entry {slot}")
            }
            Self::DuplicateName { path } => write!(f, "{path}: a second entry of this name"),
            Self::BadSet { path, slot, why } => write!(f, "{path}: entry {slot}: {why}"),
            Self::BadSystem { what } => write!(f, "{what} is missing or damaged"),
            Self::Unmarked { clusters } => {
                write!(f, "{clusters} clusters of files or directories are free in the bitmap")
            }
            Self::Leaked { clusters } => {
                write!(f, "{clusters} clusters are in use by no file or directory")
            }
        }
    }
}
