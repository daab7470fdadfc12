//! Owners and modes, which FAT does not keep.

/// What attributes show of what FAT does not keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    pub uid: u32,
    pub gid: u32,
    /// Permission bits that no file and no directory has.
    pub umask: u32,
    /// In its place for files.
    pub fmask: Option<u32>,
    /// In its place for directories.
    pub dmask: Option<u32>,
}

impl Default for Shown {
    /// The first user of a Qubes VM and of most Linux machines.
    fn default() -> Self {
        Self { uid: 1000, gid: 1000, umask: 0o022, fmask: None, dmask: None }
    }
}
