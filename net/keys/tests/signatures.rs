//! Signatures by OpenSSL of every kind, and what must not be taken for one.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
use base64ct::{Base64, Encoding};
use user_keys::{Demand, Kind, is_right};

/// Algorithm, key, and its signature of `MESSAGE` in each line. The tokens were touched, and verified nobody.
const VECTORS: &str = include_str!("vectors.txt");
const MESSAGE: &[u8] = b"what was signed";

const TOUCH: Demand = Demand { touch: true, verified: false };

fn vectors() -> impl Iterator<Item = (&'static str, Vec<u8>, Vec<u8>)> {
    VECTORS.lines().map(|line| {
        let words: Vec<_> = line.split(' ').collect();
        let bytes = |word| Base64::decode_vec(word).unwrap();
        (words[0], bytes(words[1]), bytes(words[2]))
    })
}

fn taken(algorithm: &str, key: &[u8], demand: Demand, signature: &[u8], message: &[u8]) -> bool {
    Kind::of(algorithm.as_bytes(), key)
        .is_some_and(|(kind, key)| is_right(kind, &key, demand, signature, message).is_ok())
}

#[test]
fn every_kind_but_sha1() {
    assert_eq!(vectors().count(), 13);
    for (algorithm, key, signature) in vectors() {
        let bits = key.len() * 8;
        let right = taken(algorithm, &key, TOUCH, &signature, MESSAGE);
        assert_eq!(right, algorithm != "ssh-rsa", "{algorithm} {bits}");
        assert!(!taken(algorithm, &key, TOUCH, &signature, b"something else"));
        // By another name than the key's, or the signature's.
        for (other, ..) in vectors().filter(|(other, ..)| *other != algorithm) {
            assert!(!taken(other, &key, TOUCH, &signature, MESSAGE), "{algorithm} as {other}");
        }
    }
}

#[test]
fn nothing_that_was_changed_is_taken() {
    for (algorithm, key, signature) in vectors() {
        // Long ones are long to look at, and have no other parts than the shortest RSA key's.
        let step = if signature.len() > 300 { 97 } else { 1 };
        for at in (0..signature.len()).step_by(step) {
            let mut bad = signature.clone();
            bad[at] ^= 4;
            assert!(!taken(algorithm, &key, TOUCH, &bad, MESSAGE), "{algorithm} byte {at}");
            assert!(!taken(algorithm, &key, TOUCH, &signature[..at], MESSAGE));
        }
        let longer = [signature.as_slice(), &[0]].concat();
        assert!(!taken(algorithm, &key, TOUCH, &longer, MESSAGE), "{algorithm}");
        // A token's application is the key's last part.
        for at in (0..key.len()).step_by(step) {
            let mut bad = key.clone();
            bad[at] ^= 4;
            assert!(!taken(algorithm, &bad, TOUCH, &signature, MESSAGE), "{algorithm} byte {at}");
        }
    }
}

#[test]
fn what_is_demanded_of_a_token() {
    for (algorithm, key, signature) in vectors().filter(|(name, ..)| name.starts_with("sk-")) {
        let with = |touch, verified| {
            taken(algorithm, &key, Demand { touch, verified }, &signature, MESSAGE)
        };
        assert!(with(true, false) && with(false, false), "{algorithm}");
        assert!(!with(true, true) && !with(false, true), "{algorithm}");
    }
}
