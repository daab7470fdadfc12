//! Packets as they go over the wire (RFC 4253 6), with the ciphers of `packet_cipher`; and how much one set
//! of keys may serve. Ours, in the place of sunset's own file of this name.
use core::fmt;
use core::num::Wrapping;

use alloc::boxed::Box;
use chacha20::ChaCha20Rng;
use chacha20::rand_core::{Rng, SeedableRng};
use packet_cipher::{Clear, LENGTH, Mac, Name, PACKETS};
use zeroize::Zeroize;

use crate::error::{Error, Result, TrapBug};
use crate::{CliServ, error, kex, random};

const SSH_MIN_PADLEN: usize = 4;
pub const SSH_LENGTH_SIZE: usize = LENGTH;
pub const SSH_PAYLOAD_START: usize = SSH_LENGTH_SIZE + 1;

/// What may still go in one direction after new keys are due, before the connection ends: more than is under
/// way when a client's windows are full of short requests, and far from what any cipher bears.
const LATE: Used = Used { packets: 1 << 18, bytes: 16 << 20 };

/// What keys have served, in packets and bytes on the wire.
#[derive(Clone, Copy, Debug)]
struct Used {
    packets: u64,
    bytes: u64,
}

impl Used {
    const NOTHING: Self = Self { packets: 0, bytes: 0 };

    fn add(&mut self, bytes: usize) {
        self.packets = self.packets.saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes as u64);
    }

    fn beyond(&self, most: &Used) -> bool {
        self.packets > most.packets || self.bytes > most.bytes
    }
}

/// One direction: its keys, and what they have served.
struct Direction {
    cipher: Box<dyn packet_cipher::Cipher>,
    used: Used,
    /// How much of it went after new keys were due.
    late: Used,
}

impl Direction {
    fn new(cipher: Box<dyn packet_cipher::Cipher>) -> Self {
        Self { cipher, used: Used::NOTHING, late: Used::NOTHING }
    }

    fn is_due(&self, asked: u64) -> bool {
        self.used.beyond(&Used { packets: PACKETS, bytes: self.cipher.limit().min(asked) })
    }

    /// Counts a packet before the cipher sees it; an error when the other side let new keys wait too long.
    fn count(&mut self, bytes: usize, due: bool) -> Result<()> {
        self.used.add(bytes);
        if due {
            self.late.add(bytes);
        }
        match self.late.beyond(&LATE) {
            true => Err(Error::msg("new keys are overdue")),
            false => Ok(()),
        }
    }
}

pub(crate) struct KeyState {
    enc: Direction,
    dec: Direction,
    /// Packet sequence numbers, which begin anew with new keys in strict key exchange.
    pub seq_encrypt: Wrapping<u32>,
    pub seq_decrypt: Wrapping<u32>,
    strict_kex: bool,
    clear: bool,
    /// Bytes in one direction after which new keys are due, where the cipher does not want them before.
    rekey_bytes: u64,
    padding: Option<ChaCha20Rng>,
}

impl fmt::Debug for KeyState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyState").finish_non_exhaustive()
    }
}

impl KeyState {
    /// No encryption, and sequence numbers of zero.
    pub fn new_cleartext() -> Self {
        KeyState {
            enc: Direction::new(Box::new(Clear)),
            dec: Direction::new(Box::new(Clear)),
            seq_encrypt: Wrapping(0),
            seq_decrypt: Wrapping(0),
            strict_kex: false,
            clear: true,
            rekey_bytes: u64::MAX,
            padding: None,
        }
    }

    pub fn is_send_cleartext(&self) -> bool {
        self.clear
    }

    pub fn set_rekey_bytes(&mut self, bytes: u64) {
        self.rekey_bytes = bytes;
    }

    /// Whether the keys have served either direction long enough.
    pub fn is_rekey_needed(&self) -> bool {
        self.enc.is_due(self.rekey_bytes) || self.dec.is_due(self.rekey_bytes)
    }

    /// Whether anything went with the present keys, their exchange aside.
    pub fn is_used(&self) -> bool {
        !self.clear && (self.enc.used.packets > 0 || self.dec.used.packets > 0)
    }

