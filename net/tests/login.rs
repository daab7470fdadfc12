//! What the keys of a user are asked and told while a client logs in.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod rig;

use net::{Ended, Event, Keys, Offered, RekeyLimit, Stream};
use rig::{Pair, SEED, blob};
use std::cell::RefCell;
use std::rc::Rc;
use user_keys::Demand;

/// One key, and what it was told; they are let go when nobody else has them.
struct One(Vec<u8>, Rc<RefCell<Vec<String>>>);

impl Keys for One {
    fn allow(&mut self, offered: &Offered<'_>) -> Option<Demand> {
        (offered.blob == self.0).then(Demand::default)
    }

    fn refused(&mut self, blob: &[u8], why: &'static str) {
        assert_eq!(blob, self.0);
        self.1.borrow_mut().push(why.into());
    }
}

fn string(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_be_bytes(), bytes].concat()
}

/// A session that has asked for the keys of its user, and was given these.
fn with_keys(keys: One) -> Pair {
    let mut pair = Pair::new();
    assert_eq!(pair.event().unwrap(), Some(Event::Login("mirage".into())));
    pair.session.set_keys(keys);
    pair
}

fn send(pair: &mut Pair, message: &[u8]) {
    assert!(pair.client.send_message(message).unwrap());
    pair.client.flush(&mut pair.theirs).unwrap();
    assert_eq!(pair.session.step(&mut pair.ours, &pair.host_key).unwrap(), Event::Idle);
}

/// A request to log in with a key (RFC 4252 7), signed or to ask whether it would do.
fn offer(algorithm: &str, key: &[u8], signature: Option<&[u8]>) -> Vec<u8> {
    let parts = [&b"mirage"[..], b"ssh-connection", b"publickey"].map(string).concat();
    let signed = u8::from(signature.is_some());
    let key = [string(algorithm.as_bytes()), string(key)].concat();
    let signature = signature.map(string).unwrap_or_default();
    [&[50][..], &parts, &[signed], &key, &signature].concat()
}

#[test]
fn a_key_that_would_sign_with_sha1_is_refused_and_the_log_told() {
    // The exponent and a modulus of 2048 bits.
    let key =
        [&b"ssh-rsa"[..], &[1, 0, 1], &[&[0][..], &[0xc5; 256]].concat()].map(string).concat();
    let signature = [&b"ssh-rsa"[..], &[7; 256]].map(string).concat();
    let told = Rc::new(RefCell::new(Vec::new()));
    let mut pair = with_keys(One(key.clone(), told.clone()));
    for signature in [None, Some(&signature[..])] {
        send(&mut pair, &offer("ssh-rsa", &key, signature));
        let said = std::mem::take(&mut *told.borrow_mut());
        assert_eq!(said, ["it signs with SHA-1 (ssh-rsa), not as rsa-sha2-256 or -512"]);
    }
    // Of another's key nothing is said.
    send(&mut pair, &offer("ssh-rsa", &[&key[..key.len() - 1], &[1]].concat(), None));
    assert!(told.borrow().is_empty());
    // It may still log in with another hash; here it signs something else.
    send(&mut pair, &offer("rsa-sha2-256", &key, None));
    assert!(told.borrow().is_empty());
    send(&mut pair, &offer("rsa-sha2-256", &key, Some(&signature)));
    assert_eq!(*told.borrow(), ["its signature is of another kind than was asked for"]);
    assert!(!pair.session.is_authenticated());
}

#[test]
fn keys_are_let_go_after_the_login() {
    let held = Rc::new(RefCell::new(Vec::new()));
    let mut pair = with_keys(One(blob(SEED), held.clone()));
    assert!(Rc::strong_count(&held) == 2 && !pair.session.is_authenticated());
    assert_eq!(pair.event().unwrap(), Some(Event::Authenticated));
    assert!(Rc::strong_count(&held) == 1 && pair.session.is_authenticated());
}

#[test]
fn so_many_failures_end_a_connection_as_were_set() {
    let mut pair = with_keys(One(blob(SEED), Rc::default()));
    pair.session.set_max_auth_tries(3);
    let unknown = offer("ssh-ed25519", &blob([4; 32]), None);
    send(&mut pair, &unknown);
    send(&mut pair, &unknown);
    assert_eq!(pair.session.failed_logins(), 2);
    assert!(pair.client.send_message(&unknown).unwrap());
    pair.client.flush(&mut pair.theirs).unwrap();
    let ended = pair.session.step(&mut pair.ours, &pair.host_key);
    assert!(matches!(ended, Err(Ended::TooManyAttempts)), "{ended:?}");
}

/// OpenSSH's client bears no second exchange before the login.
#[test]
fn new_keys_wait_for_the_login() {
    let mut pair = Pair::with(RekeyLimit { bytes: None, seconds: Some(1) });
    pair.session.set_time(0);
    assert_eq!(pair.event().unwrap(), Some(Event::Login("mirage".into())));
    pair.session.set_keys(One(vec![], Rc::default()));
    send(&mut pair, &offer("ssh-ed25519", &blob([4; 32]), None));
    drain(&mut pair);
    pair.session.set_time(100_000);
    assert_eq!(pair.session.deadline(), None);
    assert_eq!(pair.session.step(&mut pair.ours, &pair.host_key).unwrap(), Event::Idle);
    assert_eq!(drain(&mut pair), 0);
}

/// How many bytes have come to the client.
fn drain(pair: &mut Pair) -> usize {
    let mut drained = 0;
    while let Ok(more @ [_, ..]) = pair.theirs.fill() {
        let n = more.len();
        drained += n;
        pair.theirs.consume(n);
    }
    drained
}
