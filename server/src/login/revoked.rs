//! Keys that are not taken any more, whoever lists them: RevokedKeys of sshd_config(5), as text.
use crate::login::key_file::read;
use alloc::vec::Vec;
use base64ct::{Base64, Base64Unpadded, Encoding};
use fat::{BlockDevice, Error, Volume};
use log::error;
use sha2::{Digest, Sha256};
use user_keys::{KeyData, blob_of, key_of};

const REVOKED_KEYS: &str = "/revoked_keys";

/// The most keys that the file may name: a login that is under way holds 32 bytes of each.
const MOST_KEYS: usize = 4096;

type Hash = [u8; 32];

/// The SHA-256 of each revoked key in SSH wire format, which is its fingerprint.
#[derive(Default)]
pub struct Revoked(Vec<Hash>);

impl Revoked {
    pub fn has(&self, blob: &[u8]) -> bool {
        self.0.contains(&Sha256::digest(blob).into())
    }
}

/// What the volume revokes. None when its file is there and cannot be read and understood to its end: then nobody
/// logs in, as with OpenSSH, for a key that was stolen may be meant.
pub async fn revoked<D: BlockDevice>(volume: &Volume<D>) -> Option<Revoked> {
    let (mut hashes, mut number, mut wrong) = (Vec::new(), 0usize, None);
    let mut push = |line: Option<&str>| {
        number = number.saturating_add(1);
        let line = line.map(str::trim);
        match line.and_then(hash) {
            _ if line.is_some_and(|line| line.is_empty() || line.starts_with('#')) => (),
            Some(hash) if hashes.len() < MOST_KEYS => hashes.push(hash),
            _ => wrong = wrong.or(Some(number)),
        }
    };
    let result = read(volume, REVOKED_KEYS, &mut push).await;
    match (result, wrong) {
        (Ok(true), None) => (),
        (Err(Error::NotFound), _) => return Some(Revoked::default()),
        (Ok(_), Some(number)) if hashes.len() < MOST_KEYS => {
            error!("revoked_keys line {number}: no key and no fingerprint; nobody can log in");
            return None;
        }
        (Ok(_), _) => {
            error!("revoked_keys has more than 1 MiB or {MOST_KEYS} keys; nobody can log in");
            return None;
        }
        (Err(e), _) => {
            error!("cannot read revoked_keys: {e}; nobody can log in");
            return None;
        }
    }
    Some(Revoked(hashes))
}

/// Of a line: `SHA256:…`, or a key as in a `.pub` file. A certificate stands for its key.
fn hash(line: &str) -> Option<Hash> {
    if let Some(text) = line.strip_prefix("SHA256:") {
        let text = text.split([' ', '\t']).next()?;
        return Base64Unpadded::decode_vec(text).ok()?.try_into().ok();
    }
    let text = line.split([' ', '\t']).filter(|word| !word.is_empty()).nth(1)?;
    let blob = Base64::decode_vec(text).ok()?;
    let key = match key_of(&blob)? {
        KeyData::Certificate(certificate) => blob_of(certificate.public_key())?,
        _ => blob,
    };
    Some(Sha256::digest(key).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::login::volume_with;
    use alloc::format;
    use alloc::string::String;
    use client::ready;

    const KEY: &str = "AAAAC3NzaC1lZDI1NTE5AAAAIEAEbRK5Dzoo34Fg+VS+n0ZKlZISJYSDei0s9RxkAyLB";

    fn read_from(text: &str) -> Option<Revoked> {
        ready(revoked(&volume_with("/revoked_keys", text.as_bytes()))).unwrap()
    }

    #[test]
    fn a_key_is_revoked_by_itself_and_by_its_fingerprint() {
        let blob = Base64::decode_vec(KEY).unwrap();
        let fingerprint = Base64Unpadded::encode_string(&Sha256::digest(&blob));
        for text in [
            format!("ssh-ed25519 {KEY} somebody"),
            format!("ssh-ed25519  \t{KEY}"),
            format!("# stolen\n\n  SHA256:{fingerprint} (ED25519)\n"),
            format!("SHA256:{fingerprint}"),
        ] {
            let revoked = read_from(&text).unwrap();
            assert!(revoked.has(&blob) && !revoked.has(&blob[1..]), "{text}");
        }
        assert!(!read_from("# nobody\n").unwrap().has(&blob));
        let nothing = volume_with("/other", b"");
        assert!(!ready(super::revoked(&nothing)).unwrap().unwrap().has(&blob));
    }

    #[test]
    fn what_cannot_be_understood_to_its_end_keeps_everybody_out() {
        let line = |n: u32| {
            let mut hash = [0; 32];
            hash[..4].copy_from_slice(&n.to_be_bytes());
            format!("SHA256:{}\n", Base64Unpadded::encode_string(&hash))
        };
        let lines = |count| (0..count).map(line).collect::<String>();
        assert!(read_from(&lines(4096)).is_some_and(|revoked| revoked.0.len() == 4096));
        for text in [
            lines(4097),
            lines(4096) + "nonsense",
            lines(3) + "nonsense\n",
            lines(1) + "SHA256:short\n",
            lines(1) + "ssh-ed25519\n",
            lines(1) + "ssh-ed25519 AAAA\n",
            lines(1) + &"x".repeat(20_000),
            lines(1) + &"#\n".repeat(1 << 19),
        ] {
            assert!(read_from(&text).is_none(), "{}", &text[text.len().saturating_sub(60)..]);
        }
    }
}
