//! One peer's share of a turn: who feeds a loop for ever, or takes its answers for ever, must not keep it going for
//! ever.
use alloc::rc::Rc;
use core::cell::Cell;
use core::net::IpAddr;
use net::{Closed, Stream};

/// What looking at a piece of data costs beside its bytes, so that small pieces end, too.
const STEP: usize = 64;

/// A stream that shows so many bytes a turn, and then none until the next. What is written it only counts: last words
/// go out whatever was said before.
pub struct Metered<S> {
    stream: S,
    meter: Meter,
}

/// Whoever gives its turn to a stream's reader has the other end.
#[derive(Clone)]
pub struct Meter(Rc<Share>);

struct Share {
    most: usize,
    left: Cell<usize>,
    more: Cell<bool>,
    /// Bytes that were written in this turn.
    written: Cell<usize>,
    /// Bytes that were taken so far.
    taken: Cell<u64>,
}

impl Meter {
    /// Shows about `most` bytes a turn, and one piece more.
    pub fn new(most: usize) -> Self {
        let left = Cell::new(most);
        let (more, written, taken) = Default::default();
        Self(Rc::new(Share { most, left, more, written, taken }))
    }

    pub fn begin_turn(&self) {
        self.0.left.set(self.0.most);
        self.0.more.set(false);
        self.0.written.set(0);
    }

    /// Bytes that were taken so far.
    pub fn taken(&self) -> u64 {
        self.0.taken.get()
    }

    /// Whether somebody wanted more in this turn.
    pub fn has_more(&self) -> bool {
        self.0.more.get() || self.is_spent()
    }

    /// Whether as much was written in this turn as may be shown.
    pub fn is_spent(&self) -> bool {
        self.0.written.get() >= self.0.most
    }

    /// About how many bytes went in this turn, both ways together.
    pub fn moved(&self) -> usize {
        let Share { most, left, written, .. } = &*self.0;
        most.saturating_sub(left.get()).saturating_add(written.get())
    }
}

impl<S> Metered<S> {
    pub fn new(stream: S, meter: &Meter) -> Self {
        Self { stream, meter: meter.clone() }
    }
}

impl<S: Stream> Stream for Metered<S> {
    fn fill(&mut self) -> Result<&[u8], Closed> {
        if self.meter.0.left.get() == 0 {
            self.meter.0.more.set(true);
            return Ok(&[]);
        }
        self.stream.fill()
    }

    fn consume(&mut self, n: usize) {
        self.meter.0.left.update(|left| left.saturating_sub(n.saturating_add(STEP)));
        self.meter.0.taken.update(|taken| taken.saturating_add(n as u64));
        self.stream.consume(n);
    }

    fn write(&mut self, data: &[u8]) -> Result<usize, Closed> {
        let written = self.stream.write(data)?;
        self.meter.0.written.update(|all| all.saturating_add(written));
        Ok(written)
    }

    fn is_read(&mut self) -> bool {
        self.stream.is_read()
    }

    fn has_news(&self) -> bool {
        self.stream.has_news()
    }

    fn peer_address(&self) -> Option<IpAddr> {
        self.stream.peer_address()
    }
}
