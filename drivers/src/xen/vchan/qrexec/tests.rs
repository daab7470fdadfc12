//! The agent against a fake daemon and fake callers.
use super::*;
use crate::share::SHARE;
use crate::xen::fake::dom0::{Client, Server};
use crate::xen::fake::fed::Fed;
use crate::xen::fake::world::World;

fn message(kind: u32, words: &[u32], rest: &[u8]) -> Vec<u8> {
    let length = (4 * words.len() + rest.len()) as u32;
    let words = [kind, length].into_iter().chain(words.iter().copied());
    words.flat_map(|word| word.to_le_bytes()).chain(rest.iter().copied()).collect()
}

fn turns(world: &World, qrexec: &mut Qrexec) {
    for _ in 0..60 {
        world.stored.borrow_mut().turn();
        world.store.poll();
        qrexec.poll();
    }
}

fn start() -> (World, Qrexec) {
    let world = World::new();
    world.stored.borrow_mut().set("domid", "5");
    let mut qrexec = Qrexec::new(world.xen(), world.store.clone());
    turns(&world, &mut qrexec);
    (world, qrexec)
}

/// A daemon that has said HELLO.
fn daemon(world: &World, qrexec: &mut Qrexec) -> Client {
    let mut daemon = Client::new(world, "data/vchan/0/512");
    turns(world, qrexec);
    assert_eq!(daemon.take(), message(0x300, &[3], b""));
    assert_eq!(world.stored.borrow().get("data/vchan/0/512/ring-ref"), None);
    daemon.put(&message(0x300, &[4], b""));
    turns(world, qrexec);
    daemon
}

#[test]
fn a_call_connects_and_its_end_is_told() {
    let (world, mut qrexec) = start();
    let mut daemon = daemon(&world, &mut qrexec);
    daemon.put(&message(0x200, &[0, 513], b"user:status\0"));
    turns(&world, &mut qrexec);
    assert!(qrexec.accept().is_none());
    let mut data = Server::new(&world, 513, (16, 16));
    turns(&world, &mut qrexec);
    let mut call = qrexec.accept().expect("a call");
    assert_eq!(call.command, Command::Shell("status".into()));
    data.put(b"in");
    assert_eq!(call.stream.fill(), Ok(b"in".as_slice()));
    assert_eq!(call.stream.write(b"out"), Ok(3));
    assert_eq!(data.take(), b"out");
    assert_eq!(daemon.take(), b"");
    drop(call);
    turns(&world, &mut qrexec);
    assert!(!data.has_client());
    assert_eq!(daemon.take(), message(0x211, &[0, 513], b""));
    assert_eq!(world.xen.mapped(), 0);
}

#[test]
fn another_daemon_is_served_and_calls_of_the_old_one_go_on() {
    let (world, mut qrexec) = start();
    let mut old = daemon(&world, &mut qrexec);
    old.put(&message(0x201, &[0, 513], b"user:status\0"));
    let mut data = Server::new(&world, 513, (16, 16));
    turns(&world, &mut qrexec);
    let mut call = qrexec.accept().expect("a call");
    old.close();
    turns(&world, &mut qrexec);
    let mut new = daemon(&world, &mut qrexec);
    assert_eq!(call.stream.write(b"out"), Ok(3));
    assert_eq!(data.take(), b"out");
    drop(call);
    turns(&world, &mut qrexec);
    assert_eq!(new.take(), b"");
}

#[test]
fn a_daemon_that_talks_nonsense_is_left() {
    let (world, mut qrexec) = start();
    let mut bad = daemon(&world, &mut qrexec);
    bad.put(&message(0x777, &[], b""));
    turns(&world, &mut qrexec);
    assert!(!bad.has_server());
    daemon(&world, &mut qrexec);
}

#[test]
fn calls_whose_other_side_never_comes_end() {
    let (world, mut qrexec) = start();
    let mut daemon = daemon(&world, &mut qrexec);
    assert_eq!(qrexec.deadline(), None);
    daemon.put(&message(0x200, &[0, 513], b"user:status\0"));
    turns(&world, &mut qrexec);
    assert_eq!(qrexec.deadline(), Some(APPEAR));
    world.xen.now.set(APPEAR - 1);
    turns(&world, &mut qrexec);
    assert_eq!(daemon.take(), b"");
    world.xen.now.set(APPEAR);
    // What comes together with the end of its wait is served.
    daemon.put(&message(0x200, &[0, 514], b"user:status\0"));
    turns(&world, &mut qrexec);
    assert_eq!(daemon.take(), message(0x211, &[0, 513], b""));
    let _data = Server::new(&world, 514, (16, 16));
    turns(&world, &mut qrexec);
    let _call = qrexec.accept().expect("a call");
    daemon.put(&message(0x200, &[0x10000, 513], b"user:status\0"));
    turns(&world, &mut qrexec);
    assert_eq!(daemon.take(), message(0x211, &[0x10000, 513], b""));
}

