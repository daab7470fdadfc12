//! A network interface's backend that does its work, or not, as it is told.
use crate::xen::DomId;
use crate::xen::fake::FakeXen;
use crate::xen::fake::random::Random;
use crate::xen::fake::stored::Stored;
use crate::xen::page::Page;
use std::collections::VecDeque;
use std::rc::Rc;
use xen_sys::netif::*;
use xen_sys::{PAGE_SIZE, ring};
use zerocopy::{FromBytes, IntoBytes};

pub const MAC: &str = "00:16:3e:5e:6c:00";
const RING: u32 = 256;

/// What it does wrong, each once in so many times; 0 is never.
#[derive(Clone, Copy, Debug, Default)]
pub struct Vices {
    /// Does not look at the rings in this turn.
    pub late: u64,
    pub never: u64,
    pub twice: u64,
    pub wrong_id: u64,
    pub wrong_status: u64,
    pub wrong_offset: u64,
    pub wrong_flags: u64,
    pub wrong_index: u64,
    pub scribble: u64,
    /// Goes away.
    pub close: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub bytes: Vec<u8>,
    /// RxFlags to the guest, TxFlags from it, without those about the slots.
    pub flags: u16,
    pub segment: Option<u16>,
}

pub struct Netback {
    xen: Rc<FakeXen>,
    pub vices: Vices,
    pub random: Random,
    /// Nodes that it offers.
    pub nodes: Vec<(&'static str, &'static str)>,
    pub number: u32,
    pub domain: u16,
    link: Option<Link>,
    pub from_guest: VecDeque<Frame>,
    pub to_guest: VecDeque<Frame>,
    /// Frames are kept for some turns before they are answered, in any order.
    pub keeps: bool,
    kept: Vec<Vec<TxResponse>>,
    /// Large frames from the guest and slots of frames to it.
    pub largest: usize,
    pub most_slots: usize,
    pub wrongs: usize,
    pub events: usize,
    /// It misses the next event, and takes nothing until there is another.
    pub misses: bool,
    asleep: bool,
    /// It takes nothing of this connection, whatever it is told.
    pub deaf: bool,
}

struct Link {
    tx: Shared,
    rx: Shared,
    port: u32,
}

struct Shared {
    grant: u32,
    page: Page,
    consumed: u32,
    produced: u32,
}

impl Shared {
    fn head(&self, offset: usize) -> u32 {
        self.page.read_u32(offset).unwrap()
    }

    fn slot<const N: usize>(&self, index: u32) -> [u8; N] {
        let mut bytes = [0; N];
        assert!(self.page.copy_out(ring::SLOTS + (index % RING) as usize * N, &mut bytes));
        bytes
    }

    fn respond(&mut self, size: usize, bytes: &[u8]) {
        let place = ring::SLOTS + (self.produced % RING) as usize * size;
        assert!(self.page.copy_in(place, bytes));
        self.produced = self.produced.wrapping_add(1);
    }

    /// Shows the responses; true when the frontend wants an event.
    fn push(&self, old: u32) -> bool {
        self.page.write_u32(ring::RSP_PROD, self.produced);
        let event = self.head(ring::RSP_EVENT);
        self.produced.wrapping_sub(event) < self.produced.wrapping_sub(old)
    }
}

impl Netback {
    pub fn new(xen: Rc<FakeXen>, seed: u64) -> Self {
        Self {
            xen,
            vices: Vices::default(),
            random: Random::new(seed),
            nodes: vec![("feature-rx-copy", "1"), ("feature-sg", "1"), ("feature-gso-tcpv4", "1")],
            number: 0,
            domain: 3,
            link: None,
            from_guest: VecDeque::new(),
            to_guest: VecDeque::new(),
            keeps: false,
            kept: Vec::new(),
            largest: 0,
            most_slots: 0,
            wrongs: 0,
            events: 0,
            misses: false,
            asleep: false,
            deaf: false,
        }
    }

    pub fn front(&self) -> String {
        format!("device/vif/{}", self.number)
    }

    pub fn back(&self) -> String {
        format!("/local/domain/{}/backend/vif/5/{}", self.domain, self.number)
    }

    /// What the toolstack writes for a new interface.
    pub fn attach(&self, stored: &mut Stored) {
        let (front, back) = (self.front(), self.back());
        stored.set(&format!("{back}/state"), "1");
        stored.set(&format!("{front}/backend"), back);
        stored.set(&format!("{front}/backend-id"), self.domain.to_string());
        stored.set(&format!("{front}/mac"), MAC);
        stored.set(&format!("{front}/state"), "1");
    }

    pub fn close(&mut self, stored: &mut Stored) {
        stored.set(&format!("{}/state", self.back()), "5");
    }

    /// The toolstack takes the interface away.
    pub fn remove(&mut self, stored: &mut Stored) {
        self.unmap();
        stored.remove(&self.back());
        stored.remove(&self.front());
    }

