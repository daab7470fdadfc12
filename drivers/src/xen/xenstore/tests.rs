//! Xenstore against a daemon that is honest, and one that is not.
use super::*;
use crate::xen::fake::random::Random;
use crate::xen::fake::world::World;
use std::future::Future;
use std::io::Write as _;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use xen_sys::xs_wire::{REPLIES, REQ_CONS, RSP_CONS, RSP_PROD};
use zerocopy::IntoBytes;

#[test]
fn nodes_are_written_read_listed_and_removed() {
    let world = World::new();
    let store = &world.store;
    world.run(async {
        store.write("data/a", "one").await.unwrap();
        store.write("/local/domain/5/data/b", "22").await.unwrap();
        assert_eq!(store.read("data/a").await.unwrap(), b"one");
        assert_eq!(store.read_number("data/b").await, Ok(22));
        assert_eq!(store.read_number::<u8>("data/a").await, Err(StoreError::NotText));
        assert_eq!(store.list("data").await.unwrap(), ["a", "b"]);
        store.rm("data/a").await.unwrap();
        assert_eq!(store.read("data/a").await, Err(StoreError::NotFound));
        assert_eq!(store.list("nothing").await, Err(StoreError::NotFound));
        assert_eq!(store.write("x", &"y".repeat(4096)).await, Err(StoreError::TooLong));
    });
}

#[test]
fn values_longer_than_the_ring_pass() {
    let world = World::new();
    let value: String = (0..4000).map(|i| char::from(b'a' + (i % 26) as u8)).collect();
    world.run(world.store.write("data/long", &value)).unwrap();
    assert_eq!(world.run(world.store.read_text("data/long")).unwrap(), value);
}

#[test]
fn many_requests_are_in_flight_and_find_their_replies() {
    let world = World::new();
    for i in 0..40 {
        world.stored.borrow_mut().set(&format!("data/{i}"), i.to_string());
    }
    world.stored.borrow_mut().reverse = true;
    let store = &world.store;
    type Read<'s> = Pin<Box<dyn Future<Output = Result<u32, StoreError>> + 's>>;
    let read = |i: u32| -> Read<'_> {
        Box::pin(async move { store.read_number(&format!("data/{i}")).await })
    };
    let mut reads: Vec<_> = (0..40).map(read).collect();
    let mut context = Context::from_waker(Waker::noop());
    for read in &mut reads {
        assert!(read.as_mut().poll(&mut context).is_pending());
    }
    // Those of which nobody wants the reply disturb nobody.
    reads.drain(10..20);
    let numbers = world.run(async {
        let mut numbers = Vec::new();
        for read in &mut reads {
            numbers.push(read.await.unwrap());
        }
        numbers
    });
    assert_eq!(numbers, (0..10).chain(20..40).collect::<Vec<_>>());
    drop(reads);
    assert!(store.state.borrow().in_flight.is_empty());
}

#[test]
fn transactions_begin_again_when_somebody_was_faster() {
    let world = World::new();
    world.stored.borrow_mut().refuse_commits = 3;
    let mut runs = 0;
    let result = world.store.transact(async |transaction: &Transaction| {
        runs += 1;
        transaction.write("data/a", "1").await?;
        transaction.write("data/b", "2").await?;
        assert_eq!(transaction.read("data/a").await?, b"1");
        assert_eq!(world.stored.borrow().get("data/a"), None);
        Ok(())
    });
    world.run(result).unwrap();
    assert_eq!(runs, 4);
    assert_eq!(world.stored.borrow().get("data/b").as_deref(), Some("2"));
}

#[test]
fn a_failed_transaction_changes_nothing() {
    let world = World::new();
    let result = world.store.transact(async |transaction: &Transaction| {
        transaction.write("data/a", "1").await?;
        transaction.read("data/none").await
    });
    assert_eq!(world.run(result), Err(StoreError::NotFound));
    assert_eq!(world.stored.borrow().get("data/a"), None);
}

