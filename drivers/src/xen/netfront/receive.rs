//! The receive ring: pages that the backend fills with frames.
use crate::checksum;
use crate::xen::ring::{Broken, Ring};
use crate::xen::shared::Shared;
use alloc::vec;
use alloc::vec::Vec;
use xen_sys::PAGE_SIZE;
use xen_sys::netif::{EXTRA_FLAG_MORE, GsoExtra, RX_SLOT_SIZE, RxFlags, RxRequest, RxResponse};
use zerocopy::{FromZeros, IntoBytes, transmute};

/// Slots of one frame, its extras included: a frame of 64 KiB has 17 and one extra. A chain that
/// goes on and on is not a frame.
const MOST_SLOTS: usize = 24;

/// Ethernet's header: what a frame has beyond the MTU of IP.
pub const HEADER: usize = 14;
/// The largest frame: IP's 65535 bytes behind Ethernet's header.
const LARGEST: usize = 65_535 + HEADER;

pub struct Receive {
    ring: Ring,
    pages: Vec<Shared>,
    /// Which page was posted in a slot: the backend's ids are not asked.
    posted: Vec<Option<u16>>,
    /// The frame that is being put together.
    frame: Vec<u8>,
    progress: Progress,
    pub dropped: u64,
}

/// How much of a frame has come.
#[derive(Default)]
struct Progress {
    slots: usize,
    /// The next slot holds an extra.
    extra: bool,
    /// After that, another slot of data comes.
    more: bool,
    /// The backend has checked, or will never fill in, the TCP checksum.
    checked: bool,
    /// Not to be used.
    bad: bool,
}

impl Receive {
    /// Posts all pages at once.
    pub fn new(page: Shared, pages: Vec<Shared>) -> Option<Self> {
        let ring = Ring::new(vec![page], RX_SLOT_SIZE)?;
        let posted = vec![None; ring.slots() as usize];
        let count = u16::try_from(pages.len()).ok()?;
        let progress = Progress::default();
        let mut receive = Self { ring, pages, posted, frame: Vec::new(), progress, dropped: 0 };
        for page in 0..count {
            receive.post(page);
        }
        Some(receive)
    }

    pub fn grant(&self) -> u32 {
        self.ring.pages().first().map_or(0, |page| page.grant().0)
    }

    fn post(&mut self, page: u16) {
        let Some(shared) = self.pages.get(usize::from(page)) else { return };
        let request = RxRequest { id: page, pad: 0, gref: shared.grant().0 };
        // With no more pages than slots there is always a slot.
        if let Some(slot) = self.ring.push(request.as_bytes())
            && let Some(posted) = self.posted.get_mut(slot as usize)
        {
            *posted = Some(page);
        }
    }

    /// The next whole frame, if it has come. Give its memory back afterwards.
    pub fn frame(&mut self) -> Result<Option<Vec<u8>>, Broken> {
        let mut response = RxResponse::new_zeroed();
        while let Some(slot) = self.ring.pop(response.as_mut_bytes())? {
            let posted = self.posted.get_mut(slot as usize).and_then(Option::take);
            let page = posted.ok_or(Broken)?;
            let done = self.take(page, response);
            self.post(page);
            if !done? {
                continue;
            }
            let progress = core::mem::take(&mut self.progress);
            let frame = core::mem::take(&mut self.frame);
            if progress.bad || !(progress.checked || checksum::is_right(&frame)) {
                self.dropped = self.dropped.saturating_add(1);
                self.give_back(frame);
                continue;
            }
            return Ok(Some(frame));
        }
        Ok(None)
    }

    /// Takes one response; true when it was the last of its frame.
    fn take(&mut self, page: u16, response: RxResponse) -> Result<bool, Broken> {
        let first = self.progress.slots == 0;
        self.progress.slots = self.progress.slots.saturating_add(1);
        if self.progress.slots > MOST_SLOTS {
            return Err(Broken);
        }
        if self.progress.extra {
            // Nothing in it matters here: a large frame is taken as it is.
            let extra: GsoExtra = transmute!(response);
            self.progress.extra = extra.flags & EXTRA_FLAG_MORE != 0;
            return Ok(!self.progress.extra && !self.progress.more);
        }
        let flags = RxFlags::from_bits_retain(response.flags);
        self.progress.more = flags.contains(RxFlags::MORE_DATA);
        if first {
            self.progress.extra = flags.contains(RxFlags::EXTRA_INFO);
            self.progress.checked = flags.intersects(RxFlags::DATA_VALIDATED | RxFlags::CSUM_BLANK);
        }
        // A kind of large frame that was not asked for.
        self.progress.bad |= flags.contains(RxFlags::GSO_PREFIX);
        self.progress.bad |= !self.copy(page, response);
        Ok(!self.progress.extra && !self.progress.more)
    }

    /// Appends what a response is about to the frame; false when it is not right.
    fn copy(&mut self, page: u16, response: RxResponse) -> bool {
        let (offset, Ok(size)) = (usize::from(response.offset), usize::try_from(response.status))
        else {
            return false;
        };
        let old = self.frame.len();
        let new = old.saturating_add(size);
        if size == 0 || offset.saturating_add(size) > PAGE_SIZE || new > LARGEST {
            return false;
        }
        self.frame.resize(new, 0);
        let page = self.pages.get(usize::from(page));
        let room = self.frame.get_mut(old..);
        page.zip(room).is_some_and(|(page, room)| page.copy_out(offset, room))
    }

    pub fn give_back(&mut self, mut frame: Vec<u8>) {
        // Unless a part of the next frame has come.
        if self.progress.slots == 0 {
            frame.clear();
            self.frame = frame;
        }
    }

    /// True when the backend wants an event.
    #[must_use]
    pub fn publish(&mut self) -> bool {
        self.ring.publish()
    }

    /// Asks for an event at the next response; true when one is there.
    pub fn arm(&mut self) -> Result<bool, Broken> {
        self.ring.arm()
    }
}
