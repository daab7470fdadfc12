//! Paths: what REALPATH makes of them, and that each request walks them.
use crate::client::*;
use sftp::Attributes;

fn realpath_in(s: &mut Session, path: impl AsRef<[u8]>) -> Result<String, u32> {
    match s.ask(REALPATH, string(path)) {
        Reply::Names(names) => {
            let [(name, long, attributes)] = names.try_into().unwrap();
            assert_eq!((&long, attributes), (&name, Attributes::default()));
            Ok(name)
        }
        other => Err(other.code()),
    }
}

fn realpath(path: impl AsRef<[u8]>) -> Result<String, u32> {
    realpath_in(&mut Session::new(), path)
}

/// A session with a folder `/a` in which are a folder `b` and a file `f`.
fn with_folders() -> Session {
    let mut s = Session::new();
    assert_eq!(s.ask(MKDIR, string("a").u32(0)).code(), OK);
    assert_eq!(s.ask(MKDIR, string("a/b").u32(0)).code(), OK);
    s.files.put("/a/f", b"");
    s.files.log.borrow_mut().clear();
    s
}

#[test]
fn paths_are_walked_and_stay_in_the_root() {
    let mut s = with_folders();
    for (path, resolved) in [
        ("", "/"),
        (".", "/"),
        ("/", "/"),
        ("//", "/"),
        ("..", "/"),
        ("/../../x", "/x"),
        ("a//b/./c", "/a/b/c"),
        ("a/b/../c", "/a/c"),
        ("a/b/../b/", "/a/b"),
        ("a/b/../../a/f", "/a/f"),
        ("/a/../..", "/"),
        ("none", "/none"),
        ("...", "/..."),
        ("/..a", "/..a"),
        ("a\\..\\b", "/a\\..\\b"),
        ("/Fünf €🦀", "/Fünf €🦀"),
    ] {
        assert_eq!(realpath_in(&mut s, path).as_deref(), Ok(resolved), "{path:?}");
    }
}

#[test]
fn only_the_last_name_may_be_missing_and_what_is_left_by_dots_must_be_a_folder() {
    let mut s = with_folders();
    for path in [
        "none/of/this",
        "none/",
        "none/.",
        "none/..",
        "none/../a",
        "a/f/",
        "a/f/.",
        "a/f/..",
        "a/f/../b",
        "a/f/x",
        "../../etc/passwd",
    ] {
        assert_eq!(realpath_in(&mut s, path), Err(NO_SUCH_FILE), "{path:?}");
    }
}

#[test]
fn names_that_cannot_be_are_refused() {
    assert_eq!(realpath([b'/', 0xff]), Err(BAD_MESSAGE));
    assert_eq!(realpath([b'/', 0xed, 0xa0, 0x80]), Err(BAD_MESSAGE));
    assert_eq!(realpath("/a\0b"), Err(BAD_MESSAGE));
}

#[test]
fn the_longest_name_has_255_units_of_utf16() {
    assert!(realpath("a".repeat(255)).is_ok());
    assert!(realpath("€".repeat(255)).is_ok());
    assert!(realpath("🦀".repeat(127)).is_ok());
    assert_eq!(realpath("a".repeat(256)), Err(BAD_MESSAGE));
    assert_eq!(realpath("🦀".repeat(128)), Err(BAD_MESSAGE));
}

#[test]
fn the_longest_path_has_4096_bytes() {
    assert!(realpath("/".repeat(4096)).is_ok());
    assert_eq!(realpath("/".repeat(4097)), Err(BAD_MESSAGE));
    assert_eq!(realpath("../".repeat(80_000)), Err(BAD_MESSAGE));
}

/// A path of 4 KiB may make the server look at hundreds of folders: others go on in between.
#[test]
fn a_long_walk_gives_way() {
    let mut s = with_folders();
    let mut walk = s.start(STAT, string("a/../".repeat(160)));
    let mut polls = 1;
    while poll(&mut walk).is_none() {
        polls += 1;
    }
    assert_eq!(polls, 11);
}

#[test]
fn every_request_with_a_path_walks_it() {
    let attributes = |fields: Fields| fields.u32(0);
    let extended = |name: &str| string(name).string("a/f/../f");
    for (request, fields) in [
        (STAT, string("a/f/../f")),
        (LSTAT, string("a/f/../f")),
        (SETSTAT, attributes(string("a/f/../f"))),
        (OPEN, attributes(string("a/f/../f").u32(F_READ))),
        (OPEN, attributes(string("a/f/../new").u32(F_WRITE | F_CREAT))),
        (OPENDIR, string("a/f/../b")),
        (MKDIR, attributes(string("a/f/../new"))),
        (RMDIR, string("a/f/../b")),
        (RENAME, string("a/f/../f").string("new")),
        (RENAME, string("a/f").string("a/f/../new")),
        (REMOVE, string("a/f/../f")),
        (REALPATH, string("a/f/../f")),
        (EXTENDED, extended("statvfs@openssh.com")),
        (EXTENDED, extended("lsetstat@openssh.com").u32(0)),
        (EXTENDED, extended("expand-path@openssh.com")),
        (EXTENDED, extended("posix-rename@openssh.com").string("new")),
    ] {
        let mut s = with_folders();
        assert_eq!(s.ask(request, fields.clone()).code(), NO_SUCH_FILE, "{request} {fields:?}");
        // It was looked at, and nothing came of it.
        let log = s.files.log.borrow();
        assert!(log.iter().all(|line| line.starts_with("stat ")), "{request}: {log:?}");
    }
}

/// The rest of what a path's end means is in tests/clients/test_paths.py, beside OpenSSH.
#[test]
fn a_slash_behind_a_name_asks_for_a_folder() {
    let mut s = with_folders();
    let file = |s: &mut Session, request, fields: Fields| s.ask(request, fields).code();
    assert_eq!(file(&mut s, REMOVE, string("a/f/")), NO_SUCH_FILE);
    assert_eq!(file(&mut s, STAT, string("a/f/")), NO_SUCH_FILE);
    assert_eq!(file(&mut s, OPEN, string("a/f/").u32(F_READ).u32(0)), NO_SUCH_FILE);
    assert_eq!(file(&mut s, OPEN, string("new/").u32(F_WRITE | F_CREAT).u32(0)), FAILURE);
    assert_eq!(file(&mut s, OPEN, string("a/f/.").u32(F_WRITE | F_CREAT).u32(0)), NO_SUCH_FILE);
    assert_eq!(file(&mut s, MKDIR, string("new/.").u32(0)), NO_SUCH_FILE);
    assert_eq!(file(&mut s, RENAME, string("a/f").string("new/")), NO_SUCH_FILE);
    assert_eq!(file(&mut s, RMDIR, string("a/b/.")), BAD_MESSAGE);
    assert_eq!(file(&mut s, RMDIR, string("a/b/..")), FAILURE);
    for dots in ["a/b/.", "a/b/.."] {
        assert_eq!(file(&mut s, RENAME, string(dots).string("new")), FAILURE);
        assert_eq!(file(&mut s, RENAME, string("a/b").string(dots)), FAILURE);
    }
    assert_eq!(file(&mut s, MKDIR, string("new/").u32(0)), OK);
    assert_eq!(file(&mut s, RENAME, string("new/").string("newer/")), OK);
    assert_eq!(file(&mut s, RMDIR, string("newer/")), OK);
}
