//! One connection to a backend: the ring, the requests in flight and their pages.
use super::pool::Pool;
use crate::xen::bus::BusError;
use crate::xen::ring::{Broken, Ring};
use crate::xen::shared::{Channel, Shared};
use crate::xen::{DomId, GrantRef, Port, Xen};
use alloc::rc::Rc;
use alloc::vec::Vec;
use xen_sys::PAGE_SIZE;
use xen_sys::blkif::{
    INDIRECT_PAGES, IndirectRequest, OP_INDIRECT, Request, Response, SECTOR_SIZE, SEGMENTS,
    SLOT_SIZE, Segment,
};
use zerocopy::{FromZeros, IntoBytes};

/// Two pages hold 64 requests: more than the pool has pages for when they are large.
pub const MAX_RING_ORDER: u32 = 1;

/// Pages of one request: with larger ones fewer would overlap within the pool.
pub const MAX_SEGMENTS: usize = 32;

/// Rounds of responses in one turn.
const ROUNDS: usize = 4;

pub struct Link {
    // Before the ring: no event comes for a ring that is gone.
    channel: Channel,
    ring: Ring,
    pool: Pool,
    handle: u16,
    generation: u64,
    /// Pages that a request may move; 0 before the backend is connected.
    segments: usize,
    flights: Vec<Option<Flight>>,
    /// The number of the latest request.
    last: u32,
    failed: bool,
}

/// A request that the backend has.
struct Flight {
    id: u64,
    pages: Vec<Shared>,
    /// What the backend answered.
    status: Option<i16>,
    /// Whether somebody waits for the answer.
    wanted: bool,
}

/// Names a request: the connection, the place and the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    place: usize,
    id: u64,
}

/// Why a request cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Not now.
    Full,
    /// Never with so many pages: `most` is smaller now.
    TooLarge,
    /// Never: there is no memory for a single page.
    NoMemory,
}

impl Link {
    pub fn new(
        xen: &Rc<dyn Xen>,
        remote: DomId,
        order: u32,
        handle: u16,
        generation: u64,
    ) -> Result<Self, BusError> {
        let pages = 1usize.checked_shl(order).unwrap_or(1);
        let pages: Result<_, _> = (0..pages).map(|_| Shared::new(xen, remote, false)).collect();
        let ring = Ring::new(pages?, SLOT_SIZE).ok_or(BusError::Backend("no room for a ring"))?;
        let channel = Channel::new(xen, remote)?;
        let flights = (0..ring.slots()).map(|_| None).collect();
        let pool = Pool::new(xen.clone(), remote);
        let (segments, last, failed) = (0, 0, false);
        Ok(Self { channel, ring, pool, handle, generation, segments, flights, last, failed })
    }

    pub fn port(&self) -> Port {
        self.channel.port()
    }

    /// The grants of the ring's pages.
    pub fn grants(&self) -> impl Iterator<Item = GrantRef> {
        self.ring.pages().iter().map(Shared::grant)
    }

    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The backend is connected and takes requests of so many pages.
    pub fn open(&mut self, segments: usize) {
        self.segments = segments;
    }

    pub fn is_open(&self) -> bool {
        self.segments > 0 && !self.failed
    }

    pub fn has_failed(&self) -> bool {
        self.failed
    }

    /// Bytes that one request may move.
    pub fn most(&self) -> usize {
        // One page less than there are, for the list of an indirect request.
        let pages = self.pool.most().saturating_sub(1).clamp(1, self.segments.max(1));
        pages.saturating_mul(PAGE_SIZE)
    }

    /// Makes a request for `length` bytes, at most `most`, from sector `sector` on, a sector being
    /// 512 bytes. `fill` puts the data to be written into each page, with the offset in the data.
    pub fn submit(
        &mut self,
        operation: u8,
        sector: u64,
        length: usize,
        fill: impl Fn(&Shared, usize),
    ) -> Result<Ticket, Refusal> {
        let place = self.flights.iter().position(Option::is_none).ok_or(Refusal::Full)?;
        if self.ring.free() == 0 {
            return Err(Refusal::Full);
        }
        let count = length.div_ceil(PAGE_SIZE);
        // The last page is that of an indirect request's segments.
        let needed = if count > SEGMENTS { count.saturating_add(1) } else { count };
        let pages = self.pool.take(needed).map_err(|_| match self.pool.most() {
            0 => Refusal::NoMemory,
            _ => Refusal::TooLarge,
        })?;
        let pages = pages.ok_or(Refusal::Full)?;
        let segments = pages.iter().take(count).enumerate().map(|(i, page)| {
            let start = i.saturating_mul(PAGE_SIZE);
            fill(page, start);
            let bytes = length.saturating_sub(start).min(PAGE_SIZE);
            let last_sector = (bytes / SECTOR_SIZE).saturating_sub(1) as u8;
            Segment { gref: page.grant().0, first_sector: 0, last_sector, pad: 0 }
        });
        let segments: Vec<Segment> = segments.collect();
        self.last = self.last.wrapping_add(1);
        let id = u64::from(self.last) << 32 | place as u64;
        match pages.get(count) {
            None => self.push_direct(operation, sector, id, &segments),
            Some(list) => self.push_indirect(operation, sector, id, &segments, list),
        }
        let flight = Flight { id, pages, status: None, wanted: true };
        if let Some(entry) = self.flights.get_mut(place) {
            *entry = Some(flight);
        }
        Ok(Ticket { place, id })
    }

