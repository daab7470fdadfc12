//! Public keys and certificates that users log in with, and whether a signature is one of theirs. What they are
//! made of and how they sign is the crate `ssh-key`'s; which are taken, and what they give, is not said here.
//!
//! It is a crate so that it can be compiled for size: nothing here is done more often than a login.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod signature;

use alloc::vec::Vec;
use ssh_key::encoding::{Decode, Encode, Reader};

pub use crate::signature::{Demand, Kind, is_right};
pub use ssh_key::Certificate;
pub use ssh_key::public::{EcdsaPublicKey, Ed25519PublicKey, KeyData, RsaPublicKey};

/// The key or certificate that these bytes are (RFC 4253 6.6, PROTOCOL.certkeys of OpenSSH).
pub fn key_of(blob: &[u8]) -> Option<KeyData> {
    let mut reader = blob;
    let key = KeyData::decode(&mut reader).ok()?;
    reader.is_finished().then_some(key)
}

/// The bytes of a key.
pub fn blob_of(key: &KeyData) -> Option<Vec<u8>> {
    key.encode_vec().ok()
}

/// The string (RFC 4251 5) that a key or a signature begins with: the name of its kind.
pub fn kind_of(blob: &[u8]) -> Option<&[u8]> {
    let (length, rest) = blob.split_first_chunk::<4>()?;
    rest.get(..usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

/// Whether anyone could sign for this key, for its point is of small order; none when it is no point.
pub fn is_weak(key: &Ed25519PublicKey) -> Option<bool> {
    Some(ed25519_dalek::VerifyingKey::try_from(key).ok()?.is_weak())
}
