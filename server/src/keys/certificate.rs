//! Certificates of users' keys (PROTOCOL.certkeys of OpenSSH): whether one lets its holder log in, and for what.
use crate::keys::access::Access;
use crate::keys::authorized_key::AuthorizedKey;
use crate::keys::key::check;
use crate::keys::pattern::PatternList;
use crate::logging::cut;
use alloc::format;
use alloc::string::{String, ToString};
use core::net::IpAddr;
use user_keys::{Certificate, Demand};

/// Bytes of a name from a certificate that a message shows.
const SHOWN: usize = 40;

/// Who shows a certificate, from where and when: seconds since 1970, 0 is not known.
pub(crate) struct Visit<'a> {
    pub(crate) user: &'a str,
    pub(crate) address: Option<IpAddr>,
    pub(crate) now: u64,
}

/// Whether a certificate of the authority of this line lets its holder log in: what he may do, and what the
/// signature of a token must say; else why not. That the line itself may be used has been seen to. What a
/// certificate permits by extensions this server has not, but for one.
pub(crate) fn admit(
    certificate: &Certificate,
    line: &AuthorizedKey,
    visit: &Visit<'_>,
) -> Result<(Access, Demand), String> {
    certificate.verify_signature().map_err(|_| "its authority did not sign it")?;
    check(certificate.public_key()).map_err(|e| e.to_string())?;
    if certificate.cert_type().is_host() {
        return Err("it is for a host".into());
    }
    in_time(certificate, visit.now)?;
    names(certificate, line, visit.user)?;
    let mut command = line.options.command().cloned();
    let mut demand = line.options.demand();
    for (name, value) in certificate.critical_options().iter() {
        match name.as_str() {
            "force-command" => {
                let forced = Access::of_command(value).map_err(|e| cut(&e, 2 * SHOWN))?;
                if command.replace(forced.clone()).is_some_and(|other| other != forced) {
                    return Err("its force-command is another than the authority's command".into());
                }
            }
            "source-address" => from_there(value, visit.address)?,
            "verify-required" if value.is_empty() => demand.verified = true,
            _ => {
                let name = cut(name, SHOWN);
                return Err(format!("its critical option \"{name}\" is not supported"));
            }
        }
    }
    // Both must say so, as in OpenSSH.
    demand.touch |= !certificate.extensions().contains_key("no-touch-required");
    Ok((command.unwrap_or_default(), demand))
}

fn in_time(certificate: &Certificate, now: u64) -> Result<(), &'static str> {
    match (certificate.valid_after(), certificate.valid_before()) {
        (0, u64::MAX) => Ok(()),
        _ if now == 0 => Err("it is valid for a time, and the time is not known"),
        (from, _) if now < from => Err("it is not yet valid"),
        (_, before) if now >= before => Err("it has expired"),
        _ => Ok(()),
    }
}

/// It must name the user, or one of the line's principals. One that names nobody is for nobody.
fn names(certificate: &Certificate, line: &AuthorizedKey, user: &str) -> Result<(), String> {
    let named = certificate.valid_principals();
    let found = match line.options.principals() {
        Some(mut principals) => principals.any(|wanted| named.iter().any(|name| name == wanted)),
        None => named.iter().any(|name| name.eq_ignore_ascii_case(user)),
    };
    match (found, named) {
        (true, _) => Ok(()),
        (false, []) => Err("it names no principal".into()),
        (false, [first, ..]) => {
            let wanted =
                if line.options.principals().is_some() { "principals=" } else { "the user" };
            Err(format!("it names \"{}\", not {wanted}", cut(first, SHOWN)))
        }
    }
}

