//! Channels that are opened, ask for programs, and end, by messages as they stand.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod rig;

use client::Failed;
use net::{Event, Stream};
use rig::Pair;

fn string(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_be_bytes(), bytes].concat()
}

fn number(number: u32) -> Vec<u8> {
    number.to_be_bytes().to_vec()
}

/// CHANNEL_OPEN of a session (RFC 4254 5.1); the client's numbers are not looked at here.
fn open() -> Vec<u8> {
    [vec![90], string(b"session"), number(77), number(1 << 20), number(32_768)].concat()
}

/// CHANNEL_REQUEST on the server's channel `channel` (RFC 4254 6.5).
fn request(channel: u32, kind: &[u8], word: &[u8]) -> Vec<u8> {
    [vec![98], number(channel), string(kind), vec![1], string(word)].concat()
}

fn data(channel: u32, bytes: &[u8]) -> Vec<u8> {
    [vec![94], number(channel), string(bytes)].concat()
}

fn eof(channel: u32) -> Vec<u8> {
    [vec![96], number(channel)].concat()
}

fn close(channel: u32) -> Vec<u8> {
    [vec![97], number(channel)].concat()
}

/// What a message makes of the session: its events, and how many bytes it answers.
fn send(pair: &mut Pair, message: &[u8]) -> (Vec<Event>, usize) {
    assert!(pair.client.send_message(message).unwrap());
    pair.client.flush(&mut pair.theirs).unwrap();
    advance(pair)
}

fn advance(pair: &mut Pair) -> (Vec<Event>, usize) {
    let (mut events, mut answered) = (Vec::new(), 0);
    loop {
        let event = pair.session.step(&mut pair.ours, &pair.host_key).unwrap();
        while let Ok(more @ [_, ..]) = pair.theirs.fill() {
            let n = more.len();
            answered += n;
            pair.theirs.consume(n);
        }
        if event == Event::Idle {
            return (events, answered);
        }
        events.push(event);
        assert!(events.len() < 10, "{events:?}");
    }
}

fn sftp(number: usize, read_only: bool) -> Vec<Event> {
    vec![Event::Sftp { number, read_only }]
}

#[test]
fn a_channel_runs_one_thing_or_nothing() {
    let mut pair = Pair::open();
    for (number, (command, begins)) in [
        ("/usr/lib/openssh/sftp-server", sftp(1, false)),
        ("sftp-server -R", sftp(2, true)),
        ("poweroff", vec![Event::PowerOff(3)]),
        ("ls", vec![]),
        ("reboot", vec![]),
    ]
    .into_iter()
    .enumerate()
    {
        let channel = number as u32 + 1;
        assert_eq!(send(&mut pair, &open()).0, []);
        assert_eq!(send(&mut pair, &request(channel, b"exec", command.as_bytes())).0, begins);
    }
    // Nor is anything begun where something runs, or has ended.
    for (channel, again) in
        [(1, "sftp-server"), (1, "poweroff"), (4, "sftp-server"), (4, "poweroff")]
    {
        assert_eq!(send(&mut pair, &request(channel, b"exec", again.as_bytes())).0, []);
    }
    assert_eq!(send(&mut pair, &request(1, b"subsystem", b"sftp")).0, []);
    // No more than the server bears.
    pair.session.set_full(true);
    assert_eq!(send(&mut pair, &open()).0, []);
    assert_eq!(send(&mut pair, &request(6, b"exec", b"sftp-server")).0, []);
    assert_eq!(send(&mut pair, &request(6, b"subsystem", b"sftp")).0, []);
    pair.session.set_full(false);
    assert_eq!(send(&mut pair, &request(6, b"subsystem", b"sftp")).0, sftp(6, false));
}

#[test]
fn what_refuses_a_program_is_said_and_ends_its_channel() {
    let mut pair = Pair::open();
    // Without words: an answer, the status, and the end.
    send(&mut pair, &open());
    let answer = send(&mut pair, &request(1, b"exec", b"poweroff")).1;
    pair.session.finish(1, 1);
    let end = advance(&mut pair).1;
    assert!(answer > 0 && end > 3 * 20, "{answer} and {end}");
    let words = "This server runs no programs: use sftp, sshfs, or scp without -O.\n";
    let shell = [vec![98], number(3), string(b"shell"), vec![1]].concat();
    for refused in [request(2, b"exec", b"ls"), shell] {
        send(&mut pair, &open());
        let said = send(&mut pair, &refused).1;
        assert!(said >= answer + end + words.len(), "{said}, {answer} and {end}");
        // Once.
        assert_eq!(advance(&mut pair), (vec![], 0));
    }
    // So it is with the end of the machine, when that is refused.
    send(&mut pair, &open());
    assert_eq!(send(&mut pair, &request(4, b"exec", b"poweroff")).0, [Event::PowerOff(4)]);
    pair.session.refuse(4);
    assert!(advance(&mut pair).1 >= end + words.len());
}

