//! What is known of a file or directory besides its contents.
use crate::layout::dirent::Dirent;
use crate::layout::entry::{ATTR_HIDDEN, ATTR_READ_ONLY, ATTR_SYSTEM, Entry};
use crate::layout::posix::Posix;

/// Times are Unix seconds; FAT keeps `modified` to 2 s, `accessed` to the day and `created` to
/// 10 ms, between 1980 and 2107, in local time, of which `MountOptions` says how far it is from UTC.
/// exFAT keeps the first and the last to 10 ms and says how far from UTC they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metadata {
    pub is_dir: bool,
    /// In bytes; 0 for a directory.
    pub len: u64,
    pub modified: u64,
    pub accessed: u64,
    pub created: u64,
    pub read_only: bool,
    pub hidden: bool,
    pub system: bool,
    /// What an exFAT volume keeps that was made for it; of a directory nothing.
    pub posix: Option<Posix>,
    /// Differs from that of every other entry of the volume at the same time; another after a
    /// rename or a remount. The root directory's is 1.
    pub id: u64,
}

/// The longest target of a symbolic link in bytes: Linux's PATH_MAX without its end.
pub(crate) const MOST_OF_TARGET: u64 = 4095;

impl Metadata {
    /// Whether it is a symbolic link. One that cannot hold a target, as other systems may leave it, is a
    /// file like any other.
    pub fn is_link(&self) -> bool {
        self.posix.is_some_and(|posix| posix.is_link()) && (1..=MOST_OF_TARGET).contains(&self.len)
    }

    pub(crate) fn new(entry: &Dirent, place: u64) -> Self {
        let has = |bit: u8| entry.attributes() & bit != 0;
        Self {
            is_dir: entry.is_dir(),
            len: if entry.is_dir() { 0 } else { entry.len() },
            modified: entry.modified(),
            accessed: entry.accessed(),
            created: entry.created(),
            read_only: has(ATTR_READ_ONLY),
            hidden: has(ATTR_HIDDEN),
            system: has(ATTR_SYSTEM),
            posix: entry.posix(),
            id: place / 32,
        }
    }

    pub(crate) fn root() -> Self {
        let entry = Entry::short(*b"           ", crate::layout::entry::ATTR_DIRECTORY);
        Self { id: 1, ..Self::new(&Dirent::Fat(entry), 0) }
    }
}
