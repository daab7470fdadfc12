//! Write-behind: what is written to a file waits in memory for what follows it.
//!
//! A run goes to the disk when it is as long as the largest request, when something elsewhere in the
//! file is written, when its bytes are read, when memory is short, and with every commit. Whoever
//! takes a run out of memory holds `flying` shared until the disk has it, so who holds it alone
//! knows that nothing is in flight.
use crate::disk::join::join;
use crate::file::behind::Run;
use crate::file::flight::Flight;
use crate::file::node::{File, Node};
use crate::memory::lock::Guard;
use crate::space::extents::Extents;
use crate::{BlockDevice, DeviceError, Error, Volume};
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;
use core::future::poll_fn;
use core::iter::from_fn;
use core::ops::Range;
use core::task::Poll;

/// The most zeros that are written to make one request of what belongs to two files.
const MOST_SLACK: u64 = 4096;

/// Requests in flight together hold this many bytes or a little more.
const WAVE: usize = 1 << 20;

/// A run on its way, and the clusters that it goes to.
struct Leaving {
    flight: Flight,
    run: Run,
    extents: Extents,
    /// Where in the first cluster it begins.
    inside: u64,
}

/// A large write on its way, from the memory of whoever asked for it.
pub(crate) struct Direct<'v> {
    flight: Flight,
    extents: Extents,
    inside: u64,
    _among: Guard<'v>,
}

/// Whole sectors for one place on the disk, and whose they are.
struct Cargo {
    offset: u64,
    data: Vec<u8>,
    /// How many bytes behind it are of the same cluster and behind the end of the file.
    slack: u64,
    nodes: Vec<Rc<Node>>,
}

impl<D: BlockDevice> Volume<D> {
    /// The longest run in bytes: the largest request, and short enough that another can grow
    /// meanwhile.
    pub(crate) fn run_limit(&self) -> usize {
        let sector = self.device.sector_size().max(1);
        let most = self.device.largest_request().min(self.files.data_bytes / 2);
        (most / sector).max(1).saturating_mul(sector)
    }

    /// The most bytes that are held. The rest of the memory is left to what is read.
    fn held_limit(&self) -> usize {
        self.files.data_bytes / 4 * 3
    }

    /// Waits until `len` more bytes may be held.
    pub(crate) async fn make_way(&self, len: usize) {
        let fits = || {
            let bytes = self.files.held.bytes.get();
            bytes == 0 || bytes.saturating_add(len) <= self.held_limit()
        };
        while !fits() {
            if self.files.held.flights.get() == 0 {
                self.write_behind().await;
            }
            poll_fn(|context| {
                if fits() || self.files.held.flights.get() == 0 {
                    return Poll::Ready(());
                }
                self.files.held.waiting.borrow_mut().push(context.waker().clone());
                Poll::Pending
            })
            .await;
        }
        self.memory.blocks.shrink(self.room_for_blocks().saturating_sub(len));
    }

    /// Takes `data` for byte `at` of a file. The clusters are there, there is room, and the file is
    /// locked exclusively.
    pub(crate) fn accept(&self, node: &Rc<Node>, at: u64, data: &[u8]) {
        let valid = node.state.borrow().valid;
        node.behind.push(at, data, valid, self.run_limit() as u64, &self.files.held);
        if !node.behind.has_no_runs() {
            self.files.writing.add(node);
        }
    }

    /// How many of `len` bytes at `at` are better written at once than copied: a large request
    /// after which nothing is held.
    pub(crate) fn direct(&self, node: &Node, at: u64, len: usize) -> usize {
        let sector = self.device.sector_size().max(1);
        let large = len >= self.run_limit() && at.is_multiple_of(sector as u64);
        if large && node.behind.has_no_runs() { len / sector * sector } else { 0 }
    }

