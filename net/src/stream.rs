//! What sessions ask of the network under them.
use alloc::boxed::Box;
use alloc::string::String;
use core::net::IpAddr;

/// A connected byte stream that never blocks: TCP of the operating system, of smoltcp, or a vchan.
pub trait Stream {
    /// The bytes that have arrived and were not consumed; empty when there are none now.
    fn fill(&mut self) -> Result<&[u8], Closed>;

    /// Takes `n` of the bytes that `fill` showed.
    fn consume(&mut self, n: usize);

    /// Sends what fits now and says how much that was.
    fn write(&mut self, data: &[u8]) -> Result<usize, Closed>;

    /// Whether the other side has read all that was written: what closes before that may lose it. True where
    /// the network sees to it.
    fn is_read(&mut self) -> bool {
        true
    }

    /// Whether there may be something to read that was not there before, or room to write, or the end. True where
    /// nobody has looked.
    fn has_news(&self) -> bool {
        true
    }

    /// The address of the other side; none where there are no addresses, or when it is gone.
    fn peer_address(&self) -> Option<IpAddr> {
        None
    }
}

impl<S: Stream + ?Sized> Stream for Box<S> {
    fn fill(&mut self) -> Result<&[u8], Closed> {
        (**self).fill()
    }

    fn consume(&mut self, n: usize) {
        (**self).consume(n);
    }

    fn write(&mut self, data: &[u8]) -> Result<usize, Closed> {
        (**self).write(data)
    }

    fn is_read(&mut self) -> bool {
        (**self).is_read()
    }

    fn has_news(&self) -> bool {
        (**self).has_news()
    }

    fn peer_address(&self) -> Option<IpAddr> {
        (**self).peer_address()
    }
}

/// The connection has ended: the other side closed it, or it broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed;

/// Where connections come from.
pub trait Listener {
    type Stream: Stream;

    /// The next connection and the address of its other side, if one waits.
    fn accept(&mut self) -> Option<(Self::Stream, String)>;

    /// Looks which connections have news, where looking at many at once costs less than asking each.
    fn look(&mut self) {}
}
