//! copy-data: from one open file to another, without the client.
use crate::client::*;

const PIECE: usize = 256 * 1024;

fn copy(from: &[u8], from_offset: u64, length: u64, to: &[u8], to_offset: u64) -> Fields {
    let fields = string("copy-data").string(from).u64(from_offset).u64(length);
    fields.string(to).u64(to_offset)
}

/// A session, and handles of `/a`, which has ten bytes, and of `/b`, which has three.
fn session() -> (Session, Vec<u8>, Vec<u8>) {
    let mut s = Session::new();
    s.files.put("/a", b"0123456789");
    s.files.put("/b", b"xyz");
    let (a, b) = (s.open("/a", F_READ), s.open("/b", F_WRITE));
    s.files.log.borrow_mut().clear();
    (s, a, b)
}

#[test]
fn a_range_is_copied_and_length_0_is_to_the_end() {
    for (from, length, to, copied) in [
        (0, 0, 0, &b"0123456789"[..]),
        (0, 10, 0, b"0123456789"),
        (7, 0, 3, b"xyz789"),
        (2, 3, 1, b"x234"),
        (0, 1, 5, b"xyz\0\x000"),
        (10, 0, 0, b"xyz"),
        (u64::MAX, 0, u64::MAX, b"xyz"),
    ] {
        let (mut s, a, b) = session();
        assert_eq!(s.ask(EXTENDED, copy(&a, from, length, &b, to)).code(), OK);
        assert_eq!(s.files.data("/b"), copied, "{length} bytes from {from} to {to}");
        assert_eq!(s.files.data("/a"), b"0123456789");
    }
}

#[test]
fn less_than_was_asked_for_is_copied_and_told_as_the_end_of_the_file() {
    let (mut s, a, b) = session();
    assert_eq!(s.ask(EXTENDED, copy(&a, 8, 3, &b, 0)).code(), EOF);
    assert_eq!(s.files.data("/b"), b"89z");
    assert_eq!(s.ask(EXTENDED, copy(&a, 10, 1, &b, 0)).code(), EOF);
    assert_eq!(s.ask(EXTENDED, copy(&a, u64::MAX, u64::MAX, &b, 0)).code(), EOF);
    assert_eq!(s.files.data("/b"), b"89z");
}

#[test]
fn short_reads_of_the_file_system_are_no_end() {
    let (mut s, a, b) = session();
    s.files.short_reads.set(Some(4));
    let mut copying = s.start(EXTENDED, copy(&a, 0, 0, &b, 0));
    assert_eq!((poll(&mut copying), poll(&mut copying)), (None, None));
    assert_eq!(poll(&mut copying).unwrap().code(), OK);
    assert_eq!(s.files.data("/b"), b"0123456789");
}

#[test]
fn a_handle_for_appending_gets_it_at_its_end() {
    let (mut s, a, _) = session();
    let b = s.open("/b", F_APPEND);
    assert_eq!(s.ask(EXTENDED, copy(&a, 8, 0, &b, 0)).code(), OK);
    assert_eq!(s.files.data("/b"), b"xyz89");
}

#[test]
fn a_large_file_is_copied_in_pieces_and_alone_in_its_session() {
    let (mut s, ..) = session();
    let data: Vec<u8> = (0..2 * PIECE + 1000).map(|n| (n % 251) as u8).collect();
    s.files.put("/large", &data);
    let (large, new) = (s.open("/large", F_READ), s.open("/new", F_WRITE | F_CREAT));
    s.files.log.borrow_mut().clear();
    let mut copying = s.start(EXTENDED, copy(&large, 0, 0, &new, 0));
    for pieces in 1..=2 {
        assert_eq!(poll(&mut copying), None);
        assert_eq!(s.files.data("/new").len(), pieces * PIECE);
        let stat = s.build(STAT, string("/new"));
        assert!(!s.server.may_start(&stat));
    }
    assert_eq!(poll(&mut copying).unwrap().code(), OK);
    assert_eq!(s.files.data("/new"), data);
    let writes =
        ["read 0", "write 0", "read 262144", "write 262144", "read 524288", "write 524288"];
    assert_eq!(s.files.log.borrow()[1..], writes);
}