    /// Announces `len` bytes at `at`, unless there are none, that are written without being held.
    pub(crate) async fn depart(&self, node: &Rc<Node>, at: u64, len: usize) -> Option<Direct<'_>> {
        if len == 0 {
            return None;
        }
        let range = at..at.saturating_add(len as u64);
        loop {
            let among = self.files.flying.shared().await;
            if !node.behind.flies(&range, self.device.sector_size() as u64) {
                let flight = Flight::new(node, &self.files.held, range);
                let (extents, inside) = node.piece(at, len, self.geometry.cluster_size);
                return Some(Direct { flight, extents, inside, _among: among });
            }
            drop(among);
            drop(self.files.flying.exclusive().await);
        }
    }

    /// Writes what was announced.
    pub(crate) async fn carry(&self, mut direct: Direct<'_>, data: &[u8]) -> Result<(), Error> {
        let written = self.write_data(&direct.extents, direct.inside, data).await;
        direct.flight.land();
        Ok(written?)
    }

    /// Writes the full runs of a file, or with `all` what is held of it.
    pub(crate) async fn drain(&self, node: &Rc<Node>, all: bool) {
        while node.behind.is_due(all) {
            let among = self.files.flying.shared().await;
            if let Some(leaving) = self.launch(node, all) {
                self.write_runs(vec![leaving]).await;
            } else if node.behind.is_due(all) {
                // It waits for what it writes over.
                drop(among);
                drop(self.files.flying.exclusive().await);
            }
        }
    }

    /// Returns when what was accepted of a range of the file can be read from the disk.
    pub(crate) async fn settle_range(&self, node: &Rc<Node>, range: &Range<u64>) {
        while node.behind.holds(range) {
            self.drain(node, true).await;
        }
        while node.behind.flies(range, self.device.sector_size() as u64) {
            drop(self.files.flying.exclusive().await);
        }
    }

    /// Writes what is held of a file to the disk, without making it durable, and says when something
    /// that was accepted could not be written.
    pub async fn write_out(&self, file: &File) -> Result<(), Error> {
        let _lock = file.node.lock.exclusive().await;
        self.settle_range(&file.node, &(0..u64::MAX)).await;
        file.check()
    }

    /// Writes everything that is held, and returns when nothing is in flight. What cannot be
    /// written is noted with its file.
    pub(crate) async fn write_behind(&self) {
        if self.files.held.bytes.get() == 0 && self.files.held.flights.get() == 0 {
            self.files.writing.clear();
            return;
        }
        let _alone = self.files.flying.exclusive().await;
        loop {
            let nodes: Vec<_> = from_fn(|| self.files.writing.take()).collect();
            let mut leaving = Vec::new();
            for node in nodes {
                if node.is_orphan() && node.is_closed() {
                    // Nobody will ever read it.
                    node.behind.cut(0);
                }
                while let Some(run) = self.launch(&node, true) {
                    leaving.push(run);
                }
                if !node.behind.has_no_runs() {
                    self.files.writing.add(&node);
                }
            }
            if leaving.is_empty() {
                return;
            }
            self.write_runs(leaving).await;
        }
    }

    /// Takes a run that is due out of memory, unless what it writes over is in flight. `flying` is
    /// held.
    fn launch(&self, node: &Rc<Node>, all: bool) -> Option<Leaving> {
        let run = node.behind.pop(all, self.device.sector_size() as u64)?;
        let flight = Flight::new(node, &self.files.held, run.range());
        let (extents, inside) = node.piece(run.at, run.data.len(), self.geometry.cluster_size);
        Some(Leaving { flight, run, extents, inside })
    }

    async fn write_runs(&self, leaving: Vec<Leaving>) {
        let mut cargo = Vec::new();
        let mut landing = Vec::with_capacity(leaving.len());
        for Leaving { flight, mut run, extents, inside } in leaving {
            let data = core::mem::take(&mut run.data);
            match self.whole_sectors(&flight, &run, data, &extents, inside).await {
                Ok(parts) => cargo.extend(parts),
                Err(error) => self.lose(flight.node(), error),
            }
            landing.push((run, flight));
        }
        cargo.sort_unstable_by_key(|cargo| cargo.offset);
        let mut cargo = VecDeque::from(cargo);
        while !cargo.is_empty() {
            let wave = merge(&mut cargo, self.device.largest_request());
            let writes = wave.iter().map(|cargo| async {
                if let Err(error) = self.write_sectors(cargo.offset, &cargo.data).await {
                    cargo.nodes.iter().for_each(|node| self.lose(node, error));
                }
                Ok(())
            });
            // Errors are noted where they belong.
            let _: Result<(), DeviceError> = join(writes).await;
        }
        for (run, mut flight) in landing {
            let node = flight.node().clone();
            flight.land();
            drop((run, flight));
            if node.is_closed() {
                self.files.closing.add(&node);
            }
        }
    }

    /// Notes that something accepted of a file is lost.
    pub(crate) fn lose(&self, node: &Node, error: DeviceError) {
        node.behind.fail(error);
        self.files.lost.set(Some(error));
    }

    /// Completes a run to whole sectors, and parts it by where they are on the disk.
    async fn whole_sectors(
        &self,
        flight: &Flight,
        run: &Run,
        mut data: Vec<u8>,
        extents: &Extents,
        inside: u64,
    ) -> Result<Vec<Cargo>, DeviceError> {
        let sector = self.device.sector_size().max(1);
        // Counted from the first cluster on, as `at`.
        let valid = run.valid.saturating_sub(run.at.saturating_sub(inside));
        let head = usize::try_from(inside % sector as u64).unwrap_or(0);
        let at = inside.saturating_sub(head as u64);
        if head > 0 {
            let kept = self.kept(extents, at, valid).await?;
            data.splice(0..0, kept.into_iter().take(head));
        }
        let tail = data.len() % sector;
        if tail > 0 {
            let base = at.saturating_add(data.len().saturating_sub(tail) as u64);
            let kept = self.kept(extents, base, valid).await?;
            data.reserve_exact(sector);
            data.extend(kept.into_iter().skip(tail));
        }
        // Where no file has ever been but this one, zeros may follow.
        let cluster_size = u64::from(self.geometry.cluster_size.max(1));
        let unused = (data.len() as u64).next_multiple_of(cluster_size) - data.len() as u64;
        let new = run.at == 0 && run.valid == 0;
        let slack = if new && unused <= MOST_SLACK { unused } else { 0 };
        let pieces = self.pieces(extents, at, data.len() as u64)?;
        let mut cargo = Vec::with_capacity(pieces.len());
        for (offset, len) in pieces {
            let rest = data.split_off(len.min(data.len()));
            let nodes = vec![flight.node().clone()];
            cargo.push(Cargo { offset, data, slack: 0, nodes });
            data = rest;
        }
        if let Some(last) = cargo.last_mut() {
            last.slack = slack;
        }
        Ok(cargo)
    }

    /// What the file holds in the sector at `at`, with zeros behind `valid`.
    async fn kept(&self, extents: &Extents, at: u64, valid: u64) -> Result<Vec<u8>, DeviceError> {
        let mut sector = vec![0; self.device.sector_size()];
        if at < valid {
            self.read_sectors(extents, at, &mut sector).await?;
            let kept = usize::try_from(valid.saturating_sub(at)).unwrap_or(usize::MAX);
            sector.iter_mut().skip(kept).for_each(|byte| *byte = 0);
        }
        Ok(sector)
    }
}

/// Takes the first of what is sorted and joins neighbours on the disk to requests of at most `most`
/// bytes, until there are some that may be in flight together.
fn merge(cargo: &mut VecDeque<Cargo>, most: usize) -> Vec<Cargo> {
    let mut wave: Vec<Cargo> = Vec::new();
    let mut bytes = 0usize;
    while let Some(mut next) = cargo.pop_front() {
        let fits = |last: &&mut Cargo| {
            let end = last.offset.saturating_add(last.data.len() as u64);
            next.offset.checked_sub(end).is_some_and(|gap| {
                let all = next.offset.saturating_sub(last.offset) + next.data.len() as u64;
                gap <= last.slack && all <= most as u64
            })
        };
        let len = next.data.len();
        if let Some(last) = wave.last_mut().filter(fits) {
            let gap = next.offset.saturating_sub(last.offset);
            last.data.resize(usize::try_from(gap).unwrap_or(0), 0);
            last.data.append(&mut next.data);
            last.slack = next.slack;
            last.nodes.append(&mut next.nodes);
        } else if bytes >= WAVE {
            cargo.push_front(next);
            break;
        } else {
            wave.push(next);
        }
        bytes = bytes.saturating_add(len);
    }
    wave
}
