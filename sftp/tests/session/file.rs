//! Files: OPEN's flags, READ, WRITE, attributes.
use crate::client::*;
use sftp::{Attributes, MAX_READ};

fn session() -> Session {
    let session = Session::new();
    session.files.put("/a", b"0123456789");
    session
}

#[test]
fn a_file_is_made_written_and_read_back() {
    let mut s = Session::new();
    let handle = s.open("/new", F_READ | F_WRITE | F_CREAT);
    assert_eq!(s.write(&handle, 0, b"hello"), OK);
    assert_eq!(s.write(&handle, 5, b" world"), OK);
    assert_eq!(
        s.read(&handle, 6, 100),
        Reply::Data(b"world".to_vec()),
        "what there is, when it is less than was asked for"
    );
    assert_eq!(s.read(&handle, 11, 100).code(), EOF);
    assert_eq!(s.read(&handle, u64::MAX, 100).code(), EOF);
    assert_eq!(s.close(&handle), OK);
    assert_eq!(s.files.data("/new"), b"hello world");
    assert_eq!(s.files.open.get(), 0);
}

#[test]
fn short_reads_of_the_file_system_are_put_together() {
    // sshfs takes a short reply for the end of the file.
    let mut s = session();
    s.files.short_reads.set(Some(3));
    let handle = s.open("/a", F_READ);
    assert_eq!(s.read(&handle, 1, 8), Reply::Data(b"12345678".to_vec()));
    assert_eq!(s.read(&handle, 1, 99), Reply::Data(b"123456789".to_vec()));
}

#[test]
fn a_long_read_gives_261120_bytes() {
    let mut s = Session::new();
    s.files.put("/long", &vec![7; 300_000]);
    let handle = s.open("/long", F_READ);
    for length in [MAX_READ, MAX_READ + 1, u32::MAX] {
        let reply = s.read(&handle, 0, length);
        assert_eq!(reply, Reply::Data(vec![7; 261_120]));
    }
}

#[test]
fn a_reply_to_a_short_read_holds_no_more_memory_than_it_says() {
    let mut s = session();
    let handle = s.open("/a", F_READ);
    let request = s.build(READ, string(&handle).u64(0).u32(MAX_READ));
    let reply = s.run(request);
    assert!(reply.capacity() < 64, "{}", reply.capacity());
}

#[test]
fn a_write_of_the_longest_packet_is_taken() {
    let mut s = Session::new();
    let handle = s.open("/new", F_WRITE | F_CREAT);
    assert_eq!(s.write(&handle, 0, &[9; 262_144]), OK);
    assert_eq!(s.files.data("/new"), [9; 262_144]);
}

#[test]
fn handles_refuse_what_they_were_not_opened_for() {
    let mut s = session();
    let read = s.open("/a", F_READ);
    let write = s.open("/a", F_WRITE);
    assert_eq!(s.write(&read, 0, b"x"), PERMISSION_DENIED);
    assert_eq!(s.read(&write, 0, 1).code(), PERMISSION_DENIED);
    let shrink = string(&read).u32(1).u64(0);
    assert_eq!(s.ask(FSETSTAT, shrink).code(), PERMISSION_DENIED);
    assert_eq!(s.files.data("/a"), b"0123456789");
}

#[test]
fn no_access_flag_at_all_means_reading() {
    let mut s = session();
    let handle = s.open("/a", 0);
    assert_eq!(s.read(&handle, 0, 2), Reply::Data(b"01".to_vec()));
}

#[test]
fn creat_excl_and_trunc() {
    let mut s = session();
    let mut open = |path: &str, flags| match s.ask(OPEN, string(path).u32(flags).u32(0)) {
        Reply::Handle(_) => OK,
        other => other.code(),
    };
    assert_eq!(open("/none", F_READ), NO_SUCH_FILE);
    assert_eq!(open("/none", F_WRITE | F_TRUNC), NO_SUCH_FILE);
    assert_eq!(open("/a", F_WRITE | F_CREAT | F_EXCL), FAILURE);
    assert_eq!(open("/new", F_WRITE | F_CREAT | F_EXCL), OK);
    // EXCL says nothing without CREAT.
    assert_eq!(open("/a", F_WRITE | F_EXCL), OK);
    assert_eq!(open("/a", F_READ | F_TRUNC), PERMISSION_DENIED);
    assert_eq!(s.files.data("/a"), b"0123456789");
    s.open("/a", F_WRITE | F_CREAT | F_TRUNC);
    assert_eq!(s.files.data("/a"), b"");
}

#[test]
fn every_combination_of_flags_gets_an_answer() {
    for flags in (0..64).chain([u32::MAX]) {
        for path in ["/a", "/none"] {
            let mut s = session();
            match s.ask(OPEN, string(path).u32(flags).u32(0)) {
                Reply::Handle(handle) => assert_eq!(s.close(&handle), OK),
                reply => assert!(reply.code() > EOF, "{flags} {reply:?}"),
            }
        }
    }
}

