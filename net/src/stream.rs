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

#[cfg(test)]
mod tests {
    use super::*;

    struct Plain;

    impl Stream for Plain {
        fn fill(&mut self) -> Result<&[u8], Closed> {
            Err(Closed)
        }

        fn consume(&mut self, _: usize) {}

        fn write(&mut self, _: &[u8]) -> Result<usize, Closed> {
            Err(Closed)
        }
    }

    /// One that was looked at, and whose other side is slow.
    struct Slow;

    impl Stream for Slow {
        fn fill(&mut self) -> Result<&[u8], Closed> {
            Ok(&[])
        }

        fn consume(&mut self, _: usize) {}

        fn write(&mut self, _: &[u8]) -> Result<usize, Closed> {
            Ok(0)
        }

        fn is_read(&mut self) -> bool {
            false
        }

        fn has_news(&self) -> bool {
            false
        }
    }

    #[test]
    fn a_boxed_stream_says_what_it_says_itself() {
        let (mut plain, mut slow): (Box<dyn Stream>, Box<dyn Stream>) =
            (Box::new(Plain), Box::new(Slow));
        assert_eq!((plain.has_news(), plain.is_read()), (true, true));
        assert_eq!((slow.has_news(), slow.is_read()), (false, false));
        assert_eq!(plain.fill(), Err(Closed));
        assert_eq!(plain.write(b"x"), Err(Closed));
        assert_eq!(slow.fill(), Ok(&[][..]));
        assert_eq!(slow.write(b"x"), Ok(0));
    }
}
