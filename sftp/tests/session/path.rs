//! Paths, seen through REALPATH, which resolves and does nothing else.
use crate::client::*;
use sftp::Attributes;

fn realpath(path: impl AsRef<[u8]>) -> Result<String, u32> {
    match Session::new().ask(REALPATH, string(path)) {
        Reply::Names(names) => {
            let [(name, long, attributes)] = names.try_into().unwrap();
            assert_eq!((&long, attributes), (&name, Attributes::default()));
            Ok(name)
        }
        other => Err(other.code()),
    }
}

#[test]
fn paths_are_resolved_by_component_and_stay_in_the_root() {
    for (path, resolved) in [
        ("", "/"),
        (".", "/"),
        ("/", "/"),
        ("//", "/"),
        ("..", "/"),
        ("/../../x", "/x"),
        ("../../etc/passwd", "/etc/passwd"),
        ("a//b/./c", "/a/b/c"),
        ("a/b/../c/", "/a/c"),
        ("/a/../..", "/"),
        ("/none/of/this", "/none/of/this"),
        ("...", "/..."),
        ("/..a/.b", "/..a/.b"),
        ("a\\..\\b", "/a\\..\\b"),
        ("/Fünf €/🦀", "/Fünf €/🦀"),
    ] {
        assert_eq!(realpath(path).as_deref(), Ok(resolved), "{path:?}");
    }
}

#[test]
fn names_that_cannot_be_are_refused() {
    assert_eq!(realpath([b'/', 0xff]), Err(NO_SUCH_FILE));
    assert_eq!(realpath([b'/', 0xed, 0xa0, 0x80]), Err(NO_SUCH_FILE));
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
    assert!(realpath("ab/".repeat(1365)).is_ok());
    assert!(realpath("/".repeat(4096)).is_ok());
    assert_eq!(realpath("/".repeat(4097)), Err(BAD_MESSAGE));
    assert_eq!(realpath("../".repeat(80_000)), Err(BAD_MESSAGE));
}

#[test]
fn every_request_with_a_path_resolves_it() {
    let mut s = Session::new();
    s.files.put("/a", b"");
    let attributes = |fields: Fields| fields.u32(0);
    let path = || string("x/.././/a");
    s.ask(STAT, path());
    s.ask(SETSTAT, attributes(path()));
    s.ask(OPEN, attributes(path().u32(F_READ)));
    s.ask(OPENDIR, path());
    s.ask(MKDIR, attributes(path()));
    s.ask(RMDIR, path());
    s.ask(RENAME, path().string("../b"));
    s.ask(REMOVE, path());
    assert_eq!(
        *s.files.log.borrow(),
        [
            "stat /a",
            "setstat /a",
            "open /a",
            "opendir /a",
            "mkdir /a",
            "rmdir /a",
            "rename /a /b",
            "remove /a",
        ]
    );
}