#[test]
fn append_ignores_the_offset_and_implies_write() {
    for flags in [F_APPEND, F_APPEND | F_WRITE] {
        let mut s = session();
        let handle = s.open("/a", flags);
        assert_eq!(s.write(&handle, 0, b"x"), OK);
        assert_eq!(s.write(&handle, u64::MAX, b"y"), OK);
        assert_eq!(s.files.data("/a"), b"0123456789xy");
    }
}

#[test]
fn a_write_past_the_last_offset_is_refused() {
    let mut s = session();
    let handle = s.open("/a", F_WRITE);
    assert_eq!(s.write(&handle, u64::MAX, b"xy"), FAILURE);
}

#[test]
fn stat_lstat_and_fstat_tell_the_same() {
    let mut s = session();
    s.files.modified.set(1_700_000_000);
    let handle = s.open("/a", F_READ);
    let expected = Reply::Attrs(Attributes {
        size: Some(10),
        owner: Some((1000, 1001)),
        permissions: Some(0o100_644),
        times: Some((1, 1_700_000_000)),
    });
    assert_eq!(s.ask(STAT, string("/a")), expected);
    assert_eq!(s.ask(LSTAT, string("a")), expected);
    assert_eq!(s.ask(FSTAT, string(&handle)), expected);
    assert_eq!(s.ask(STAT, string("/b")).code(), NO_SUCH_FILE);
}

#[test]
fn attributes_that_are_absent_stay_as_they_are() {
    let mut s = session();
    let mode = |s: &Session| s.files.inodes.borrow()["/a"].mode.get();
    assert_eq!(s.ask(SETSTAT, string("/a").u32(0)).code(), OK);
    assert_eq!(s.ask(SETSTAT, string("/a").u32(1).u64(4)).code(), OK);
    assert_eq!((mode(&s), s.files.data("/a").len()), (0o100_644, 4));
    // Everything there is, extended attributes too.
    let all = string("/a")
        .u32(0x8000_000f)
        .u64(5)
        .u32(1)
        .u32(2)
        .u32(0o100_600)
        .u32(3)
        .u32(4)
        .u32(1)
        .string("acl")
        .string("");
    assert_eq!(s.ask(SETSTAT, all).code(), OK);
    assert_eq!((mode(&s), s.files.data("/a").len()), (0o100_600, 5));
    assert_eq!(s.ask(SETSTAT, string("/none").u32(0)).code(), NO_SUCH_FILE);
}

#[test]
fn a_file_made_without_a_mode_gets_the_default_and_not_mode_0() {
    let mut s = Session::new();
    s.open("/a", F_WRITE | F_CREAT);
    let with_mode = string("/b").u32(F_WRITE | F_CREAT).u32(4).u32(0o100_400);
    assert!(matches!(s.ask(OPEN, with_mode), Reply::Handle(_)));
    let modes = s.files.inodes.borrow();
    assert_eq!(modes["/a"].mode.get(), 0o100_644);
    assert_eq!(modes["/b"].mode.get(), 0o100_400);
}

#[test]
fn fsetstat_changes_the_file_and_keeps_the_handle() {
    let mut s = session();
    let handle = s.open("/a", F_READ | F_WRITE);
    assert_eq!(s.ask(FSETSTAT, string(&handle).u32(1).u64(2)).code(), OK);
    assert_eq!(s.read(&handle, 0, 99), Reply::Data(b"01".to_vec()));
}

#[test]
fn remove_and_rename() {
    let mut s = session();
    s.files.put("/b", b"b");
    assert_eq!(s.ask(RENAME, string("/a").string("/b")).code(), FAILURE);
    assert_eq!(s.ask(RENAME, string("/a").string("/c")).code(), OK);
    assert_eq!(s.ask(REMOVE, string("/a")).code(), NO_SUCH_FILE);
    assert_eq!(s.ask(REMOVE, string("/b")).code(), OK);
    assert_eq!(s.files.data("/c"), b"0123456789");
}

#[test]
fn refusals_of_the_file_system_keep_their_code_and_message() {
    let mut s = session();
    s.files.read_only.set(true);
    let denied = Reply::Status(PERMISSION_DENIED, "Permission denied: read-only".to_owned());
    assert_eq!(s.ask(MKDIR, string("/d").u32(0)), denied);
    assert_eq!(s.ask(RMDIR, string("/d")), denied);
    assert_eq!(s.ask(REMOVE, string("/a")), denied);
    assert_eq!(s.ask(RENAME, string("/a").string("/b")), denied);
    assert_eq!(s.ask(SETSTAT, string("/a").u32(0)), denied);
}
