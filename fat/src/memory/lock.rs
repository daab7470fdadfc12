//! A lock for futures of one thread: shared or exclusive, first come first served.
use alloc::collections::VecDeque;
use core::cell::RefCell;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

/// Guards no data: what it protects lives in cells beside it. Waiters are served in the order of
/// their first poll, so a writer is not starved by readers.
#[derive(Debug, Default)]
pub(crate) struct Lock {
    state: RefCell<State>,
}

#[derive(Debug, Default)]
struct State {
    readers: usize,
    writer: bool,
    next_ticket: u64,
    queue: VecDeque<(u64, Waker)>,
}

impl State {
    fn wake_front(&self) {
        if let Some((_, waker)) = self.queue.front() {
            waker.wake_by_ref();
        }
    }
}

impl Lock {
    pub(crate) fn shared(&self) -> Acquire<'_> {
        Acquire { lock: self, exclusive: false, ticket: None }
    }

    pub(crate) fn exclusive(&self) -> Acquire<'_> {
        Acquire { lock: self, exclusive: true, ticket: None }
    }
}

#[must_use]
pub(crate) struct Acquire<'a> {
    lock: &'a Lock,
    exclusive: bool,
    ticket: Option<u64>,
}

impl<'a> Future for Acquire<'a> {
    type Output = Guard<'a>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Guard<'a>> {
        let lock = self.lock;
        let mut state = lock.state.borrow_mut();
        let first = match self.ticket {
            None => state.queue.is_empty(),
            Some(mine) => state.queue.front().is_some_and(|(ticket, _)| *ticket == mine),
        };
        if first && !state.writer && (!self.exclusive || state.readers == 0) {
            if self.ticket.take().is_some() {
                state.queue.pop_front();
            }
            if self.exclusive {
                state.writer = true;
            } else {
                state.readers += 1;
                // The next one may be a reader too.
                state.wake_front();
            }
            return Poll::Ready(Guard { lock, exclusive: self.exclusive });
        }
        match self.ticket {
            Some(mine) => {
                if let Some(entry) = state.queue.iter_mut().find(|(ticket, _)| *ticket == mine) {
                    entry.1.clone_from(context.waker());
                }
            }
            None => {
                let ticket = state.next_ticket;
                state.next_ticket = ticket.wrapping_add(1);
                state.queue.push_back((ticket, context.waker().clone()));
                self.ticket = Some(ticket);
            }
        }
        Poll::Pending
    }
}

impl Drop for Acquire<'_> {
    fn drop(&mut self) {
        if let Some(mine) = self.ticket {
            let mut state = self.lock.state.borrow_mut();
            state.queue.retain(|(ticket, _)| *ticket != mine);
            state.wake_front();
        }
    }
}

/// Holds the lock until it is dropped.
#[must_use]
pub(crate) struct Guard<'a> {
    lock: &'a Lock,
    exclusive: bool,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        let mut state = self.lock.state.borrow_mut();
        if self.exclusive {
            state.writer = false;
        } else {
            state.readers = state.readers.saturating_sub(1);
        }
        state.wake_front();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::boxed::Box;

    fn poll<'a>(acquire: &mut Pin<Box<Acquire<'a>>>) -> Option<Guard<'a>> {
        match acquire.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(guard) => Some(guard),
            Poll::Pending => None,
        }
    }

    #[test]
    fn waiters_are_served_in_their_order() {
        let lock = Lock::default();
        let (mut reader, mut second) = (Box::pin(lock.shared()), Box::pin(lock.shared()));
        let first = poll(&mut reader).unwrap();
        let beside = poll(&mut second).unwrap();
        let (mut writer, mut late) = (Box::pin(lock.exclusive()), Box::pin(lock.shared()));
        assert!(poll(&mut writer).is_none());
        assert!(poll(&mut late).is_none(), "a reader overtook a writer");
        drop(first);
        assert!(poll(&mut writer).is_none());
        drop(beside);
        assert!(poll(&mut late).is_none());
        let writing = poll(&mut writer).unwrap();
        assert!(poll(&mut late).is_none());
        drop(writing);
        assert!(poll(&mut late).is_some());
    }

    #[test]
    fn who_gives_up_waiting_holds_nobody_up() {
        let lock = Lock::default();
        let mut reader = Box::pin(lock.shared());
        let reading = poll(&mut reader).unwrap();
        let (mut writer, mut late) = (Box::pin(lock.exclusive()), Box::pin(lock.shared()));
        assert!(poll(&mut writer).is_none());
        assert!(poll(&mut late).is_none());
        drop(writer);
        assert!(poll(&mut late).is_some());
        drop(reading);
        assert!(poll(&mut Box::pin(lock.exclusive())).is_some());
    }
}
