//! The frontend's end of a shared ring (xen/include/public/io/ring.h): requests go out, responses
//! come back. The other side is not trusted: its indexes are copied once and checked.
use crate::xen::shared::Shared;
use alloc::vec::Vec;
use core::sync::atomic::{Ordering, fence};
use xen_sys::{PAGE_SIZE, ring};

/// A ring of one or more pages.
///
/// Invariant: `consumed` <= `published` <= `produced` <= `consumed` + `slots`, in the arithmetic of
/// indexes that wrap.
pub struct Ring {
    pages: Vec<Shared>,
    slot_size: usize,
    slots: u32,
    /// Requests written, and those of them that the other side was shown.
    produced: u32,
    published: u32,
    /// Responses taken.
    consumed: u32,
}

/// The other side claims more responses than there are requests: it cannot be worked with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken;

impl Ring {
    /// A new ring in zeroed pages, with slots of `slot_size` bytes. None when a page has no room
    /// for a slot.
    pub fn new(pages: Vec<Shared>, slot_size: usize) -> Option<Self> {
        let room = pages.len().checked_mul(PAGE_SIZE)?.checked_sub(ring::SLOTS)?;
        let slots = room.checked_div(slot_size)?.checked_ilog2()?;
        let ring =
            Self { pages, slot_size, slots: 1 << slots, produced: 0, published: 0, consumed: 0 };
        ring.write(ring::REQ_PROD, 0);
        ring.write(ring::REQ_EVENT, 1);
        ring.write(ring::RSP_PROD, 0);
        ring.write(ring::RSP_EVENT, 1);
        Some(ring)
    }

    /// The ring's pages in order, for the grant references that the other side is told.
    pub fn pages(&self) -> &[Shared] {
        &self.pages
    }

    pub fn slots(&self) -> u32 {
        self.slots
    }

    /// How many requests can be pushed now.
    pub fn free(&self) -> u32 {
        self.slots.saturating_sub(self.produced.wrapping_sub(self.consumed))
    }

    /// Whether the other side has requests that it has not answered.
    pub fn is_waiting(&self) -> bool {
        self.published != self.consumed
    }

    /// Puts a request in the next slot and says which one, counted from 0 to `slots`. None when
    /// the ring is full or the request longer than a slot. The other side does not see it before
    /// `publish`.
    pub fn push(&mut self, request: &[u8]) -> Option<u32> {
        if self.free() == 0 || request.len() > self.slot_size {
            return None;
        }
        let slot = self.slot(self.produced);
        self.copy_in(self.place(slot)?, request)?;
        self.produced = self.produced.wrapping_add(1);
        Some(slot)
    }

    /// Shows the other side all requests pushed; true when it wants an event for them.
    #[must_use]
    pub fn publish(&mut self) -> bool {
        let (old, new) = (self.published, self.produced);
        if old == new {
            return false;
        }
        // The requests before their index.
        fence(Ordering::SeqCst);
        self.write(ring::REQ_PROD, new);
        self.published = new;
        // The index before the look at what the other side waits for: it writes and looks in the
        // opposite order, so one of the two sees the other.
        fence(Ordering::SeqCst);
        let event = self.read(ring::REQ_EVENT);
        new.wrapping_sub(event) < new.wrapping_sub(old)
    }

    /// Copies the next response and says in which slot it was.
    pub fn pop(&mut self, response: &mut [u8]) -> Result<Option<u32>, Broken> {
        if self.waiting()? == 0 {
            return Ok(None);
        }
        // The index before the response.
        fence(Ordering::SeqCst);
        let slot = self.slot(self.consumed);
        let place = self.place(slot).filter(|_| response.len() <= self.slot_size).ok_or(Broken)?;
        self.copy_out(place, response).ok_or(Broken)?;
        self.consumed = self.consumed.wrapping_add(1);
        Ok(Some(slot))
    }

    /// Asks for an event at the next response; true when one is there already, and no event would
    /// come for it.
    pub fn arm(&mut self) -> Result<bool, Broken> {
        self.write(ring::RSP_EVENT, self.consumed.wrapping_add(1));
        fence(Ordering::SeqCst);
        Ok(self.waiting()? > 0)
    }

    /// Responses that wait.
    fn waiting(&self) -> Result<u32, Broken> {
        let waiting = self.read(ring::RSP_PROD).wrapping_sub(self.consumed);
        let most = self.published.wrapping_sub(self.consumed);
        if waiting > most { Err(Broken) } else { Ok(waiting) }
    }

    fn slot(&self, index: u32) -> u32 {
        // `slots` is a power of two.
        index & self.slots.saturating_sub(1)
    }

    /// The offset of a slot in the ring's pages.
    fn place(&self, slot: u32) -> Option<usize> {
        usize::try_from(slot).ok()?.checked_mul(self.slot_size)?.checked_add(ring::SLOTS)
    }

    /// Slots of rings of several pages may cross from one to the next.
    fn copy_in(&self, place: usize, from: &[u8]) -> Option<()> {
        let (page, offset) = (place / PAGE_SIZE, place % PAGE_SIZE);
        let (first, second) = from.split_at(from.len().min(PAGE_SIZE.saturating_sub(offset)));
        let copied = self.pages.get(page)?.copy_in(offset, first)
            && (second.is_empty() || self.pages.get(page.checked_add(1)?)?.copy_in(0, second));
        copied.then_some(())
    }

