//! The other side of vchans: a server whose pages we map, a client that maps ours.
use super::FakeXen;
use super::world::World;
use crate::xen::DomId;
use crate::xen::page::Page;
use qubes::vchan::field::*;
use std::rc::Rc;

const DOM0: DomId = DomId(0);

/// A side of a vchan, with each ring's pages and fields as it sees them.
struct Side {
    first: Page,
    reads: Ring,
    writes: Ring,
    theirs_live: usize,
    ours_live: usize,
}

struct Ring {
    pages: Vec<Page>,
    cons: usize,
    prod: usize,
}

impl Ring {
    fn place(&self, index: u32) -> (&Page, usize) {
        let at = index as usize % (self.pages.len() * 4096);
        (&self.pages[at / 4096], at % 4096)
    }
}

impl Side {
    fn put(&self, bytes: &[u8]) {
        let ring = &self.writes;
        let mut prod = self.first.read_u32(ring.prod).unwrap();
        for byte in bytes {
            let (page, at) = ring.place(prod);
            page.write_u8(at, *byte);
            prod = prod.wrapping_add(1);
        }
        self.first.write_u32(ring.prod, prod);
    }

    fn take(&self) -> Vec<u8> {
        let ring = &self.reads;
        let mut cons = self.first.read_u32(ring.cons).unwrap();
        let mut bytes = Vec::new();
        while cons != self.first.read_u32(ring.prod).unwrap() {
            let (page, at) = ring.place(cons);
            bytes.push(page.read_u8(at).unwrap());
            cons = cons.wrapping_add(1);
        }
        self.first.write_u32(ring.cons, cons);
        bytes
    }

    fn close(&self) {
        self.first.write_u8(self.ours_live, 0);
    }

    fn has_other(&self) -> bool {
        self.first.read_u8(self.theirs_live) == Some(1)
    }
}

fn left(pages: Vec<Page>) -> Ring {
    Ring { pages, cons: LEFT_CONS, prod: LEFT_PROD }
}

fn right(pages: Vec<Page>) -> Ring {
    Ring { pages, cons: RIGHT_CONS, prod: RIGHT_PROD }
}

/// A server in dom0 whose client we are, of rings that have pages of their own.
pub struct Server(Side);

impl Server {
    pub fn new(world: &World, port: u32, (left_order, right_order): (u16, u16)) -> Self {
        let make = |n: usize| (0..n).map(|_| Page::new().unwrap()).collect::<Vec<_>>();
        let (first, lefts) = (Page::new().unwrap(), make(1 << (left_order - 12)));
        let rights = make(1 << (right_order - 12));
        first.write_u16(LEFT_ORDER, left_order);
        first.write_u16(RIGHT_ORDER, right_order);
        first.write_u8(CLIENT_LIVE, 2);
        first.write_u8(SERVER_LIVE, 1);
        for (n, page) in lefts.iter().chain(&rights).enumerate() {
            first.write_u32(GRANTS + 4 * n, world.xen.offer(DOM0, page));
        }
        let directory = format!("/local/domain/0/data/vchan/5/{port}");
        let grant = world.xen.offer(DOM0, &first);
        let mut stored = world.stored.borrow_mut();
        stored.set(&format!("{directory}/ring-ref"), grant.to_string());
        stored.set(&format!("{directory}/event-channel"), (1000 + port).to_string());
        let (reads, writes) = (left(lefts), right(rights));
        let (theirs_live, ours_live) = (CLIENT_LIVE, SERVER_LIVE);
        Self(Side { first, reads, writes, theirs_live, ours_live })
    }

    pub fn put(&mut self, bytes: &[u8]) {
        self.0.put(bytes);
    }

    pub fn take(&mut self) -> Vec<u8> {
        self.0.take()
    }

    pub fn close(&mut self) {
        self.0.close();
    }

    pub fn has_client(&self) -> bool {
        self.0.has_other()
    }
}

/// A client in dom0 of a server of ours.
pub struct Client {
    side: Side,
    xen: Rc<FakeXen>,
    grants: Vec<u32>,
}

impl Client {
    pub fn new(world: &World, directory: &str) -> Self {
        let node = format!("{directory}/ring-ref");
        let first_grant = world.stored.borrow().number(&node).expect("a server");
        let xen = world.xen.clone();
        let first = xen.map(DOM0, first_grant).expect("its grant");
        let order = |at| first.read_u16(at).unwrap();
        let (lefts, rights) = (1 << (order(LEFT_ORDER) - 12), 1 << (order(RIGHT_ORDER) - 12));
        let mut grants: Vec<_> =
            (0..lefts + rights).map(|n| first.read_u32(GRANTS + 4 * n).unwrap()).collect();
        let mut pages: Vec<_> = grants.iter().map(|g| xen.map(DOM0, *g).expect("a page")).collect();
        grants.push(first_grant);
        let right_pages = pages.split_off(lefts);
        first.write_u8(CLIENT_LIVE, 1);
        let (reads, writes) = (right(right_pages), left(pages));
        let (theirs_live, ours_live) = (SERVER_LIVE, CLIENT_LIVE);
        let side = Side { first, reads, writes, theirs_live, ours_live };
        Self { side, xen, grants }
    }

    pub fn put(&mut self, bytes: &[u8]) {
        self.side.put(bytes);
    }

    pub fn take(&mut self) -> Vec<u8> {
        self.side.take()
    }

    /// Goes away, and unmaps what it had mapped.
    pub fn close(&mut self) {
        self.side.close();
        self.grants.drain(..).for_each(|grant| self.xen.unmap(grant));
    }

    pub fn has_server(&self) -> bool {
        self.side.has_other()
    }
}
