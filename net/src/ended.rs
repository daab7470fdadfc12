//! Why sessions end.
use core::fmt;

/// Why a session is over.
#[derive(Debug)]
pub enum Ended {
    /// The client went away.
    Closed,
    /// The client did something that the protocol or its bounds forbid.
    Protocol(sunset::Error),
    TooManyAttempts,
    /// It did not take part in an exchange of keys.
    NoNewKeys,
    /// More bytes than any login needs.
    TooMuchBeforeLogin,
    /// More data than the window allowed.
    WindowExceeded,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("closed by the client"),
            Self::Protocol(e) => write!(f, "protocol error: {e}"),
            Self::TooManyAttempts => f.write_str("too many authentication failures"),
            Self::NoNewKeys => f.write_str("the client takes no part in an exchange of keys"),
            Self::TooMuchBeforeLogin => f.write_str("too much data before a login"),
            Self::WindowExceeded => f.write_str("the client sent more than its window"),
        }
    }
}

impl Ended {
    /// What SSH_MSG_DISCONNECT says (RFC 4253 11.1); none when there is nobody to be told.
    pub(crate) fn reason(&self) -> Option<u32> {
        const PROTOCOL_ERROR: u32 = 2;
        (!matches!(self, Self::Closed)).then_some(PROTOCOL_ERROR)
    }
}

impl From<sunset::Error> for Ended {
    fn from(e: sunset::Error) -> Self {
        Self::Protocol(e)
    }
}
