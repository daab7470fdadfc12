//! Extensions, and what there is not.
use crate::client::*;
use sftp::Attributes;

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
fn fstatvfs_tells_the_same_of_what_is_open() {
    let mut s = Session::new();
    s.files.put("/a", b"");
    let expected: Vec<u8> = (1..=11u64).flat_map(u64::to_be_bytes).collect();
    let fstatvfs = |handle: &[u8]| string("fstatvfs@openssh.com").string(handle);
    let (file, dir) = (s.open("/a", F_READ), s.opendir("/"));
    for handle in [&file, &dir] {
        assert_eq!(s.ask(EXTENDED, fstatvfs(handle)), Reply::Extended(expected.clone()));
    }
    assert_eq!(s.close(&file), OK);
    assert_eq!(s.ask(EXTENDED, fstatvfs(&file)).code(), FAILURE);
    assert_eq!(s.ask(EXTENDED, fstatvfs(b"none")).code(), FAILURE);
}

#[test]
fn lsetstat_is_setstat_where_there_are_no_links() {
    let mut s = Session::new();
    s.files.put("/a", b"0123456789");
    let lsetstat = |path: &str| string("lsetstat@openssh.com").string(path);
    assert_eq!(s.ask(EXTENDED, lsetstat("./a").u32(4).u32(0o100_400)).code(), OK);
    assert_eq!(s.files.inodes.borrow()["/a"].mode.get(), 0o100_400);
    assert_eq!(s.files.data("/a"), b"0123456789");
    assert_eq!(s.ask(EXTENDED, lsetstat("/none").u32(0)).code(), NO_SUCH_FILE);
    s.files.read_only.set(true);
    assert_eq!(s.ask(EXTENDED, lsetstat("/a").u32(0)).code(), PERMISSION_DENIED);
}

/// The one name of a reply.
fn named(reply: Reply) -> Result<String, u32> {
    match reply {
        Reply::Names(names) => {
            let [(name, long, attributes)] = names.try_into().unwrap();
            assert_eq!((&long, attributes), (&name, Attributes::default()));
            Ok(name)
        }
        other => Err(other.code()),
    }
}

#[test]
fn expand_path_takes_a_tilde_in_front_for_the_root() {
    let mut s = Session::new();
    assert_eq!(s.ask(MKDIR, string("d").u32(0)).code(), OK);
    let mut expand =
        |path: &[u8]| named(s.ask(EXTENDED, string("expand-path@openssh.com").string(path)));
    for (path, expanded) in [
        ("~", "/"),
        ("~/", "/"),
        ("~/x", "/x"),
        ("~/d/../x", "/x"),
        ("~/d/", "/d"),
        ("~/../../x", "/x"),
        ("~user", "/"),
        ("~user/x", "/x"),
        ("~user/~", "/~"),
        ("", "/"),
        (".", "/"),
        ("d/./~", "/d/~"),
        ("/~", "/~"),
        ("./d/../~", "/~"),
    ] {
        assert_eq!(expand(path.as_bytes()).as_deref(), Ok(expanded), "{path:?}");
    }
    assert_eq!(expand(b"~/x/"), Err(NO_SUCH_FILE));
    assert_eq!(expand(b"~/\xff"), Err(BAD_MESSAGE));
    assert_eq!(expand(b"~/a\0b"), Err(BAD_MESSAGE));
    assert_eq!(expand("a".repeat(256).as_bytes()), Err(BAD_MESSAGE));
}

#[test]
fn everybody_is_at_home_in_the_root() {
    let mut s = Session::new();
    for user in [&b""[..], b"mirage", b"root", b"\xff/.."] {
        let home = s.ask(EXTENDED, string("home-directory").string(user));
        assert_eq!(named(home).as_deref(), Ok("/"));
    }
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
        (EXTENDED, string("hardlink@openssh.com")),
        (EXTENDED, string("hardlink@openssh.com").string("/a").string("/b")),
        (EXTENDED, string("users-groups-by-id@openssh.com").string("").string("")),
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

#[test]
fn a_status_begins_with_the_standard_text_of_its_code() {
    let mut s = Session::new();
    s.files.put("/a", b"");
    let handle = s.open("/a", F_READ | F_WRITE);
    let status = |code, text: &str| Reply::Status(code, text.to_owned());
    for (reply, expected) in [
        (s.read(&handle, 0, 1), status(EOF, "End of file")),
        (s.ask(CLOSE, string(&handle)), status(OK, "Success")),
        (s.ask(CLOSE, string(&handle)), status(FAILURE, "Failure: invalid handle")),
        (s.ask(STAT, string("a/")), status(NO_SUCH_FILE, "No such file: not a directory")),
        (s.ask(STAT, string([0xff])), status(BAD_MESSAGE, "Bad message: the name is not UTF-8")),
        (
            s.ask(EXTENDED, string("hardlink@openssh.com")),
            status(OP_UNSUPPORTED, "Operation unsupported: FAT has no hard links"),
        ),
    ] {
        assert_eq!(reply, expected);
    }
    s.files.read_only.set(true);
    let denied = status(PERMISSION_DENIED, "Permission denied: read-only");
    assert_eq!(s.ask(REMOVE, string("/a")), denied);
}
