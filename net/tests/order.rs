//! What may arrive when: every message of RFC 4250 4.1.2 in every state, the names that may log in, and what
//! ends an exchange of keys. Before the first keys the client is bytes in clear; then it is the one in memory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod rig;

use client::{Client, End};
use net::{Algorithms, Ended, Event, RekeyLimit, Stream};
use rig::{Pair, SEED, blob};

fn string(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_be_bytes(), bytes].concat()
}

/// SSH_MSG_KEXINIT that asks for one exchange.
fn kexinit(exchanges: &str) -> Vec<u8> {
    let mut message = vec![20];
    message.extend([3; 16]);
    let cipher = "chacha20-poly1305@openssh.com";
    for names in [
        exchanges,
        "ssh-ed25519,ecdsa-sha2-nistp256",
        cipher,
        cipher,
        "hmac-sha2-256",
        "hmac-sha2-256",
    ] {
        message.extend(string(names.as_bytes()));
    }
    for names in ["none", "none", "", ""] {
        message.extend(string(names.as_bytes()));
    }
    message.extend([0; 5]);
    message
}

fn kexdh(public: &[u8]) -> Vec<u8> {
    [vec![30], string(public)].concat()
}

fn userauth(name: &[u8]) -> Vec<u8> {
    [vec![50], string(name), string(b"ssh-connection"), string(b"none")].concat()
}

fn messages() -> Vec<(&'static str, Vec<u8>)> {
    let number = |kind: u8, fields: usize| [vec![kind], vec![0; 4 * fields]].concat();
    vec![
        ("IGNORE", [vec![2], string(b"x")].concat()),
        ("UNIMPLEMENTED", number(3, 1)),
        ("DEBUG", [vec![4, 1], string(b"x"), string(b"")].concat()),
        ("SERVICE_REQUEST", [vec![5], string(b"ssh-userauth")].concat()),
        ("EXT_INFO", number(7, 1)),
        ("an unknown one", vec![192]),
        ("KEXINIT", kexinit("curve25519-sha256")),
        ("NEWKEYS", vec![21]),
        ("KEXDH_INIT", kexdh(&[9; 32])),
        ("KEXDH_REPLY", [vec![31], string(&blob(SEED)), string(&[9; 32]), string(b"")].concat()),
        ("USERAUTH_REQUEST", userauth(b"mirage")),
        ("USERAUTH_SUCCESS", vec![52]),
        ("GLOBAL_REQUEST", [vec![80], string(b"x"), vec![0]].concat()),
        ("CHANNEL_OPEN", [vec![90], string(b"session"), vec![0; 12]].concat()),
        ("CHANNEL_DATA", [vec![94], vec![0; 4], string(b"x")].concat()),
    ]
}

/// A packet in clear (RFC 4253 6).
fn packet(message: &[u8]) -> Vec<u8> {
    let padding = 8 - (message.len() + 5) % 8 + if (message.len() + 5) % 8 > 4 { 8 } else { 0 };
    let length = (message.len() + 1 + padding) as u32;
    let mut packet = length.to_be_bytes().to_vec();
    packet.push(padding as u8);
    packet.extend(message);
    packet.resize(packet.len() + padding, 0);
    packet
}

/// A session that has had these messages in clear; the name of a login that was asked for.
fn clear(messages: &[Vec<u8>]) -> (Pair, Result<Option<String>, Ended>) {
    clear_to(Pair::new(), messages)
}

fn clear_to(mut pair: Pair, messages: &[Vec<u8>]) -> (Pair, Result<Option<String>, Ended>) {
    let mut bytes = b"SSH-2.0-test\r\n".to_vec();
    messages.iter().for_each(|message| bytes.extend(packet(message)));
    assert_eq!(pair.theirs.write(&bytes), Ok(bytes.len()));
    let end = match pair.session.step(&mut pair.ours, &pair.host_key) {
        Ok(Event::Idle) => Ok(None),
        Ok(Event::Login(name)) => Ok(Some(name)),
        Ok(other) => panic!("{other:?}"),
        Err(ended) => Err(ended),
    };
    (pair, end)
}

fn drain(end: &mut End) {
    while let Ok(more @ [_, ..]) = end.fill() {
        let n = more.len();
        end.consume(n);
    }
}

const CURVE: &str = "curve25519-sha256";
const STRICT: &str = "curve25519-sha256,kex-strict-c-v00@openssh.com";

