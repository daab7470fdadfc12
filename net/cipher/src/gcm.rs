//! aes128-gcm@openssh.com and aes256-gcm@openssh.com: RFC 5647's AEAD_AES_GCM under the names of OpenSSH's
//! PROTOCOL. The length is in clear and covered by the tag; the nonce counts packets by itself (7.1).
use crate::name::Name;
use crate::{Broken, Cipher, LENGTH, Shape, clear_length, split};
use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{Aes128Gcm, Aes256Gcm};

const TAG: usize = 16;

/// What a key of AES is used for at most, as in OpenSSH (RFC 4344 3.2): 2^32 blocks.
const LIMIT: u64 = 1 << 36;

enum Keyed {
    Aes128(Aes128Gcm),
    Aes256(Aes256Gcm),
}

pub struct AesGcm {
    keyed: Keyed,
    /// The nonce's first part, which stays.
    fixed: [u8; 4],
    /// The other, one more with each packet.
    invocation: u64,
}

impl AesGcm {
    pub fn new(name: Name, key: &[u8], iv: &[u8]) -> Option<Self> {
        let keyed = match name {
            Name::Aes128Gcm => Keyed::Aes128(Aes128Gcm::new_from_slice(key).ok()?),
            Name::Aes256Gcm => Keyed::Aes256(Aes256Gcm::new_from_slice(key).ok()?),
            _ => return None,
        };
        let (fixed, invocation) = iv.split_first_chunk()?;
        let invocation = u64::from_be_bytes(invocation.try_into().ok()?);
        Some(Self { keyed, fixed: *fixed, invocation })
    }

    fn nonce(&mut self) -> [u8; 12] {
        let mut nonce = [0; 12];
        let (fixed, invocation) = nonce.split_at_mut(4);
        fixed.copy_from_slice(&self.fixed);
        invocation.copy_from_slice(&self.invocation.to_be_bytes());
        self.invocation = self.invocation.wrapping_add(1);
        nonce
    }
}

impl Cipher for AesGcm {
    fn shape(&self) -> Shape {
        Shape { block: 16, with_length: false, tag: TAG, head: LENGTH }
    }

    fn limit(&self) -> u64 {
        LIMIT
    }

    fn length(&mut self, _: u32, head: &mut [u8]) -> Result<u32, Broken> {
        clear_length(head)
    }

    fn open(&mut self, _: u32, packet: &mut [u8]) -> Result<(), Broken> {
        let (body, tag) = split(packet, TAG)?;
        let nonce = self.nonce();
        let (length, body) = body.split_at_mut_checked(LENGTH).ok_or(Broken)?;
        let tag = (&*tag).try_into().map_err(|_| Broken)?;
        let opened = match &self.keyed {
            Keyed::Aes128(key) => {
                key.decrypt_inout_detached(&nonce.into(), length, body.into(), tag)
            }
            Keyed::Aes256(key) => {
                key.decrypt_inout_detached(&nonce.into(), length, body.into(), tag)
            }
        };
        opened.map_err(|_| Broken)
    }

    fn seal(&mut self, _: u32, packet: &mut [u8]) -> Result<(), Broken> {
        let (body, tag) = split(packet, TAG)?;
        let nonce = self.nonce();
        let (length, body) = body.split_at_mut_checked(LENGTH).ok_or(Broken)?;
        let made = match &self.keyed {
            Keyed::Aes128(key) => key.encrypt_inout_detached(&nonce.into(), length, body.into()),
            Keyed::Aes256(key) => key.encrypt_inout_detached(&nonce.into(), length, body.into()),
        };
        tag.copy_from_slice(&made.map_err(|_| Broken)?);
        Ok(())
    }
}
