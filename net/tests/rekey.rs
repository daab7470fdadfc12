//! New keys: when they are due, and what happens to a client that does not follow.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod rig;

use net::{Ended, Event, RekeyLimit};
use rig::Pair;

fn limit(bytes: u64) -> RekeyLimit {
    RekeyLimit { bytes: Some(bytes), seconds: None }
}

fn each_second() -> Pair {
    Pair::with(RekeyLimit { bytes: None, seconds: Some(1) }).logged_in()
}

/// SSH_MSG_IGNORE with so many bytes (RFC 4253 11.2).
fn ignore(length: u32) -> Vec<u8> {
    let mut message = vec![2];
    message.extend(length.to_be_bytes());
    message.resize(5 + length as usize, 0);
    message
}

/// The client reads no more, and sends these messages until the session ends.
fn deaf(pair: &mut Pair, message: &[u8], most: usize) -> (usize, Ended) {
    for sent in 0..most {
        while !pair.client.send_message(message).unwrap() {
            pair.client.flush(&mut pair.theirs).unwrap();
            if let Err(ended) = pair.session.step(&mut pair.ours, &pair.host_key) {
                return (sent, ended);
            }
        }
    }
    panic!("{most} messages of {} bytes without an end", message.len());
}

#[test]
fn our_own_limit_brings_new_keys_and_the_data_stays_whole() {
    for bytes in [16 << 10, 100_000] {
        let mut pair = Pair::with(limit(bytes)).logged_in();
        let sent: Vec<u8> = (0..300_000).map(|i| (i / 251 + i) as u8).collect();
        pair.client.send(&sent);
        let (mut up, mut down) = (Vec::new(), 0);
        while up.len() < sent.len() || pair.client.received().len() < sent.len() {
            match pair.event().unwrap() {
                Some(Event::Data(0)) => {
                    let n = pair.session.peek(0).len();
                    up.extend_from_slice(pair.session.peek(0));
                    pair.session.take(0, n).unwrap();
                }
                None => (),
                other => panic!("{other:?}"),
            }
            down += pair.session.send(0, &sent[down..]).unwrap();
        }
        assert!(up == sent && *pair.client.received() == sent, "{bytes}");
        let exchanges = pair.client.exchanges();
        let least = (sent.len() as u64 / bytes.max(35_000)) as usize;
        assert!(exchanges >= least, "{exchanges} exchanges with a limit of {bytes}");
    }
}

/// Nothing but the exchange may be sent while it lasts, and the client sends no data that could ask again.
#[test]
fn a_window_that_was_used_up_during_an_exchange_is_given_back_after_it() {
    let mut pair = each_second();
    pair.session.send(0, b"x").unwrap();
    assert_eq!(pair.event().unwrap(), None);
    pair.session.set_time(1_000);
    let (sent, mut came) = (300_000, 0);
    let mut take = |pair: &mut Pair| {
        let n = pair.session.peek(0).len();
        pair.session.take(0, n).unwrap();
        came += n;
        came
    };
    pair.client.send(&vec![7; sent]);
    // The client has not seen that we began one.
    for _ in 0..40 {
        pair.client.push(&mut pair.theirs).unwrap();
        while pair.session.step(&mut pair.ours, &pair.host_key).unwrap() != Event::Idle {
            take(&mut pair);
        }
    }
    while pair.event().unwrap().is_some() {
        take(&mut pair);
    }
    assert_eq!((pair.client.exchanges(), take(&mut pair)), (2, sent));
}

#[test]
fn without_a_limit_keys_stay() {
    let mut pair = Pair::open();
    let sent = vec![7; 600_000];
    let mut down = 0;
    while pair.client.received().len() < sent.len() {
        down += pair.session.send(0, &sent[down..]).unwrap();
        assert_eq!(pair.event().unwrap(), None);
    }
    pair.session.set_time(1 << 40);
    assert_eq!(pair.session.deadline(), None);
    assert_eq!(pair.event().unwrap(), None);
    assert_eq!(pair.client.exchanges(), 1);
}

/// 16 MiB or 2^18 packets beyond what asked for new keys.
#[test]
fn a_client_that_goes_on_without_new_keys_is_ended_at_the_bound() {
    for (length, expected) in [(32_000, (16 << 20) / 32_040), (0, 1 << 18)] {
        let mut pair = Pair::with(limit(16 << 10)).logged_in();
        let message = ignore(length);
        let (sent, ended) = deaf(&mut pair, &message, 2 * expected + 3_000);
        assert!((expected - 10..expected + 3_000).contains(&sent), "{sent}, not {expected}");
        assert!(ended.to_string().contains("new keys are overdue"), "{ended}");
    }
}

#[test]
fn a_silent_client_is_ended_when_an_exchange_lasts_five_minutes() {
    let mut pair = each_second();
    let mut now = 2_000;
    pair.session.set_time(now);
    assert!(pair.session.step(&mut pair.ours, &pair.host_key).is_ok());
    while let Some(deadline) = pair.session.deadline().filter(|at| *at < 400_000) {
        assert!(deadline > now, "{deadline} at {now}");
        now = deadline;
        pair.session.set_time(now - 1);
        assert!(pair.session.step(&mut pair.ours, &pair.host_key).is_ok());
        pair.session.set_time(now);
        if let Err(ended) = pair.session.step(&mut pair.ours, &pair.host_key) {
            assert!(matches!(ended, Ended::NoNewKeys));
            assert_eq!(now, 302_000);
            return;
        }
    }
    panic!("no end at {now}");
}

#[test]
fn keys_that_were_used_are_changed_when_their_time_is_over() {
    let mut pair = each_second();
    assert_eq!(pair.client.exchanges(), 1);
    pair.session.set_time(999);
    assert_eq!(pair.event().unwrap(), None);
    assert_eq!((pair.client.exchanges(), pair.session.deadline()), (1, Some(1_000)));
    pair.session.set_time(1_000);
    assert_eq!(pair.event().unwrap(), None);
    assert_eq!(pair.client.exchanges(), 2);
    // Nothing goes with the new ones.
    assert_eq!(pair.session.deadline(), None);
    pair.session.set_time(50_000);
    assert_eq!(pair.event().unwrap(), None);
    assert_eq!(pair.client.exchanges(), 2);
    pair.session.send(0, b"x").unwrap();
    assert_eq!(pair.event().unwrap(), None);
    pair.session.set_time(60_000);
    assert_eq!(pair.event().unwrap(), None);
    assert_eq!(pair.client.exchanges(), 3);
}