    pub fn enable_strict_kex(&mut self) {
        self.strict_kex = true;
    }

    /// Takes keys for sending into use.
    pub fn rekey_send(&mut self, keys: KeysSend) {
        self.enc = Direction::new(keys.0);
        self.clear = false;
        self.padding = None;
        if self.strict_kex {
            self.seq_encrypt = Wrapping(0);
        }
    }

    /// Takes keys for receiving into use.
    pub fn rekey_recv(&mut self, keys: KeysRecv) {
        self.dec = Direction::new(keys.0);
        if self.strict_kex {
            self.seq_decrypt = Wrapping(0);
        }
    }

    pub fn recv_seq(&self) -> u32 {
        self.seq_decrypt.0
    }

    /// The length of the whole packet that begins with these `size_block_dec()` bytes. Called once a packet.
    pub fn decrypt_first_block(&mut self, buf: &mut [u8]) -> Result<usize, Error> {
        let tag = self.dec.cipher.shape().tag;
        let length = self.dec.cipher.length(self.seq_decrypt.0, buf).map_err(|_| Error::BadDecrypt)?;
        (length as usize).checked_add(SSH_LENGTH_SIZE + tag).ok_or(Error::BadDecrypt)
    }

    /// Checks a whole packet and decrypts it in place. The length of its payload, which begins at
    /// `SSH_PAYLOAD_START`.
    pub fn decrypt(&mut self, buf: &mut [u8]) -> Result<usize, Error> {
        let due = self.is_rekey_needed();
        self.dec.count(buf.len(), due)?;
        let sequence = self.seq_decrypt.0;
        self.seq_decrypt += 1;
        let shape = self.dec.cipher.shape();
        let padded = |length: usize| if shape.with_length { length } else { length.saturating_sub(SSH_LENGTH_SIZE) };
        let body = buf.len().checked_sub(shape.tag).filter(|body| padded(*body) >= shape.block.max(8));
        let body = body.ok_or_else(|| error::SSHProto.build())?;
        if padded(body) % shape.block != 0 {
            return error::SSHProto.fail();
        }
        self.dec.cipher.open(sequence, buf).map_err(|_| Error::BadDecrypt)?;
        let padding = buf.get(SSH_LENGTH_SIZE).map_or(0, |length| usize::from(*length));
        match body.checked_sub(SSH_PAYLOAD_START + padding) {
            Some(payload) if padding >= SSH_MIN_PADLEN => Ok(payload),
            _ => error::SSHProto.fail(),
        }
    }

    /// Makes a packet of the payload at `SSH_PAYLOAD_START` of `buf`, in place; its whole length.
    /// `NoRoom` leaves all as it was, for another try; other errors end the connection.
    pub fn encrypt(&mut self, payload_len: usize, buf: &mut [u8]) -> Result<usize, Error> {
        let shape = self.enc.cipher.shape();
        let content = SSH_PAYLOAD_START + payload_len;
        let padded = if shape.with_length { content } else { content - SSH_LENGTH_SIZE };
        let mut padding = shape.block - padded % shape.block;
        if padding < SSH_MIN_PADLEN {
            padding += shape.block;
        }
        let end = content + padding;
        let due = self.is_rekey_needed();
        let Some(packet) = buf.get_mut(..end + shape.tag) else {
            return error::NoRoom.fail();
        };
        self.enc.count(packet.len(), due)?;
        let length = ((end - SSH_LENGTH_SIZE) as u32).to_be_bytes();
        packet.get_mut(..SSH_LENGTH_SIZE).trap()?.copy_from_slice(&length);
        *packet.get_mut(SSH_LENGTH_SIZE).trap()? = padding as u8;
        // A generator of our own: the system's would be asked for every packet.
        let random = match &mut self.padding {
            Some(random) => random,
            none => {
                let mut seed = [0; 32];
                random::fill_random(&mut seed)?;
                let random = ChaCha20Rng::from_seed(seed);
                seed.zeroize();
                none.insert(random)
            }
        };
        random.fill_bytes(packet.get_mut(content..end).trap()?);
        let sequence = self.seq_encrypt.0;
        self.seq_encrypt += 1;
        self.enc.cipher.seal(sequence, packet).map_err(|_| Error::BadKey)?;
        Ok(end + shape.tag)
    }

