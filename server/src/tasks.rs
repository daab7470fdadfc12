//! File operations in flight: futures in a bounded number of places, polled by the loop.
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::pin::Pin;
use core::task::{Context, Waker};

type Future = Pin<Box<dyn core::future::Future<Output = ()>>>;

struct Task {
    future: Future,
    /// Bytes that it holds.
    bytes: usize,
}

/// The operations that run. A future is never cancelled: whoever waited for its result may be
/// gone, but the disk must not be left in the middle of something.
pub struct Tasks {
    running: Vec<Task>,
    bytes: usize,
    most: usize,
    most_bytes: usize,
}

impl Tasks {
    /// At most `most` operations that hold `most_bytes` bytes together.
    pub fn new(most: usize, most_bytes: usize) -> Self {
        Self { running: Vec::new(), bytes: 0, most, most_bytes }
    }

    /// Whether another operation of `bytes` bytes may start; when not, no further request is taken.
    pub fn has_room(&self, bytes: usize) -> bool {
        self.running.is_empty()
            || self.running.len() < self.most && self.bytes.saturating_add(bytes) <= self.most_bytes
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
        let mut task = Task { future: Box::pin(future), bytes };
        if !is_ready(&mut task) {
            self.bytes = self.bytes.saturating_add(bytes);
            self.running.push(task);
        }
    }

    /// Lets every operation go on; true when one of them ended.
    pub fn turn(&mut self) -> bool {
        let before = self.running.len();
        // In order of their start: locks inside the volume are first come, first served.
        self.running.retain_mut(|task| {
            let ready = is_ready(task);
            if ready {
                self.bytes = self.bytes.saturating_sub(task.bytes);
            }
            !ready
        });
        self.running.len() < before
    }
}

/// The loop polls everything again in each turn, so nobody needs to be woken.
fn is_ready(task: &mut Task) -> bool {
    task.future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready()
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
        assert!(!tasks.turn());
        open.set(true);
        assert!(tasks.turn());
        assert!(tasks.has_room(5));
    }

    #[test]
    fn one_that_is_larger_than_the_bound_still_runs_alone() {
        assert!(Tasks::new(1, 10).has_room(11));
    }
}
