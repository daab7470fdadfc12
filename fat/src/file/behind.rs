//! What was written to a file and is not on the disk yet: runs of bytes in memory, and what is in
//! flight from there.
use crate::DeviceError;
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::ops::Range;
use core::task::Waker;

/// What the runs of all files of a volume hold together.
#[derive(Debug, Default)]
pub(crate) struct Held {
    /// Those in flight included.
    pub(crate) bytes: Cell<usize>,
    pub(crate) flights: Cell<usize>,
    /// Who waits for a flight to end.
    pub(crate) waiting: RefCell<Vec<Waker>>,
}

/// A part of the bytes held, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    held: Rc<Held>,
    bytes: usize,
}

impl Share {
    fn set(&mut self, bytes: usize) {
        let others = self.held.bytes.get().saturating_sub(self.bytes);
        self.held.bytes.set(others.saturating_add(bytes));
        self.bytes = bytes;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// What a run costs besides its bytes: its file is kept too.
const RUN: usize = 512;

/// Neighbouring bytes of a file.
#[derive(Debug)]
pub(crate) struct Run {
    /// Where they belong in the file.
    pub(crate) at: u64,
    pub(crate) data: Vec<u8>,
    /// The file's size before them: what the disk has behind it is not kept.
    pub(crate) valid: u64,
    /// Nothing is added any more.
    full: bool,
    pub(crate) share: Share,
}

impl Run {
    fn new(at: u64, valid: u64, held: &Rc<Held>) -> Self {
        let share = Share { held: held.clone(), bytes: 0 };
        Self { at, data: Vec::new(), valid, full: false, share }
    }

    pub(crate) fn range(&self) -> Range<u64> {
        self.at..self.at.saturating_add(self.data.len() as u64)
    }

    /// Writes over what is there and adds the rest. `at` is inside or at the end.
    fn put(&mut self, at: u64, data: &[u8]) {
        let start = usize::try_from(at.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let there = self.data.get_mut(start..).unwrap_or_default();
        let (over, more) = data.split_at(data.len().min(there.len()));
        if let Some(there) = there.get_mut(..over.len()) {
            there.copy_from_slice(over);
        }
        self.data.extend_from_slice(more);
        self.share.set(self.data.len().saturating_add(RUN));
    }
}

/// What of one file is not on the disk yet.
#[derive(Debug, Default)]
pub(crate) struct Behind {
    /// In the order in which they were written; only the last one grows.
    runs: RefCell<VecDeque<Run>>,
    /// Bytes of the file whose sectors are in flight.
    flights: RefCell<Vec<Range<u64>>>,
    /// Counts what was accepted and could not be written.
    failures: Cell<u32>,
    failure: Cell<Option<DeviceError>>,
}

impl Behind {
    pub(crate) fn is_empty(&self) -> bool {
        self.runs.borrow().is_empty() && self.flights.borrow().is_empty()
    }

    /// Whether nothing waits in memory; something may be in flight.
    pub(crate) fn has_no_runs(&self) -> bool {
        self.runs.borrow().is_empty()
    }

    /// Adds `data` at byte `at`, to runs that end where a multiple of `limit` bytes of the file
    /// does. `valid` is the file's size so far.
    pub(crate) fn push(&self, at: u64, data: &[u8], valid: u64, limit: u64, held: &Rc<Held>) {
        let (mut at, mut data) = (at, data);
        let mut runs = self.runs.borrow_mut();
        while !data.is_empty() {
            let boundary = (at / limit.max(1)).saturating_add(1).saturating_mul(limit);
            let room = usize::try_from(boundary.saturating_sub(at)).unwrap_or(usize::MAX);
            let (part, rest) = data.split_at(data.len().min(room));
            let fits = |run: &Run| !run.full && run.at <= at && at <= run.range().end;
            if !runs.back().is_some_and(fits) {
                runs.iter_mut().for_each(|run| run.full = true);
                runs.push_back(Run::new(at, valid, held));
            }
            if let Some(run) = runs.back_mut() {
                run.put(at, part);
                run.full = run.range().end >= boundary;
            }
            at = at.saturating_add(part.len() as u64);
            data = rest;
        }
    }

    /// Whether there is a run to be written: a full one, or with `all` any.
    pub(crate) fn is_due(&self, all: bool) -> bool {
        self.runs.borrow().front().is_some_and(|run| all || run.full)
    }

    /// The oldest run that is due, unless sectors of it are in flight.
    pub(crate) fn pop(&self, all: bool, sector: u64) -> Option<Run> {
        let mut runs = self.runs.borrow_mut();
        let run = runs.front().filter(|run| all || run.full)?;
        if self.flies(&run.range(), sector) { None } else { runs.pop_front() }
    }

    pub(crate) fn holds(&self, range: &Range<u64>) -> bool {
        self.runs.borrow().iter().any(|run| overlap(&run.range(), range))
    }

    /// Whether sectors of `range` are in flight.
    pub(crate) fn flies(&self, range: &Range<u64>, sector: u64) -> bool {
        let sectors = |range: &Range<u64>| {
            let end = range.end.checked_next_multiple_of(sector).unwrap_or(u64::MAX);
            range.start / sector.max(1) * sector..end
        };
        let own = sectors(range);
        self.flights.borrow().iter().any(|other| overlap(&sectors(other), &own))
    }

    /// Forgets what lies behind the new end of the file.
    pub(crate) fn cut(&self, len: u64) {
        let mut runs = self.runs.borrow_mut();
        runs.retain(|run| run.at < len);
        for run in runs.iter_mut() {
            let left = len.saturating_sub(run.at);
            run.data.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            run.share.set(run.data.len().saturating_add(RUN));
            run.valid = run.valid.min(len);
        }
    }

    /// Notes that sectors of `range` are in flight.
    pub(crate) fn depart(&self, range: Range<u64>) {
        self.flights.borrow_mut().push(range);
    }

    /// Notes that they no longer are.
    pub(crate) fn arrive(&self, range: &Range<u64>) {
        let mut flights = self.flights.borrow_mut();
        if let Some(at) = flights.iter().position(|other| other == range) {
            flights.swap_remove(at);
        }
    }

    pub(crate) fn failures(&self) -> u32 {
        self.failures.get()
    }

    /// What happened last, when there were more failures than `seen`.
    pub(crate) fn failed_since(&self, seen: u32) -> Option<DeviceError> {
        self.failure.get().filter(|_| self.failures.get() != seen)
    }

    pub(crate) fn fail(&self, error: DeviceError) {
        self.failures.set(self.failures.get().wrapping_add(1));
        self.failure.set(Some(error));
    }
}

fn overlap(a: &Range<u64>, b: &Range<u64>) -> bool {
    a.start < b.end && b.start < a.end
}
