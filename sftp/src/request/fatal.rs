//! Why a session's bytes are no SFTP.
use core::fmt;

/// What cannot be answered: the session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fatal {
    /// A packet of no bytes, or of more than any request has.
    Length(u32),
    /// A packet too short to tell which request it is.
    NoId,
    /// The first packet was of this type and not INIT.
    NotInit(u8),
    /// INIT came again.
    InitAgain,
    /// No memory for a packet of this length.
    OutOfMemory(u32),
}

impl fmt::Display for Fatal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length(length) => write!(f, "an SFTP packet of {length} bytes"),
            Self::NoId => write!(f, "an SFTP packet too short for its request id"),
            Self::NotInit(packet_type) => {
                write!(f, "the first SFTP packet is of type {packet_type}, not INIT")
            }
            Self::InitAgain => write!(f, "a second SFTP INIT"),
            Self::OutOfMemory(length) => {
                write!(f, "no memory for an SFTP packet of {length} bytes")
            }
        }
    }
}

impl core::error::Error for Fatal {}
