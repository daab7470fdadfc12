//! The stream cut into packets: back-pressure, INIT first, lengths.
use crate::client::{
    EXTENDED, Fields, INIT, LSTAT, PERMISSION_DENIED, READ, Reply, Running, STAT, Session, body,
    framed, poll, string,
};
use crate::memory::Memory;
use sftp::{Fatal, Packets, Requests, Server};
use std::rc::Rc;

fn init() -> Vec<u8> {
    framed(&body(INIT, 3, &Fields::default()))
}

fn fatal_of(stream: &[u8]) -> Option<Fatal> {
    let mut packets = Packets::new();
    let mut rest = stream;
    loop {
        let used = packets.push(rest);
        rest = &rest[used..];
        match packets.next() {
            Err(fatal) => return Some(fatal),
            Ok(None) if rest.is_empty() => return None,
            Ok(_) => {}
        }
    }
}

#[test]
fn version_3_and_the_extensions_are_told() {
    let server = Server::new(Rc::<Memory>::default(), 1, Rc::default());
    let mut packets = Packets::new();
    // A client of version 6 with an extension of its own.
    let fields = string("vendor-id").string("x");
    packets.push(&framed(&body(INIT, 6, &fields)));
    let mut future: Running = Box::pin(server.run(packets.next().unwrap().unwrap()));
    let told = [
        ("posix-rename@openssh.com", "1"),
        ("statvfs@openssh.com", "2"),
        ("fstatvfs@openssh.com", "2"),
        ("fsync@openssh.com", "1"),
        ("lsetstat@openssh.com", "1"),
        ("limits@openssh.com", "1"),
        ("expand-path@openssh.com", "1"),
        ("copy-data", "1"),
        ("home-directory", "1"),
    ];
    let told = told.map(|(name, version)| (name.to_owned(), version.to_owned()));
    assert_eq!(poll(&mut future), Some(Reply::Version(3, told.to_vec())));
}

#[test]
fn what_a_session_may_not_ask_is_neither_told_nor_answered() {
    let mut s = Session::new();
    s.packets =
        Packets::allowing(Requests::default().without(Requests::named("stat,limits").unwrap()));
    let init = s.request(&init());
    let Reply::Version(3, told) = Reply::parse(&s.run(init)).1 else { panic!("no version") };
    assert!(told.iter().any(|(name, _)| name == "copy-data"));
    assert!(!told.iter().any(|(name, _)| name == "limits@openssh.com"));
    assert_eq!(s.ask(STAT, string("/")).code(), PERMISSION_DENIED);
    assert_eq!(s.ask(EXTENDED, string("limits@openssh.com")).code(), PERMISSION_DENIED);
    assert!(matches!(s.ask(LSTAT, string("/")), Reply::Attrs(_)));
    assert!(matches!(s.ask(EXTENDED, string("home-directory").string("")), Reply::Names(_)));
}

#[test]
fn a_packet_may_come_byte_by_byte() {
    let mut session = Session::new();
    let packet = framed(&body(STAT, 7, &string("/")));
    let (last, first) = packet.split_last().unwrap();
    for byte in first {
        assert_eq!(session.packets.push(&[*byte]), 1);
        assert!(session.packets.next().unwrap().is_none());
    }
    assert_eq!(session.packets.push(&[*last]), 1);
    assert!(session.packets.next().unwrap().is_some());
    assert!(session.packets.next().unwrap().is_none());
}

#[test]
fn no_byte_is_taken_while_a_request_waits() {
    let mut session = Session::new();
    let packet = framed(&body(STAT, 7, &string("/")));
    let two = [packet.clone(), packet.clone()].concat();
    assert_eq!(session.packets.push(&two), packet.len());
    assert_eq!(session.packets.push(&two[packet.len()..]), 0);
    assert!(session.packets.next().unwrap().is_some());
    assert_eq!(session.packets.push(&two[packet.len()..]), packet.len());
}

#[test]
fn init_comes_first_and_once() {
    let stat = framed(&body(STAT, 1, &string("/")));
    assert_eq!(fatal_of(&stat), Some(Fatal::NotInit(STAT)));
    assert_eq!(fatal_of(&[init(), stat.clone()].concat()), None);
    assert_eq!(fatal_of(&[init(), stat, init()].concat()), Some(Fatal::InitAgain));
}

#[test]
fn lengths_that_no_request_has_end_the_session() {
    let after_init = |length: u32| fatal_of(&[init(), length.to_be_bytes().to_vec()].concat());
    assert_eq!(after_init(0), Some(Fatal::Length(0)));
    assert_eq!(after_init(300_000), Some(Fatal::Length(300_000)));
    assert_eq!(after_init(u32::MAX), Some(Fatal::Length(u32::MAX)));
    assert_eq!(after_init(262_144), None);
    let longest = sftp::MAX_PACKET + 1024;
    assert_eq!(after_init(longest), None);
    assert_eq!(after_init(longest + 1), Some(Fatal::Length(longest + 1)));
}

#[test]
fn once_fatal_it_stays_so_and_takes_nothing() {
    let not_init = framed(&body(STAT, 1, &string("/")));
    for stream in [vec![0; 4], vec![0xff; 4], not_init] {
        let mut packets = Packets::new();
        packets.push(&stream);
        for _ in 0..2 {
            assert!(packets.next().is_err());
            assert_eq!(packets.push(&init()), 0);
        }
    }
}

#[test]
fn packets_too_short_for_an_id_end_the_session() {
    for length in 1..5 {
        let short = framed(&body(READ, 1, &Fields::default())[..length]);
        assert_eq!(fatal_of(&[init(), short].concat()), Some(Fatal::NoId));
    }
    assert_eq!(fatal_of(&framed(&[INIT, 0, 0])), Some(Fatal::NoId));
}

#[test]
fn the_log_says_why_a_session_ended() {
    for (why, said) in [
        (Fatal::Length(300_000), "300000 bytes"),
        (Fatal::NoId, "request id"),
        (Fatal::NotInit(STAT), "type 17, not INIT"),
        (Fatal::InitAgain, "second SFTP INIT"),
        (Fatal::OutOfMemory(70_000), "no memory for an SFTP packet of 70000 bytes"),
    ] {
        assert!(why.to_string().contains(said), "{why}");
    }
}