    /// Bytes that are read before a packet's length is known.
    pub fn size_block_dec(&self) -> usize {
        self.dec.cipher.shape().block.max(8)
    }

    /// The largest payload of which a packet fits into `total_avail` bytes.
    pub fn max_enc_payload(&self, total_avail: usize) -> usize {
        let shape = self.enc.cipher.shape();
        let apart = shape.tag + if shape.with_length { 0 } else { SSH_LENGTH_SIZE };
        let padded = total_avail.saturating_sub(apart);
        let padded = padded - padded % shape.block;
        let counted = if shape.with_length { SSH_PAYLOAD_START } else { 1 };
        padded.saturating_sub(counted + SSH_MIN_PADLEN)
    }
}

pub(crate) struct KeysSend(Box<dyn packet_cipher::Cipher>);

impl KeysSend {
    pub fn new<CS: CliServ>(
        kex_out: &kex::KexOutput,
        sess_id: &kex::SessId,
        algos: &kex::Algos<CS>,
    ) -> Result<Self> {
        let letters = if CS::is_client() { ['A', 'C', 'E'] } else { ['B', 'D', 'F'] };
        derived(kex_out, sess_id, letters, &algos.cipher_enc, &algos.integ_enc).map(Self)
    }
}

pub(crate) struct KeysRecv(Box<dyn packet_cipher::Cipher>);

impl KeysRecv {
    pub fn new<CS: CliServ>(
        kex_out: &kex::KexOutput,
        sess_id: &kex::SessId,
        algos: &kex::Algos<CS>,
    ) -> Result<Self> {
        let letters = if CS::is_client() { ['B', 'D', 'F'] } else { ['A', 'C', 'E'] };
        derived(kex_out, sess_id, letters, &algos.cipher_dec, &algos.integ_dec).map(Self)
    }
}

/// The cipher of the keys that RFC 4253 7.2 derives with these letters: initial vector, key, the MAC's key.
fn derived(
    kex_out: &kex::KexOutput,
    sess_id: &kex::SessId,
    letters: [char; 3],
    cipher: &Cipher,
    integ: &Integ,
) -> Result<Box<dyn packet_cipher::Cipher>> {
    let (mut iv, mut key, mut mac_key) = ([0; 64], [0; 64], [0; 64]);
    let [a, b, c] = letters;
    let mac_length = integ.0.map_or(0, Mac::length);
    let new = packet_cipher::new(
        cipher.0,
        integ.0,
        kex_out.compute_key(b, cipher.0.key(), &mut key, sess_id),
        kex_out.compute_key(a, cipher.0.iv(), &mut iv, sess_id),
        kex_out.compute_key(c, mac_length, &mut mac_key, sess_id),
    );
    iv.zeroize();
    key.zeroize();
    mac_key.zeroize();
    new.trap()
}

/// A cipher that was agreed on.
#[derive(Debug, Clone)]
pub(crate) struct Cipher(Name);

impl Cipher {
    pub fn from_name(name: &'static str) -> Result<Self, Error> {
        Name::find(name).map(Self).trap()
    }

    /// What stands for the MAC of an AEAD cipher; none with the others.
    pub fn integ(&self) -> Option<Integ> {
        self.0.is_aead().then_some(Integ(None))
    }
}

impl fmt::Display for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

/// A MAC that was agreed on; none beside an AEAD cipher.
#[derive(Debug, Clone)]
pub(crate) struct Integ(Option<Mac>);

impl Integ {
    pub fn from_name(name: &'static str) -> Result<Self, Error> {
        Mac::find(name).map(|mac| Self(Some(mac))).trap()
    }
}

impl fmt::Display for Integ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.map_or("<implicit>", Mac::as_str))
    }
}
