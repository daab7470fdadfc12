//! Symbolic links: how they are made and read, and where paths lead through them.
use crate::client::*;
use sftp::Attributes;

/// A folder `/a` with a folder `b`, in it a file `f`, and links to all of them.
fn linked() -> Session {
    let mut s = Session::new();
    assert_eq!(s.ask(MKDIR, string("a").u32(0)).code(), OK);
    assert_eq!(s.ask(MKDIR, string("a/b").u32(0)).code(), OK);
    s.files.put("/a/b/f", b"data");
    for (path, target) in [
        ("/to-a", "a"),
        ("/a/to-b", "b/"),
        ("/a/b/up", ".."),
        ("/a/b/root", "/"),
        ("/a/abs", "/a/b/f"),
        ("/a/above", "../../../a/b"),
        ("/file", "a/b/f"),
        ("/file-as-folder", "a/b/f/"),
        ("/none", "a/missing"),
        ("/none-deep", "missing/x"),
        ("/self", "self"),
        ("/one", "two"),
        ("/two", "./one"),
    ] {
        s.files.link(path, target);
    }
    s.files.log.borrow_mut().clear();
    s
}

fn realpath(s: &mut Session, path: &str) -> Result<String, u32> {
    match s.ask(REALPATH, string(path)) {
        Reply::Names(names) => Ok(names[0].0.clone()),
        other => Err(other.code()),
    }
}

#[test]
fn paths_lead_through_links_and_stay_in_the_root() {
    let mut s = linked();
    for (path, resolved) in [
        ("to-a", "/a"),
        ("to-a/", "/a"),
        ("to-a/b/../to-b/f", "/a/b/f"),
        // `..` goes up from where the link leads, not from where it is.
        ("a/to-b/..", "/a"),
        ("a/b/up/..", "/"),
        ("a/b/up/b/root/to-a/b", "/a/b"),
        ("a/abs", "/a/b/f"),
        ("to-a/above", "/a/b"),
        ("a/b/root/../../..", "/"),
        ("none", "/a/missing"),
        ("file", "/a/b/f"),
    ] {
        assert_eq!(realpath(&mut s, path).as_deref(), Ok(resolved), "{path:?}");
    }
    for path in [
        "self",
        "one",
        "two/x",
        "self/..",
        "file/..",
        "file-as-folder",
        "file/",
        "none/",
        "none-deep",
    ] {
        assert_eq!(realpath(&mut s, path), Err(NO_SUCH_FILE), "{path:?}");
    }
}

#[test]
fn at_most_40_links_are_followed() {
    let mut s = linked();
    for number in 0..41 {
        s.files.link(&format!("/l{}", number + 1), &format!("l{number}"));
    }
    s.files.put("/l0", b"");
    assert_eq!(realpath(&mut s, "l40").as_deref(), Ok("/l0"));
    assert_eq!(realpath(&mut s, "l41"), Err(NO_SUCH_FILE));
    // What is left to walk does not grow without end either.
    s.files.link("/long", &format!("./{}", "./".repeat(2000)));
    assert_eq!(realpath(&mut s, &format!("long/{}", "a/".repeat(1000))), Err(BAD_MESSAGE));
}

