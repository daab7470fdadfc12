//! A disk's backend that does its work, or not, as it is told.
use super::FakeXen;
use super::random::Random;
use super::stored::Stored;
use crate::xen::DomId;
use crate::xen::page::Page;
use std::rc::Rc;
use xen_sys::blkif::*;
use xen_sys::{PAGE_SIZE, ring};
use zerocopy::{FromBytes, IntoBytes};

pub const BACK: &str = "/local/domain/0/backend/vbd/5/51728";
pub const FRONT: &str = "device/vbd/51728";

/// What it does wrong, each once in so many times; 0 is never.
#[derive(Clone, Copy, Debug, Default)]
pub struct Vices {
    /// Does not look at the ring in this turn.
    pub late: u64,
    /// Serves the latest request first.
    pub shuffle: u64,
    pub never: u64,
    pub twice: u64,
    pub wrong_id: u64,
    pub wrong_status: u64,
    pub wrong_index: u64,
    pub scribble: u64,
    /// Goes away.
    pub close: u64,
}

pub struct Blkback {
    xen: Rc<FakeXen>,
    pub image: Vec<u8>,
    pub vices: Vices,
    pub random: Random,
    /// Nodes that are written when it connects.
    pub nodes: Vec<(&'static str, String)>,
    pub ring_order: u32,
    link: Option<Link>,
    waiting: Vec<[u8; SLOT_SIZE]>,
    /// Operations served: reads, writes, flushes, indirect ones.
    pub served: [usize; 4],
    pub most_in_flight: usize,
    /// What was written and not flushed.
    pub unflushed: usize,
    pub refuse_flush: bool,
    /// How often it did something wrong.
    pub wrongs: usize,
}

struct Link {
    pages: Vec<(u32, Page)>,
    port: u32,
    consumed: u32,
    produced: u32,
}

impl Blkback {
    pub fn new(xen: Rc<FakeXen>, sectors: usize, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let words = (0..sectors * SECTOR_SIZE / 8).map(|_| random.next().to_ne_bytes());
        let image = words.collect::<Vec<_>>().concat();
        let nodes = vec![
            ("sectors", sectors.to_string()),
            ("sector-size", "512".into()),
            ("info", "0".into()),
            ("feature-flush-cache", "1".into()),
        ];
        Self {
            xen,
            image,
            random,
            nodes,
            vices: Vices::default(),
            ring_order: 0,
            link: None,
            waiting: Vec::new(),
            served: [0; 4],
            most_in_flight: 0,
            unflushed: 0,
            refuse_flush: false,
            wrongs: 0,
        }
    }

    /// What the toolstack writes for a new disk.
    pub fn attach(&self, stored: &mut Stored) {
        stored.set(&format!("{BACK}/online"), "1");
        stored.set(&format!("{BACK}/state"), "1");
        stored.set(&format!("{FRONT}/backend"), BACK);
        stored.set(&format!("{FRONT}/backend-id"), "0");
        stored.set(&format!("{FRONT}/state"), "1");
    }

    pub fn set_node(&mut self, name: &'static str, value: &str) {
        self.nodes.retain(|n| n.0 != name);
        self.nodes.push((name, value.into()));
    }

    /// Goes away for good, as the toolstack asks it to.
    pub fn detach(&mut self, stored: &mut Stored) {
        stored.set(&format!("{BACK}/online"), "0");
        self.close(stored);
    }

    /// Goes away to come back.
    pub fn close(&mut self, stored: &mut Stored) {
        stored.set(&format!("{BACK}/state"), "5");
    }

    /// Dies: nothing is unmapped in an orderly way, and its directory goes.
    pub fn vanish(&mut self, stored: &mut Stored) {
        self.unmap();
        stored.remove(BACK);
        stored.remove(FRONT);
    }

    /// The domain that it served is gone.
    pub fn forget(&mut self) {
        self.waiting.clear();
        self.link = None;
    }

