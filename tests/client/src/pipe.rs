//! A connection in memory: two ends, each a stream.
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::net::IpAddr;
use net::{Closed, Listener, Stream};

/// What a direction holds before its writer must wait, in bytes.
const ROOM: usize = 64 * 1024;

#[derive(Default)]
struct Direction {
    bytes: Vec<u8>,
    closed: bool,
}

/// One end. Dropping it closes both directions.
pub struct End {
    incoming: Rc<RefCell<Direction>>,
    outgoing: Rc<RefCell<Direction>>,
    /// What `fill` shows.
    taken: Vec<u8>,
    used: usize,
    peer: Option<IpAddr>,
    /// What comes when nothing waits.
    more: Option<Box<dyn FnMut() -> Vec<u8>>>,
    /// Called after each write.
    told: Option<Box<dyn FnMut(usize)>>,
}

impl End {
    /// This end as one to which `more` sends, or lets the other end send, whenever nothing waits.
    pub fn fed(mut self, more: impl FnMut() -> Vec<u8> + 'static) -> Self {
        self.more = Some(Box::new(more));
        self
    }

    /// This end as one whose other side is told at once how much was written.
    pub fn telling(mut self, told: impl FnMut(usize) + 'static) -> Self {
        self.told = Some(Box::new(told));
        self
    }

    /// This end as one whose other side has this address.
    pub fn to(mut self, peer: IpAddr) -> Self {
        self.peer = Some(peer);
        self
    }
}

pub fn pair() -> (End, End) {
    let (a, b) = (Rc::<RefCell<Direction>>::default(), Rc::<RefCell<Direction>>::default());
    let end = |incoming: &Rc<RefCell<Direction>>, outgoing: &Rc<RefCell<Direction>>| End {
        incoming: incoming.clone(),
        outgoing: outgoing.clone(),
        taken: Vec::new(),
        used: 0,
        peer: None,
        more: None,
        told: None,
    };
    (end(&a, &b), end(&b, &a))
}

impl Stream for End {
    fn fill(&mut self) -> Result<&[u8], Closed> {
        if self.used >= self.taken.len() {
            let nothing = self.incoming.borrow().bytes.is_empty();
            if let Some(more) = self.more.as_mut().filter(|_| nothing) {
                let bytes = more();
                self.incoming.borrow_mut().bytes.extend(bytes);
            }
            let mut incoming = self.incoming.borrow_mut();
            if incoming.bytes.is_empty() && incoming.closed {
                return Err(Closed);
            }
            self.taken = core::mem::take(&mut incoming.bytes);
            self.used = 0;
        }
        Ok(self.taken.get(self.used..).unwrap_or_default())
    }

    fn consume(&mut self, n: usize) {
        self.used = self.used.saturating_add(n);
    }

    fn write(&mut self, data: &[u8]) -> Result<usize, Closed> {
        let mut outgoing = self.outgoing.borrow_mut();
        if outgoing.closed {
            return Err(Closed);
        }
        let n = data.len().min(ROOM.saturating_sub(outgoing.bytes.len()));
        outgoing.bytes.extend(data.iter().take(n));
        drop(outgoing);
        if let Some(told) = &mut self.told {
            told(n);
        }
        Ok(n)
    }

    fn is_read(&mut self) -> bool {
        self.outgoing.borrow().bytes.is_empty()
    }

    fn peer_address(&self) -> Option<IpAddr> {
        self.peer
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.incoming.borrow_mut().closed = true;
        self.outgoing.borrow_mut().closed = true;
    }
}

/// A listener that has some connections waiting, and then no more.
pub struct Once(pub Vec<End>);

impl Listener for Once {
    type Stream = End;

    fn accept(&mut self) -> Option<(End, String)> {
        Some((self.0.pop()?, "memory".into()))
    }
}
