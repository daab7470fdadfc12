//! Both ends against fakes, and against each other.
use super::*;
use crate::xen::DomId;
use crate::xen::fake::world::World;
use crate::xen::page::Page;
use qubes::vchan::{Layout, field};
use std::cell::RefCell;

const OTHER: DomId = DomId(3);

/// Another domain's pages: the first, then those of the rings.
struct Theirs {
    pages: Vec<Page>,
    grants: Vec<u32>,
}

/// Another domain that offers a vchan at port 600, with 64 KiB rings.
fn offer(world: &World) -> Theirs {
    let pages: Vec<_> = (0..33).map(|_| Page::new().unwrap()).collect();
    let grants: Vec<_> = pages.iter().map(|page| world.xen.offer(OTHER, page)).collect();
    let first = &pages[0];
    first.write_u16(field::LEFT_ORDER, 16);
    first.write_u16(field::RIGHT_ORDER, 16);
    first.write_u8(field::CLIENT_LIVE, 2);
    first.write_u8(field::SERVER_LIVE, 1);
    for (n, grant) in grants[1..].iter().enumerate() {
        first.write_u32(field::GRANTS + 4 * n, *grant);
    }
    let directory = directory(OTHER, DomId(5), 600);
    let mut stored = world.stored.borrow_mut();
    stored.set(&format!("{directory}/ring-ref"), grants[0].to_string());
    stored.set(&format!("{directory}/event-channel"), "77");
    Theirs { pages, grants }
}

fn world() -> World {
    let world = World::new();
    world.stored.borrow_mut().set("domid", "5");
    world
}

fn dial(world: &World) -> Dial {
    world.run(Dial::new(&world.xen(), &world.store, OTHER, 600)).unwrap()
}

#[test]
fn a_client_waits_for_its_server_and_finds_every_page() {
    let world = world();
    let dial = dial(&world);
    assert!(world.try_run(20, dial.connect(), || ()).is_none());
    let theirs = offer(&world);
    let mut vchan = world.run(dial.connect());
    assert_eq!((world.xen.mapped(), theirs.pages[0].read_u8(field::CLIENT_LIVE)), (33, Some(1)));
    let port = world.xen.bound_to(77).unwrap();
    assert!(world.xen.take_notified(port));
    assert_eq!(vchan.fill(), Ok([].as_slice()));
    // What the server writes at the end of the last page of the right ring and before it.
    theirs.pages[0].write_u32(field::RIGHT_PROD, 0x10000);
    theirs.pages[32].write_u8(4095, 9);
    theirs.pages[17].write_u8(0, 8);
    let mut all = Vec::new();
    while all.len() < 0x10000 {
        let n = vchan.fill().unwrap().len();
        all.extend(vchan.fill().unwrap());
        vchan.consume(n);
    }
    assert_eq!((all[0], all[0xffff]), (8, 9));
    assert_eq!(vchan.write(&vec![7; 70000]), Ok(0x10000));
    assert_eq!(theirs.pages[16].read_u8(4095), Some(7));
    assert_eq!(theirs.pages[0].read_u32(field::LEFT_PROD), Some(0x10000));
    drop(vchan);
    assert_eq!(theirs.pages[0].read_u8(field::CLIENT_LIVE), Some(0));
    assert_eq!((world.xen.mapped(), world.xen.bound_to(77)), (0, None));
}

#[test]
fn servers_that_lie_are_left_and_the_next_is_taken() {
    let world = world();
    let dial = dial(&world);
    let lies: [&dyn Fn(&Theirs) -> bool; 5] = [
        &|theirs| theirs.pages[0].write_u16(field::LEFT_ORDER, 20),
        &|theirs| theirs.pages[0].write_u8(field::SERVER_LIVE, 0),
        &|theirs| theirs.pages[0].write_u8(field::CLIENT_LIVE, 1),
        &|theirs| theirs.pages[0].write_u32(field::GRANTS + 4 * 20, 999),
        &|_| {
            let node = format!("{}/ring-ref", directory(OTHER, DomId(5), 600));
            world.stored.borrow_mut().set(&node, "x");
            true
        },
    ];
    for lie in lies {
        let theirs = offer(&world);
        assert!(lie(&theirs));
        assert!(world.try_run(50, dial.connect(), || ()).is_none());
        assert_eq!(world.xen.mapped(), 0);
    }
    let theirs = offer(&world);
    let mut vchan = world.run(dial.connect());
    assert_eq!(theirs.grants.len(), 33);
    // An impossible index closes it.
    theirs.pages[0].write_u32(field::RIGHT_PROD, 0x10001);
    assert_eq!(vchan.fill(), Err(Closed));
    assert_eq!(vchan.write(b"x"), Err(Closed));
}

#[test]
fn the_last_bytes_of_a_server_are_read_and_a_destroyed_one_is_noticed() {
    let world = world();
    let dial = dial(&world);
    let theirs = offer(&world);
    let mut vchan = world.run(dial.connect());
    theirs.pages[0].write_u32(field::RIGHT_PROD, 5);
    theirs.pages[0].write_u8(field::SERVER_LIVE, 0);
    assert_eq!(vchan.fill().map(<[u8]>::len), Ok(5));
    vchan.consume(5);
    assert_eq!(vchan.fill(), Err(Closed));
    offer(&world);
    let mut vchan = world.run(dial.connect());
    assert!(vchan.fill().is_ok());
    world.xen.gone.set(true);
    world.xen.now.set(LOOK_EVERY);
    assert_eq!(vchan.fill(), Err(Closed));
}

#[test]
fn a_server_is_there_for_one_client_and_leaves_nothing() {
    let world = world();
    let (before, ports) = world.xen.in_use();
    let (xen, store) = (world.xen(), world.store.clone());
    let layout = Layout::new(16, 12).unwrap();
    let directory = "data/vchan/3/512";
    let first = RefCell::new(None);
    let serve = async { serve(&xen, &store, OTHER, 512, layout).await };
    let mut vchan = world
        .try_run(200, serve, || {
            let stored = world.stored.borrow();
            let node = |name: &str| stored.number(&format!("{directory}/{name}"));
            let nobody = first.borrow().is_none();
            if let (Some(grant), Some(_), true) = (node("ring-ref"), node("event-channel"), nobody)
            {
                let page = world.xen.map(OTHER, grant).unwrap();
                assert_eq!(page.read_u8(field::CLIENT_LIVE), Some(2));
                page.write_u8(field::CLIENT_LIVE, 1);
                first.replace(Some((page, grant)));
            }
        })
        .expect("a client came")
        .unwrap();
    assert_eq!(world.stored.borrow().get(&format!("{directory}/ring-ref")), None);
    let (page, grant) = first.take().unwrap();
    let last = page.read_u32(field::GRANTS + 4 * 16).unwrap();
    let right = world.xen.map(OTHER, last).unwrap();
    assert_eq!(vchan.write(b"hello"), Ok(5));
    assert_eq!(right.read_u8(4), Some(b'o'));
    page.write_u8(field::CLIENT_LIVE, 0);
    assert_eq!(vchan.fill(), Err(Closed));
    drop(vchan);
    // What the client still maps is kept for it.
    assert_eq!(world.xen.retired(), 2);
    world.xen.unmap(grant);
    world.xen.unmap(last);
    assert_eq!((world.xen.retired(), world.xen.in_use()), (0, (before, ports)));
}
