//! Something that goes on in the background, polled by the loop.
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

/// A future that runs to its end and is never polled after.
pub struct Task {
    future: Option<Pin<Box<dyn Future<Output = ()>>>>,
}

impl Task {
    pub fn new(future: impl Future<Output = ()> + 'static) -> Self {
        Self { future: Some(Box::pin(future)) }
    }

    /// Goes on as far as possible; true when it ended just now.
    pub fn poll(&mut self) -> bool {
        // The loop polls everything again in each turn, so nobody needs to be woken.
        let mut context = Context::from_waker(Waker::noop());
        let ended = self.future.as_mut().is_some_and(|f| f.as_mut().poll(&mut context).is_ready());
        if ended {
            self.future = None;
        }
        ended
    }
}

/// Runs a future to its end. `meanwhile` moves what it waits for, sleeps when nothing moves, and gives it up
/// by an error.
pub fn run<T, E>(
    future: impl Future<Output = T>,
    mut meanwhile: impl FnMut() -> Result<(), E>,
) -> Result<T, E> {
    // Off the stack: it may be large.
    let mut future = Box::pin(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return Ok(value);
        }
        meanwhile()?;
    }
}

/// Ready with the value that `step` gives; `step` runs once in each turn until it gives one.
pub async fn until<T>(mut step: impl FnMut() -> Option<T>) -> T {
    core::future::poll_fn(|_| step().map_or(Poll::Pending, Poll::Ready)).await
}

/// Runs futures side by side and gives their values in the same order.
pub async fn join<T>(futures: impl IntoIterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut running: Vec<_> = futures.into_iter().map(|f| (Box::pin(f), None)).collect();
    core::future::poll_fn(|context| {
        for (future, value) in running.iter_mut().filter(|(_, value)| value.is_none()) {
            if let Poll::Ready(ready) = future.as_mut().poll(context) {
                *value = Some(ready);
            }
        }
        let ended = running.iter().all(|(_, value)| value.is_some());
        if ended { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    running.into_iter().filter_map(|(_, value)| value).collect()
}