    pub fn turn(&mut self, stored: &mut Stored) {
        let (front, back) = (self.front(), self.back());
        let number = |path: &str| stored.number(&format!("{path}/state"));
        match (number(&back), number(&front)) {
            (Some(1), _) => {
                for (name, value) in &self.nodes {
                    stored.set(&format!("{back}/{name}"), value);
                }
                stored.set(&format!("{back}/state"), "2");
            }
            (Some(6), Some(1)) => stored.set(&format!("{back}/state"), "2"),
            (Some(2), Some(4)) => {
                self.map(stored);
                stored.set(&format!("{back}/state"), "4");
            }
            (Some(2..=5), Some(6)) => {
                self.unmap();
                stored.set(&format!("{back}/state"), "6");
            }
            (Some(4), Some(4)) if self.wrong(self.vices.close) => self.close(stored),
            _ => (),
        }
        if !self.wrong(self.vices.late) {
            self.serve();
        }
    }

    fn wrong(&mut self, vice: u64) -> bool {
        let wrong = vice > 0 && self.random.one_in(vice);
        self.wrongs += usize::from(wrong);
        wrong
    }

    fn map(&mut self, stored: &Stored) {
        let node = |name: &str| stored.number(&format!("{}/{name}", self.front())).unwrap();
        assert_eq!(node("request-rx-copy"), 1);
        let ring = |grant: u32| {
            let page = self.xen.map(DomId(self.domain), grant).expect("a granted ring");
            Shared { grant, page, consumed: 0, produced: 0 }
        };
        let (tx, rx) = (ring(node("tx-ring-ref")), ring(node("rx-ring-ref")));
        self.link = Some(Link { tx, rx, port: node("event-channel") });
    }

    fn unmap(&mut self) {
        self.kept.clear();
        self.deaf = false;
        if let Some(link) = self.link.take() {
            self.xen.unmap(link.tx.grant);
            self.xen.unmap(link.rx.grant);
        }
    }

    fn serve(&mut self) {
        let Some(mut link) = self.link.take() else { return };
        let notified = self.xen.take_notified(link.port);
        self.events += usize::from(notified);
        let old = (link.tx.produced, link.rx.produced);
        self.asleep = if notified { std::mem::take(&mut self.misses) } else { self.asleep };
        if !self.asleep && !self.deaf {
            self.take_frames(&mut link.tx, notified);
        }
        let answers = if self.keeps { self.kept.len() / 2 } else { self.kept.len() };
        for _ in 0..answers {
            let any =
                if self.keeps { self.random.below(self.kept.len() as u64) as usize } else { 0 };
            for response in self.kept.remove(any) {
                self.respond(&mut link.tx, response.as_bytes(), TX_SLOT_SIZE);
            }
        }
        while let Some(frame) = self.to_guest.pop_front() {
            if !self.give_frame(&mut link.rx, &frame) {
                self.to_guest.push_front(frame);
                // Waits for more slots.
                break;
            }
        }
        link.rx.page.write_u32(ring::REQ_EVENT, link.rx.head(ring::REQ_PROD).wrapping_add(1));
        let wanted = link.tx.push(old.0) | link.rx.push(old.1);
        for side in [&link.tx, &link.rx] {
            if self.wrong(self.vices.wrong_index) {
                let (at, value) = (self.random.below(16) as usize / 4 * 4, self.random.edge());
                side.page.write_u32(at, value);
            }
            if self.wrong(self.vices.scribble) {
                let (at, value) = (self.random.below(PAGE_SIZE as u64), self.random.next());
                side.page.write_u8(at as usize, value as u8);
            }
        }
        if wanted || self.vices.wrong_index > 0 {
            self.xen.kick(link.port);
        }
        self.link = Some(link);
    }

    fn take_frames(&mut self, tx: &mut Shared, notified: bool) {
        let produced = tx.head(ring::REQ_PROD);
        let waiting = produced.wrapping_sub(tx.consumed);
        if self.wrongs == 0 {
            assert!(waiting <= RING, "the frontend overran");
            assert!(waiting == 0 || notified, "requests without an event");
        }
        if waiting > RING {
            return;
        }
        while tx.consumed != produced {
            let start = tx.consumed;
            if self.take_frame(tx, produced).is_none() {
                assert!(self.wrongs > 0, "a frame that makes no sense");
                tx.consumed = start.wrapping_add(1);
            }
        }
        tx.page.write_u32(ring::REQ_EVENT, tx.consumed.wrapping_add(1));
    }

