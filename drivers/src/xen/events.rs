//! Event channels without interrupts: every port stays masked, its pending bit is looked at, and
//! SCHEDOP_poll sleeps until one of them is set (xen/include/public/event_channel.h, 2-level).
use crate::xen::hypercall::Hypercalls;
use crate::xen::page::Page;
use crate::xen::{Port, XenError};
use alloc::vec::Vec;
use core::cell::RefCell;
use xen_sys::event_channel::STATUS_CLOSED;
use xen_sys::shared_info::{EVTCHN_MASK, EVTCHN_PENDING, EVTCHN_WORDS};

/// The ports that are open, and where their bits are.
pub struct Events {
    calls: Hypercalls,
    open: RefCell<Vec<u32>>,
}

impl Events {
    pub fn new(calls: Hypercalls, shared_info: &Page) -> Self {
        let events = Self { calls, open: RefCell::default() };
        events.begin(shared_info);
        events
    }

    /// Begins with no port, at first and when the domain went on as another.
    pub fn begin(&self, shared_info: &Page) {
        self.open.borrow_mut().clear();
        for word in 0..EVTCHN_WORDS {
            shared_info.write_u64(word_offset(EVTCHN_MASK, word), u64::MAX);
        }
    }

    /// Sleeps from now on until this port's events, too.
    pub fn add(&self, port: Port) {
        self.open.borrow_mut().push(port.0);
    }

    pub fn close(&self, port: Port) {
        self.open.borrow_mut().retain(|&p| p != port.0);
        if let Err(e) = self.calls.close(port) {
            log::warn!("event channel {} does not close: {e}", port.0);
        }
    }

    /// Whether the port's bit was set; clears it.
    pub fn take_pending(&self, shared_info: &Page, port: Port) -> bool {
        let Some((offset, bit)) = pending_bit(port) else {
            return false;
        };
        // A plain look first: an atomic write takes the cache line from Xen.
        shared_info.read_u64(offset).is_some_and(|word| word & bit != 0)
            && shared_info.clear_bits_u64(offset, bit).is_some_and(|word| word & bit != 0)
    }

    /// Sleeps until an open port is pending or until the deadline, in nanoseconds of system time.
    /// May return for no reason.
    pub fn sleep(&self, deadline: Option<u64>) {
        let result = self.calls.poll(&self.open.borrow(), deadline.map_or(0, |d| d.max(1)));
        if let Err(e) = result {
            // A port that was closed by itself makes every poll fail at once.
            self.drop_dead(e);
        }
    }

    fn drop_dead(&self, error: XenError) {
        let mut open = self.open.borrow_mut();
        let before = open.len();
        open.retain(|&port| self.calls.status(Port(port)).is_ok_and(|s| s != STATUS_CLOSED));
        if open.len() == before {
            log::error!("sleeping failed: {error}");
        }
    }
}

fn word_offset(array: usize, word: usize) -> usize {
    word.saturating_mul(size_of::<u64>()).saturating_add(array)
}

/// The offset of the port's word and the port's bit in it.
fn pending_bit(port: Port) -> Option<(usize, u64)> {
    let word = usize::try_from(port.0 / u64::BITS).ok().filter(|&w| w < EVTCHN_WORDS)?;
    Some((word_offset(EVTCHN_PENDING, word), 1 << (port.0 % u64::BITS)))
}
