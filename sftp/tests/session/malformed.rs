//! Requests that are cut short, too long, or noise.
use crate::client::*;
use sftp::{Packets, Server};
use std::rc::Rc;

/// One good request of every kind that has fields.
fn requests(handle: &[u8]) -> Vec<(u8, Fields)> {
    let all_attributes = |fields: Fields| {
        let fields = fields.u32(0x8000_000f).u64(1).u32(2).u32(3);
        let fields = fields.u32(0o644).u32(5).u32(6).u32(1);
        fields.string("name").string("value")
    };
    let extended = |name: &str| string(format!("{name}@openssh.com"));
    vec![
        (OPEN, all_attributes(string("/a").u32(F_READ))),
        (CLOSE, string(handle)),
        (READ, string(handle).u64(0).u32(10)),
        (WRITE, string(handle).u64(0).string("data")),
        (LSTAT, string("/a")),
        (FSTAT, string(handle)),
        (SETSTAT, all_attributes(string("/a"))),
        (FSETSTAT, all_attributes(string(handle))),
        (OPENDIR, string("/a")),
        (READDIR, string(handle)),
        (REMOVE, string("/a")),
        (MKDIR, all_attributes(string("/a"))),
        (RMDIR, string("/a")),
        (REALPATH, string("/a")),
        (STAT, string("/a")),
        (RENAME, string("/a").string("/b")),
        (EXTENDED, extended("posix-rename").string("/a").string("/b")),
        (EXTENDED, extended("statvfs").string("/a")),
        (EXTENDED, extended("fsync").string(handle)),
        (EXTENDED, extended("limits")),
        (EXTENDED, extended("fstatvfs").string(handle)),
        (EXTENDED, extended("lsetstat").string("/a").u32(4).u32(0o644)),
        (READLINK, string("/a")),
        (SYMLINK, string("/a").string("/a")),
        (EXTENDED, extended("expand-path").string("~/a")),
        (EXTENDED, string("copy-data").string(handle).u64(0).u64(4).string(handle).u64(6)),
        (EXTENDED, string("home-directory").string("user")),
    ]
}

#[test]
fn every_truncation_of_every_request_is_a_bad_message_and_changes_nothing() {
    let mut s = Session::new();
    s.files.put("/a", b"0123456789");
    let handle = s.open("/a", F_READ | F_WRITE);
    s.files.log.borrow_mut().clear();
    for (packet_type, fields) in requests(&handle) {
        for length in 0..fields.0.len() {
            let cut = Fields(fields.0[..length].to_vec());
            let reply = s.ask(packet_type, cut);
            assert_eq!(reply.code(), BAD_MESSAGE, "type {packet_type}, {length} bytes");
        }
    }
    assert!(s.files.log.borrow().is_empty());
    assert_eq!(s.read(&handle, 0, 3), Reply::Data(b"012".to_vec()));
}

#[test]
fn bytes_after_a_request_are_ignored() {
    let mut s = Session::new();
    s.files.put("/a", b"");
    let handle = s.open("/a", F_READ | F_WRITE);
    for (packet_type, fields) in requests(&handle) {
        if let Reply::Status(code, message) = s.ask(packet_type, fields.u64(0)) {
            // What is no link is an invalid argument, which has this code, too.
            let is_read = code != BAD_MESSAGE || message.ends_with("no link");
            assert!(is_read, "type {packet_type}: {message}");
        }
    }
}

#[test]
fn lengths_inside_a_packet_are_not_believed() {
    let mut s = Session::new();
    for length in [1, 5, 0x7fff_ffff, 0xffff_fffb, u32::MAX] {
        for packet_type in [OPEN, READ, WRITE, STAT, RENAME, EXTENDED] {
            let fields = Fields::default().u32(length);
            assert_eq!(s.ask(packet_type, fields).code(), BAD_MESSAGE);
        }
        let extended_pairs = string("/").u32(0x8000_0000).u32(length);
        assert_eq!(s.ask(SETSTAT, extended_pairs).code(), BAD_MESSAGE);
    }
}

/// xorshift64: noise that is the same in each run.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}

#[test]
fn streams_of_noise_are_cut_into_the_same_packets_however_they_arrive() {
    let mut noise = Noise(0x5f7b_1234_9876_0001);
    for _ in 0..500 {
        let mut s = Session::new();
        let mut stream = Vec::new();
        let mut ids = Vec::new();
        for id in 0..20 {
            let length = noise.below(60);
            let fields = Fields((0..length).map(|_| noise.next() as u8).collect());
            let packet_type = 2 + noise.below(254) as u8;
            stream.extend(framed(&body(packet_type, id, &fields)));
            ids.push(id);
        }
        let mut answered = Vec::new();
        let mut rest = &stream[..];
        while !rest.is_empty() {
            let some = rest.len().min(1 + noise.below(100));
            let used = s.packets.push(&rest[..some]);
            rest = &rest[used..];
            if let Some(request) = s.packets.next().unwrap() {
                answered.push(Reply::parse(&s.run(request)).0);
            }
        }
        assert_eq!(answered, ids);
    }
}

#[test]
fn streams_of_noise_end_the_session_or_go_on_but_never_panic() {
    let mut noise = Noise(0x7777_1234_9876_0001);
    for _ in 0..5000 {
        let mut s = Session::new();
        // Mostly zeros, so that some lengths are possible ones.
        let mut byte = || {
            if noise.below(3) == 0 { noise.next() as u8 } else { 0 }
        };
        let stream: Vec<u8> = (0..300).map(|_| byte()).collect();
        let mut rest = &stream[..];
        while !rest.is_empty() {
            let used = s.packets.push(rest);
            rest = &rest[used..];
            match s.packets.next() {
                Ok(Some(request)) => drop(s.run(request)),
                Ok(None) => assert!(rest.is_empty()),
                Err(_) => break,
            }
        }
    }
}

#[test]
fn damaged_requests_are_answered_and_never_panic() {
    let mut noise = Noise(0x0123_4567_89ab_cdef);
    for _ in 0..300 {
        let mut s = Session::with_handles(4);
        s.files.put("/a", b"0123456789");
        let handle = s.open("/a", F_READ | F_WRITE);
        let requests = requests(&handle);
        for _ in 0..40 {
            let (packet_type, fields) = &requests[noise.below(requests.len())];
            let mut packet = body(*packet_type, 9, fields);
            for _ in 0..=noise.below(3) {
                let at = noise.below(packet.len());
                packet[at] = noise.next() as u8;
            }
            if packet[0] == INIT {
                continue;
            }
            let id = u32::from_be_bytes(packet[1..5].try_into().unwrap());
            let request = s.request(&framed(&packet));
            assert_eq!(Reply::parse(&s.run(request)).0, id);
        }
    }
}

#[test]
fn packets_of_noise_of_each_type_are_answered() {
    let mut noise = Noise(0xfeed_beef_0000_0001);
    let files = Rc::default();
    let server: Rc<Server<crate::memory::Memory>> = Server::new(files, 4, Rc::default());
    let mut packets = Packets::new();
    packets.push(&framed(&body(INIT, 3, &Fields::default())));
    packets.next().unwrap().unwrap();
    for packet_type in (0..=255).filter(|&t| t != INIT) {
        for length in 0..100 {
            let fields = Fields((0..length).map(|_| noise.next() as u8).collect());
            packets.push(&framed(&body(packet_type, 1, &fields)));
            let request = packets.next().unwrap().unwrap();
            let mut running: Running = Box::pin(server.run(request));
            assert!(poll(&mut running).unwrap().code() > EOF);
        }
    }
}