    /// As Linux does it: the first slot has the whole size, an extra follows it.
    fn take_frame(&mut self, tx: &mut Shared, produced: u32) -> Option<()> {
        let next = |tx: &mut Shared| -> Option<[u8; TX_SLOT_SIZE]> {
            let slot = (tx.consumed != produced).then(|| tx.slot(tx.consumed))?;
            tx.consumed = tx.consumed.wrapping_add(1);
            Some(slot)
        };
        let first = TxRequest::read_from_bytes(&next(tx)?).unwrap();
        let flags = TxFlags::from_bits_retain(first.flags);
        let mut responses = vec![TxResponse { id: first.id, status: RSP_OKAY }];
        let mut segment = None;
        if flags.contains(TxFlags::EXTRA_INFO) {
            let (extra, _) = GsoExtra::read_from_prefix(&next(tx)?).unwrap();
            let known = extra.kind == EXTRA_TYPE_GSO && extra.gso == GSO_TYPE_TCPV4;
            if !known || extra.size == 0 || extra.flags != 0 {
                return None;
            }
            segment = Some(extra.size);
            responses.push(TxResponse { id: 0xffff, status: RSP_NULL });
        }
        let mut rest = Vec::new();
        let mut more = flags.contains(TxFlags::MORE_DATA);
        while more {
            let request = TxRequest::read_from_bytes(&next(tx)?).unwrap();
            more = TxFlags::from_bits_retain(request.flags).contains(TxFlags::MORE_DATA);
            responses.push(TxResponse { id: request.id, status: RSP_OKAY });
            rest.push(request);
        }
        let others: usize = rest.iter().map(|r| usize::from(r.size)).sum();
        let size = usize::from(first.size).checked_sub(others)?;
        let mut bytes = Vec::new();
        let first = TxRequest { size: size as u16, ..first };
        for request in [first].iter().chain(&rest) {
            let (offset, size) = (usize::from(request.offset), usize::from(request.size));
            let page = self.xen.map(DomId(self.domain), request.gref)?;
            let old = bytes.len();
            bytes.resize(old + size, 0);
            let copied = page.copy_out(offset, &mut bytes[old..]);
            self.xen.unmap(request.gref);
            if !copied {
                return None;
            }
        }
        self.largest = self.largest.max(bytes.len());
        let flags = (flags - (TxFlags::MORE_DATA | TxFlags::EXTRA_INFO)).bits();
        self.from_guest.push_back(Frame { bytes, flags, segment });
        self.kept.push(responses);
        Some(())
    }

    fn give_frame(&mut self, rx: &mut Shared, frame: &Frame) -> bool {
        let pages = frame.bytes.len().div_ceil(PAGE_SIZE).max(1);
        let slots = pages + usize::from(frame.segment.is_some());
        let posted = rx.head(ring::REQ_PROD).wrapping_sub(rx.consumed);
        if posted > RING || (posted as usize) < slots {
            return false;
        }
        self.most_slots = self.most_slots.max(slots);
        let empty = [&[][..]];
        let chunks: Vec<_> = frame.bytes.chunks(PAGE_SIZE).collect();
        let chunks = if chunks.is_empty() { &empty[..] } else { &chunks[..] };
        for (index, chunk) in chunks.iter().enumerate() {
            let request =
                RxRequest::read_from_bytes(&rx.slot::<RX_SLOT_SIZE>(rx.consumed)).unwrap();
            rx.consumed = rx.consumed.wrapping_add(1);
            // Somewhere in the page.
            let offset = self.random.below((PAGE_SIZE - chunk.len()) as u64 + 1) as usize;
            if let Some(page) = self.xen.map(DomId(self.domain), request.gref) {
                assert!(page.copy_in(offset, chunk));
                self.xen.unmap(request.gref);
            } else {
                assert!(self.wrongs > 0, "a page that is not granted");
            }
            let mut flags =
                if index == 0 { RxFlags::from_bits_retain(frame.flags) } else { RxFlags::empty() };
            flags.set(RxFlags::MORE_DATA, index + 1 < pages);
            flags.set(RxFlags::EXTRA_INFO, index == 0 && frame.segment.is_some());
            let mut response = RxResponse {
                id: request.id,
                offset: offset as u16,
                flags: flags.bits(),
                status: chunk.len() as i16,
            };
            if self.wrong(self.vices.wrong_id) {
                response.id = self.random.edge() as u16;
            }
            if self.wrong(self.vices.wrong_status) {
                response.status = self.random.edge() as i16;
            }
            if self.wrong(self.vices.wrong_offset) {
                response.offset = self.random.edge() as u16;
            }
            if self.wrong(self.vices.wrong_flags) {
                response.flags = self.random.edge() as u16;
            }
            self.respond(rx, response.as_bytes(), RX_SLOT_SIZE);
            if let Some(size) = frame.segment.filter(|_| index == 0) {
                rx.consumed = rx.consumed.wrapping_add(1);
                let extra = GsoExtra {
                    kind: EXTRA_TYPE_GSO,
                    size,
                    gso: GSO_TYPE_TCPV4,
                    ..GsoExtra::default()
                };
                self.respond(rx, extra.as_bytes(), RX_SLOT_SIZE);
            }
        }
        true
    }

    fn respond(&mut self, side: &mut Shared, bytes: &[u8], size: usize) {
        if self.wrong(self.vices.never) {
            return;
        }
        let mut bytes = bytes.to_vec();
        if size == TX_SLOT_SIZE && self.wrong(self.vices.wrong_id) {
            bytes[..2].copy_from_slice(&(self.random.edge() as u16).to_le_bytes());
        }
        if size == TX_SLOT_SIZE && self.wrong(self.vices.wrong_status) {
            bytes[2..].copy_from_slice(&(self.random.edge() as u16).to_le_bytes());
        }
        side.respond(size, &bytes);
        if self.wrong(self.vices.twice) {
            side.respond(size, &bytes);
        }
    }
}
