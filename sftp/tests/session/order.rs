//! Which requests start while others run.
use crate::client::*;

fn read(handle: &[u8], offset: u64) -> Fields {
    string(handle).u64(offset).u32(1)
}

fn write(handle: &[u8], offset: u64) -> Fields {
    string(handle).u64(offset).string("x")
}

/// A session with two open files whose operations are held up, and the files' handles.
fn held() -> (Session, Vec<u8>, Vec<u8>) {
    let mut s = Session::new();
    s.files.put("/a", b"0123456789");
    s.files.put("/b", b"0123456789");
    let (a, b) = (s.open("/a", F_READ | F_WRITE), s.open("/b", F_READ | F_WRITE));
    s.files.log.borrow_mut().clear();
    s.files.held.set(true);
    (s, a, b)
}

fn may_start(s: &mut Session, packet_type: u8, fields: Fields) -> bool {
    let request = s.build(packet_type, fields);
    s.server.may_start(&request)
}

#[test]
fn reads_run_together_and_hold_up_what_follows() {
    let (mut s, a, b) = held();
    let mut first = s.start(READ, read(&a, 0));
    let mut second = s.start(READ, read(&a, 1));
    let mut third = s.start(READ, read(&b, 2));
    assert_eq!(poll(&mut first), None);
    assert_eq!(poll(&mut second), None);
    assert!(!may_start(&mut s, WRITE, write(&a, 0)));
    assert!(!may_start(&mut s, CLOSE, string(&a)));
    assert!(!may_start(&mut s, LSTAT, string("/a")));
    assert!(!may_start(&mut s, OPEN, string("/c").u32(F_READ).u32(0)));
    s.files.held.set(false);
    // Replies come in whatever order they are ready.
    assert_eq!(poll(&mut third), Some(Reply::Data(b"2".to_vec())));
    assert_eq!(poll(&mut second), Some(Reply::Data(b"1".to_vec())));
    assert!(!may_start(&mut s, LSTAT, string("/a")));
    assert_eq!(poll(&mut first), Some(Reply::Data(b"0".to_vec())));
    assert!(may_start(&mut s, LSTAT, string("/a")));
}

#[test]
fn writes_run_together_in_the_order_of_their_start() {
    let (mut s, a, b) = held();
    let mut running = vec![
        s.start(WRITE, write(&a, 5)),
        s.start(WRITE, write(&a, 3)),
        s.start(WRITE, write(&b, 4)),
    ];
    for write in &mut running {
        assert_eq!(poll(write), None);
    }
    assert!(!may_start(&mut s, READ, read(&a, 0)));
    assert!(!may_start(&mut s, FSTAT, string(&a)));
    s.files.held.set(false);
    for write in &mut running {
        assert_eq!(poll(write).unwrap().code(), OK);
    }
    assert_eq!(*s.files.log.borrow(), ["write 5", "write 3", "write 4"]);
}

#[test]
fn reads_of_one_handle_run_with_writes_of_another() {
    let (mut s, a, b) = held();
    let reading = s.start(READ, read(&a, 0));
    assert!(may_start(&mut s, WRITE, write(&b, 0)));
    let writing = s.start(WRITE, write(&b, 0));
    assert!(!may_start(&mut s, READ, read(&b, 0)));
    assert!(!may_start(&mut s, WRITE, write(&a, 0)));
    drop(writing);
    assert!(may_start(&mut s, READ, read(&b, 0)));
    drop(reading);
    assert!(may_start(&mut s, WRITE, write(&a, 0)));
}

#[test]
fn lstat_waits_for_the_open_before_it_and_finds_the_file() {
    let (mut s, ..) = held();
    let open = string("/new").u32(F_WRITE | F_CREAT).u32(0);
    let mut open = s.start(OPEN, open);
    assert_eq!(poll(&mut open), None);
    let lstat = s.build(LSTAT, string("/new"));
    assert!(!s.server.may_start(&lstat));
    s.files.held.set(false);
    assert!(matches!(poll(&mut open), Some(Reply::Handle(_))));
    let (_, reply) = Reply::parse(&s.run(lstat));
    assert!(matches!(reply, Reply::Attrs(_)));
}

#[test]
fn nothing_starts_before_a_request_that_runs_alone_has_finished() {
    let (mut s, a, _) = held();
    let mut sync = s.start(EXTENDED, string("fsync@openssh.com").string(&a));
    assert_eq!(poll(&mut sync), None);
    assert!(!may_start(&mut s, READ, read(&a, 0)));
    assert!(!may_start(&mut s, WRITE, write(&a, 0)));
    assert!(!may_start(&mut s, STAT, string("/")));
    s.files.held.set(false);
    assert_eq!(poll(&mut sync).unwrap().code(), OK);
    assert!(may_start(&mut s, READ, read(&a, 0)));
}

#[test]
fn a_request_counts_from_its_start_and_no_longer_once_it_is_dropped() {
    let (mut s, a, _) = held();
    let never_polled = s.start(WRITE, write(&a, 0));
    let mut polled = s.start(WRITE, write(&a, 1));
    assert_eq!(poll(&mut polled), None);
    assert!(!may_start(&mut s, STAT, string("/")));
    drop(never_polled);
    assert!(!may_start(&mut s, STAT, string("/")));
    drop(polled);
    assert!(may_start(&mut s, STAT, string("/")));
}

#[test]
fn a_read_that_runs_when_its_handle_is_closed_finishes() {
    let (mut s, a, _) = held();
    let mut reading = s.start(READ, read(&a, 7));
    assert_eq!(poll(&mut reading), None);
    // The order forbids this; a caller that does it all the same does no harm.
    let close = s.build(CLOSE, string(&a));
    let mut close: Running = Box::pin(s.server.run(close));
    assert_eq!(poll(&mut close).unwrap().code(), OK);
    s.files.held.set(false);
    assert_eq!(poll(&mut reading), Some(Reply::Data(b"7".to_vec())));
    drop(reading);
    assert_eq!(s.files.open.get(), 1, "only b is left");
}