#[test]
fn calls_wait_for_places_but_not_for_the_dead() {
    let (world, mut qrexec) = start();
    let mut daemon = daemon(&world, &mut qrexec);
    // Nobody ever stands at the odd ports.
    let ports = 513..513 + 2 * CALLS as u32 + 2;
    for port in ports.clone() {
        daemon.put(&message(0x200, &[0, port], b"user:status\0"));
    }
    let mut datas: Vec<_> =
        ports.step_by(2).map(|port| Server::new(&world, port, (16, 16))).collect();
    turns(&world, &mut qrexec);
    let mut calls: Vec<_> = core::iter::from_fn(|| qrexec.accept()).collect();
    assert_eq!((calls.len(), world.xen.mapped()), (CALLS, CALLS as u32 * 33));
    // The one too many is not dropped: its port would be another's while its caller still waits there.
    let mut last = datas.pop().unwrap();
    assert_eq!((daemon.take(), last.has_client()), (Vec::new(), false));
    calls.pop();
    turns(&world, &mut qrexec);
    assert_eq!(daemon.take().len(), 16);
    let mut call = qrexec.accept().expect("the last call");
    assert_eq!(call.stream.write(b"out"), Ok(3));
    assert!(!call.stream.is_read());
    assert_eq!(last.take(), b"out");
    assert!(call.stream.is_read());
}

#[test]
fn who_calls_very_often_waits_behind_nobody_but_itself() {
    let (world, mut qrexec) = start();
    let mut daemon = daemon(&world, &mut qrexec);
    for port in 0..40 {
        daemon.put(&message(0x200, &[7, 513 + port], b"user:QUBESRPC x evil\0"));
    }
    daemon.put(&message(0x200, &[0, 600], b"user:status\0"));
    let data = Server::new(&world, 600, (16, 16));
    turns(&world, &mut qrexec);
    let _call = qrexec.accept().expect("dom0's call");
    assert!(data.has_client());
    assert_eq!(daemon.take().len(), (40 - WAIT_OF_ONE) * 16);
    let taken = &qrexec.taken;
    let places: Vec<_> = core::iter::from_fn(|| take_place(taken, 7)).collect();
    assert_eq!(places.len(), CALLS_OF_ONE);
    assert!(take_place(taken, 8).is_some());
}

#[test]
fn a_daemon_waits_while_there_is_no_room_for_its_calls() {
    let (world, mut qrexec) = start();
    let mut daemon = daemon(&world, &mut qrexec);
    let line = [b"user:", [b'x'; 20_000].as_slice(), b"\0"].concat();
    // What it has no room for is in the ring still.
    for port in 0..6 {
        daemon.put(&message(0x200, &[0, 600 + port], &line));
        turns(&world, &mut qrexec);
    }
    assert_eq!(*qrexec.waiting.borrow(), [(0, 20_000); 4]);
    assert_eq!(qrexec.deadline(), Some(APPEAR_WANTED));
    world.xen.now.set(APPEAR_WANTED);
    turns(&world, &mut qrexec);
    assert_eq!(*qrexec.waiting.borrow(), [(0, 20_000); 2]);
    assert_eq!(daemon.take().len(), 4 * 16);
    assert_eq!(qrexec.deadline(), Some(APPEAR_WANTED + APPEAR));
}

/// Who refuses calls that nobody made, for ever, has its share of a turn and no more, and who asks for calls waits.
#[test]
fn a_daemon_without_end_does_not_keep_the_turn() {
    let (told, waiting, share) = Default::default();
    let link = Link {
        agent: Rc::default(),
        told: &told,
        waiting: &waiting,
        share: &share,
        said: Cell::default(),
    };
    let mut hello = Fed::new(&message(0x300, &[3], b""), 12);
    assert!(link.step(&mut hello).is_ok());
    let mut daemon = Fed::new(&message(0x203, &[0, 513], b"x\0"), usize::MAX);
    for turn in 1..=3 {
        share.begin_turn();
        assert!(link.step(&mut daemon).is_ok());
        assert!(share.has_more());
        let (least, most) = (SHARE / 2 * turn, (SHARE + Fed::PIECE) * turn);
        assert!((least..=most).contains(&daemon.given), "{} in {turn} turns", daemon.given);
    }
    // What is over is taken, and then there is no more.
    daemon.most = daemon.given;
    share.begin_turn();
    assert!(link.step(&mut daemon).is_ok());
    assert!(!share.has_more());
}

/// Calls of before end at once, and leave alone what has their numbers now.
#[test]
fn calls_of_before_a_restore_end() {
    let (world, mut qrexec) = start();
    let mut first = daemon(&world, &mut qrexec);
    first.put(&message(0x200, &[0, 513], b"user:status\0"));
    let _caller = Server::new(&world, 513, (16, 16));
    turns(&world, &mut qrexec);
    let mut call = qrexec.accept().expect("a call");
    world.restore();
    world.stored.borrow_mut().set("domid", "5");
    qrexec = Qrexec::new(world.xen(), world.store.clone());
    turns(&world, &mut qrexec);
    let mut second = daemon(&world, &mut qrexec);
    let used = world.xen.in_use();
    assert_eq!(call.stream.fill(), Err(Closed));
    assert_eq!(call.stream.write(b"x"), Err(Closed));
    drop(call);
    assert_eq!(world.xen.in_use(), used);
    second.put(&message(0x200, &[0, 513], b"user:status\0"));
    let mut data = Server::new(&world, 513, (16, 16));
    turns(&world, &mut qrexec);
    let mut call = qrexec.accept().expect("a call");
    assert_eq!(call.stream.write(b"out"), Ok(3));
    assert_eq!(data.take(), b"out");
}
