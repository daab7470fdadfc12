//! File operations in flight: futures in a bounded number of places, polled by the loop.
use crate::logging::{Source, about, current};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::task::Wake;
use alloc::vec::Vec;
use core::pin::Pin;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Context, Waker};

/// Operations that one connection or call may start in a turn.
const SHARE: usize = 128;

/// Bytes that these hold, and one operation more.
const SHARE_BYTES: usize = 256 << 10;

type Future = Pin<Box<dyn core::future::Future<Output = ()>>>;

struct Task {
    future: Future,
    /// Whose doing it is.
    source: Source,
    /// Bytes that it holds.
    bytes: usize,
}

/// Says that a future gave way to others and wants to go on. Nobody else needs to be woken: the loop
/// polls everything again in each turn.
#[derive(Default)]
struct GaveWay(AtomicBool);

impl Wake for GaveWay {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The operations that run. A future is never cancelled: whoever waited for its result may be
/// gone, but the disk must not be left in the middle of something.
pub struct Tasks {
    running: Vec<Task>,
    bytes: usize,
    most: usize,
    most_bytes: usize,
    /// Operations that were started so far.
    started: u64,
    /// Those that may still be started before the others have their turn.
    share: usize,
    /// Bytes that those may hold.
    share_bytes: usize,
    /// One was refused since `round`.
    full: bool,
    gave_way: Arc<GaveWay>,
}

impl Tasks {
    /// At most `most` operations that hold `most_bytes` bytes together.
    pub fn new(most: usize, most_bytes: usize) -> Self {
        Self {
            running: Vec::new(),
            bytes: 0,
            most,
            most_bytes,
            started: 0,
            share: SHARE,
            share_bytes: SHARE_BYTES,
            full: false,
            gave_way: Arc::default(),
        }
    }

    /// Whoever has an operation to start may ask for room once more.
    pub fn round(&mut self) {
        self.full = false;
    }

    /// Somebody's turn begins.
    pub fn begin_share(&mut self) {
        self.share = SHARE;
        self.share_bytes = SHARE_BYTES;
    }

    /// Whether as many operations were started, or as large ones, as are one's in a turn.
    pub fn is_share_spent(&self) -> bool {
        self.share == 0 || self.share_bytes == 0
    }

    /// Whether another operation of `bytes` bytes may start; when not, no further request is taken.
    /// After the first that may not, nobody else may in this round: else small operations would
    /// take all the room that a large one waits for.
    pub fn has_room(&mut self, bytes: usize) -> bool {
        let fits = self.bytes == 0 || self.bytes.saturating_add(bytes) <= self.most_bytes;
        let room = self.running.len() < self.most && fits || self.running.is_empty();
        self.full |= !room;
        !self.full
    }

    /// Who is to be first in the next round, when `at` has just had its turn, of which `started` is
    /// how many had been started before it: who found no room, or who comes after it when it had its
    /// share. None: there is room.
    pub fn next_first(&self, at: usize, started: u64) -> Option<usize> {
        let had_its_share = self.started != started;
        self.full.then(|| at.saturating_add(usize::from(had_its_share)))
    }

    /// How many operations were started so far.
    pub fn started(&self) -> u64 {
        self.started
    }

    pub fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// Starts an operation that holds `bytes` bytes. It runs at once as far as it can.
    pub fn start(
        &mut self,
        bytes: usize,
        future: impl core::future::Future<Output = ()> + 'static,
    ) {
        self.started = self.started.wrapping_add(1);
        self.share = self.share.saturating_sub(1);
        self.share_bytes = self.share_bytes.saturating_sub(bytes);
        let mut task = Task { future: Box::pin(future), source: current(), bytes };
        if !is_ready(&mut task, &Waker::from(self.gave_way.clone())) {
            self.bytes = self.bytes.saturating_add(bytes);
            self.running.push(task);
        }
    }

    /// For a future that runs elsewhere in the same turn, before `turn`: says that it gave way.
    pub fn waker(&self) -> Waker {
        Waker::from(self.gave_way.clone())
    }

    /// Lets every operation go on; true when one of them ended, or only gave way to others.
    pub fn turn(&mut self) -> bool {
        let before = self.running.len();
        let waker = Waker::from(self.gave_way.clone());
        // In order of their start: locks inside the volume are first come, first served.
        self.running.retain_mut(|task| {
            let ready = is_ready(task, &waker);
            if ready {
                self.bytes = self.bytes.saturating_sub(task.bytes);
            }
            !ready
        });
        self.gave_way.0.swap(false, Ordering::Relaxed) || self.running.len() < before
    }
}

fn is_ready(task: &mut Task, waker: &Waker) -> bool {
    let _about = about(task.source);
    task.future.as_mut().poll(&mut Context::from_waker(waker)).is_ready()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::rc::Rc;
    use core::cell::Cell;
    use core::future::{poll_fn, ready};
    use core::task::Poll;

    #[test]
    fn a_ready_operation_takes_no_place() {
        let mut tasks = Tasks::new(1, 10);
        tasks.start(10, ready(()));
        assert!(tasks.has_room(10) && tasks.is_empty());
    }

    #[test]
    fn a_waiting_one_keeps_its_place_and_its_bytes_until_it_ends() {
        let open = Rc::new(Cell::new(false));
        let gate = open.clone();
        let mut tasks = Tasks::new(2, 10);
        tasks.start(6, poll_fn(move |_| if gate.get() { Poll::Ready(()) } else { Poll::Pending }));
        assert!(tasks.has_room(4) && !tasks.has_room(5));
        // Until the next round.
        assert!(!tasks.has_room(4));
        tasks.round();
        assert!(tasks.has_room(4));
        assert!(!tasks.turn());
        open.set(true);
        assert!(tasks.turn());
        assert!(tasks.has_room(5));
    }

    #[test]
    fn one_that_gives_way_asks_for_another_turn() {
        let mut left = 3;
        let mut tasks = Tasks::new(1, 10);
        tasks.start(
            1,
            poll_fn(move |context| {
                left -= 1;
                context.waker().wake_by_ref();
                if left == 0 { Poll::Ready(()) } else { Poll::Pending }
            }),
        );
        assert!(tasks.turn() && !tasks.is_empty());
        assert!(tasks.turn() && tasks.is_empty());
    }

    #[test]
    fn one_that_is_larger_than_the_bound_still_runs_alone() {
        assert!(Tasks::new(1, 10).has_room(11));
    }

    #[test]
    fn what_holds_no_bytes_keeps_no_large_one_out() {
        let mut tasks = Tasks::new(2, 10);
        tasks.start(0, core::future::pending());
        assert!(tasks.has_room(11));
    }
}
