//! Signatures of users' keys: of which kinds, and whether they are right.
use crate::{key_of, kind_of};
use signature::Verifier;
use ssh_key::Signature;
use ssh_key::encoding::{Decode, Reader};
use ssh_key::public::KeyData;

/// What a signature must say beside being right, when the key is on a hardware token (PROTOCOL.u2f of OpenSSH).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    /// Somebody touched the token.
    pub touch: bool,
    /// The token made sure who, by a PIN or a fingerprint.
    pub verified: bool,
}

/// The name by which a client asks for a signature, that of its key's kind, and that of the signature
/// (RFC 4252 7, RFC 8332 3.2, PROTOCOL.certkeys and PROTOCOL.u2f of OpenSSH).
pub struct Kind {
    algorithm: &'static str,
    key: &'static str,
    signature: &'static str,
}

const fn plain(name: &'static str) -> Kind {
    Kind { algorithm: name, key: name, signature: name }
}

const fn certificate(name: &'static str, signature: &'static str) -> Kind {
    Kind { algorithm: name, key: name, signature }
}

const SK_ED25519: &str = "sk-ssh-ed25519@openssh.com";
const SK_ECDSA: &str = "sk-ecdsa-sha2-nistp256@openssh.com";
const RSA_256: &str = "rsa-sha2-256";
const RSA_512: &str = "rsa-sha2-512";
const RSA_CERTIFICATE: &str = "ssh-rsa-cert-v01@openssh.com";

/// RSA with SHA-1, of which none is taken: it is known so that who offers it can be told of.
const SHA1: &str = "ssh-rsa";

const KINDS: [Kind; 14] = [
    plain("ssh-ed25519"),
    plain("ecdsa-sha2-nistp256"),
    plain(SK_ED25519),
    plain(SK_ECDSA),
    Kind { algorithm: RSA_512, key: "ssh-rsa", signature: RSA_512 },
    Kind { algorithm: RSA_256, key: "ssh-rsa", signature: RSA_256 },
    certificate("ssh-ed25519-cert-v01@openssh.com", "ssh-ed25519"),
    certificate("ecdsa-sha2-nistp256-cert-v01@openssh.com", "ecdsa-sha2-nistp256"),
    certificate("sk-ssh-ed25519-cert-v01@openssh.com", SK_ED25519),
    certificate("sk-ecdsa-sha2-nistp256-cert-v01@openssh.com", SK_ECDSA),
    Kind {
        algorithm: "rsa-sha2-512-cert-v01@openssh.com",
        key: RSA_CERTIFICATE,
        signature: RSA_512,
    },
    Kind {
        algorithm: "rsa-sha2-256-cert-v01@openssh.com",
        key: RSA_CERTIFICATE,
        signature: RSA_256,
    },
    plain(SHA1),
    certificate(RSA_CERTIFICATE, SHA1),
];

impl Kind {
    /// The kind of signatures of this name, and the key in SSH wire format, if it is of that kind.
    pub fn of(algorithm: &[u8], blob: &[u8]) -> Option<(&'static Self, KeyData)> {
        let kind = KINDS.iter().find(|kind| kind.algorithm.as_bytes() == algorithm)?;
        if kind_of(blob) != Some(kind.key.as_bytes()) {
            return None;
        }
        Some((kind, key_of(blob)?))
    }

    /// Why no signature of this kind is taken, if none is.
    pub fn refused(&self) -> Option<&'static str> {
        (self.signature == SHA1)
            .then_some("it signs with SHA-1 (ssh-rsa), not as rsa-sha2-256 or -512")
    }
}

/// Whether `signature` is one of this kind, of `signed`, by the key or the key of the certificate.
pub fn is_right(
    kind: &Kind,
    key: &KeyData,
    demand: Demand,
    signature: &[u8],
    signed: &[u8],
) -> Result<(), &'static str> {
    /// What a token says (WebAuthn 6.1): somebody is there; and it is known who.
    const PRESENT: u8 = 1;
    const VERIFIED: u8 = 4;
    /// Behind a token's signature: these flags, and a counter.
    const TRAILER: usize = 5;

    if let Some(why) = kind.refused() {
        return Err(why);
    }
    if kind_of(signature) != Some(kind.signature.as_bytes()) {
        return Err("its signature is of another kind than was asked for");
    }
    let mut reader = signature;
    let signature = Signature::decode(&mut reader).map_err(|_| "its signature is malformed")?;
    if !reader.is_finished() {
        return Err("its signature is malformed");
    }
    let key = match key {
        KeyData::Certificate(certificate) => certificate.public_key(),
        key => key,
    };
    key.verify(signed, &signature).map_err(|_| "its signature is wrong")?;
    if matches!(key, KeyData::SkEd25519(_) | KeyData::SkEcdsaSha2NistP256(_)) {
        let flags = signature.as_bytes().iter().nth_back(TRAILER - 1).copied().unwrap_or_default();
        if demand.touch && flags & PRESENT == 0 {
            return Err("nobody touched its token");
        }
        if demand.verified && flags & VERIFIED == 0 {
            return Err("its token did not verify its user");
        }
    }
    Ok(())
}