    fn push_direct(&mut self, operation: u8, sector: u64, id: u64, segments: &[Segment]) {
        let mut request = Request::new_zeroed();
        request.operation = operation;
        request.segment_count = segments.len() as u8;
        request.handle = self.handle;
        request.id = id;
        request.sector = sector;
        for (to, from) in request.segments.iter_mut().zip(segments) {
            *to = *from;
        }
        self.ring.push(request.as_bytes());
    }

    fn push_indirect(
        &mut self,
        operation: u8,
        sector: u64,
        id: u64,
        segments: &[Segment],
        list: &Shared,
    ) {
        list.copy_in(0, segments.as_bytes());
        let mut request = IndirectRequest::new_zeroed();
        request.operation = OP_INDIRECT;
        request.indirect_operation = operation;
        request.segment_count = segments.len() as u16;
        request.id = id;
        request.sector = sector;
        request.handle = self.handle;
        request.pages = [0; INDIRECT_PAGES];
        request.pages[0] = list.grant().0;
        self.ring.push(request.as_bytes());
    }

    /// The answer to a request, once: its status. `take` copies the data read out of each page,
    /// with the offset in the data.
    pub fn answer(&mut self, ticket: Ticket, mut take: impl FnMut(&Shared, usize)) -> Option<i16> {
        let entry = self.flights.get_mut(ticket.place)?;
        let status = entry.as_ref().filter(|f| f.id == ticket.id)?.status?;
        for (i, page) in entry.take()?.pages.into_iter().enumerate() {
            take(&page, i.saturating_mul(PAGE_SIZE));
            self.pool.give_back([page]);
        }
        Some(status)
    }

    /// Nobody waits for this request any more. The backend may still use its pages.
    pub fn forget(&mut self, ticket: Ticket) {
        let Some(entry) = self.flights.get_mut(ticket.place) else {
            return;
        };
        match entry {
            Some(flight) if flight.id == ticket.id && flight.status.is_none() => {
                flight.wanted = false;
            }
            Some(flight) if flight.id == ticket.id => {
                self.pool.give_back(entry.take().into_iter().flat_map(|f| f.pages));
            }
            _ => (),
        }
    }

    /// Takes responses and sends requests; true when a response came.
    pub fn poll(&mut self) -> bool {
        if self.failed {
            return false;
        }
        self.channel.take_pending();
        if self.ring.publish() {
            self.channel.notify();
        }
        self.receive().unwrap_or_else(|Broken| {
            log::error!("disk {}: the backend does not keep to the protocol", self.handle);
            self.failed = true;
            true
        })
    }

    fn receive(&mut self) -> Result<bool, Broken> {
        let mut moved = false;
        for _ in 0..ROUNDS {
            let mut response = Response::new_zeroed();
            while self.ring.pop(response.as_mut_bytes())?.is_some() {
                self.take_response(response)?;
                moved = true;
            }
            if !self.ring.arm()? {
                break;
            }
        }
        Ok(moved)
    }

    /// The response's operation is not looked at: backends differ for indirect requests.
    fn take_response(&mut self, response: Response) -> Result<(), Broken> {
        let place = (response.id & u64::from(u32::MAX)) as usize;
        let entry = self.flights.get_mut(place).ok_or(Broken)?;
        let flight = entry.as_mut().filter(|f| f.id == response.id).ok_or(Broken)?;
        if flight.status.is_some() {
            return Err(Broken);
        }
        flight.status = Some(response.status);
        if !flight.wanted {
            self.pool.give_back(entry.take().into_iter().flat_map(|f| f.pages));
        }
        Ok(())
    }
}
