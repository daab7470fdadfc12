//! The outcome of a request as SSH_FXP_STATUS tells it (section 7).
use core::fmt;

/// SSH_FX_* of version 3, and two of later versions (draft-ietf-secsh-filexfer-13, section 9.1) where
/// version 3 has only `Failure`. Clients show their users little more than what they make of this code:
/// sshfs turns `Failure` of RMDIR into "not empty" and of MKDIR into "exists", for example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum StatusCode {
    Ok = 0,
    Eof = 1,
    NoSuchFile = 2,
    PermissionDenied = 3,
    Failure = 4,
    BadMessage = 5,
    /// Made up by clients; a server does not send it.
    NoConnection = 6,
    /// Made up by clients; a server does not send it.
    ConnectionLost = 7,
    OpUnsupported = 8,
    /// The disk or the volume cannot be used. sshfs makes EIO of it.
    NoMedia = 13,
    /// The volume is full. sshfs makes EIO of it; asyncssh and libssh2 have a name for it.
    NoSpaceOnFilesystem = 14,
}

impl StatusCode {
    /// What the drafts call it: what OpenSSH says, and what suites of tests wait for.
    fn text(self) -> &'static str {
        match self {
            Self::Ok => "Success",
            Self::Eof => "End of file",
            Self::NoSuchFile => "No such file",
            Self::PermissionDenied => "Permission denied",
            Self::Failure => "Failure",
            Self::BadMessage => "Bad message",
            Self::NoConnection => "No connection",
            Self::ConnectionLost => "Connection lost",
            Self::OpUnsupported => "Operation unsupported",
            Self::NoMedia => "No media",
            Self::NoSpaceOnFilesystem => "No space on filesystem",
        }
    }
}

/// Why a request failed: the code for programs and, when there is more to say than the code does, a message
/// for people (English, without a full stop).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    pub code: StatusCode,
    pub message: &'static str,
}

impl fmt::Display for Status {
    /// The text that goes with the code: the code's own first.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code.text())?;
        match self.message {
            "" => Ok(()),
            message => write!(f, ": {message}"),
        }
    }
}

impl Status {
    pub(crate) const OK: Self = Self::new(StatusCode::Ok, "");
    pub(crate) const EOF: Self = Self::new(StatusCode::Eof, "");
    pub(crate) const MALFORMED: Self = Self::new(StatusCode::BadMessage, "malformed request");
    pub(crate) const INVALID_HANDLE: Self = Self::new(StatusCode::Failure, "invalid handle");
    pub(crate) const OUT_OF_MEMORY: Self =
        Self::new(StatusCode::Failure, "the server is out of memory");

    pub const fn new(code: StatusCode, message: &'static str) -> Self {
        Self { code, message }
    }

    pub(crate) const fn denied(message: &'static str) -> Self {
        Self::new(StatusCode::PermissionDenied, message)
    }

    pub(crate) const fn unsupported(message: &'static str) -> Self {
        Self::new(StatusCode::OpUnsupported, message)
    }
}
