//! What the server proves itself with.
use alloc::vec::Vec;
use sunset::SignKey;
use sunset::sshwire::write_ssh;

/// The largest public key in SSH wire format: ecdsa-sha2-nistp256, 104 bytes.
const ROOM: usize = 160;

/// The server's ed25519 key, and beside it perhaps an ECDSA key on NIST's curve P-256.
pub struct HostKey {
    pub(crate) ed25519: SignKey,
    pub(crate) ecdsa: Option<SignKey>,
}

impl HostKey {
    /// The key whose RFC 8032 private key is `seed`.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let ed25519 = SignKey::Ed25519(sunset::ed25519_dalek::SigningKey::from_bytes(seed));
        Self { ed25519, ecdsa: None }
    }

    /// The ed25519 public key in SSH wire format (RFC 8709 4).
    pub fn ed25519_blob(&self) -> Vec<u8> {
        blob(&self.ed25519).unwrap_or_default()
    }

    /// Adds the ECDSA key whose private key is this number, big-endian, and gives its public key in SSH wire
    /// format (RFC 5656 3.1). None, with nothing changed, when no key has this number: zero, or the order of
    /// the group and above, which is one of 2^32.
    pub fn add_ecdsa(&mut self, private: &[u8; 32]) -> Option<Vec<u8>> {
        let key = SignKey::nist_p256(private)?;
        let blob = blob(&key)?;
        self.ecdsa = Some(key);
        Some(blob)
    }
}

fn blob(key: &SignKey) -> Option<Vec<u8>> {
    let mut room = [0; ROOM];
    let length = write_ssh(&mut room, &key.pubkey()).ok()?;
    Some(room.get(..length)?.to_vec())
}
