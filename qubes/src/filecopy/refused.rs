//! What is refused, and by which number the sender is told.
use core::fmt;

/// Errors as the sender knows them: Linux' numbers (errno.h).
pub mod errno {
    pub const EPERM: u32 = 1;
    pub const ENOENT: u32 = 2;
    pub const EIO: u32 = 5;
    pub const EACCES: u32 = 13;
    pub const EEXIST: u32 = 17;
    pub const ENOTDIR: u32 = 20;
    pub const EISDIR: u32 = 21;
    pub const EINVAL: u32 = 22;
    pub const EFBIG: u32 = 27;
    pub const ENOSPC: u32 = 28;
    pub const EROFS: u32 = 30;
    pub const ENAMETOOLONG: u32 = 36;
    /// A link that may lead elsewhere.
    pub const ENOLINK: u32 = 67;
    pub const EILSEQ: u32 = 84;
    /// The sender went away before the end.
    pub const EREMOTEIO: u32 = 121;
}

/// What a sender sent that is refused: the number for `result` and the words for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    pub errno: u32,
    pub why: &'static str,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.why)
    }
}

impl core::error::Error for Refused {}
