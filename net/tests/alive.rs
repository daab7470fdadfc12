//! Clients that fall silent, and those that say goodbye.
#![allow(clippy::unwrap_used, clippy::panic)]
mod rig;

use net::{ClientAlive, Ended, Stream};
use rig::Pair;

fn pair(interval: u64, count_max: u32) -> Pair {
    let mut pair = Pair::open();
    pair.session.set_client_alive(ClientAlive { interval, count_max });
    pair
}

/// Goes on to the session's next deadline, with nothing from the client: the time, and what the session said.
fn silent(pair: &mut Pair) -> (u64, Result<(), Ended>) {
    let at = pair.session.deadline().unwrap();
    pair.session.set_time(at - 1);
    assert!(pair.session.step(&mut pair.ours, &pair.host_key).is_ok());
    assert_eq!(pair.session.deadline(), Some(at));
    pair.session.set_time(at);
    (at, pair.session.step(&mut pair.ours, &pair.host_key).map(drop))
}

#[test]
fn a_client_that_answers_stays() {
    let mut pair = pair(15, 2);
    for n in 1..100 {
        assert_eq!(pair.session.deadline(), Some(n * 15_000));
        pair.session.set_time(n * 15_000);
        assert_eq!(pair.event().unwrap(), None);
    }
    pair.session.send(0, b"data").unwrap();
    assert_eq!(pair.event().unwrap(), None);
    assert_eq!(pair.client.received().as_slice(), b"data");
}

#[test]
fn a_silent_client_is_asked_so_often_and_then_ended() {
    let mut pair = pair(15, 3);
    for n in 1..=3 {
        let (at, said) = silent(&mut pair);
        assert_eq!(at, n * 15_000);
        assert!(said.is_ok(), "{said:?}");
        // The question is on its way: 21 letters behind a header, padded and authenticated.
        let length = pair.theirs.fill().unwrap().len();
        assert!((32..=100).contains(&length), "{length}");
        pair.theirs.consume(length);
    }
    let (at, said) = silent(&mut pair);
    assert_eq!(at, 60_000);
    assert!(matches!(said, Err(Ended::NoAnswer)), "{said:?}");
}

#[test]
fn one_answer_begins_anew() {
    let mut pair = pair(10, 1);
    assert!(silent(&mut pair).1.is_ok());
    assert_eq!(pair.event().unwrap(), None);
    for (n, ends) in [(20_000, false), (30_000, true)] {
        let (at, said) = silent(&mut pair);
        assert_eq!((at, said.is_err()), (n, ends));
    }
}

/// What came while nobody looked, as on a machine that was suspended, counts before the end is due.
#[test]
fn an_answer_that_waits_is_read_before_the_end() {
    let mut pair = pair(10, 1);
    assert!(silent(&mut pair).1.is_ok());
    while pair.client.step(&mut pair.theirs).unwrap() {}
    pair.session.set_time(10_000_000);
    assert_eq!(pair.event().unwrap(), None);
    assert_eq!(pair.session.deadline(), Some(10_010_000));
}

#[test]
fn who_reads_nothing_is_ended_too() {
    let mut pair = pair(10, 2);
    while pair.session.send(0, &[0; 30_000]).unwrap() > 0 {
        assert!(pair.session.flush(&mut pair.ours).is_ok());
    }
    for ends in [false, false, true] {
        assert_eq!(silent(&mut pair).1.is_err(), ends);
    }
}

#[test]
fn nobody_is_asked_without_an_interval_or_ended_without_a_count() {
    let mut pair = pair(0, 3);
    assert_eq!(pair.session.deadline(), None);
    pair.session.set_client_alive(ClientAlive { interval: 1, count_max: 0 });
    for _ in 0..100 {
        assert!(silent(&mut pair).1.is_ok());
    }
}

/// SSH_MSG_DISCONNECT (RFC 4253 11.1).
#[test]
fn a_goodbye_ends_the_session_at_once() {
    let mut pair = Pair::open();
    let message = [&[1, 0, 0, 0, 11][..], &[0, 0, 0, 3], b"bye", &[0; 4]].concat();
    assert!(pair.client.send_message(&message).unwrap());
    assert!(matches!(pair.event(), Err(Ended::Closed)));
}
