//! Owners and modes, which FAT does not keep.
use alloc::format;
use alloc::string::String;
use fat::Posix;

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

impl Shown {
    /// As `--umask` alone would have it.
    pub fn with_umask(self, umask: u32) -> Self {
        Self { umask, fmask: None, dmask: None, ..self }
    }

    /// What a file has for which a volume that keeps modes keeps none.
    pub fn plain(self) -> Posix {
        Posix::file(0o666 & !self.fmask.unwrap_or(self.umask), self.uid, self.gid)
    }
}

/// The value of an option that is a user's or a group's number.
pub fn id(name: &str, value: &str) -> Result<u32, String> {
    value.parse().map_err(|_| format!("{name} {value:?}: not a number"))
}

/// The value of an option that is permission bits.
pub fn mask(name: &str, value: &str) -> Result<u32, String> {
    let mask = u32::from_str_radix(value, 8).ok().filter(|mask| *mask <= 0o777);
    mask.ok_or_else(|| format!("{name} {value:?}: not octal, as in 022"))
}