    pub fn turn(&mut self, stored: &mut Stored) {
        let state = stored.number(&format!("{BACK}/state"));
        let front = stored.number(&format!("{FRONT}/state"));
        match (state, front) {
            (Some(1), _) => {
                stored.set(&format!("{BACK}/max-ring-page-order"), self.ring_order.to_string());
                stored.set(&format!("{BACK}/state"), "2");
            }
            (Some(6), Some(1)) => stored.set(&format!("{BACK}/state"), "2"),
            (Some(2), Some(3 | 4)) => {
                self.map(stored);
                for (name, value) in &self.nodes {
                    stored.set(&format!("{BACK}/{name}"), value);
                }
                stored.set(&format!("{BACK}/state"), "4");
            }
            (Some(2..=5), Some(6)) => {
                self.unmap();
                stored.set(&format!("{BACK}/state"), "6");
            }
            (Some(4), Some(4)) if self.wrong(self.vices.close) => self.close(stored),
            _ => (),
        }
        self.serve();
    }

    fn wrong(&mut self, vice: u64) -> bool {
        let wrong = vice > 0 && self.random.one_in(vice);
        self.wrongs += usize::from(wrong);
        wrong
    }

    fn map(&mut self, stored: &Stored) {
        let node = |name: &str| stored.number(&format!("{FRONT}/{name}"));
        assert_eq!(stored.get(&format!("{FRONT}/protocol")).unwrap(), "x86_64-abi");
        let grants: Vec<u32> = match node("ring-page-order").filter(|_| self.ring_order > 0) {
            None => vec![node("ring-ref").unwrap()],
            Some(order) => {
                (0..1 << order).map(|i| node(&format!("ring-ref{i}")).unwrap()).collect()
            }
        };
        let map = |grant: u32| (grant, self.xen.map(DomId(0), grant).expect("a granted ring"));
        let pages = grants.into_iter().map(map).collect();
        let port = node("event-channel").unwrap();
        self.link = Some(Link { pages, port, consumed: 0, produced: 0 });
    }

    fn unmap(&mut self) {
        self.waiting.clear();
        for (grant, _) in self.link.take().into_iter().flat_map(|l| l.pages) {
            self.xen.unmap(grant);
        }
    }

    fn serve(&mut self) {
        if self.wrong(self.vices.late) {
            return;
        }
        let Some(mut link) = self.link.take() else { return };
        let notified = self.xen.take_notified(link.port);
        let produced = link.head(ring::REQ_PROD);
        if produced.wrapping_sub(link.consumed) > link.slots() {
            // Only its own scribbling can have done that.
            assert!(self.wrongs > 0, "the frontend overran");
            self.link = Some(link);
            return;
        }
        // Without an event nothing may be waiting: it would never be seen.
        if produced != link.consumed && self.vices.late == 0 && self.wrongs == 0 {
            assert!(notified, "requests without an event");
        }
        while link.consumed != produced {
            let mut request = [0; SLOT_SIZE];
            link.copy(link.consumed, |page, at, i| request[i] = page.read_u8(at).unwrap());
            link.consumed = link.consumed.wrapping_add(1);
            self.waiting.push(request);
        }
        link.set_head(ring::REQ_EVENT, link.consumed.wrapping_add(1));
        self.most_in_flight = self.most_in_flight.max(self.waiting.len());
        let old = link.produced;
        while !self.waiting.is_empty() {
            let last = self.waiting.len() - 1;
            let place = if self.wrong(self.vices.shuffle) { last } else { 0 };
            let request = self.waiting.remove(place);
            let id = Request::read_from_bytes(&request).unwrap().id;
            let status = self.perform(&request).unwrap_or_else(|| {
                assert!(self.wrongs > 0, "a request that makes no sense");
                RSP_ERROR
            });
            self.respond(&mut link, id, request[0], status);
            if self.vices.late > 0 && self.random.one_in(3) {
                break;
            }
        }
        self.finish(link, old);
    }

    fn finish(&mut self, link: Link, old: u32) {
        link.set_head(ring::RSP_PROD, link.produced);
        if self.wrong(self.vices.wrong_index) {
            let (at, value) = (self.random.below(16) as usize / 4 * 4, self.random.edge());
            link.set_head(at, value);
        }
        let event = link.head(ring::RSP_EVENT);
        let wanted = link.produced.wrapping_sub(event) < link.produced.wrapping_sub(old);
        if wanted || self.vices.wrong_index > 0 {
            self.xen.kick(link.port);
        }
        self.link = Some(link);
    }