/// Whether each message lets a session go on that has had `before`.
fn allowed(before: &[Vec<u8>]) -> Vec<&'static str> {
    let goes_on = |message: Vec<u8>| {
        let ended = clear(&[before, &[message]].concat()).1;
        assert!(!matches!(ended, Ok(Some(_))), "a login before the keys");
        ended.is_ok()
    };
    messages().into_iter().filter(|(_, m)| goes_on(m.clone())).map(|(name, _)| name).collect()
}

#[test]
fn before_the_first_keys() {
    // Nothing was agreed yet.
    let any = ["IGNORE", "UNIMPLEMENTED", "DEBUG", "EXT_INFO", "an unknown one"];
    assert_eq!(allowed(&[]), [&any[..], &["KEXINIT"]].concat());
    // Strict: the exchange's own messages in their order, and nothing else.
    assert_eq!(allowed(&[kexinit(STRICT)]), ["KEXDH_INIT"]);
    assert_eq!(allowed(&[kexinit(STRICT), kexdh(&[9; 32])]), ["NEWKEYS"]);
    assert_eq!(allowed(&[kexinit(CURVE)]), [&any[..], &["KEXDH_INIT"]].concat());
    assert_eq!(allowed(&[kexinit(CURVE), kexdh(&[9; 32])]), [&any[..], &["NEWKEYS"]].concat());
    // Strict: KEXINIT is the first message.
    for (name, message) in messages().into_iter().take(6) {
        assert!(clear(&[message, kexinit(STRICT)]).1.is_err(), "{name}");
    }
}

/// RFC 8731 3: the shared secret of such a key is zeros.
#[test]
fn a_public_key_that_gives_nothing_ends_the_connection() {
    for exchange in [CURVE, STRICT] {
        assert!(clear(&[kexinit(exchange), kexdh(&[0; 32])]).1.is_err());
        assert!(clear(&[kexinit(exchange), kexdh(&[9; 31])]).1.is_err());
        assert!(clear(&[kexinit(exchange), kexdh(&[9; 32])]).1.is_ok());
    }
    let hybrid = "mlkem768x25519-sha256";
    assert!(clear(&[kexinit(hybrid), kexdh(&[0; 1184 + 32])]).1.is_err());
}

/// The base point of P-256 (SEC 2, 2.4.2), uncompressed.
const POINT: [u8; 65] = *b"\x04\
    \x6b\x17\xd1\xf2\xe1\x2c\x42\x47\xf8\xbc\xe6\xe5\x63\xa4\x40\xf2\
    \x77\x03\x7d\x81\x2d\xeb\x33\xa0\xf4\xa1\x39\x45\xd8\x98\xc2\x96\
    \x4f\xe3\x42\xe2\xfe\x1a\x7f\x9b\x8e\xe7\xeb\x4a\x7c\x0f\x9e\x16\
    \x2b\xce\x33\x57\x6b\x31\x5e\xce\xcb\xb6\x40\x68\x37\xbf\x51\xf5";

/// RFC 5656 4: a point that is not of the curve, or the one at infinity, ends the connection.
#[test]
fn a_point_that_is_none_ends_the_connection() {
    let exchange = |point: &[u8]| {
        let pair = Pair::of(RekeyLimit::default(), Algorithms::Nist);
        clear_to(pair, &[kexinit("ecdh-sha2-nistp256"), kexdh(point)]).1
    };
    assert!(exchange(&POINT).is_ok());
    let mut beside = POINT;
    beside[64] ^= 1;
    let mut beyond = POINT;
    beyond[1..33].fill(0xff);
    let mut other_form = POINT;
    other_form[0] = 6;
    let zeros = [&[4][..], &[0; 64]].concat();
    let compressed = [&[3], &POINT[1..33]].concat();
    let long = [&POINT[..], &[0]].concat();
    let points = [
        &[0][..],
        &[],
        &[4],
        &beside,
        &beyond,
        &other_form,
        &zeros,
        &compressed,
        &POINT[..64],
        &long,
    ];
    for point in points {
        assert!(matches!(exchange(point), Err(Ended::Protocol(_))), "{point:02x?}");
    }
    // Not asked for, it is not offered.
    for algorithms in [Algorithms::All, Algorithms::Strict] {
        let pair = Pair::of(RekeyLimit::default(), algorithms);
        assert!(clear_to(pair, &[kexinit("ecdh-sha2-nistp256")]).1.is_err());
    }
}

