//! What is offered in an exchange of keys, the best first. The client's order decides.
use packet_cipher::{Mac, Name};

/// Exchanges with a post-quantum part (draft-ietf-sshm-mlkem-hybrid-kex).
const HYBRID: &[&str] = &["mlkem768x25519-sha256"];

/// RFC 8731, and the name that it had before.
const ALL: &[&str] =
    &["mlkem768x25519-sha256", "curve25519-sha256", "curve25519-sha256@libssh.org"];

/// Beside them what FIPS 140 wants (RFC 5656).
const NIST: &[&str] = &[
    "mlkem768x25519-sha256",
    "curve25519-sha256",
    "curve25519-sha256@libssh.org",
    "ecdh-sha2-nistp256",
];

const ED25519: &[&str] = &["ssh-ed25519"];

const ED25519_AND_ECDSA: &[&str] = &["ssh-ed25519", "ecdsa-sha2-nistp256"];

const CIPHERS: [&str; 5] = [
    Name::ChaCha20Poly1305.as_str(),
    Name::Aes256Gcm.as_str(),
    Name::Aes128Gcm.as_str(),
    Name::Aes256Ctr.as_str(),
    Name::Aes128Ctr.as_str(),
];

/// MACs over what was encrypted.
const ETM: &[&str] = &[Mac::Sha256Etm.as_str(), Mac::Sha512Etm.as_str()];

const MACS: &[&str] =
    &[Mac::Sha256Etm.as_str(), Mac::Sha512Etm.as_str(), Mac::Sha256.as_str(), Mac::Sha512.as_str()];

/// Which algorithms clients may choose from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Algorithms {
    #[default]
    All,
    /// None that warnings are of: exchanges of keys that a quantum computer could open later, and MACs over
    /// what was not yet encrypted.
    Strict,
    /// All, and key exchange and host key on NIST's curve P-256. The `HostKey` must have its ECDSA key.
    Nist,
}

type Names = &'static [&'static str];

impl Algorithms {
    /// The names of key exchanges, host keys, ciphers and MACs.
    pub(crate) fn names(self) -> (Names, Names, Names, Names) {
        match self {
            Self::All => (ALL, ED25519, &CIPHERS, MACS),
            Self::Strict => (HYBRID, ED25519, &CIPHERS, ETM),
            Self::Nist => (NIST, ED25519_AND_ECDSA, &CIPHERS, MACS),
        }
    }
}