    fn respond(&mut self, link: &mut Link, id: u64, operation: u8, status: i16) {
        let mut response = Response { id, operation, status, ..Response::default() };
        if self.wrong(self.vices.never) {
            return;
        }
        if self.wrong(self.vices.wrong_id) {
            response.id = match self.random.below(3) {
                0 => id ^ 1 << self.random.below(64),
                1 => u64::from(self.random.edge()) << 32 | u64::from(self.random.edge()),
                _ => u64::from(self.random.edge()),
            };
        }
        if self.wrong(self.vices.wrong_status) {
            response.status = self.random.edge() as i16;
            response.operation = self.random.next() as u8;
        }
        for _ in 0..1 + usize::from(self.wrong(self.vices.twice)) {
            let bytes = response.as_bytes();
            link.copy(link.produced, |page, at, i| {
                bytes.get(i).map(|&byte| page.write_u8(at, byte));
            });
            link.produced = link.produced.wrapping_add(1);
        }
        if self.wrong(self.vices.scribble) {
            let (at, value) = (self.random.below(PAGE_SIZE as u64), self.random.next());
            link.pages[0].1.write_u8(at as usize, value as u8);
        }
    }

    /// None when the request makes no sense.
    fn perform(&mut self, slot: &[u8; SLOT_SIZE]) -> Option<i16> {
        let request = Request::read_from_bytes(slot).unwrap();
        let (operation, handle, segments) = match request.operation {
            OP_INDIRECT => {
                let request = IndirectRequest::read_from_bytes(slot).unwrap();
                self.served[3] += 1;
                let page = self.xen.map(DomId(0), request.pages[0])?;
                self.xen.unmap(request.pages[0]);
                let mut segments = vec![Segment::default(); request.segment_count.into()];
                page.copy_out(0, segments.as_mut_slice().as_mut_bytes()).then_some(())?;
                (request.indirect_operation, request.handle, segments)
            }
            operation => {
                let segments = request.segments.get(..request.segment_count.into())?;
                (operation, request.handle, segments.to_vec())
            }
        };
        (handle == 51728).then_some(())?;
        let mut at = usize::try_from(request.sector).ok()?.checked_mul(SECTOR_SIZE)?;
        for segment in segments {
            let page = self.xen.map(DomId(0), segment.gref)?;
            self.xen.unmap(segment.gref);
            let first = usize::from(segment.first_sector) * SECTOR_SIZE;
            let end = (usize::from(segment.last_sector) + 1) * SECTOR_SIZE;
            let part = self.image.get_mut(at..at.checked_add(end.checked_sub(first)?)?)?;
            let copied = match operation {
                OP_READ => page.copy_in(first, part),
                OP_WRITE => page.copy_out(first, part),
                _ => false,
            };
            copied.then_some(())?;
            at += part.len();
        }
        match operation {
            OP_READ => self.served[0] += 1,
            OP_WRITE => {
                self.served[1] += 1;
                self.unflushed += 1;
            }
            OP_FLUSH_DISKCACHE | OP_WRITE_BARRIER => {
                self.served[2] += 1;
                self.unflushed = 0;
                let has = |name| self.nodes.iter().any(|n| n.0 == name && n.1 == "1");
                let name = ["feature-flush-cache", "feature-barrier"];
                if !has(name[usize::from(operation == OP_WRITE_BARRIER)]) || self.refuse_flush {
                    return Some(RSP_EOPNOTSUPP);
                }
            }
            _ => return None,
        }
        Some(RSP_OKAY)
    }
}

impl Link {
    fn slots(&self) -> u32 {
        let slots = (self.pages.len() * PAGE_SIZE - ring::SLOTS) / SLOT_SIZE;
        1 << slots.ilog2()
    }

    fn head(&self, offset: usize) -> u32 {
        self.pages[0].1.read_u32(offset).unwrap()
    }

    fn set_head(&self, offset: usize, value: u32) {
        self.pages[0].1.write_u32(offset, value);
    }

    /// Gives the page, the offset and the number of each byte of a slot.
    fn copy(&self, index: u32, mut byte: impl FnMut(&Page, usize, usize)) {
        let start = ring::SLOTS + (index % self.slots()) as usize * SLOT_SIZE;
        for i in 0..SLOT_SIZE {
            byte(&self.pages[(start + i) / PAGE_SIZE].1, (start + i) % PAGE_SIZE, i);
        }
    }
}