#[test]
fn what_a_copy_holds_is_told_before_it_starts() {
    let (mut s, a, b) = session();
    assert!(s.build(EXTENDED, copy(&a, 0, 1, &b, 0)).cost() >= PIECE);
}

#[test]
fn a_copy_ends_after_a_piece_when_its_client_is_gone() {
    let (mut s, _, b) = session();
    s.files.put("/large", &vec![1; 3 * PIECE]);
    let large = s.open("/large", F_READ);
    let mut copying = s.start(EXTENDED, copy(&large, 0, 0, &b, 0));
    assert_eq!(poll(&mut copying), None);
    let files = s.files.clone();
    drop(s);
    assert_eq!(poll(&mut copying).unwrap().code(), FAILURE);
    drop(copying);
    assert_eq!((files.data("/b").len(), files.open.get()), (PIECE, 0));
}

#[test]
fn handles_must_be_of_files_and_open_for_this() {
    let (mut s, a, b) = session();
    let dir = s.opendir("/");
    for (from, to, code) in [
        (&b[..], &b[..], PERMISSION_DENIED),
        (&a, &a, PERMISSION_DENIED),
        (&b, &a, PERMISSION_DENIED),
        (&dir, &b, FAILURE),
        (&a, &dir, FAILURE),
        (b"none", &b, FAILURE),
        (&a, &[0xff; 8], FAILURE),
    ] {
        assert_eq!(s.ask(EXTENDED, copy(from, 0, 0, to, 0)).code(), code);
    }
    assert_eq!(s.files.data("/b"), b"xyz");
}

#[test]
fn ranges_of_one_file_must_not_overlap() {
    for (from, length, to, code, after) in [
        (0, 5, 5, OK, &b"0123401234"[..]),
        (5, 5, 0, OK, b"5678956789"),
        (0, 0, 10, OK, b"01234567890123456789"),
        (10, 0, 10, OK, b"0123456789"),
        (0, 5, 4, FAILURE, b"0123456789"),
        (4, 5, 0, FAILURE, b"0123456789"),
        (0, 0, 0, FAILURE, b"0123456789"),
        (0, 0, 9, FAILURE, b"0123456789"),
        // It would read what it wrote.
        (0, 11, 10, FAILURE, b"0123456789"),
        (0, u64::MAX, 10, FAILURE, b"0123456789"),
    ] {
        for handles in 1..=2 {
            let (mut s, a, _) = session();
            let to_handle = s.open("/a", F_READ | F_WRITE);
            let from_handle = if handles == 1 { &to_handle } else { &a };
            let reply = s.ask(EXTENDED, copy(from_handle, from, length, &to_handle, to));
            assert_eq!(reply.code(), code, "{length} bytes from {from} to {to}");
            assert_eq!(s.files.data("/a"), after);
        }
    }
}

#[test]
fn a_file_may_be_appended_to_itself_once() {
    let (mut s, a, _) = session();
    let end = s.open("/a", F_APPEND);
    assert_eq!(s.ask(EXTENDED, copy(&a, 0, 0, &end, 0)).code(), OK);
    assert_eq!(s.files.data("/a"), b"01234567890123456789");
    assert_eq!(s.ask(EXTENDED, copy(&a, 0, 21, &end, 0)).code(), FAILURE);
}

#[test]
fn errors_of_the_file_system_are_told() {
    let (mut s, a, b) = session();
    assert_eq!(s.ask(EXTENDED, copy(&a, 0, 0, &b, 1 << 20)).code(), FAILURE);
    for offset in [u64::MAX, u64::MAX - 5] {
        let beyond = Reply::Status(FAILURE, "Failure: beyond the end of any file".to_owned());
        assert_eq!(s.ask(EXTENDED, copy(&a, 0, 0, &b, offset)), beyond);
    }
    assert_eq!(s.files.data("/b"), b"xyz");
}
