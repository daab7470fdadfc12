//! Who is logging in: the user named by the client, the keys that are allowed, what was tried.
use alloc::string::String;
use alloc::vec::Vec;
use log::debug;
use sunset::sshwire::write_ssh;

/// OpenSSH's MaxAuthTries is 6, and agents that offer many keys are common.
pub const MAX_AUTH_TRIES: u32 = 10;

/// Room for the largest public key that sunset decodes here (ecdsa-sha2-nistp256: 104 bytes).
const KEY_ROOM: usize = 160;

#[derive(Default)]
pub struct Auth {
    user: Option<String>,
    /// Public keys in SSH wire format (RFC 4253 6.6); none until they have been looked up.
    keys: Option<Vec<Vec<u8>>>,
    /// The client asked first what it may try: that is no failure.
    pub asked_first: bool,
    /// Attempts with which the session ends.
    pub max_tries: Option<u32>,
    /// The key that was accepted.
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

    pub fn set_keys(&mut self, keys: Vec<Vec<u8>>) {
        self.keys = Some(keys);
    }

    /// Whether `key` is one of the user's keys. sunset has verified the signature when there is one.
    pub fn allows(&mut self, key: &sunset::PubKey<'_>) -> bool {
        let mut room = [0; KEY_ROOM];
        let blob = match write_ssh(&mut room, key) {
            Ok(length) => room.get(..length).unwrap_or_default(),
            Err(e) => {
                debug!("a public key that cannot be encoded: {e}");
                return false;
            }
        };
        let allowed = self.keys.iter().flatten().any(|k| k == blob);
        if allowed {
            self.accepted = Some(blob.to_vec());
        }
        allowed
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
