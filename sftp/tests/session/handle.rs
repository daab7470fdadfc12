//! Handles: bounded, never used twice, of one kind.
use crate::client::*;
use sftp::HandleMemory;
use std::rc::Rc;

#[test]
fn a_closed_handle_is_invalid_for_ever() {
    let mut s = Session::new();
    s.files.put("/a", b"a");
    let old = s.open("/a", F_READ | F_WRITE);
    assert!((4..=8).contains(&old.len()));
    assert_eq!(s.close(&old), OK);
    let new = s.open("/a", F_READ | F_WRITE);
    assert_ne!(old, new);
    let invalid = Reply::Status(FAILURE, "Failure: invalid handle".to_owned());
    assert_eq!(s.read(&old, 0, 1), invalid);
    assert_eq!(s.write(&old, 0, b"x"), FAILURE);
    assert_eq!(s.close(&old), FAILURE);
    for packet_type in [FSTAT, READDIR, CLOSE] {
        assert_eq!(s.ask(packet_type, string(&old)), invalid);
    }
    assert_eq!(s.ask(FSETSTAT, string(&old).u32(0)), invalid);
    assert_eq!(s.read(&new, 0, 1), Reply::Data(b"a".to_vec()));
}

#[test]
fn handles_that_were_never_given_are_invalid() {
    let mut s = Session::new();
    s.files.put("/a", b"a");
    let handle = s.open("/a", F_READ);
    for forged in [&b""[..], b"/a", &[0; 8], &[0xff; 8], &[0; 256], &handle[..7]] {
        assert_eq!(s.read(forged, 0, 1).code(), FAILURE);
    }
}

#[test]
fn files_and_directories_are_not_taken_for_each_other() {
    let mut s = Session::new();
    s.files.put("/a", b"a");
    let (file, dir) = (s.open("/a", F_READ | F_WRITE), s.opendir("/"));
    assert_eq!(s.read(&dir, 0, 1).code(), FAILURE);
    assert_eq!(s.write(&dir, 0, b"x"), FAILURE);
    assert_eq!(s.ask(READDIR, string(&file)).code(), FAILURE);
}

#[test]
fn one_handle_too_many_is_refused_and_closing_makes_room() {
    let mut s = Session::with_handles(3);
    let first = s.open("/a", F_WRITE | F_CREAT);
    s.open("/a", F_WRITE);
    s.opendir("/");
    let refused = Reply::Status(FAILURE, "Failure: too many open handles".to_owned());
    assert_eq!(s.ask(OPENDIR, string("/")), refused);
    let create = string("/new").u32(F_WRITE | F_CREAT).u32(0);
    assert_eq!(s.ask(OPEN, create), refused);
    assert_eq!(s.ask(STAT, string("/new")).code(), NO_SUCH_FILE, "not made");
    assert_eq!(s.close(&first), OK);
    s.open("/a", F_WRITE);
}

#[test]
fn sessions_share_the_memory_of_their_handles() {
    let memory = Rc::new(HandleMemory::new(9 * 1024));
    let mut one = Session::sharing(64, memory.clone());
    let mut other = Session::sharing(64, memory);
    let refused =
        Reply::Status(FAILURE, "Failure: all clients together have too much open".to_owned());
    // One may have no more than it leaves to the others.
    let first = one.open("/a", F_WRITE | F_CREAT);
    (0..4).for_each(|_| drop(one.open("/a", F_READ)));
    assert_eq!(one.ask(OPEN, string("/b").u32(F_WRITE | F_CREAT).u32(0)), refused);
    assert_eq!(one.ask(OPENDIR, string("/")), refused);
    other.open("/b", F_WRITE | F_CREAT);
    other.opendir("/");
    assert_eq!(other.ask(OPENDIR, string("/")), refused);
    assert_eq!(one.close(&first), OK);
    other.opendir("/");
    // What a session had open is given back when it ends.
    assert_eq!(other.ask(OPENDIR, string("/")), refused);
    drop(one);
    other.opendir("/");
}

#[test]
fn long_paths_of_directories_count() {
    let memory = Rc::new(HandleMemory::new(9 * 1024));
    let mut s = Session::sharing(64, memory);
    let paths = (1..=400).map(|n| "/d".repeat(n));
    paths.for_each(|path| assert_eq!(s.ask(MKDIR, string(&path).u32(0)).code(), OK));
    let long = "/d".repeat(400);
    s.opendir(&long);
    s.opendir(&long);
    let refused =
        Reply::Status(FAILURE, "Failure: all clients together have too much open".to_owned());
    assert_eq!(s.ask(OPENDIR, string(&long)), refused);
}

#[test]
fn the_end_of_a_session_closes_its_files() {
    let mut s = Session::new();
    s.open("/a", F_WRITE | F_CREAT);
    let handle = s.open("/a", F_READ);
    let files = s.files.clone();
    files.held.set(true);
    let mut read = s.start(READ, string(&handle).u64(0).u32(1));
    assert_eq!(poll(&mut read), None);
    drop(s);
    assert_eq!(files.open.get(), 2, "an operation still runs");
    files.held.set(false);
    assert_eq!(poll(&mut read).unwrap().code(), EOF);
    drop(read);
    assert_eq!(files.open.get(), 0);
}