#[test]
fn watches_tell_of_changes_until_they_end() {
    let world = World::new();
    let watch = world.run(world.store.watch("device/vif")).unwrap();
    world.run(watch.changed());
    assert!(!watch.take());
    world.stored.borrow_mut().set("device/vif/0/state", "1");
    world.run(watch.changed());
    world.stored.borrow_mut().set("device/vbd/0/state", "1");
    world.run(world.store.read("device/vif/0/state")).unwrap();
    assert!(!watch.take());
    world.stored.borrow_mut().remove("device");
    world.run(watch.changed());
    drop(watch);
    let _ = world.run(world.store.read("x"));
    assert_eq!(world.stored.borrow().watches(), 0);
    assert!(world.store.state.borrow().watches.is_empty());
}

#[test]
fn a_daemon_that_lies() {
    const CASES: u64 = 5000;
    let (mut wrongs, mut answered, mut failed, mut none) = (0, 0, 0, 0);
    for seed in 0..CASES {
        let world = World::new();
        let mut random = Random::new(seed);
        world.stored.borrow_mut().set("data/a", "7");
        let store = &world.store;
        let mut work = pin!(async {
            let watch = store.watch("data").await?;
            watch.changed().await;
            store.transact(async |t: &Transaction| t.write("data/b", "1").await).await?;
            store.list("data").await?;
            store.read_number::<u32>("data/a").await
        });
        let mut result = None;
        for _ in 0..60 {
            let mut context = Context::from_waker(Waker::noop());
            if let Poll::Ready(value) = work.as_mut().poll(&mut context) {
                result = Some(value);
                break;
            }
            store.poll();
            let mut stored = world.stored.borrow_mut();
            stored.turn();
            if random.one_in(12) {
                wrongs += 1;
                match random.below(4) {
                    0 => {
                        let at = [REQ_CONS, RSP_PROD][random.below(2) as usize];
                        world.page.write_u32(at, random.edge());
                    }
                    1 => {
                        let header = Header {
                            kind: random.below(23) as u32,
                            request: random.below(12) as u32,
                            transaction: random.edge(),
                            length: random.below(20) as u32,
                        };
                        let payload: Vec<u8> = (0..20).map(|_| random.next() as u8).collect();
                        stored.send_raw(header.as_bytes());
                        stored.send_raw(&payload[..header.length as usize]);
                    }
                    2 => stored.send_raw(&random.next().to_ne_bytes()),
                    _ => {
                        let byte = random.next() as u8;
                        world.page.write_u8(random.below(2048) as usize, byte);
                    }
                }
            }
        }
        match result {
            Some(Ok(7)) => answered += 1,
            // A scribble in a reply's payload is a value like another.
            Some(_) => failed += 1,
            None => none += 1,
        }
    }
    // Past the test runner, which shows only what a failed test prints.
    let _ = writeln!(
        std::io::stderr(),
        "{CASES} lying daemons, {wrongs} lies: {answered} answered, {failed} failed, {none} silent"
    );
    assert!(answered > 0 && failed > 0);
}

/// Who sends events of no watch for ever has its share of a turn and no more.
#[test]
fn a_daemon_without_end_does_not_keep_the_turn() {
    let world = World::new();
    let event = Header { kind: kind::WATCH_EVENT, request: 0, transaction: 0, length: 0 };
    let start = world.page.read_u32(RSP_CONS).unwrap();
    for (n, byte) in event.as_bytes().iter().copied().cycle().take(1024).enumerate() {
        world.page.write_u8(REPLIES + (start as usize + n) % 1024, byte);
    }
    let (page, rounds) = (world.page.alias(), Rc::new(Cell::new(0u32)));
    let taken = rounds.clone();
    let fill = move || {
        taken.set(taken.get() + 1);
        page.write_u32(RSP_PROD, page.read_u32(RSP_CONS).unwrap().wrapping_add(1024));
    };
    fill();
    world.xen.when_told.replace(Some(Box::new(fill)));
    for turn in 1..=3 {
        assert!(world.store.poll(), "there is more");
        assert_eq!(rounds.get(), 64 * turn + 1);
    }
    world.xen.when_told.replace(None);
    assert!(world.store.poll());
    assert!(!world.store.poll());
}
