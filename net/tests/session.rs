//! A session against the in-memory client: logins, data both ways, windows, the end.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod rig;

use client::{End, Failed};
use net::{Ended, Event, Stream, WINDOW};
use rig::{Pair, SEED, blob};

#[test]
fn data_goes_both_ways_unchanged() {
    let mut pair = Pair::open();
    let sent: Vec<u8> = (0..3 * WINDOW).map(|i| (i / 251 + i) as u8).collect();
    pair.client.send(&sent);
    let (mut received, mut back) = (Vec::new(), 0);
    while let Some(event) = pair.event().unwrap() {
        assert_eq!(event, Event::Data(0));
        // Half of what lies there: the rest must move aside and come again.
        let n = pair.session.peek(0).len().div_ceil(2);
        received.extend_from_slice(&pair.session.peek(0)[..n]);
        pair.session.take(0, n).unwrap();
    }
    while !pair.session.peek(0).is_empty() {
        let n = pair.session.peek(0).len();
        received.extend_from_slice(pair.session.peek(0));
        pair.session.take(0, n).unwrap();
        pair.event().unwrap();
    }
    assert!(received == sent, "{} of {} bytes came", received.len(), sent.len());
    while back < sent.len() {
        let n = pair.session.send(0, &sent[back..]).unwrap();
        back += n;
        assert_eq!(pair.event().unwrap(), None);
        assert!(n > 0 || pair.client.received().len() == back);
    }
    assert!(*pair.client.received() == sent);
}

#[test]
fn a_reader_that_takes_nothing_holds_one_window_and_the_session_goes_on() {
    let mut pair = Pair::open();
    pair.client.send(&vec![7; 4 * WINDOW]);
    while pair.event().unwrap().is_some() {}
    assert_eq!(pair.session.peek(0).len(), WINDOW);
    // The connection is not stopped: the other direction still works.
    assert_eq!(pair.session.send(0, b"hello").unwrap(), 5);
    assert_eq!(pair.event().unwrap(), None);
    assert_eq!(pair.client.received(), b"hello");
}

#[test]
fn a_key_that_is_not_the_users_is_refused() {
    let mut pair = Pair::new();
    assert_eq!(pair.event().unwrap(), Some(Event::Login("mirage".into())));
    pair.session.set_keys(vec![blob([2; 32])]);
    assert_eq!(pair.event().unwrap(), None);
    assert!(matches!(pair.client.step(&mut pair.theirs), Err(Failed::Refused | Failed::Ssh(_))));
    assert!(!pair.session.is_authenticated());
}

/// Everything that has come, as text.
fn all(end: &mut End) -> String {
    let mut bytes = Vec::new();
    while let Ok(more @ [_, ..]) = end.fill() {
        let n = more.len();
        bytes.extend_from_slice(more);
        end.consume(n);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The client takes the first of its algorithms that the server has, and its list starts the same.
#[test]
fn the_first_key_exchange_of_both_sides_is_post_quantum() {
    let mut pair = Pair::new();
    pair.session.step(&mut pair.ours, &pair.host_key).unwrap();
    let servers = all(&mut pair.theirs);
    pair.client.step(&mut pair.theirs).unwrap();
    for proposal in [servers, all(&mut pair.ours)] {
        assert!(proposal.contains("mlkem768x25519-sha256,curve25519-sha256"), "{proposal:?}");
        assert!(proposal.contains("chacha20-poly1305@openssh.com,aes256-"));
        assert!(proposal.contains("kex-strict-"));
    }
}

#[test]
fn nothing_moves_while_the_keys_are_looked_up() {
    let mut pair = Pair::new();
    assert_eq!(pair.event().unwrap(), Some(Event::Login("mirage".into())));
    assert_eq!(pair.event().unwrap(), None);
    pair.session.set_keys(vec![blob(SEED)]);
    assert_eq!(pair.event().unwrap(), Some(Event::Authenticated));
}

#[test]
fn a_client_that_is_gone_ends_the_session() {
    let mut pair = Pair::open();
    drop(pair.theirs);
    assert!(matches!(pair.session.step(&mut pair.ours, &pair.host_key), Err(Ended::Closed)));
}

#[test]
fn what_is_no_ssh_ends_the_session() {
    let mut pair = Pair::new();
    for _ in 0..100 {
        if pair.theirs.write(&[b'x'; 1000]).is_err() {
            return;
        }
        match pair.session.step(&mut pair.ours, &pair.host_key) {
            Ok(event) => assert_eq!(event, Event::Idle),
            Err(e) => return assert!(matches!(e, Ended::Protocol(_) | Ended::TooMuchBeforeLogin)),
        }
    }
    panic!("a hundred kilobytes without an identification were taken");
}
