//! A read, a write or a flush of any length: the requests that it takes, in flight together.
use super::disk::Disk;
use super::geometry::Flush;
use super::link::{Link, Refusal, Ticket};
use crate::data::Data;
use crate::xen::shared::Shared;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::future::Future;
use core::ops::Range;
use core::pin::Pin;
use core::task::{Context, Poll};
use fat::DeviceError;
use xen_sys::PAGE_SIZE;
use xen_sys::blkif::{
    OP_FLUSH_DISKCACHE, OP_READ, OP_WRITE, OP_WRITE_BARRIER, RSP_EOPNOTSUPP, RSP_OKAY, SECTOR_SIZE,
};

pub struct Transfer<'d> {
    disk: &'d Disk,
    /// On the disk, in bytes.
    offset: u64,
    data: Data<'d>,
    /// Parts of `data` that no request was made for.
    todo: VecDeque<Range<usize>>,
    flights: Vec<(Ticket, Range<usize>)>,
    /// The connection that has the flights.
    generation: u64,
    /// In the queue for requests.
    place: u64,
    error: Option<DeviceError>,
}

impl<'d> Transfer<'d> {
    /// The range was checked.
    pub fn new(disk: &'d Disk, offset: u64, data: Data<'d>) -> Self {
        let todo = core::iter::once(0..data.len()).collect();
        let place = disk.queue.ticket();
        let flights = Vec::new();
        Self { disk, offset, data, todo, flights, generation: 0, place, error: None }
    }

    /// What the connection that was lost had is done again.
    fn take_up(&mut self, generation: u64) {
        if self.generation != generation {
            self.generation = generation;
            self.todo.extend(self.flights.drain(..).map(|(_, range)| range));
        }
    }

    fn collect(&mut self, link: &mut Link) {
        let Self { flights, data, error, disk, .. } = self;
        let before = flights.len();
        flights.retain(|(ticket, range)| {
            let status = link.answer(*ticket, |page, start| {
                if let Data::Read(data) = data {
                    copy_out(page, start, data.get_mut(range.clone()).unwrap_or_default());
                }
            });
            match (status, &data) {
                (None, _) => return true,
                (Some(RSP_OKAY), Data::Write(_)) => disk.unflushed.set(true),
                (Some(RSP_OKAY), _) => (),
                (Some(RSP_EOPNOTSUPP), Data::Flush) => disk.no_flush(),
                _ => *error = Some(DeviceError::Io),
            }
            false
        });
        if flights.len() < before && !disk.queue.is_empty() {
            disk.queue.moved();
        }
    }

    /// Makes the requests that there is room for.
    fn issue(&mut self, link: &mut Link) {
        while let Some(range) = self.todo.front().cloned() {
            if !self.disk.queue.may_go(self.place) {
                return;
            }
            let end = range.end.min(range.start.saturating_add(link.most()));
            let part = range.start..end;
            match self.submit(link, part.clone()) {
                Ok(ticket) => self.flights.push((ticket, part)),
                Err(Refusal::Full) => return,
                Err(Refusal::TooLarge) => continue,
                Err(Refusal::NoMemory) => {
                    log::error!("disk {}: no memory for a request", self.disk.number);
                    self.error = Some(DeviceError::Io);
                    break;
                }
            }
            self.todo.pop_front();
            if end < range.end {
                self.todo.push_front(end..range.end);
            }
        }
        self.disk.queue.leave(self.place);
    }

    fn submit(&self, link: &mut Link, part: Range<usize>) -> Result<Ticket, Refusal> {
        let at = self.offset.saturating_add(part.start as u64) / SECTOR_SIZE as u64;
        match &self.data {
            Data::Read(_) => link.submit(OP_READ, at, part.len(), |_, _| ()),
            Data::Write(data) => {
                let data = data.get(part).unwrap_or_default();
                link.submit(OP_WRITE, at, data.len(), |page, start| copy_in(page, start, data))
            }
            Data::Flush => {
                let barrier = self.disk.geometry.get().map(|g| g.flush) == Some(Flush::Barrier);
                let operation = if barrier { OP_WRITE_BARRIER } else { OP_FLUSH_DISKCACHE };
                link.submit(operation, 0, 0, |_, _| ())
            }
        }
    }
}

impl Future for Transfer<'_> {
    type Output = Result<(), DeviceError>;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let mut link = this.disk.link.borrow_mut();
        let Some(link) = link.as_mut().filter(|link| link.is_open()) else {
            return if this.disk.may_return() {
                Poll::Pending
            } else {
                Poll::Ready(Err(DeviceError::Gone))
            };
        };
        this.take_up(link.generation());
        this.collect(link);
        if this.error.is_some() {
            // What is in flight ends first: a write must not land after its caller went on.
            this.todo.clear();
        }
        this.issue(link);
        match this.error {
            _ if !this.flights.is_empty() || this.error.is_none() && !this.todo.is_empty() => {
                Poll::Pending
            }
            Some(error) => Poll::Ready(Err(error)),
            None => Poll::Ready(Ok(())),
        }
    }
}

impl Drop for Transfer<'_> {
    fn drop(&mut self) {
        self.disk.queue.leave(self.place);
        let mut link = self.disk.link.borrow_mut();
        if let Some(link) = link.as_mut().filter(|link| link.generation() == self.generation) {
            self.flights.iter().for_each(|(ticket, _)| link.forget(*ticket));
        }
    }
}

/// Fills a page with the data from `start` on.
fn copy_in(page: &Shared, start: usize, data: &[u8]) {
    let rest = data.get(start..).unwrap_or_default();
    page.copy_in(0, rest.get(..PAGE_SIZE).unwrap_or(rest));
}

/// Empties a page into the data from `start` on.
fn copy_out(page: &Shared, start: usize, data: &mut [u8]) {
    let rest = data.get_mut(start..).unwrap_or_default();
    let length = rest.len().min(PAGE_SIZE);
    page.copy_out(0, rest.get_mut(..length).unwrap_or_default());
}
