//! A line of an `authorized_keys` or `.pub` file: a public key, and in front of it what it is for.
use crate::keys::access::Access;
use crate::keys::key::{KeyError, PublicKey};
use crate::keys::key_options::{KeyOptions, split};
use core::net::IpAddr;

/// A key that may log in, and its options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorizedKey {
    pub key: PublicKey,
    pub(crate) options: KeyOptions,
}

impl AuthorizedKey {
    /// Reads `[OPTIONS] KIND BASE64 [COMMENT]`, with the options that sshd(8) has under
    /// AUTHORIZED_KEYS FILE FORMAT.
    ///
    /// # Errors
    ///
    /// The key cannot be used, or an option was not understood, which is as bad.
    pub fn parse(line: &str) -> Result<Self, KeyError> {
        let line = line.trim();
        let (first, rest) = split(line);
        if PublicKey::is_kind(first) {
            return Ok(Self { key: PublicKey::parse(line)?, options: KeyOptions::default() });
        }
        let key = PublicKey::parse(rest)?;
        let options = KeyOptions::parse(first).map_err(KeyError::Options)?;
        Ok(Self { key, options })
    }

    /// Whether a client at `address` may use it at `now`, in seconds since 1970 (0 is not known);
    /// else why not.
    pub fn allow(&self, address: Option<IpAddr>, now: u64) -> Result<(), &'static str> {
        self.options.allow(address, now)
    }

    /// What who logs in with it may do.
    pub fn access(&self) -> Access {
        self.options.command().cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEAEbRK5Dzoo34Fg+VS+n0ZKlZISJYSDei0s9RxkAyLB me";

    #[test]
    fn options_stand_before_the_key() {
        let plain = AuthorizedKey::parse(KEY).unwrap();
        assert_eq!(plain.access(), Access::default());
        let line = format!("restrict,command=\"internal-sftp -R\" \t {KEY}\r\n");
        let restricted = AuthorizedKey::parse(&line).unwrap();
        assert_eq!(restricted.key, plain.key);
        assert!(restricted.access().read_only);
    }

    #[test]
    fn what_is_wrong_is_told() {
        let error = |line: &str| AuthorizedKey::parse(line).unwrap_err();
        assert!(matches!(error(&format!("nonsense {KEY}")), KeyError::Options(_)));
        assert_eq!(error("restrict ssh-dss AAAA"), KeyError::Kind("ssh-dss".into()));
        assert_eq!(error("restrict"), KeyError::Malformed);
        assert_eq!(error("-----BEGIN OPENSSH PRIVATE KEY-----"), KeyError::Malformed);
        // A quote that nothing closes takes the key with it.
        assert_eq!(error(&format!("from=\"10.0.0.1 {KEY}")), KeyError::Malformed);
    }
}