    fn copy_out(&self, place: usize, to: &mut [u8]) -> Option<()> {
        let (page, offset) = (place / PAGE_SIZE, place % PAGE_SIZE);
        let (first, second) = to.split_at_mut(to.len().min(PAGE_SIZE.saturating_sub(offset)));
        let copied = self.pages.get(page)?.copy_out(offset, first)
            && (second.is_empty() || self.pages.get(page.checked_add(1)?)?.copy_out(0, second));
        copied.then_some(())
    }

    fn read(&self, offset: usize) -> u32 {
        let page = self.pages.first().and_then(Shared::page);
        page.and_then(|p| p.read_u32(offset)).unwrap_or_default()
    }

    fn write(&self, offset: usize, value: u32) {
        if let Some(page) = self.pages.first().and_then(Shared::page) {
            page.write_u32(offset, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xen::fake::FakeXen;
    use crate::xen::{DomId, Xen};
    use alloc::rc::Rc;

    fn ring(pages: usize, slot_size: usize) -> Ring {
        let xen: Rc<dyn Xen> = Rc::new(FakeXen::default());
        let page = || Shared::new(&xen, DomId(0), false).unwrap();
        Ring::new((0..pages).map(|_| page()).collect(), slot_size).unwrap()
    }

    /// The other side: answers what it was shown with the same bytes.
    fn echo(ring: &Ring) {
        ring.write(ring::RSP_PROD, ring.read(ring::REQ_PROD));
    }

    #[test]
    fn slots_are_as_many_as_the_header_file_says() {
        for (pages, slot_size, slots) in
            [(1, 112, 32), (2, 112, 64), (16, 112, 512), (1, 12, 256), (1, 8, 256)]
        {
            assert_eq!(ring(pages, slot_size).slots(), slots);
        }
    }

    #[test]
    fn records_arrive_whole_and_in_order_when_indexes_wrap() {
        for (pages, slot_size) in [(1, 112), (2, 112), (4, 112), (1, 12), (1, 8)] {
            let mut ring = ring(pages, slot_size);
            let start = u32::MAX - 700;
            (ring.produced, ring.published, ring.consumed) = (start, start, start);
            ring.write(ring::REQ_PROD, start);
            ring.write(ring::RSP_PROD, start);
            let record =
                |n: u32| -> Vec<u8> { (0..slot_size as u32).map(|i| (n + i) as u8).collect() };
            let (mut sent, mut seen) = (0, 0);
            while seen < 2000 {
                while let Some(slot) = ring.push(&record(sent)) {
                    assert_eq!(slot, start.wrapping_add(sent) % ring.slots());
                    sent += 1;
                }
                assert_eq!(sent - seen, ring.slots());
                let _ = ring.publish();
                echo(&ring);
                let mut response = vec![0; slot_size];
                for _ in 0..5 {
                    ring.pop(&mut response).unwrap().unwrap();
                    assert_eq!(response, record(seen));
                    seen += 1;
                }
            }
        }
    }

    #[test]
    fn events_are_sent_when_they_are_asked_for() {
        let mut ring = ring(1, 112);
        assert!(!ring.publish());
        ring.push(&[1]).unwrap();
        ring.push(&[2]).unwrap();
        assert!(ring.publish(), "the first request");
        ring.push(&[3]).unwrap();
        assert!(!ring.publish(), "the other side did not ask again");
        ring.write(ring::REQ_EVENT, 4);
        ring.push(&[4]).unwrap();
        assert!(ring.publish());
        assert_eq!(ring.arm(), Ok(false));
        assert_eq!(ring.read(ring::RSP_EVENT), 1);
        echo(&ring);
        assert_eq!(ring.arm(), Ok(true));
    }

    #[test]
    fn an_index_that_runs_ahead_breaks_the_ring() {
        let mut random = crate::xen::fake::random::Random::new(1);
        for _ in 0..10_000 {
            let mut ring = ring(1, 112);
            let requests = random.below(33) as u32;
            (0..requests).for_each(|_| assert!(ring.push(&[0; 112]).is_some()));
            let _ = ring.publish();
            let claimed = random.edge();
            ring.write(ring::RSP_PROD, claimed);
            ring.write(ring::REQ_EVENT, random.edge());
            let mut responses = 0;
            let broken = loop {
                match ring.pop(&mut [0; 16]) {
                    Ok(Some(_)) => responses += 1,
                    Ok(None) => break false,
                    Err(Broken) => break true,
                }
            };
            assert_eq!(broken, claimed > requests);
            assert_eq!(responses, if broken { 0 } else { claimed });
        }
    }

    #[test]
    fn nothing_longer_than_a_slot_is_taken() {
        let mut ring = ring(1, 8);
        assert_eq!(ring.push(&[0; 9]), None);
        ring.push(&[0; 8]).unwrap();
        let _ = ring.publish();
        echo(&ring);
        assert_eq!(ring.pop(&mut [0; 9]), Err(Broken));
    }
}