/// Addresses and networks alone, as ssh-keygen(1) makes them.
fn from_there(list: &str, address: Option<IpAddr>) -> Result<(), String> {
    if list.is_empty() || list.contains(['!', '*', '?']) {
        return Err("its source-address is no list of networks".into());
    }
    let list = PatternList::parse(list).map_err(|e| cut(&format!("source-address: {e}"), 90))?;
    match address.is_some_and(|address| list.matches(address)) {
        true => Ok(()),
        false => Err("it may not be used from there".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64ct::{Base64, Encoding};
    use std::boxed::Box;
    use std::vec::Vec;
    use user_keys::{KeyData, key_of};

    /// By ssh-keygen(1), all of one authority: `plain` for the year 2025 and alice or staff; `forced` with
    /// force-command="internal-sftp -R", source-address=10.0.0.0/8 and verify-required.
    const CERTIFICATES: &str = include_str!("../../tests/certificates.txt");
    const AUTHORITY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOlumqsiVpzLohI32ecDN5DHj5k5m2HADGtd7uV9y2PA";

    /// The year 2025.
    const FROM: u64 = 1_735_689_600;
    const BEFORE: u64 = FROM + 365 * 86_400;

    fn blob(name: &str) -> Vec<u8> {
        let mut lines = CERTIFICATES.lines().filter_map(|line| line.split_once(' '));
        let (_, text) = lines.find(|(found, _)| *found == name).unwrap();
        Base64::decode_vec(text).unwrap()
    }

    fn certificate(blob: &[u8]) -> Option<Box<Certificate>> {
        match key_of(blob)? {
            KeyData::Certificate(certificate) => Some(certificate),
            _ => None,
        }
    }

    fn outcome(
        name: &str,
        options: &str,
        user: &str,
        address: &str,
        now: u64,
    ) -> Result<(Access, Demand), String> {
        let line = format!("cert-authority{options} {AUTHORITY}");
        let line = AuthorizedKey::parse(&line).unwrap();
        let visit = Visit { user, address: address.parse().ok(), now };
        admit(&certificate(&blob(name)).unwrap(), &line, &visit)
    }

    fn refused(name: &str, options: &str, user: &str, address: &str, now: u64) -> String {
        outcome(name, options, user, address, now).unwrap_err()
    }

    #[test]
    fn names_and_times() {
        let all = Ok((Access::default(), Demand { touch: true, verified: false }));
        for now in [FROM, BEFORE - 1] {
            assert_eq!(outcome("plain", "", "alice", "", now), all);
            assert_eq!(outcome("plain", "", "Alice", "", now), all);
        }
        assert_eq!(outcome("plain", ",principals=\"a,staff\"", "bob", "", FROM), all);
        assert_eq!(refused("plain", "", "alice", "", FROM - 1), "it is not yet valid");
        assert_eq!(refused("plain", "", "alice", "", BEFORE), "it has expired");
        assert!(refused("plain", "", "alice", "", 0).contains("the time is not known"));
        assert_eq!(refused("plain", "", "bob", "", FROM), "it names \"alice\", not the user");
        for principals in ["", "bob", "alic", "alice staff"] {
            let options = format!(",principals=\"{principals}\"");
            assert!(refused("plain", &options, "alice", "", FROM).contains("not principals="));
        }
        assert_eq!(refused("nobody", "", "alice", "", FROM), "it names no principal");
        assert_eq!(refused("host", "", "alice", "", FROM), "it is for a host");
    }

    #[test]
    fn critical_options() {
        let read_only = Access { read_only: true, ..Access::default() };
        let forced = |options| outcome("forced", options, "alice", "10.1.2.3", 0);
        let verified = |touch| Ok((read_only.clone(), Demand { touch, verified: true }));
        assert_eq!(forced(""), verified(true));
        assert_eq!(forced(",command=\"internal-sftp -R\""), verified(true));
        // The certificate says so as well.
        assert_eq!(forced(",no-touch-required"), verified(false));
        assert!(forced(",command=\"internal-sftp\"").unwrap_err().contains("force-command"));
        for elsewhere in ["11.0.0.1", "::1", ""] {
            let why = refused("forced", "", "alice", elsewhere, 0);
            assert_eq!(why, "it may not be used from there");
        }
        let why = refused("unknown", "", "alice", "10.1.2.3", 0);
        assert_eq!(why, "its critical option \"x@example.com\" is not supported");
        assert!(refused("shell", "", "alice", "10.1.2.3", 0).contains("only internal-sftp"));
    }

    #[test]
    fn nothing_that_was_changed_is_taken() {
        let line = AuthorizedKey::parse(&format!("cert-authority {AUTHORITY}")).unwrap();
        let visit = Visit { user: "alice", address: None, now: FROM };
        let good = blob("plain");
        assert!(admit(&certificate(&good).unwrap(), &line, &visit).is_ok());
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 4;
            let taken = certificate(&bad).is_some_and(|bad| admit(&bad, &line, &visit).is_ok());
            assert!(!taken, "byte {at}");
            assert!(certificate(&good[..at]).is_none());
        }
        assert!(certificate(&[&good[..], &[0]].concat()).is_none());
    }
}
