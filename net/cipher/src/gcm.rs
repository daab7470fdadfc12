//! aes128-gcm@openssh.com and aes256-gcm@openssh.com: RFC 5647's AEAD_AES_GCM under the names of OpenSSH's
//! PROTOCOL. The length is in clear and covered by the tag; the nonce counts packets by itself (7.1).
use crate::name::Name;
use crate::stream::apply;
use crate::{Broken, Cipher, LENGTH, Shape, clear_length, split};
use aes::{Aes128, Aes256};
use cipher::consts::U16;
use cipher::{BlockCipherEncrypt, BlockSizeUser, InnerIvInit, KeyInit, StreamCipher};
use ctr::{Ctr32BE, CtrCore};
use packet_mac::Ghash;
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

const TAG: usize = 16;

/// What a key of AES is used for at most, as in OpenSSH (RFC 4344 3.2): 2^32 blocks.
const LIMIT: u64 = 1 << 36;

enum Keyed {
    Aes128(Gcm<Aes128>),
    Aes256(Gcm<Aes256>),
}

/// GCM (SP 800-38D) with nonces of 96 bits.
struct Gcm<A> {
    aes: A,
    hash: Ghash,
}

pub struct AesGcm {
    keyed: Keyed,
    /// The nonce's first part, which stays.
    fixed: [u8; 4],
    /// The other, one more with each packet.
    invocation: u64,
}

impl<A: BlockCipherEncrypt + BlockSizeUser<BlockSize = U16> + KeyInit> Gcm<A> {
    fn new(key: &[u8]) -> Option<Self> {
        let aes = A::new_from_slice(key).ok()?;
        let mut zeros = cipher::Block::<A>::default();
        aes.encrypt_block(&mut zeros);
        let hash = Ghash::new(zeros.as_ref());
        zeros.as_mut_slice().zeroize();
        Some(Self { aes, hash })
    }

    /// The key stream, and its first block, which hides the tag.
    fn begun(&self, nonce: [u8; 12]) -> Result<(Ctr32BE<&A>, [u8; TAG]), Broken> {
        let mut counter = [0; 16];
        let numbers = nonce.iter().chain(&[0, 0, 0, 1]);
        counter.iter_mut().zip(numbers).for_each(|(to, from)| *to = *from);
        let core = CtrCore::inner_iv_init(&self.aes, &counter.into());
        let mut stream = Ctr32BE::from_core(core);
        let mut first = [0; TAG];
        stream.try_write_keystream(&mut first).map_err(|_| Broken)?;
        Ok((stream, first))
    }

    fn tag(&self, first: [u8; TAG], length: &[u8], body: &[u8]) -> [u8; TAG] {
        (u128::from_ne_bytes(self.hash.hash(length, body)) ^ u128::from_ne_bytes(first))
            .to_ne_bytes()
    }

    fn open(
        &self,
        nonce: [u8; 12],
        length: &[u8],
        body: &mut [u8],
        tag: &[u8],
    ) -> Result<(), Broken> {
        let (mut stream, first) = self.begun(nonce)?;
        if !bool::from(self.tag(first, length, body).ct_eq(tag)) {
            return Err(Broken);
        }
        apply(&mut stream, body)
    }

    fn seal(
        &self,
        nonce: [u8; 12],
        length: &[u8],
        body: &mut [u8],
        tag: &mut [u8],
    ) -> Result<(), Broken> {
        let (mut stream, first) = self.begun(nonce)?;
        apply(&mut stream, body)?;
        tag.copy_from_slice(&self.tag(first, length, body));
        Ok(())
    }
}

impl AesGcm {
    pub fn new(name: Name, key: &[u8], iv: &[u8]) -> Option<Self> {
        let keyed = match name {
            Name::Aes128Gcm => Keyed::Aes128(Gcm::new(key)?),
            Name::Aes256Gcm => Keyed::Aes256(Gcm::new(key)?),
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
        match &self.keyed {
            Keyed::Aes128(key) => key.open(nonce, length, body, tag),
            Keyed::Aes256(key) => key.open(nonce, length, body, tag),
        }
    }

    fn seal(&mut self, _: u32, packet: &mut [u8]) -> Result<(), Broken> {
        let (body, tag) = split(packet, TAG)?;
        let nonce = self.nonce();
        let (length, body) = body.split_at_mut_checked(LENGTH).ok_or(Broken)?;
        match &self.keyed {
            Keyed::Aes128(key) => key.seal(nonce, length, body, tag),
            Keyed::Aes256(key) => key.seal(nonce, length, body, tag),
        }
    }
}
