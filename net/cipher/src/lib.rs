//! What keeps SSH packets secret and whole (RFC 4253 6): one object for each direction and each set of
//! keys, behind one trait. It knows nothing of what packets say, how keys come about, or sequences of
//! packets; sunset does.
//!
//! A packet here is what goes over the wire: four bytes of length, one byte that counts the padding, the
//! payload, the padding, and the tag. All is done in place. What comes from outside is never trusted: a
//! length is only a number, and nothing behind it is shown before the tag was right.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod chacha;
mod clear;
mod ctr;
mod gcm;
mod name;
mod stream;

use crate::chacha::ChaChaPoly;
use crate::ctr::AesCtr;
use crate::gcm::AesGcm;
use alloc::boxed::Box;

pub use clear::Clear;
pub use name::{Mac, Name};

/// The packet's length field (RFC 4253 6), which does not count itself and the tag.
pub const LENGTH: usize = 4;

/// Packets with one set of keys after which new ones are due (RFC 4344 3.1): sequence numbers have 32 bits,
/// and are nonces and part of what MACs cover.
pub const PACKETS: u64 = 1 << 31;

/// The lengths that a cipher works with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// What is encrypted is a multiple of this.
    pub block: usize,
    /// Whether the length field is among it. (It is not with AEAD and MACs over what was encrypted.)
    pub with_length: bool,
    /// Bytes at a packet's end that prove the rest.
    pub tag: usize,
    /// Bytes at a packet's beginning that tell its length.
    pub head: usize,
}

/// A packet whose tag is not that of its bytes, or which is shorter than any packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken;

/// One direction of a connection, between one exchange of keys and the next.
pub trait Cipher: Send {
    fn shape(&self) -> Shape;

    /// Bytes with these keys after which new ones are due.
    fn limit(&self) -> u64;

    /// The length field in the first `head` bytes of a packet. To be called once a packet, before `open`.
    fn length(&mut self, sequence: u32, head: &mut [u8]) -> Result<u32, Broken>;

    /// Checks a whole packet and decrypts what follows its length field.
    fn open(&mut self, sequence: u32, packet: &mut [u8]) -> Result<(), Broken>;

    /// Encrypts a packet that has its length in clear, and writes the tag into its last bytes.
    fn seal(&mut self, sequence: u32, packet: &mut [u8]) -> Result<(), Broken>;
}

/// The cipher of these keys; none when their lengths are not those that `name` and `mac` say, or a MAC is
/// missing.
pub fn new(
    name: Name,
    mac: Option<Mac>,
    key: &[u8],
    iv: &[u8],
    mac_key: &[u8],
) -> Option<Box<dyn Cipher>> {
    match name {
        Name::ChaCha20Poly1305 => Some(Box::new(ChaChaPoly::new(key.try_into().ok()?))),
        Name::Aes256Gcm | Name::Aes128Gcm => Some(Box::new(AesGcm::new(name, key, iv)?)),
        Name::Aes256Ctr | Name::Aes128Ctr => {
            Some(Box::new(AesCtr::new(name, mac?, key, iv, mac_key)?))
        }
    }
}

/// The number in a length field that is in clear.
fn clear_length(head: &[u8]) -> Result<u32, Broken> {
    head.first_chunk().map(|bytes| u32::from_be_bytes(*bytes)).ok_or(Broken)
}

/// A packet's part before its tag, and the tag.
fn split(packet: &mut [u8], tag: usize) -> Result<(&mut [u8], &mut [u8]), Broken> {
    let body = packet.len().checked_sub(tag).filter(|body| *body > LENGTH).ok_or(Broken)?;
    packet.split_at_mut_checked(body).ok_or(Broken)
}
