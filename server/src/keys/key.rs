//! Public keys in OpenSSH's text form.
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use base64ct::{Base64, Base64Unpadded, Encoding};
use core::fmt;
use sha2::{Digest, Sha256};
use user_keys::{EcdsaPublicKey, Ed25519PublicKey, KeyData, RsaPublicKey};
use user_keys::{blob_of, is_weak, key_of, kind_of};

const ED25519: &str = "ssh-ed25519";

/// Kinds of keys that can log in: RFC 8709, RFC 5656, RFC 8332, and for hardware tokens OpenSSH's PROTOCOL.u2f.
const KINDS: [&str; 5] = [
    ED25519,
    "ecdsa-sha2-nistp256",
    "ssh-rsa",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
];

/// What the name of a certificate's kind ends with.
const CERTIFICATE: &str = "-cert-v01@openssh.com";

/// Bits of RSA keys.
const RSA_LEAST: usize = 2048;
const RSA_MOST: usize = 8192;

/// A key that can log in, or sign certificates of such keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    /// The key in SSH wire format (RFC 4253 6.6).
    pub blob: Vec<u8>,
    pub comment: String,
}

/// Why a line is no usable key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// A key of a kind that is not supported.
    Kind(String),
    /// Options before the key that are not understood.
    Options(String),
    NotBase64,
    Malformed,
    /// A key that anyone can sign for.
    Weak,
    /// An RSA key of so many bits.
    Bits(usize),
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kind(kind) if kind.ends_with(CERTIFICATE) => {
                f.write_str("a certificate: its authority's key is listed, with cert-authority")
            }
            Self::Kind(kind) => write!(f, "{kind} keys are not supported, use ssh-ed25519"),
            Self::Options(problem) => f.write_str(problem),
            Self::NotBase64 => f.write_str("the key is not base64"),
            Self::Malformed => f.write_str("malformed public key"),
            Self::Weak => f.write_str("a weak ed25519 key, which anyone could sign for"),
            Self::Bits(bits) => {
                write!(f, "an RSA key of {bits} bits, not of {RSA_LEAST} to {RSA_MOST}")
            }
        }
    }
}

impl PublicKey {
    /// Reads `KIND BASE64 [COMMENT]`.
    pub fn parse(line: &str) -> Result<Self, KeyError> {
        let line = line.trim();
        let (kind, rest) = line.split_once([' ', '\t']).unwrap_or((line, ""));
        if !KINDS.contains(&kind) {
            return Err(match Self::is_kind(kind) {
                true => KeyError::Kind(kind.to_owned()),
                false => KeyError::Malformed,
            });
        }
        let rest = rest.trim_start();
        let (text, comment) = rest.split_once([' ', '\t']).unwrap_or((rest, ""));
        let blob = Base64::decode_vec(text).map_err(|_| KeyError::NotBase64)?;
        let key = key_of(&blob).ok_or(KeyError::Malformed)?;
        check(&key)?;
        // As the client will send it: no other spelling of the same numbers, and of this kind.
        if blob_of(&key).as_ref() != Some(&blob) || kind_of(&blob) != Some(kind.as_bytes()) {
            return Err(KeyError::Malformed);
        }
        Ok(Self { blob, comment: comment.trim().to_owned() })
    }

    /// Whether a word is the name of a kind of keys, supported or not.
    pub(crate) fn is_kind(word: &str) -> bool {
        ["ssh-", "ecdsa-", "sk-"].iter().any(|start| word.starts_with(start))
    }

    /// The fingerprint as OpenSSH prints it.
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.blob)
    }
}

/// `SHA256:` and the unpadded base64 of the hash of a key in SSH wire format.
pub fn fingerprint(blob: &[u8]) -> String {
    format!("SHA256:{}", Base64Unpadded::encode_string(&Sha256::digest(blob)))
}

/// An ed25519 public key in SSH wire format (RFC 8709 4).
pub fn ed25519_blob(key: &[u8; 32]) -> Vec<u8> {
    let mut blob = Vec::new();
    for part in [ED25519.as_bytes(), key] {
        blob.extend((part.len() as u32).to_be_bytes());
        blob.extend(part);
    }
    blob
}

/// Whether a key is of a kind that can log in, and as strong as it must be.
pub(crate) fn check(key: &KeyData) -> Result<(), KeyError> {
    match key {
        KeyData::Ed25519(key) => check_ed25519(key),
        KeyData::SkEd25519(key) => check_ed25519(key.public_key()),
        KeyData::Ecdsa(key @ EcdsaPublicKey::NistP256(_)) => check_point(key.as_sec1_bytes()),
        KeyData::SkEcdsaSha2NistP256(key) => check_point(key.ec_point().as_bytes()),
        KeyData::Rsa(key) => match bits(key) {
            RSA_LEAST..=RSA_MOST => Ok(()),
            bits => Err(KeyError::Bits(bits)),
        },
        other => Err(KeyError::Kind(other.algorithm().as_str().to_owned())),
    }
}

