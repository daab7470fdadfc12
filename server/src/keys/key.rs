//! Public keys in OpenSSH's text form.
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use base64ct::{Base64, Base64Unpadded, Encoding};
use core::fmt;
use sha2::{Digest, Sha256};

const ED25519: &str = "ssh-ed25519";
const ECDSA: &str = "ecdsa-sha2-nistp256";

/// A key that can log in: ssh-ed25519 (RFC 8709) or ecdsa-sha2-nistp256 (RFC 5656).
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
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kind(kind) => write!(f, "{kind} keys are not supported, use ssh-ed25519"),
            Self::Options(problem) => f.write_str(problem),
            Self::NotBase64 => f.write_str("the key is not base64"),
            Self::Malformed => f.write_str("malformed public key"),
            Self::Weak => f.write_str("a weak ed25519 key, which anyone could sign for"),
        }
    }
}

impl PublicKey {
    /// Reads `KIND BASE64 [COMMENT]`.
    pub fn parse(line: &str) -> Result<Self, KeyError> {
        let line = line.trim();
        let (kind, rest) = line.split_once([' ', '\t']).unwrap_or((line, ""));
        if kind != ED25519 && kind != ECDSA {
            return Err(match Self::is_kind(kind) {
                true => KeyError::Kind(kind.to_owned()),
                false => KeyError::Malformed,
            });
        }
        let rest = rest.trim_start();
        let (text, comment) = rest.split_once([' ', '\t']).unwrap_or((rest, ""));
        let blob = Base64::decode_vec(text).map_err(|_| KeyError::NotBase64)?;
        check(kind, &blob)?;
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

fn check(kind: &str, blob: &[u8]) -> Result<(), KeyError> {
    let (name, rest) = string(blob).ok_or(KeyError::Malformed)?;
    if name != kind.as_bytes() {
        return Err(KeyError::Malformed);
    }
    let (first, rest) = string(rest).ok_or(KeyError::Malformed)?;
    if kind == ED25519 {
        let key = ed25519_compact::PublicKey::from_slice(first).map_err(|_| KeyError::Malformed)?;
        return match rest {
            [] => key.validate().map_err(|_| KeyError::Weak),
            _ => Err(KeyError::Malformed),
        };
    }
    // An uncompressed point: 4, x, y (SEC 1 2.3.3).
    match string(rest) {
        Some(([4, xy @ ..], [])) if first == b"nistp256" && xy.len() == 64 => Ok(()),
        _ => Err(KeyError::Malformed),
    }
}

/// Splits off a string (RFC 4251 5).
fn string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
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
        let error = PublicKey::parse("ssh-rsa AAAAB3Nza me").unwrap_err();
        assert!(error.to_string().contains("ssh-rsa"));
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
}
