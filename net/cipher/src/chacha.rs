//! chacha20-poly1305@openssh.com (OpenSSH's PROTOCOL.chacha20poly1305): the length is encrypted with a key
//! of its own, and the tag covers it. The nonce is the sequence number, so keys may serve 2^32 packets.
use crate::stream::add;
use crate::{Broken, Cipher, LENGTH, Shape, clear_length, split};
use chacha20::ChaCha20Legacy;
use cipher::{KeyIvInit, StreamCipher};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

pub const KEY: usize = 64;
const TAG: usize = packet_mac::BLOCK;

/// A block of the key stream.
const BLOCK: usize = 64;

/// Bytes of the key stream that are made at once where fewer are wanted: the library makes four blocks in the
/// time of one, with AVX-512 in less.
const AHEAD: usize = 4 * BLOCK;

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
        let (_, ahead) = begun(&self.length, sequence)?;
        add(field.get_mut(..LENGTH).ok_or(Broken)?, &ahead);
        Ok(())
    }

    /// The key of a packet's tag, which is the beginning of its key stream.
    fn start(&self, sequence: u32) -> Result<Started, Broken> {
        let (stream, mut ahead) = begun(&self.packet, sequence)?;
        let first = ahead.first_chunk_mut::<32>().ok_or(Broken)?;
        let tag = *first;
        first.zeroize();
        Ok(Started { tag, stream, ahead })
    }
}

/// A packet's key stream, and the key of its tag.
struct Started {
    tag: [u8; 32],
    stream: ChaCha20Legacy,
    ahead: [u8; AHEAD],
}

impl Started {
    fn tag(&self, body: &[u8]) -> [u8; TAG] {
        packet_mac::tag(&self.tag, body)
    }

    /// Encrypts or decrypts what follows the length field, with the key stream from its second block on.
    fn apply(&mut self, body: &mut [u8]) -> Result<(), Broken> {
        let body = body.get_mut(LENGTH..).ok_or(Broken)?;
        let ahead = self.ahead.get(BLOCK..).ok_or(Broken)?;
        let (near, far) = body.split_at_mut(body.len().min(ahead.len()));
        add(near, ahead);
        self.stream.try_apply_keystream(far).map_err(|_| Broken)
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        self.tag.zeroize();
    }
}

/// The stream of a key for a packet, and the beginning of it that was taken already.
fn begun(key: &[u8; 32], sequence: u32) -> Result<(ChaCha20Legacy, [u8; AHEAD]), Broken> {
    let mut stream = ChaCha20Legacy::new(key.into(), &u64::from(sequence).to_be_bytes().into());
    let mut ahead = [0; AHEAD];
    stream.try_apply_keystream(&mut ahead).map_err(|_| Broken)?;
    Ok((stream, ahead))
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
        let mut started = self.start(sequence)?;
        if !bool::from(started.tag(body).ct_eq(tag)) {
            return Err(Broken);
        }
        started.apply(body)
    }

    fn seal(&mut self, sequence: u32, packet: &mut [u8]) -> Result<(), Broken> {
        let (body, tag) = split(packet, TAG)?;
        let mut started = self.start(sequence)?;
        self.length_field(sequence, body)?;
        started.apply(body)?;
        tag.copy_from_slice(&started.tag(body));
        Ok(())
    }
}