fn check_ed25519(key: &Ed25519PublicKey) -> Result<(), KeyError> {
    match is_weak(key) {
        Some(false) => Ok(()),
        Some(true) => Err(KeyError::Weak),
        None => Err(KeyError::Malformed),
    }
}

/// An uncompressed point: 4, x, y (SEC 1 2.3.3). Whether it is on the curve shows at the first signature.
fn check_point(point: &[u8]) -> Result<(), KeyError> {
    match point {
        [4, xy @ ..] if xy.len() == 64 => Ok(()),
        _ => Err(KeyError::Malformed),
    }
}

/// Of the modulus.
fn bits(key: &RsaPublicKey) -> usize {
    let bytes = key.n().as_positive_bytes().unwrap_or_default();
    let unused = bytes.first().map_or(0, |first| first.leading_zeros());
    let unused = usize::try_from(unused).unwrap_or_default();
    bytes.len().saturating_mul(8).saturating_sub(unused)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    const LINE: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEAEbRK5Dzoo34Fg+VS+n0ZKlZISJYSDei0s9RxkAyLB mirage sshfs\n";

    #[test]
    fn the_comment_may_have_spaces_and_the_fingerprint_is_opensshs() {
        let key = PublicKey::parse(LINE).unwrap();
        assert_eq!(key.comment, "mirage sshfs");
        assert!(key.fingerprint().starts_with("SHA256:"));
        assert_eq!(key.fingerprint().len(), "SHA256:".len() + 43);
    }

    #[test]
    fn other_kinds_are_named() {
        let error = PublicKey::parse("ssh-dss AAAAB3Nza me").unwrap_err();
        assert!(error.to_string().contains("ssh-dss"));
        let error = PublicKey::parse("ssh-rsa-cert-v01@openssh.com AAAAB3Nza me").unwrap_err();
        assert!(error.to_string().contains("cert-authority"));
        assert_eq!(
            PublicKey::parse("-----BEGIN OPENSSH PRIVATE KEY-----"),
            Err(KeyError::Malformed)
        );
    }

    #[test]
    fn a_key_of_small_order_is_refused() {
        let mut point = [0; 32];
        point[0] = 1;
        let line = format!("ssh-ed25519 {}", Base64::encode_string(&ed25519_blob(&point)));
        assert_eq!(PublicKey::parse(&line), Err(KeyError::Weak));
    }

    #[test]
    fn no_cut_or_lengthened_key_is_taken() {
        let blob = PublicKey::parse(LINE).unwrap().blob;
        for length in 0..blob.len() {
            let line = format!("ssh-ed25519 {}", Base64::encode_string(&blob[..length]));
            assert!(PublicKey::parse(&line).is_err(), "{length}");
        }
        let longer = [blob.as_slice(), &[0]].concat();
        let line = format!("ssh-ed25519 {}", Base64::encode_string(&longer));
        assert_eq!(PublicKey::parse(&line), Err(KeyError::Malformed));
    }

    /// Strings behind one another, as SSH has them.
    fn line(kind: &str, parts: &[&[u8]]) -> String {
        let mut blob = Vec::new();
        for part in [&[kind.as_bytes()], parts].concat() {
            blob.extend((part.len() as u32).to_be_bytes());
            blob.extend(part);
        }
        format!("{kind} {}", Base64::encode_string(&blob))
    }

    #[test]
    fn rsa_keys_have_2048_to_8192_bits() {
        // The modulus: a first byte, and ones.
        let of = |first: &[u8], more| {
            let modulus = [first, &[0xff; 1024][..more]].concat();
            PublicKey::parse(&line("ssh-rsa", &[&[1, 0, 1], &modulus])).map(drop)
        };
        assert_eq!(of(&[0, 0x80], 255), Ok(()));
        assert_eq!(of(&[0x7f], 255), Err(KeyError::Bits(2047)));
        assert_eq!(of(&[1], 255), Err(KeyError::Bits(2041)));
        assert_eq!(of(&[0, 0xff], 1023), Ok(()));
        assert_eq!(of(&[1], 1024), Err(KeyError::Bits(8193)));
    }

    #[test]
    fn a_point_of_ecdsa_is_a_whole_one() {
        let of = |point: &[u8]| {
            let parts = [b"nistp256".as_slice(), point];
            PublicKey::parse(&line("ecdsa-sha2-nistp256", &parts)).map(drop)
        };
        let mut point = [7; 65];
        point[0] = 4;
        assert_eq!(of(&point), Ok(()));
        for bad in [&point[..64], &point[..33], &point[..1], &[], &[5; 65], &[2; 33]] {
            assert_eq!(of(bad), Err(KeyError::Malformed), "{bad:?}");
            assert_eq!(check_point(bad), Err(KeyError::Malformed), "{bad:?}");
        }
    }

    #[test]
    fn a_key_is_of_the_kind_that_its_line_names() {
        let (_, text) = LINE.split_once(' ').unwrap();
        for kind in ["ssh-rsa", "ecdsa-sha2-nistp256", "sk-ssh-ed25519@openssh.com"] {
            assert_eq!(PublicKey::parse(&format!("{kind} {text}")), Err(KeyError::Malformed));
        }
    }
}
