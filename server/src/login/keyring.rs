//! The keys of one user while a client logs in.
use crate::keys::access::Access;
use crate::keys::authorized_key::AuthorizedKey;
use crate::keys::certificate::{Visit, admit};
use crate::keys::key::fingerprint;
use crate::logging::cut;
use crate::login::revoked::Revoked;
use alloc::boxed::Box;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::net::IpAddr;
use log::info;
use net::Offered;
use user_keys::{Certificate, Demand, KeyData, blob_of};

/// What the key that was allowed last lets its user do, and how the log names it.
#[derive(Clone)]
pub struct Granted {
    pub access: Access,
    pub name: String,
}

pub struct Keyring {
    /// Those that may be used from there now.
    pub keys: Vec<AuthorizedKey>,
    pub revoked: Revoked,
    pub user: String,
    /// The client, for the log.
    pub peer: String,
    pub address: Option<IpAddr>,
    /// Seconds since 1970; 0 is not known.
    pub now: Box<dyn Fn() -> u64>,
    pub granted: Rc<RefCell<Option<Granted>>>,
    /// One of the keys that are not the user's has been named.
    pub named: bool,
}

impl Keyring {
    /// Of several lines with a key the first counts, as in OpenSSH.
    fn plain(&self, blob: &[u8]) -> Option<Result<(Granted, Demand), String>> {
        let line =
            self.keys.iter().find(|line| !line.options.is_authority() && line.key.blob == blob)?;
        if self.revoked.has(blob) {
            return Some(Err("it is revoked".into()));
        }
        let granted = Granted { access: line.access(), name: fingerprint(blob) };
        Some(Ok((granted, line.options.demand())))
    }

    /// The first line of its authority that lets it in counts; else what the last of them says.
    fn certified(&self, certificate: &Certificate) -> Option<Result<(Granted, Demand), String>> {
        let authority = blob_of(certificate.signature_key())?;
        let key = blob_of(certificate.public_key())?;
        let mut lines = self.keys.iter().filter(|line| line.options.is_authority());
        let first = lines.by_ref().find(|line| line.key.blob == authority)?;
        if self.revoked.has(&key) {
            return Some(Err("its key is revoked".into()));
        }
        if self.revoked.has(&authority) {
            return Some(Err("its authority is revoked".into()));
        }
        let visit = Visit { user: &self.user, address: self.address, now: (self.now)() };
        let mut result = admit(certificate, first, &visit);
        for line in lines.filter(|line| line.key.blob == authority) {
            result = result.or_else(|_| admit(certificate, line, &visit));
        }
        let name = || format!("{} of {}", named(certificate), fingerprint(&key));
        Some(result.map(|(access, demand)| (Granted { access, name: name() }, demand)))
    }
}

impl net::Keys for Keyring {
    fn allow(&mut self, offered: &Offered<'_>) -> Option<Demand> {
        *self.granted.borrow_mut() = None;
        let result = match offered.key {
            KeyData::Certificate(certificate) => self.certified(certificate),
            _ => self.plain(offered.blob),
        };
        match result {
            Some(Ok((granted, demand))) => {
                *self.granted.borrow_mut() = Some(granted);
                return Some(demand);
            }
            Some(Err(why)) => self.say(offered, &why),
            None => self.is_unknown(offered),
        }
        None
    }

    fn refused(&mut self, _: &[u8], why: &'static str) {
        let granted = self.granted.take();
        let name = granted.map(|granted| granted.name).unwrap_or_default();
        info!("{} from {}: {name} is refused: {why}", self.user, self.peer);
    }
}

impl Keyring {
    /// The first is named: an agent may offer many. A client offers a certificate's key by itself before it.
    fn is_unknown(&mut self, offered: &Offered<'_>) {
        let authority = match offered.key {
            KeyData::Certificate(certificate) => blob_of(certificate.signature_key()),
            _ if self.keys.iter().any(|line| line.options.is_authority()) => return,
            _ => None,
        };
        if core::mem::replace(&mut self.named, true) || self.keys.is_empty() {
            return;
        }
        // A line that is too long loses its end.
        match authority.map(|blob| fingerprint(&blob)) {
            Some(key) => {
                self.say(offered, &format!("its authority is not one of the user's: {key}"));
            }
            None => self.say(offered, "it is not one of the user's"),
        }
    }

