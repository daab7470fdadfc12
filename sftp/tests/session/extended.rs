//! Extensions, and what there is not.
use crate::client::*;

#[test]
fn posix_rename_replaces() {
    let mut s = Session::new();
    s.files.put("/a", b"a");
    s.files.put("/b", b"b");
    let rename = string("posix-rename@openssh.com").string("a").string("b");
    assert_eq!(s.ask(EXTENDED, rename.clone()).code(), OK);
    assert_eq!(s.files.data("/b"), b"a");
    assert_eq!(s.ask(EXTENDED, rename).code(), NO_SUCH_FILE);
}

#[test]
fn statvfs_tells_eleven_numbers_in_their_order() {
    let mut s = Session::new();
    let Reply::Extended(reply) = s.ask(EXTENDED, string("statvfs@openssh.com").string("/")) else {
        panic!("no numbers");
    };
    let expected: Vec<u8> = (1..=11u64).flat_map(u64::to_be_bytes).collect();
    assert_eq!(reply, expected);
    let of_none = string("statvfs@openssh.com").string("/none");
    assert_eq!(s.ask(EXTENDED, of_none).code(), NO_SUCH_FILE);
}

#[test]
fn fsync_syncs_a_file() {
    let mut s = Session::new();
    let handle = s.open("/a", F_WRITE | F_CREAT);
    let fsync = |handle: &[u8]| string("fsync@openssh.com").string(handle);
    assert_eq!(s.ask(EXTENDED, fsync(&handle)).code(), OK);
    assert_eq!(s.files.synced.get(), 1);
    let dir = s.opendir("/");
    assert_eq!(s.ask(EXTENDED, fsync(&dir)).code(), FAILURE);
    assert_eq!(s.ask(EXTENDED, fsync(b"none")).code(), FAILURE);
}

#[test]
fn limits_are_those_that_hold() {
    let mut s = Session::with_handles(17);
    let Reply::Extended(reply) = s.ask(EXTENDED, string("limits@openssh.com")) else {
        panic!("no limits");
    };
    let expected: Vec<u8> =
        [262_144u64, 261_120, 261_120, 17].into_iter().flat_map(u64::to_be_bytes).collect();
    assert_eq!(reply, expected);
}

#[test]
fn what_there_is_not_is_unsupported_and_the_session_goes_on() {
    let mut s = Session::new();
    let links = string("/a").string("/b");
    for (packet_type, fields) in [
        (READLINK, string("/a")),
        (SYMLINK, links.clone()),
        (EXTENDED, string("hardlink@openssh.com")),
        (EXTENDED, string([0xff; 300])),
        (EXTENDED, string("")),
        (0, Fields::default()),
        (21, links),
        (101, Fields::default()),
        (255, Fields::default()),
    ] {
        assert_eq!(s.ask(packet_type, fields).code(), OP_UNSUPPORTED);
    }
    assert!(matches!(s.ask(STAT, string("/")), Reply::Attrs(_)));
}
