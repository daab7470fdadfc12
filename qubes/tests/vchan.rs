//! Both ends of a vchan on the same memory, and ends that lie.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // Tests may panic.
use qubes::vchan::{Broken, End, Layout, Memory, Role, field};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// The fields, both rings, and the events that each side sent.
#[derive(Default)]
struct Pages {
    first: RefCell<Vec<u8>>,
    left: RefCell<Vec<u8>>,
    right: RefCell<Vec<u8>>,
    events: [Cell<u32>; 2],
}

#[derive(Clone)]
struct View {
    pages: Rc<Pages>,
    role: Role,
}

impl View {
    fn of_us(&self) -> usize {
        usize::from(self.role == Role::Client)
    }
}

impl Memory for View {
    fn read_u32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.pages.first.borrow()[at..at + 4].try_into().unwrap())
    }
    fn write_u32(&self, at: usize, value: u32) {
        self.pages.first.borrow_mut()[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }
    fn read_u8(&self, at: usize) -> u8 {
        self.pages.first.borrow()[at]
    }
    fn write_u8(&self, at: usize, value: u8) {
        self.pages.first.borrow_mut()[at] = value;
    }
    fn set_bits(&self, at: usize, bits: u8) {
        self.pages.first.borrow_mut()[at] |= bits;
    }
    fn clear_bits(&self, at: usize, bits: u8) -> u8 {
        let before = self.read_u8(at);
        self.write_u8(at, before & !bits);
        before
    }
    fn copy_out(&self, at: usize, to: &mut [u8]) {
        let ring = if self.role == Role::Server { &self.pages.left } else { &self.pages.right };
        to.copy_from_slice(&ring.borrow()[at..at + to.len()]);
    }
    fn copy_in(&self, at: usize, from: &[u8]) {
        let ring = if self.role == Role::Server { &self.pages.right } else { &self.pages.left };
        ring.borrow_mut()[at..at + from.len()].copy_from_slice(from);
    }
    fn fence(&self) {}
    fn notify(&self) {
        let events = &self.pages.events[self.of_us()];
        events.set(events.get() + 1);
    }
}

fn pages(start: u32) -> (Rc<Pages>, View, View, Layout) {
    let layout = Layout::new(10, 12).unwrap();
    let pages = Rc::new(Pages {
        first: vec![0; 4096].into(),
        left: vec![0; 1024].into(),
        right: vec![0; 4096].into(),
        ..Pages::default()
    });
    let view = |role| View { pages: pages.clone(), role };
    let (server, client) = (view(Role::Server), view(Role::Client));
    for at in [field::LEFT_CONS, field::LEFT_PROD, field::RIGHT_CONS, field::RIGHT_PROD] {
        server.write_u32(at, start);
    }
    (pages, server, client, layout)
}

fn pair(start: u32) -> (Rc<Pages>, End<View>, End<View>) {
    let (pages, server, client, layout) = pages(start);
    let server = End::server(server, layout);
    assert!(server.is_waiting() && server.is_open());
    let client = End::client(client, layout);
    assert!(!server.is_waiting() && server.is_open() && client.is_open());
    (pages, server, client)
}

#[test]
fn bytes_arrive_in_order_over_the_end_of_the_rings_and_of_the_indices() {
    let (_, mut server, mut client) = pair(u32::MAX - 1500);
    let mut sent = 0u32;
    let mut received = 0u32;
    let byte = |n: u32| (n.wrapping_mul(7) >> 3) as u8;
    for round in 0..3000 {
        let data: Vec<u8> = (0..round % 1500).map(|i| byte(sent + i)).collect();
        sent += client.write(&data).unwrap() as u32;
        let mut buffer = [0; 700];
        let n = server.read(&mut buffer).unwrap();
        for (i, got) in buffer[..n].iter().enumerate() {
            assert_eq!(*got, byte(received + i as u32));
        }
        received += n as u32;
        assert!(sent - received <= 1024);
    }
    assert!(received > 500_000);
}

#[test]
fn a_full_ring_takes_what_fits() {
    let (_, mut server, mut client) = pair(7);
    assert_eq!(client.write(&[1; 2000]), Ok(1024));
    assert_eq!(client.write(&[1]), Ok(0));
    assert_eq!(server.write(&[2; 5000]), Ok(4096));
    assert_eq!(server.read(&mut [0; 24]), Ok(24));
    assert_eq!(client.write(&[1; 2000]), Ok(24));
}

