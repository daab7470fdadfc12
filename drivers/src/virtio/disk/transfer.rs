//! A read, a write or a flush of any length: the requests that it takes, in flight together.
use super::ring::{Disk, Ring, SECTOR};
use crate::data::Data;
use crate::virtio::queue::Chain;
use alloc::vec;
use alloc::vec::Vec;
use core::future::Future;
use core::ops::Range;
use core::pin::Pin;
use core::task::{Context, Poll};
use fat::DeviceError;
use virtio_drivers::transport::Transport;

/// Request types (5.2.6).
const IN: u32 = 0;
const OUT: u32 = 1;
const FLUSH: u32 = 4;

const STATUS_OK: u8 = 0;
/// What no device writes.
const NO_STATUS: u8 = 0xff;

/// Bytes of data in one request at most: what is longer is moved side by side.
const PIECE: usize = 128 << 10;

pub struct Transfer<'d, T: Transport> {
    disk: &'d Disk<T>,
    /// On the disk, in bytes.
    offset: u64,
    data: Data<'d>,
    /// The part of `data` that no request was made for; None when there is no more to ask for.
    todo: Option<Range<usize>>,
    flights: Vec<(u64, Range<usize>)>,
    /// In the queue for requests.
    place: u64,
    error: Option<DeviceError>,
}

impl<'d, T: Transport> Transfer<'d, T> {
    /// The range was checked.
    pub fn new(disk: &'d Disk<T>, offset: u64, data: Data<'d>) -> Self {
        let todo = Some(0..data.len());
        let place = disk.turns.ticket();
        Self { disk, offset, data, todo, flights: Vec::new(), place, error: None }
    }

    fn collect(&mut self, ring: &mut Ring<T>) {
        let Self { flights, data, error, disk, .. } = self;
        let before = flights.len();
        flights.retain(|(ticket, range)| {
            let Some(chain) = ring.take(*ticket) else {
                return true;
            };
            let [read, status] = &chain.writable;
            if status.first() != Some(&STATUS_OK) {
                *error = Some(DeviceError::Io);
            } else if let Data::Read(data) = data {
                // Both have the length of the range.
                let to = data.get_mut(range.clone()).filter(|to| to.len() == read.len());
                to.unwrap_or_default().copy_from_slice(read);
            }
            false
        });
        if flights.len() < before && !disk.turns.is_empty() {
            disk.turns.moved();
        }
    }

    /// Makes the requests that there is room for.
    fn issue(&mut self, ring: &mut Ring<T>) {
        while let Some(range) = self.todo.clone() {
            let end = range.end.min(range.start.saturating_add(PIECE));
            let part = range.start..end;
            if !self.disk.turns.may_go(self.place) || !ring.has_room(part.len()) {
                return;
            }
            let Some(ticket) = self.chain(part.clone()).and_then(|chain| ring.send(chain)) else {
                log::error!("disk {}: no memory for a request", self.disk.name);
                self.error = Some(DeviceError::Io);
                self.todo = None;
                break;
            };
            self.flights.push((ticket, part));
            self.todo = (end < range.end).then_some(end..range.end);
        }
        self.disk.turns.leave(self.place);
    }

    /// The request for a part of the data; None without memory.
    fn chain(&self, part: Range<usize>) -> Option<Chain> {
        let mut data = Vec::new();
        data.try_reserve_exact(part.len()).ok()?;
        let at = self.offset.saturating_add(part.start as u64) / SECTOR;
        let status = vec![NO_STATUS];
        Some(match &self.data {
            Data::Read(_) => {
                data.resize(part.len(), 0);
                Chain { readable: [header(IN, at), Vec::new()], writable: [data, status] }
            }
            Data::Write(from) => {
                data.extend_from_slice(from.get(part).unwrap_or_default());
                Chain { readable: [header(OUT, at), data], writable: [Vec::new(), status] }
            }
            Data::Flush => {
                Chain { readable: [header(FLUSH, 0), Vec::new()], writable: [Vec::new(), status] }
            }
        })
    }
}

/// The header of a request: its type, a reserved word, the first sector.
fn header(kind: u32, sector: u64) -> Vec<u8> {
    [kind.to_le_bytes(), [0; 4]].into_iter().flatten().chain(sector.to_le_bytes()).collect()
}

impl<T: Transport> Future for Transfer<'_, T> {
    type Output = Result<(), DeviceError>;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let mut ring = this.disk.ring.borrow_mut();
        if ring.has_failed() {
            return Poll::Ready(Err(DeviceError::Gone));
        }
        this.collect(&mut ring);
        if this.error.is_some() {
            // What is in flight ends first: a write must not land after its caller went on.
            this.todo = None;
        }
        this.issue(&mut ring);
        match this.error {
            _ if !this.flights.is_empty() || this.todo.is_some() => Poll::Pending,
            Some(error) => Poll::Ready(Err(error)),
            None => Poll::Ready(Ok(())),
        }
    }
}

impl<T: Transport> Drop for Transfer<'_, T> {
    fn drop(&mut self) {
        self.disk.turns.leave(self.place);
        let mut ring = self.disk.ring.borrow_mut();
        self.flights.iter().for_each(|(ticket, _)| ring.forget(*ticket));
    }
}
