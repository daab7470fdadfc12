//! The outcome of a request as SSH_FXP_STATUS tells it (section 7).

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

/// Why a request failed: the code for programs and a message (English, without a full stop) for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    pub code: StatusCode,
    pub message: &'static str,
}

impl Status {
    pub(crate) const OK: Self = Self::new(StatusCode::Ok, "success");
    pub(crate) const EOF: Self = Self::new(StatusCode::Eof, "end of file");
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
