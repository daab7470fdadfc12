//! The transmit ring: frames that the backend takes.
use crate::checksum::Prepared;
use crate::xen::ring::{Broken, Ring};
use crate::xen::shared::Shared;
use alloc::vec;
use alloc::vec::Vec;
use log::debug;
use xen_sys::PAGE_SIZE;
use xen_sys::netif::{
    EXTRA_TYPE_GSO, GSO_TYPE_TCPV4, GsoExtra, RSP_NULL, TX_SLOT_SIZE, TxFlags, TxRequest,
    TxResponse,
};
use zerocopy::{FromZeros, IntoBytes};

/// The largest frame in bytes: 15 slots. A backend must take 18 (XEN_NETIF_NR_SLOTS_MIN), and its
/// limit for the frame is that of IP.
pub const LARGEST: usize = 15 * PAGE_SIZE;

pub struct Transmit {
    ring: Ring,
    /// A page's index is the id of its request.
    pages: Vec<Shared>,
    free: Vec<u16>,
    /// Which pages the backend has.
    sent: Vec<bool>,
    /// The most that one frame may take, in pages.
    most: usize,
    pub dropped: u64,
}

impl Transmit {
    /// `scatter`: the backend takes frames in several slots (feature-sg).
    pub fn new(page: Shared, pages: Vec<Shared>, scatter: bool) -> Option<Self> {
        let ring = Ring::new(vec![page], TX_SLOT_SIZE)?;
        let count = u16::try_from(pages.len()).ok()?;
        let most = if scatter { LARGEST / PAGE_SIZE } else { 1 };
        let sent = vec![false; pages.len()];
        Some(Self { ring, pages, free: (0..count).collect(), sent, most, dropped: 0 })
    }

    pub fn grant(&self) -> u32 {
        self.ring.pages().first().map_or(0, |page| page.grant().0)
    }

    /// Whether any frame that this interface may send has room.
    pub fn has_room(&self) -> bool {
        self.room() >= self.most
    }

    /// Pages that could be sent now in one frame, with the slot of its extra.
    fn room(&self) -> usize {
        self.free.len().min((self.ring.free() as usize).saturating_sub(1))
    }

    /// Queues a frame; one that has no room or is too large is dropped, as on any network.
    ///
    /// `prepared`: whether the backend completes the TCP checksum. `segment`: it also cuts the frame into
    /// segments with so many bytes of data each.
    pub fn send(&mut self, frame: &[u8], prepared: Prepared, segment: Option<u16>) {
        let slots = frame.len().div_ceil(PAGE_SIZE);
        if slots == 0 || slots > self.most || slots > self.room() {
            self.dropped = self.dropped.saturating_add(1);
            return;
        }
        // Segmentation needs the checksum of every segment to be filled in.
        let segment = segment.filter(|_| prepared == Prepared::Partial { v6: false });
        let mut flags = match prepared {
            Prepared::Whole => TxFlags::empty(),
            Prepared::Partial { .. } => TxFlags::CSUM_BLANK | TxFlags::DATA_VALIDATED,
        };
        for (index, bytes) in frame.chunks(PAGE_SIZE).enumerate() {
            let first = index == 0;
            let more = index.saturating_add(1) < slots;
            flags.set(TxFlags::MORE_DATA, more);
            flags.set(TxFlags::EXTRA_INFO, first && segment.is_some());
            let size = if first { frame.len() } else { bytes.len() };
            self.push(bytes, flags, u16::try_from(size).unwrap_or(u16::MAX));
            if let Some(size) = segment.filter(|_| first) {
                let extra = GsoExtra {
                    kind: EXTRA_TYPE_GSO,
                    size,
                    gso: GSO_TYPE_TCPV4,
                    ..GsoExtra::default()
                };
                self.ring.push(extra.as_bytes());
            }
            // Those of the frame stand in its first slot.
            flags = TxFlags::empty();
        }
    }

    fn push(&mut self, bytes: &[u8], flags: TxFlags, size: u16) {
        let Some(id) = self.free.pop() else { return };
        let Some(page) = self.pages.get(usize::from(id)) else { return };
        page.copy_in(0, bytes);
        let gref = page.grant().0;
        let request = TxRequest { gref, offset: 0, flags: flags.bits(), id, size };
        self.ring.push(request.as_bytes());
        if let Some(sent) = self.sent.get_mut(usize::from(id)) {
            *sent = true;
        }
    }

    /// Takes back the pages that the backend is done with; true when there were some.
    pub fn reclaim(&mut self) -> Result<bool, Broken> {
        let mut response = TxResponse::new_zeroed();
        let mut moved = false;
        while self.ring.pop(response.as_mut_bytes())?.is_some() {
            moved = true;
            // The slot of an extra: its id means nothing.
            if response.status == RSP_NULL {
                continue;
            }
            let sent = self.sent.get_mut(usize::from(response.id)).ok_or(Broken)?;
            if !core::mem::take(sent) {
                return Err(Broken);
            }
            self.free.push(response.id);
            if response.status < 0 {
                debug!("a frame was not sent: status {}", response.status);
                self.dropped = self.dropped.saturating_add(1);
            }
        }
        Ok(moved)
    }

    /// Whether the backend has frames that it has not answered.
    pub fn is_waiting(&self) -> bool {
        self.ring.is_waiting()
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
