//! What a client sends as its signature, by every kind of key: none is one, for nobody here has signed.
#![no_main]
use libfuzzer_sys::fuzz_target;
use user_keys::{Demand, Kind, is_right};

/// The algorithms by their place, and keys of which the private half is forgotten.
const KEYS: &str = include_str!("../../net/keys/tests/vectors.txt");

fuzz_target!(|input: (u8, u8, &[u8])| {
    let (which, demand, signature) = input;
    let line = KEYS.lines().cycle().nth(usize::from(which) % 13).unwrap_or_default();
    let mut words = line.split(' ');
    let (Some(algorithm), Some(key)) = (words.next(), words.next()) else { return };
    let Ok(key) = server::PublicKey::parse(&match algorithm {
        "rsa-sha2-256" | "rsa-sha2-512" => format!("ssh-rsa {key}"),
        kind => format!("{kind} {key}"),
    }) else {
        panic!("a good key")
    };
    let Some((kind, data)) = Kind::of(algorithm.as_bytes(), &key.blob) else { return };
    let demand = Demand { touch: demand & 1 == 0, verified: demand & 2 == 0 };
    assert!(is_right(kind, &data, demand, signature, b"nobody signed this").is_err());
});