#[test]
fn the_end_of_input_and_of_a_channel_are_told_once() {
    let mut pair = Pair::open();
    send(&mut pair, &open());
    assert_eq!(send(&mut pair, &request(1, b"subsystem", b"sftp")).0, sftp(1, false));
    assert_eq!(send(&mut pair, &eof(1)).0, [Event::Eof(1)]);
    assert_eq!(advance(&mut pair).0, []);
    pair.session.finish(1, 0);
    assert!(advance(&mut pair).1 > 0);
    assert_eq!(send(&mut pair, &close(1)).0, [Event::Closed(1)]);
    assert_eq!(advance(&mut pair), (vec![], 0));
    // Also of one that the client closes by itself, before our side has ended.
    send(&mut pair, &open());
    assert_eq!(send(&mut pair, &request(1, b"subsystem", b"sftp")).0, sftp(1, false));
    assert_eq!(send(&mut pair, &close(1)).0, [Event::Closed(1)]);
    assert_eq!(advance(&mut pair).0, []);
}

/// Also when our side of its end cannot be sent yet.
#[test]
fn the_end_of_a_channel_is_told_once_to_a_client_that_reads_nothing() {
    let mut pair = Pair::open();
    send(&mut pair, &open());
    assert_eq!(send(&mut pair, &request(1, b"subsystem", b"sftp")).0, sftp(1, false));
    send(&mut pair, &open());
    let events = |pair: &mut Pair| {
        let mut events = Vec::new();
        for _ in 0..10 {
            match pair.session.step(&mut pair.ours, &pair.host_key).unwrap() {
                Event::Idle => break,
                event => events.push(event),
            }
        }
        events
    };
    // As much as there is room for.
    while pair.session.send(0, &[7; 10_000]).unwrap() > 0 {
        assert_eq!(events(&mut pair), []);
    }
    for (message, told) in [
        (close(1), vec![Event::Closed(1)]),
        // Nor were the words sent that refuse this.
        (request(2, b"exec", b"ls"), vec![]),
        (close(2), vec![Event::Closed(2)]),
    ] {
        assert!(pair.client.send_message(&message).unwrap());
        pair.client.flush(&mut pair.theirs).unwrap();
        assert_eq!(events(&mut pair), told);
        assert_eq!(events(&mut pair), []);
    }
    assert_eq!(advance(&mut pair).0, []);
}

#[test]
fn channels_that_ended_are_free_for_others() {
    let mut pair = Pair::open();
    for _ in 0..3 * net::MAX_CHANNELS {
        send(&mut pair, &open());
        assert_eq!(send(&mut pair, &request(1, b"exec", b"ls")).0, []);
        assert_eq!(send(&mut pair, &close(1)).0, [Event::Closed(1)]);
    }
    send(&mut pair, &open());
    assert_eq!(send(&mut pair, &request(1, b"subsystem", b"sftp")).0, sftp(1, false));
}

#[test]
fn data_are_of_their_own_channel() {
    let mut pair = Pair::open();
    send(&mut pair, &open());
    // Nothing runs here: what comes is dropped, and the client may send as much again.
    for _ in 0..20 {
        assert_eq!(send(&mut pair, &data(1, &[7; 30_000])).0, []);
    }
    assert!(pair.session.peek(1).is_empty());
    assert_eq!(send(&mut pair, &request(1, b"subsystem", b"sftp")).0, sftp(1, false));
    assert!(pair.client.send_message(&data(1, b"mine")).unwrap());
    pair.client.flush(&mut pair.theirs).unwrap();
    let event = pair.session.step(&mut pair.ours, &pair.host_key).unwrap();
    assert_eq!(event, Event::Data(1));
    assert_eq!((pair.session.peek(0), pair.session.peek(1)), (&b""[..], &b"mine"[..]));
    pair.session.take(1, 4).unwrap();
    assert!(pair.session.peek(1).is_empty());
    // What has ended reads nothing more.
    pair.session.finish(1, 0);
    advance(&mut pair);
    assert_eq!(send(&mut pair, &data(1, b"late")).0, []);
    assert!(pair.session.peek(1).is_empty());
    assert_eq!(pair.session.send(1, b"late").unwrap(), 4);
    assert_eq!(advance(&mut pair).1, 0);
}

#[test]
fn a_client_is_told_that_the_server_stops() {
    let mut pair = Pair::open();
    pair.session.goodbye(&mut pair.ours, "the server stops");
    assert!(matches!(pair.client.step(&mut pair.theirs), Err(Failed::Told)));
}
