//! Replies of xenstore, and why a request failed.
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use xen_sys::xs_wire::kind;

#[derive(Clone, Debug)]
pub struct Reply {
    pub kind: u32,
    pub payload: Vec<u8>,
}

impl Reply {
    /// The payload of the reply to a request of this kind.
    pub fn into_result(self, asked: u32) -> Result<Vec<u8>, StoreError> {
        match self.kind {
            kind::ERROR => Err(StoreError::named(&self.payload)),
            kind if kind == asked => Ok(self.payload),
            _ => Err(StoreError::Broken),
        }
    }
}

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// There is no such node.
    NotFound,
    /// Somebody else changed what the transaction saw.
    Again,
    /// An error of xenstore's own, by its name (xs_wire.h, `xsd_errors`).
    Other(String),
    /// The path and the value are too long for a message.
    TooLong,
    /// The value is not text, or not a number where one was asked for.
    NotText,
    /// Xenstore does not keep to its protocol.
    Broken,
}

impl StoreError {
    fn named(payload: &[u8]) -> Self {
        match payload.strip_suffix(b"\0").unwrap_or(payload) {
            b"ENOENT" => Self::NotFound,
            b"EAGAIN" => Self::Again,
            name => Self::Other(
                name.iter().take(32).flat_map(|b| b.escape_ascii()).map(char::from).collect(),
            ),
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("no such node in xenstore"),
            Self::Again => f.write_str("a xenstore transaction lost every race"),
            Self::Other(name) => write!(f, "xenstore says {name}"),
            Self::TooLong => f.write_str("too long for xenstore"),
            Self::NotText => f.write_str("a value in xenstore makes no sense"),
            Self::Broken => f.write_str("xenstore does not answer any more"),
        }
    }
}

impl core::error::Error for StoreError {}

/// The token of an event's payload: path, NUL, token, NUL.
pub fn token(payload: &[u8]) -> Option<u32> {
    let token = payload.split(|&b| b == 0).nth(1)?;
    u32::from_str_radix(core::str::from_utf8(token).ok()?, 16).ok()
}
