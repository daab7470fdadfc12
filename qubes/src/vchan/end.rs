//! One end of a vchan: reading, writing, being told, closing.
use super::{
    LIVE_NOT_YET, Layout, Memory, NOTIFY_READ, NOTIFY_WRITE, Role,
    field::{
        CLIENT_LIVE, CLIENT_NOTIFY, LEFT_CONS, LEFT_PROD, RIGHT_CONS, RIGHT_PROD, SERVER_LIVE,
        SERVER_NOTIFY,
    },
};
use core::fmt;

/// The other side's index is impossible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken;

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a vchan with an impossible index")
    }
}

impl core::error::Error for Broken {}

/// Our side of a vchan. Dropping it closes it.
pub struct End<M: Memory> {
    memory: M,
    role: Role,
    read: Ring,
    write: Ring,
}

/// One ring as we see it.
struct Ring {
    /// A power of two.
    size: u32,
    /// Our own index, which runs freely.
    ours: u32,
    /// Where we show it, and where the other side shows its own.
    our_field: usize,
    their_field: usize,
}

impl Ring {
    fn new<M: Memory>(memory: &M, size: usize, our_field: usize, their_field: usize) -> Self {
        let size = u32::try_from(size).unwrap_or(0);
        Self { size, ours: memory.read_u32(our_field), our_field, their_field }
    }

    /// The place of our index, and the bytes from there to the ring's end.
    fn place(&self) -> (usize, usize) {
        let at = self.ours & self.size.saturating_sub(1);
        (at as usize, self.size.saturating_sub(at) as usize)
    }

    /// Goes on by `n` bytes, which is no more than the ring's size.
    fn advance<M: Memory>(&mut self, memory: &M, n: usize) {
        self.ours = self.ours.wrapping_add(n as u32);
        memory.write_u32(self.our_field, self.ours);
    }
}

impl<M: Memory> End<M> {
    /// The server's end of zeroed pages whose orders and grants are written.
    pub fn server(memory: M, layout: Layout) -> Self {
        let (left, right) = layout.sizes();
        memory.write_u8(CLIENT_LIVE, LIVE_NOT_YET);
        memory.write_u8(SERVER_LIVE, 1);
        memory.write_u8(CLIENT_NOTIFY, NOTIFY_WRITE);
        let read = Ring::new(&memory, left, LEFT_CONS, LEFT_PROD);
        let write = Ring::new(&memory, right, RIGHT_PROD, RIGHT_CONS);
        Self { memory, role: Role::Server, read, write }
    }

    /// The client's end. Tells the server that somebody came.
    pub fn client(memory: M, layout: Layout) -> Self {
        let (left, right) = layout.sizes();
        let read = Ring::new(&memory, right, RIGHT_CONS, RIGHT_PROD);
        let write = Ring::new(&memory, left, LEFT_PROD, LEFT_CONS);
        memory.write_u8(CLIENT_LIVE, 1);
        memory.write_u8(SERVER_NOTIFY, NOTIFY_WRITE);
        memory.fence();
        memory.notify();
        Self { memory, role: Role::Client, read, write }
    }

    pub fn memory(&self) -> &M {
        &self.memory
    }

    /// Where we say what we want to be told of, and where the other side does.
    fn notify_fields(&self) -> (usize, usize) {
        match self.role {
            Role::Server => (CLIENT_NOTIFY, SERVER_NOTIFY),
            Role::Client => (SERVER_NOTIFY, CLIENT_NOTIFY),
        }
    }

    /// Whether the other side is there or, for a server, still to come. What it wrote before it went
    /// can be read after.
    pub fn is_open(&self) -> bool {
        self.memory.read_u8(match self.role {
            Role::Server => CLIENT_LIVE,
            Role::Client => SERVER_LIVE,
        }) != 0
    }

    /// Whether a server still waits for its client.
    pub fn is_waiting(&self) -> bool {
        self.role == Role::Server && self.memory.read_u8(CLIENT_LIVE) == LIVE_NOT_YET
    }

    /// Bytes that can be read now.
    fn ready(&self) -> Result<usize, Broken> {
        let theirs = self.memory.read_u32(self.read.their_field);
        possible(theirs.wrapping_sub(self.read.ours), self.read.size)
    }

    /// Bytes that can be written now.
    fn room(&self) -> Result<usize, Broken> {
        let theirs = self.memory.read_u32(self.write.their_field);
        let used = possible(self.write.ours.wrapping_sub(theirs), self.write.size)?;
        Ok((self.write.size as usize).saturating_sub(used))
    }

    /// Reads what is there, up to the length of `to`. After 0 an event will come with more.
    pub fn read(&mut self, to: &mut [u8]) -> Result<usize, Broken> {
        let mut ready = self.ready()?;
        if ready == 0 {
            self.request(NOTIFY_WRITE);
            ready = self.ready()?;
        }
        let n = ready.min(to.len());
        if n == 0 {
            return Ok(0);
        }
        // The index before the bytes that it promises.
        self.memory.fence();
        let (at, until_end) = self.read.place();
        let to = to.get_mut(..n).unwrap_or_default();
        let (first, second) = to.split_at_mut(n.min(until_end));
        self.memory.copy_out(at, first);
        if !second.is_empty() {
            self.memory.copy_out(0, second);
        }
        self.memory.fence();
        self.read.advance(&self.memory, n);
        self.tell(NOTIFY_READ);
        Ok(n)
    }

    /// Writes what fits. When that was not all, an event will come with more room.
    pub fn write(&mut self, from: &[u8]) -> Result<usize, Broken> {
        let mut room = self.room()?;
        if room < from.len() {
            self.request(NOTIFY_READ);
            room = self.room()?;
        }
        let n = room.min(from.len());
        if n == 0 {
            return Ok(0);
        }
        let (at, until_end) = self.write.place();
        let from = from.get(..n).unwrap_or_default();
        let (first, second) = from.split_at(n.min(until_end));
        self.memory.copy_in(at, first);
        if !second.is_empty() {
            self.memory.copy_in(0, second);
        }
        // The bytes before the index that promises them.
        self.memory.fence();
        self.write.advance(&self.memory, n);
        self.tell(NOTIFY_WRITE);
        Ok(n)
    }

    /// Whether the other side has read all that was written. When not, an event will come with more of it read.
    pub fn is_read(&self) -> Result<bool, Broken> {
        let size = self.write.size as usize;
        if self.room()? < size {
            self.request(NOTIFY_READ);
        }
        Ok(self.room()? == size)
    }

    /// Asks to be told; the caller looks again after.
    fn request(&self, bit: u8) {
        self.memory.set_bits(self.notify_fields().0, bit);
        self.memory.fence();
    }

    /// Tells the other side if it asked for that.
    fn tell(&self, bit: u8) {
        self.memory.fence();
        if self.memory.clear_bits(self.notify_fields().1, bit) & bit != 0 {
            self.memory.notify();
        }
    }
}

impl<M: Memory> Drop for End<M> {
    fn drop(&mut self) {
        self.memory.fence();
        self.memory.write_u8(
            match self.role {
                Role::Server => SERVER_LIVE,
                Role::Client => CLIENT_LIVE,
            },
            0,
        );
        self.memory.notify();
    }
}

fn possible(bytes: u32, size: u32) -> Result<usize, Broken> {
    if bytes <= size { Ok(bytes as usize) } else { Err(Broken) }
}
