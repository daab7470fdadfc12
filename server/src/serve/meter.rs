//! One peer's share of a turn: who feeds a loop for ever must not keep it going for ever.
use alloc::rc::Rc;
use core::cell::Cell;
use core::net::IpAddr;
use net::{Closed, Stream};

/// What looking at a piece of data costs beside its bytes, so that small pieces end, too.
const STEP: usize = 64;

/// A stream that shows so many bytes a turn, and then none until the next.
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
    /// Bytes that were taken so far.
    taken: Cell<u64>,
}

impl Meter {
    /// Shows about `most` bytes a turn, and one piece more.
    pub fn new(most: usize) -> Self {
        let (left, more, taken) = (Cell::new(most), Cell::default(), Cell::default());
        Self(Rc::new(Share { most, left, more, taken }))
    }

    pub fn begin_turn(&self) {
        self.0.left.set(self.0.most);
        self.0.more.set(false);
    }

    /// Bytes that were taken so far.
    pub fn taken(&self) -> u64 {
        self.0.taken.get()
    }

    /// Whether somebody wanted more in this turn.
    pub fn has_more(&self) -> bool {
        self.0.more.get()
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
        self.stream.write(data)
    }

    fn is_read(&mut self) -> bool {
        self.stream.is_read()
    }

    fn peer_address(&self) -> Option<IpAddr> {
        self.stream.peer_address()
    }
}