#[test]
fn events_go_to_who_asked_for_them_and_only_once() {
    let (pages, mut server, mut client) = pair(0);
    let told = |who: usize| pages.events[who].take();
    // The client's coming.
    assert_eq!((told(0), told(1)), (0, 1));
    // The server waits for data from the start on.
    client.write(b"a").unwrap();
    client.write(b"b").unwrap();
    assert_eq!((told(0), told(1)), (0, 1));
    // One that found nothing asks anew.
    server.read(&mut [0; 9]).unwrap();
    assert_eq!(server.read(&mut [0; 9]), Ok(0));
    client.write(b"c").unwrap();
    assert_eq!((told(0), told(1)), (0, 1));
    // One that found no room is told of room.
    client.write(&[0; 1024]).unwrap();
    assert_eq!((told(0), told(1)), (0, 0));
    server.read(&mut [0; 9]).unwrap();
    server.read(&mut [0; 9]).unwrap();
    assert_eq!((told(0), told(1)), (1, 0));
}

#[test]
fn an_end_that_finds_its_ring_empty_asks_for_an_event_and_no_other_does() {
    let (pages, mut server, mut client) = pair(0);
    let told = |who: usize| pages.events[who].take();
    client.write(b"a").unwrap();
    told(1);
    // It found something, so it will look again without being told.
    assert_eq!(server.read(&mut [0; 9]), Ok(1));
    client.write(b"b").unwrap();
    assert_eq!(told(1), 0);
    assert_eq!(server.read(&mut [0; 9]), Ok(1));
    assert_eq!(server.read(&mut [0; 9]), Ok(0));
    client.write(b"c").unwrap();
    assert_eq!(told(1), 1);
    // The client likewise, which asked when it came.
    server.write(b"d").unwrap();
    assert_eq!(told(0), 1);
    assert_eq!(client.read(&mut [0; 9]), Ok(1));
    server.write(b"e").unwrap();
    assert_eq!(told(0), 0);
    assert_eq!(client.read(&mut [0; 9]), Ok(1));
    assert_eq!(client.read(&mut [0; 9]), Ok(0));
    server.write(b"f").unwrap();
    assert_eq!(told(0), 1);
}

#[test]
fn who_waits_until_all_is_read_is_told_and_who_need_not_wait_is_not() {
    let (pages, mut server, mut client) = pair(0);
    let told = |who: usize| pages.events[who].take();
    server.write(b"abcd").unwrap();
    assert_eq!(server.is_read(), Ok(false));
    _ = (told(0), told(1));
    assert_eq!(client.read(&mut [0; 2]), Ok(2));
    assert_eq!((told(0), told(1)), (0, 1));
    assert_eq!(server.is_read(), Ok(false));
    assert_eq!(client.read(&mut [0; 2]), Ok(2));
    assert_eq!((told(0), told(1)), (0, 1));
    assert_eq!(server.is_read(), Ok(true));
    server.write(b"e").unwrap();
    assert_eq!(client.read(&mut [0; 2]), Ok(1));
    assert_eq!(told(1), 0, "all was read when it asked");
    // What just fits needs no more room.
    assert_eq!(client.write(&[1; 1024]), Ok(1024));
    _ = (told(0), told(1));
    assert_eq!(server.read(&mut [0; 1024]), Ok(1024));
    assert_eq!(told(0), 0);
    assert_eq!(Broken.to_string(), "a vchan with an impossible index");
}

#[test]
fn what_was_written_before_the_end_can_be_read_after_it() {
    let (pages, server, mut client) = pair(0);
    let mut server = server;
    server.write(b"last").unwrap();
    pages.events[0].take();
    drop(server);
    assert_eq!(pages.events[0].take(), 1);
    assert!(!client.is_open());
    let mut buffer = [0; 9];
    assert_eq!(client.read(&mut buffer), Ok(4));
    let (_, server, client) = pair(0);
    drop(client);
    assert!(!server.is_open());
}

#[test]
fn an_impossible_index_breaks_the_end_and_nothing_else() {
    for (role, at) in [
        (Role::Server, field::LEFT_PROD),
        (Role::Server, field::RIGHT_CONS),
        (Role::Client, field::RIGHT_PROD),
        (Role::Client, field::LEFT_CONS),
    ] {
        for lie in [4097u32, u32::MAX, u32::MAX / 2, 1 << 31] {
            let (_, view, other, layout) = pages(0);
            let mut end = match role {
                Role::Server => End::server(view.clone(), layout),
                Role::Client => End::client(other.clone(), layout),
            };
            let reading = matches!(at, field::LEFT_PROD | field::RIGHT_PROD);
            // What we read is lied about by its producer, what we write by its consumer.
            view.write_u32(at, if reading { lie } else { 0u32.wrapping_sub(lie) });
            let result = if reading { end.read(&mut [0; 9]) } else { end.write(b"x") };
            assert_eq!(result, Err(Broken), "{role:?} {at} {lie}");
        }
    }
}