    fn say(&self, offered: &Offered<'_>, why: &str) {
        let name = match offered.key {
            KeyData::Certificate(certificate) => named(certificate),
            _ => fingerprint(offered.blob),
        };
        info!("{} from {}: {name} is refused: {why}", self.user, self.peer);
    }
}

/// Bytes of a certificate's identity that a message shows.
const SHOWN: usize = 24;

fn named(certificate: &Certificate) -> String {
    let id = cut(certificate.key_id(), SHOWN);
    format!("certificate \"{id}\" (serial {})", certificate.serial())
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use base64ct::{Base64, Encoding};
    use net::Keys;
    use user_keys::key_of;

    const AUTHORITY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOlumqsiVpzLohI32ecDN5DHj5k5m2HADGtd7uV9y2PA";
    const OTHER: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c";

    /// What alice's lines give who offers this, in the year 2025: how the log names it, and whether it may only read.
    fn granted(lines: &[String], blob: &[u8]) -> Option<(String, bool)> {
        let mut ring = Keyring {
            keys: lines.iter().map(|line| AuthorizedKey::parse(line).unwrap()).collect(),
            revoked: Revoked::default(),
            user: "alice".into(),
            peer: "10.0.0.1:22".into(),
            address: "10.0.0.1".parse().ok(),
            now: Box::new(|| 1_750_000_000),
            granted: Rc::default(),
            named: false,
        };
        let key = key_of(blob).unwrap();
        let demand = ring.allow(&Offered { blob, key: &key });
        let granted = ring.granted.take();
        assert_eq!(demand.is_some(), granted.is_some());
        granted.map(|granted| (granted.name, granted.access.read_only))
    }

    fn key(line: &str) -> Vec<u8> {
        Base64::decode_vec(line.split(' ').nth(1).unwrap()).unwrap()
    }

    #[test]
    fn the_first_line_of_an_authority_that_lets_a_certificate_in_counts() {
        let text = include_str!("../../tests/certificates.txt");
        let certificate = key(text.lines().find(|line| line.starts_with("plain ")).unwrap());
        let line = |options: &str, key: &str| format!("cert-authority{options} {key}");
        let (none, reader) = (",principals=\"eve\"", ",command=\"internal-sftp -R\"");
        for (lines, read_only) in [
            (vec![], None),
            (vec![OTHER.into(), line("", OTHER)], None),
            // An authority's key by itself is another key.
            (vec![AUTHORITY.into()], None),
            (vec![line("", AUTHORITY)], Some(false)),
            (vec![line("", OTHER), line(none, AUTHORITY)], None),
            (vec![line(none, AUTHORITY), line(reader, AUTHORITY)], Some(true)),
            (vec![line(none, AUTHORITY), line("", OTHER), line(none, AUTHORITY)], None),
            (vec![line("", AUTHORITY), line(reader, AUTHORITY)], Some(false)),
        ] {
            let found = granted(&lines, &certificate);
            assert_eq!(found.as_ref().map(|(_, read_only)| *read_only), read_only, "{lines:?}");
            let named = |(name, _): &(String, bool)| {
                name.starts_with("certificate \"plain\" (serial 0) of SHA256:")
            };
            assert!(found.is_none_or(|found| named(&found)));
        }
    }

    #[test]
    fn the_first_line_with_a_key_counts_and_an_authority_is_none() {
        let (plain, reader) =
            (String::from(OTHER), format!("command=\"internal-sftp -R\" {OTHER}"));
        let authority = format!("cert-authority {OTHER}");
        let blob = key(OTHER);
        for (lines, read_only) in [
            (vec![AUTHORITY.into()], None),
            (vec![authority.clone()], None),
            (vec![authority, reader.clone(), plain.clone()], Some(true)),
            (vec![plain, reader], Some(false)),
        ] {
            let found = granted(&lines, &blob);
            assert_eq!(found, read_only.map(|r| (fingerprint(&blob), r)));
        }
    }
}
