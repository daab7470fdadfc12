//! A vchan's pages, ours or another domain's.
use crate::xen::page::Page;
use crate::xen::shared::{Channel, Mapped, Shared};
use alloc::vec::Vec;
use core::sync::atomic::{Ordering, fence};
use qubes::vchan::{Memory, Place};
use xen_sys::PAGE_SIZE;

pub enum Frame {
    Ours(Shared),
    Theirs(Mapped),
}

impl Frame {
    /// None when it must not be written to.
    fn page(&self) -> Option<&Page> {
        match self {
            Self::Ours(shared) => shared.page(),
            Self::Theirs(mapped) => mapped.page(),
        }
    }

    fn copy_out(&self, offset: usize, to: &mut [u8]) {
        match self {
            Self::Ours(shared) => shared.copy_out(offset, to),
            Self::Theirs(mapped) => mapped.copy_out(offset, to),
        };
    }

    fn copy_in(&self, offset: usize, from: &[u8]) {
        if let Some(page) = self.page() {
            page.copy_in(offset, from);
        }
    }
}

/// One ring: where it lies, and its pages if it has any of its own.
pub struct Ring {
    pub place: Place,
    pub pages: Vec<Frame>,
}

/// The event channel before the pages: it is closed before they go.
pub struct Pages {
    pub channel: Channel,
    pub first: Frame,
    /// The ring that we read, and the one that we write.
    pub read: Ring,
    pub write: Ring,
}

impl Pages {
    /// The page and the offset in it of byte `offset` of a ring.
    fn locate<'a>(&'a self, ring: &'a Ring, offset: usize) -> Option<(&'a Frame, usize)> {
        match ring.place {
            Place::First(start) => Some((&self.first, start.checked_add(offset)?)),
            Place::Pages(_) => {
                let frame = ring.pages.get(offset / PAGE_SIZE)?;
                Some((frame, offset % PAGE_SIZE))
            }
        }
    }
}

impl Memory for Pages {
    fn read_u32(&self, field: usize) -> u32 {
        self.first.page().and_then(|page| page.read_u32(field)).unwrap_or_default()
    }

    fn write_u32(&self, field: usize, value: u32) {
        self.first.page().map(|page| page.write_u32(field, value));
    }

    fn read_u8(&self, field: usize) -> u8 {
        self.first.page().and_then(|page| page.read_u8(field)).unwrap_or_default()
    }

    fn write_u8(&self, field: usize, value: u8) {
        self.first.page().map(|page| page.write_u8(field, value));
    }

    fn set_bits(&self, field: usize, bits: u8) {
        self.first.page().and_then(|page| page.set_bits_u8(field, bits));
    }

    fn clear_bits(&self, field: usize, bits: u8) -> u8 {
        self.first.page().and_then(|page| page.clear_bits_u8(field, bits)).unwrap_or_default()
    }

    fn copy_out(&self, offset: usize, to: &mut [u8]) {
        let mut at = offset;
        let mut rest = to;
        while !rest.is_empty() {
            let Some((frame, within)) = self.locate(&self.read, at) else { return };
            let n = rest.len().min(PAGE_SIZE.saturating_sub(within));
            let (piece, after) = rest.split_at_mut(n);
            frame.copy_out(within, piece);
            at = at.saturating_add(n);
            rest = after;
        }
    }

    fn copy_in(&self, offset: usize, from: &[u8]) {
        let mut at = offset;
        let mut rest = from;
        while !rest.is_empty() {
            let Some((frame, within)) = self.locate(&self.write, at) else { return };
            let n = rest.len().min(PAGE_SIZE.saturating_sub(within));
            let (piece, after) = rest.split_at(n);
            frame.copy_in(within, piece);
            at = at.saturating_add(n);
            rest = after;
        }
    }

    fn fence(&self) {
        fence(Ordering::SeqCst);
    }

    fn notify(&self) {
        self.channel.notify();
    }
}