/// Whether each message lets a session go on that is in the state that `pair` makes.
fn allowed_with_keys(pair: impl Fn() -> Pair) -> Vec<&'static str> {
    let goes_on = |message: &[u8]| {
        let mut pair = pair();
        assert!(pair.client.send_message(message).unwrap());
        pair.client.flush(&mut pair.theirs).unwrap();
        loop {
            match pair.session.step(&mut pair.ours, &pair.host_key) {
                Ok(Event::Idle) => return true,
                Ok(_) => (),
                Err(_) => return false,
            }
        }
    };
    messages().iter().filter(|(_, m)| goes_on(m)).map(|(name, _)| *name).collect()
}

#[test]
fn with_keys() {
    let any = [
        "IGNORE",
        "UNIMPLEMENTED",
        "DEBUG",
        "SERVICE_REQUEST",
        "EXT_INFO",
        "an unknown one",
        "KEXINIT",
    ];
    let before_login = || {
        let mut pair = Pair::new();
        assert_eq!(pair.event().unwrap(), Some(Event::Login("mirage".into())));
        pair.session.set_keys(Vec::new());
        pair
    };
    assert_eq!(allowed_with_keys(before_login), [&any[..], &["USERAUTH_REQUEST"]].concat());
    let more = ["USERAUTH_REQUEST", "GLOBAL_REQUEST", "CHANNEL_OPEN", "CHANNEL_DATA"];
    assert_eq!(allowed_with_keys(Pair::open), [&any[..], &more].concat());
}

#[test]
fn names_of_users_are_looked_up_after_the_keys_and_up_to_their_length() {
    for (length, asked) in [(31, true), (32, false), (30_000, false)] {
        let mut pair = Pair::new();
        let name = "n".repeat(length);
        pair.client = Client::new(&name, &SEED);
        let mut event = pair.event();
        if length > 31 {
            // The client has keys by now, and will not send such a name itself.
            assert!(matches!(event, Ok(None)));
            assert!(pair.client.send_message(&userauth(name.as_bytes())).unwrap());
            pair.client.flush(&mut pair.theirs).unwrap();
            event = pair.session.step(&mut pair.ours, &pair.host_key).map(Some);
        }
        match event {
            Ok(Some(Event::Login(user))) => assert!(asked && user == name),
            Err(Ended::Protocol(_)) => assert!(!asked),
            other => panic!("{other:?}"),
        }
    }
}

fn password(name: &[u8], word: &[u8]) -> Vec<u8> {
    let mut message = [vec![50], string(name), string(b"ssh-connection")].concat();
    message.extend([string(b"password"), vec![0], string(word)].concat());
    message
}

/// A key of the user's with a signature that is another's.
fn forged(name: &[u8]) -> Vec<u8> {
    let mut message = [vec![50], string(name), string(b"ssh-connection")].concat();
    message.extend(
        [string(b"publickey"), vec![1], string(b"ssh-ed25519"), string(&blob(SEED))].concat(),
    );
    message.extend(string(&[string(b"ssh-ed25519"), string(&[7; 64])].concat()));
    message
}

fn unknown_key(name: &[u8]) -> Vec<u8> {
    let mut message = [vec![50], string(name), string(b"ssh-connection")].concat();
    message.extend(
        [string(b"publickey"), vec![0], string(b"ssh-ed25519"), string(&blob([4; 32]))].concat(),
    );
    message
}

type Attempt = fn(&[u8]) -> Vec<u8>;

/// Ten failures of any kind; the first question of what may be tried is none.
#[test]
fn ten_failed_logins_end_a_connection_and_the_client_is_told() {
    let kinds: [Attempt; 4] = [userauth, |n| password(n, b"x"), forged, unknown_key];
    for first in 0..kinds.len() + 1 {
        let mut pair = Pair::new();
        assert_eq!(pair.event().unwrap(), Some(Event::Login("mirage".into())));
        pair.session.set_keys(vec![blob(SEED)]);
        let mut failures = 0;
        // The client's own question, then one kind over and over, then each in turn.
        let ended = loop {
            match pair.session.step(&mut pair.ours, &pair.host_key) {
                Ok(Event::Idle) => (),
                Ok(other) => panic!("{other:?}"),
                Err(ended) => break ended,
            }
            drain(&mut pair.theirs);
            let kind = kinds.get(first).unwrap_or(&kinds[failures % kinds.len()]);
            assert!(pair.client.send_message(&kind(b"mirage")).unwrap());
            pair.client.flush(&mut pair.theirs).unwrap();
            failures += 1;
        };
        assert!(matches!(ended, Ended::TooManyAttempts), "{ended}");
        assert_eq!(failures, 10, "kind {first}");
    }
}
