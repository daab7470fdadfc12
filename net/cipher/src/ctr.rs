//! aes128-ctr and aes256-ctr (RFC 4344 4) with hmac-sha2-256 and -512 (RFC 6668), over what is encrypted or,
//! in the forms of OpenSSH's PROTOCOL that end in -etm, over what was. The counter has 128 bits and runs on
//! from packet to packet.
use crate::name::{Mac, Name};
use crate::stream;
use crate::{Broken, Cipher, LENGTH, Shape, clear_length, split};
use aes::{Aes128, Aes256};
use cipher::KeyIvInit;
use hmac::{Hmac, KeyInit, Mac as _};
use sha2::{Sha256, Sha512};

const BLOCK: usize = 16;

/// What a key of AES is used for at most, as in OpenSSH (RFC 4344 3.2): 2^32 blocks.
const LIMIT: u64 = 1 << 36;

/// Whole 128 bits are counted.
enum Stream {
    Aes128(ctr::Ctr128BE<Aes128>),
    Aes256(ctr::Ctr128BE<Aes256>),
}

impl Stream {
    fn new(name: Name, key: &[u8], iv: &[u8]) -> Option<Self> {
        match name {
            Name::Aes128Ctr => Some(Self::Aes128(KeyIvInit::new_from_slices(key, iv).ok()?)),
            Name::Aes256Ctr => Some(Self::Aes256(KeyIvInit::new_from_slices(key, iv).ok()?)),
            _ => None,
        }
    }

    fn apply(&mut self, bytes: &mut [u8]) -> Result<(), Broken> {
        match self {
            Self::Aes128(keys) => stream::apply(keys, bytes),
            Self::Aes256(keys) => stream::apply(keys, bytes),
        }
    }
}

/// With the key already taken in.
enum Keyed {
    Sha256(Hmac<Sha256>),
    Sha512(Hmac<Sha512>),
}

impl Keyed {
    fn new(mac: Mac, key: &[u8]) -> Option<Self> {
        match mac {
            Mac::Sha256 | Mac::Sha256Etm => Some(Self::Sha256(Hmac::new_from_slice(key).ok()?)),
            Mac::Sha512 | Mac::Sha512Etm => Some(Self::Sha512(Hmac::new_from_slice(key).ok()?)),
        }
    }

    fn write(&self, sequence: u32, body: &[u8], tag: &mut [u8]) {
        match self {
            Self::Sha256(mac) => {
                tag.copy_from_slice(&over(mac, sequence, body).finalize().into_bytes());
            }
            Self::Sha512(mac) => {
                tag.copy_from_slice(&over(mac, sequence, body).finalize().into_bytes());
            }
        }
    }

    fn check(&self, sequence: u32, body: &[u8], tag: &[u8]) -> Result<(), Broken> {
        let checked = match self {
            Self::Sha256(mac) => over(mac, sequence, body).verify_slice(tag),
            Self::Sha512(mac) => over(mac, sequence, body).verify_slice(tag),
        };
        checked.map_err(|_| Broken)
    }
}

fn over<M: hmac::Mac + Clone>(mac: &M, sequence: u32, body: &[u8]) -> M {
    mac.clone().chain_update(sequence.to_be_bytes()).chain_update(body)
}

pub struct AesCtr {
    stream: Stream,
    mac: Keyed,
    tag: usize,
    /// The tag is over what was encrypted, and the length is not.
    etm: bool,
}

impl AesCtr {
    pub fn new(name: Name, mac: Mac, key: &[u8], iv: &[u8], mac_key: &[u8]) -> Option<Self> {
        let (stream, keyed) = (Stream::new(name, key, iv)?, Keyed::new(mac, mac_key)?);
        Some(Self { stream, mac: keyed, tag: mac.length(), etm: mac.is_etm() })
    }
}

impl Cipher for AesCtr {
    fn shape(&self) -> Shape {
        let head = if self.etm { LENGTH } else { BLOCK };
        Shape { block: BLOCK, with_length: !self.etm, tag: self.tag, head }
    }

    fn limit(&self) -> u64 {
        LIMIT
    }

    fn length(&mut self, _: u32, head: &mut [u8]) -> Result<u32, Broken> {
        if !self.etm {
            self.stream.apply(head.get_mut(..BLOCK).ok_or(Broken)?)?;
        }
        clear_length(head)
    }

    fn open(&mut self, sequence: u32, packet: &mut [u8]) -> Result<(), Broken> {
        let (body, tag) = split(packet, self.tag)?;
        if self.etm {
            self.mac.check(sequence, body, tag)?;
            return self.stream.apply(body.get_mut(LENGTH..).ok_or(Broken)?);
        }
        // The first block was decrypted for its length.
        self.stream.apply(body.get_mut(BLOCK..).ok_or(Broken)?)?;
        self.mac.check(sequence, body, tag)
    }

    fn seal(&mut self, sequence: u32, packet: &mut [u8]) -> Result<(), Broken> {
        let (body, tag) = split(packet, self.tag)?;
        if self.etm {
            self.stream.apply(body.get_mut(LENGTH..).ok_or(Broken)?)?;
            self.mac.write(sequence, body, tag);
            return Ok(());
        }
        self.mac.write(sequence, body, tag);
        self.stream.apply(body)
    }
}
