//! chacha20-poly1305@openssh.com (OpenSSH's PROTOCOL.chacha20poly1305): the length is encrypted with a key
//! of its own, and the tag covers it. The nonce is the sequence number, so keys may serve 2^32 packets.
use crate::{Broken, Cipher, LENGTH, Shape, clear_length, split};
use chacha20::ChaCha20Legacy;
use cipher::{KeyIvInit, StreamCipher};
use poly1305::Poly1305;
use poly1305::universal_hash::KeyInit;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

pub const KEY: usize = 64;
const TAG: usize = 16;

/// What a key of ChaCha20 is used for at most, as in OpenSSH: 1 GiB.
const LIMIT: u64 = 1 << 30;

#[derive(ZeroizeOnDrop)]
pub struct ChaChaPoly {
    packet: [u8; 32],
    length: [u8; 32],
}

impl ChaChaPoly {
    pub fn new(key: &[u8; KEY]) -> Self {
        let mut new = Self { packet: [0; 32], length: [0; 32] };
        let (packet, length) = key.split_at(32);
        new.packet.copy_from_slice(packet);
        new.length.copy_from_slice(length);
        new
    }

    /// Encrypts or decrypts the length field in place.
    fn length_field(&self, sequence: u32, field: &mut [u8]) -> Result<(), Broken> {
        let field = field.get_mut(..LENGTH).ok_or(Broken)?;
        stream(&self.length, sequence).try_apply_keystream(field).map_err(|_| Broken)
    }

    /// The key stream from its second block on; the first is the key of the tag.
    fn start(&self, sequence: u32) -> Result<(ChaCha20Legacy, Poly1305), Broken> {
        let mut stream = stream(&self.packet, sequence);
        let mut block = [0; 64];
        stream.try_apply_keystream(&mut block).map_err(|_| Broken)?;
        let key = block.first_chunk::<32>().ok_or(Broken)?;
        let poly = Poly1305::new(key.into());
        block.zeroize();
        Ok((stream, poly))
    }
}

fn stream(key: &[u8; 32], sequence: u32) -> ChaCha20Legacy {
    ChaCha20Legacy::new(key.into(), &u64::from(sequence).to_be_bytes().into())
}

impl Cipher for ChaChaPoly {
    fn shape(&self) -> Shape {
        Shape { block: 8, with_length: false, tag: TAG, head: LENGTH }
    }

    fn limit(&self) -> u64 {
        LIMIT
    }

    fn length(&mut self, sequence: u32, head: &mut [u8]) -> Result<u32, Broken> {
        // The field stays as it came: the tag is over that.
        let mut field = *head.first_chunk::<LENGTH>().ok_or(Broken)?;
        self.length_field(sequence, &mut field)?;
        clear_length(&field)
    }

    fn open(&mut self, sequence: u32, packet: &mut [u8]) -> Result<(), Broken> {
        let (body, tag) = split(packet, TAG)?;
        let (mut stream, poly) = self.start(sequence)?;
        if !bool::from(poly.compute_unpadded(body).as_slice().ct_eq(tag)) {
            return Err(Broken);
        }
        let body = body.get_mut(LENGTH..).ok_or(Broken)?;
        stream.try_apply_keystream(body).map_err(|_| Broken)
    }

    fn seal(&mut self, sequence: u32, packet: &mut [u8]) -> Result<(), Broken> {
        let (body, tag) = split(packet, TAG)?;
        let (mut stream, poly) = self.start(sequence)?;
        self.length_field(sequence, body)?;
        stream.try_apply_keystream(body.get_mut(LENGTH..).ok_or(Broken)?).map_err(|_| Broken)?;
        tag.copy_from_slice(&poly.compute_unpadded(body));
        Ok(())
    }
}
