//! Who is logging in: the user named by the client, the keys that are allowed, what was tried.
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use sunset::PubkeyOffer;
use user_keys::{Demand, KeyData, Kind, is_right};

/// OpenSSH's MaxAuthTries is 6, and agents that offer many keys are common.
pub const MAX_AUTH_TRIES: u32 = 10;

/// A public key or a certificate that a client offers.
pub struct Offered<'a> {
    /// In SSH wire format (RFC 4253 6.6).
    pub blob: &'a [u8],
    pub key: &'a KeyData,
}

/// The keys of one user.
pub trait Keys {
    /// Whether a key may log in, and what its signature must say; none when it may not.
    fn allow(&mut self, offered: &Offered<'_>) -> Option<Demand>;

    /// Is told when a client has a key that may log in, and its signature was not taken, or none of its kind is.
    fn refused(&mut self, blob: &[u8], why: &'static str);
}

/// Keys in SSH wire format, of which each may log in.
impl Keys for Vec<Vec<u8>> {
    fn allow(&mut self, offered: &Offered<'_>) -> Option<Demand> {
        let found = self.iter().any(|key| key == offered.blob);
        found.then_some(Demand { touch: true, verified: false })
    }

    fn refused(&mut self, _: &[u8], why: &'static str) {
        log::info!("refused a login: {why}");
    }
}

#[derive(Default)]
pub struct Auth {
    user: Option<String>,
    /// None until they have been looked up.
    keys: Option<Box<dyn Keys>>,
    /// The client asked first what it may try: that is no failure.
    pub asked_first: bool,
    /// Attempts with which the session ends.
    pub max_tries: Option<u32>,
    /// The key or certificate that has signed.
    accepted: Option<Vec<u8>>,
}

impl Auth {
    /// Whether the keys of `user` must still be looked up. The name is remembered.
    pub fn must_ask(&mut self, user: &[u8]) -> bool {
        if self.keys.is_some() {
            return false;
        }
        if self.user.is_none() {
            self.user = Some(String::from_utf8_lossy(user).into_owned());
        }
        true
    }

    pub fn user(&self) -> &str {
        self.user.as_deref().unwrap_or_default()
    }

    pub fn accepted_key(&self) -> &[u8] {
        self.accepted.as_deref().unwrap_or_default()
    }

    pub fn set_keys(&mut self, keys: Box<dyn Keys>) {
        self.keys = Some(keys);
    }

    /// Nobody logs in any more.
    pub fn forget_keys(&mut self) {
        self.keys = None;
    }

    /// Whether this key is one of the user's and, when the client has signed, the signature is right.
    pub fn allows(&mut self, offer: &PubkeyOffer<'_>) -> bool {
        let Some(keys) = &mut self.keys else { return false };
        let Some((kind, key)) = Kind::of(offer.algorithm, offer.key) else { return false };
        let Some(demand) = keys.allow(&Offered { blob: offer.key, key: &key }) else {
            return false;
        };
        let result = match (kind.refused(), offer.signature) {
            (Some(why), _) => Err(why),
            (None, None) => return true,
            (None, Some(signature)) => is_right(kind, &key, demand, signature, &signed(offer)),
        };
        match result {
            Ok(()) => {
                self.accepted = Some(offer.key.to_vec());
                true
            }
            Err(why) => {
                keys.refused(offer.key, why);
                false
            }
        }
    }

    /// Whether so many attempts are enough.
    pub fn is_enough(&self, attempts: u32) -> bool {
        attempts >= self.max_tries.unwrap_or(MAX_AUTH_TRIES)
    }

    /// Of the messages that were answered with a failure, those that were attempts.
    pub fn attempts(&self, failures: u32) -> u32 {
        failures.saturating_sub(u32::from(self.asked_first))
    }
}

/// What the client signs (RFC 4252 7): the session's identifier, and the request before the signature.
fn signed(offer: &PubkeyOffer<'_>) -> Vec<u8> {
    let length = u32::try_from(offer.session_id.len()).unwrap_or(u32::MAX);
    [&length.to_be_bytes(), offer.session_id, offer.request].concat()
}
