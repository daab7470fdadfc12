//! What the server proves itself with.
use sunset::SignKey;

/// The server's ed25519 key.
pub struct HostKey(pub(crate) SignKey);

impl HostKey {
    /// The key whose RFC 8032 private key is `seed`.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SignKey::Ed25519(sunset::ed25519_dalek::SigningKey::from_bytes(seed)))
    }
}