#[test]
fn each_request_follows_what_openssh_follows() {
    let mut s = linked();
    let modes = |reply| match reply {
        Reply::Attrs(attributes) => attributes.permissions.unwrap(),
        other => panic!("{other:?}"),
    };
    assert_eq!(modes(s.ask(STAT, string("to-a"))), 0o040_755);
    assert_eq!(modes(s.ask(LSTAT, string("to-a"))), 0o120_777);
    assert_eq!(modes(s.ask(LSTAT, string("to-a/"))), 0o040_755);
    assert_eq!(s.ask(STAT, string("none")).code(), NO_SUCH_FILE);
    assert_eq!(modes(s.ask(LSTAT, string("none"))), 0o120_777);
    s.files.log.borrow_mut().clear();
    for (request, body, code, done) in [
        (REMOVE, string("to-a/to-b"), OK, "remove /a/to-b"),
        (RMDIR, string("to-a/"), NO_SUCH_FILE, ""),
        (MKDIR, string("none").u32(0), FAILURE, "mkdir /none"),
        (RENAME, string("file").string("to-a/file"), OK, "rename /file /a/file"),
        (RENAME, string("none/").string("x"), NO_SUCH_FILE, ""),
        (SETSTAT, string("to-a/b/root").u32(4).u32(0o40_700), OK, "setstat /"),
        (
            EXTENDED,
            string("lsetstat@openssh.com").string("none").u32(4).u32(0o700),
            OK,
            "setstat /none",
        ),
        (SETSTAT, string("none").u32(8).u32(1).u32(2), OK, "setstat /none"),
        (SETSTAT, string("none/").u32(8).u32(1).u32(2), NO_SUCH_FILE, ""),
        (
            SETSTAT,
            string("none").u32(12).u32(0o600).u32(1).u32(2),
            NO_SUCH_FILE,
            "setstat /a/missing",
        ),
        (SYMLINK, string("any").string("none/"), FAILURE, ""),
        (OPENDIR, string("to-a/b/up"), HANDLE_OK, "opendir /a"),
        (SYMLINK, string("any/where").string("to-a/new"), OK, "symlink /a/new"),
        (SYMLINK, string("any").string("none"), FAILURE, "symlink /none"),
        (SYMLINK, string("any").string("fresh/"), NO_SUCH_FILE, ""),
        (SYMLINK, string("a\0b").string("fresh"), BAD_MESSAGE, ""),
        (SYMLINK, string("x".repeat(4096)).string("fresh"), BAD_MESSAGE, ""),
        (SYMLINK, string("x".repeat(4095)).string("fresh"), OK, "symlink /fresh"),
    ] {
        s.files.log.borrow_mut().clear();
        let reply = s.ask(request, body);
        let got = if matches!(reply, Reply::Handle(_)) { HANDLE_OK } else { reply.code() };
        let log = s.files.log.borrow();
        let last = log.iter().rfind(|line| !line.starts_with("stat ")).cloned().unwrap_or_default();
        assert_eq!((got, last.as_str()), (code, done), "request {request}");
    }
}

/// What stands for a handle among the codes.
const HANDLE_OK: u32 = u32::MAX;

#[test]
fn a_file_is_made_where_a_link_leads_but_not_when_it_must_be_new() {
    let mut s = linked();
    let open =
        |s: &mut Session, path: &str, flags| match s.ask(OPEN, string(path).u32(flags).u32(0)) {
            Reply::Handle(_) => OK,
            other => other.code(),
        };
    assert_eq!(open(&mut s, "none", F_READ), NO_SUCH_FILE);
    assert_eq!(open(&mut s, "none", F_WRITE | F_CREAT | F_EXCL), FAILURE);
    assert!(!s.files.inodes.borrow().contains_key("/a/missing"));
    assert_eq!(open(&mut s, "none", F_WRITE | F_CREAT), OK);
    assert!(s.files.inodes.borrow().contains_key("/a/missing"));
    assert_eq!(open(&mut s, "self", F_WRITE | F_CREAT), NO_SUCH_FILE);
    assert_eq!(open(&mut s, "file", F_WRITE | F_CREAT | F_TRUNC), OK);
    assert_eq!(s.files.data("/a/b/f"), b"");
}

#[test]
fn a_target_is_read_as_it_was_made() {
    let mut s = linked();
    let target = "../über allem//./x/..";
    assert_eq!(s.ask(SYMLINK, string(target).string("new")).code(), OK);
    match s.ask(READLINK, string("to-a/../new")) {
        Reply::Names(names) => {
            assert_eq!(names, [(target.to_owned(), target.to_owned(), Attributes::default())]);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(s.ask(READLINK, string("a/b/f")).code(), BAD_MESSAGE);
    assert_eq!(s.ask(READLINK, string("missing")).code(), NO_SUCH_FILE);
}
