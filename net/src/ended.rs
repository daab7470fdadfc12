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
    /// It was asked whether it is still there, and did not answer.
    NoAnswer,
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
            Self::NoAnswer => f.write_str("timeout, the client does not respond"),
            Self::TooMuchBeforeLogin => f.write_str("too much data before a login"),
            Self::WindowExceeded => f.write_str("the client sent more than its window"),
        }
    }
}

impl Ended {
    /// What SSH_MSG_DISCONNECT says (RFC 4253 11.1); none when there is nobody to be told.
    pub(crate) fn reason(&self) -> Option<u32> {
        const PROTOCOL_ERROR: u32 = 2;
        const CONNECTION_LOST: u32 = 10;
        match self {
            Self::Closed => None,
            Self::NoAnswer => Some(CONNECTION_LOST),
            _ => Some(PROTOCOL_ERROR),
        }
    }
}

impl From<sunset::Error> for Ended {
    fn from(e: sunset::Error) -> Self {
        match e {
            // It said SSH_MSG_DISCONNECT.
            sunset::Error::SessionEOF => Self::Closed,
            e => Self::Protocol(e),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers of RFC 4253 11.1.
    #[test]
    fn who_is_still_there_is_told_why() {
        assert_eq!(Ended::Closed.reason(), None);
        assert_eq!(Ended::from(sunset::Error::SessionEOF).reason(), None);
        assert_eq!(Ended::NoAnswer.reason(), Some(10));
        assert_eq!(Ended::WindowExceeded.reason(), Some(2));
        assert_eq!(Ended::TooMuchBeforeLogin.reason(), Some(2));
    }
}
