//! What tests and benches of the engine stand on: a disk that keeps only what is not zero and counts what
//! it is asked, a random generator, and an executor.
#![allow(dead_code)] // Each uses its part.
use fat::{BlockDevice, DeviceError, OpenOptions};
use std::boxed::Box; // The crate itself, which uses this too, has no prelude of std.
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

pub const READ: OpenOptions = OpenOptions {
    read: true,
    write: false,
    create: false,
    create_new: false,
    truncate: false,
    posix: None,
};
pub const WRITE: OpenOptions = OpenOptions { write: true, create: true, ..READ };

const BLOCK: usize = 4096;
static ZEROS: [u8; BLOCK] = [0; BLOCK];

/// What a disk was asked to do.
#[derive(Clone, Copy, Debug, Default)]
pub struct Count {
    pub reads: usize,
    pub writes: usize,
    pub flushes: usize,
    pub read: usize,
    pub written: usize,
}

impl Count {
    pub fn requests(&self) -> usize {
        self.reads + self.writes + self.flushes
    }

    pub fn since(&self, before: &Self) -> Self {
        Self {
            reads: self.reads - before.reads,
            writes: self.writes - before.writes,
            flushes: self.flushes - before.flushes,
            read: self.read - before.read,
            written: self.written - before.written,
        }
    }
}

#[derive(Default)]
struct Inner {
    size: u64,
    blocks: RefCell<HashMap<u64, Box<[u8; BLOCK]>>>,
    count: Cell<Count>,
}

/// A disk in memory that takes no room where it is zeros.
#[derive(Clone, Default)]
pub struct Sparse(Rc<Inner>);

impl Sparse {
    pub fn new(size: u64) -> Self {
        Self(Rc::new(Inner { size, ..Inner::default() }))
    }

    pub fn count(&self) -> Count {
        self.0.count.get()
    }

    fn note(&self, change: impl FnOnce(&mut Count)) {
        let mut count = self.0.count.get();
        change(&mut count);
        self.0.count.set(count);
    }

    /// Writes without a request.
    pub fn put(&self, at: u64, data: &[u8]) {
        let mut blocks = self.0.blocks.borrow_mut();
        let (mut at, mut rest) = (at, data);
        while !rest.is_empty() {
            let inside = at as usize % BLOCK;
            let (part, after) = rest.split_at(rest.len().min(BLOCK - inside));
            let number = at / BLOCK as u64;
            if blocks.contains_key(&number) || part != &ZEROS[..part.len()] {
                let block = blocks.entry(number).or_insert_with(|| Box::new([0; BLOCK]));
                block[inside..inside + part.len()].copy_from_slice(part);
            }
            at += part.len() as u64;
            rest = after;
        }
    }
}

impl BlockDevice for Sparse {
    fn sector_size(&self) -> usize {
        512
    }

    fn size(&self) -> u64 {
        self.0.size
    }

    fn read_only(&self) -> bool {
        false
    }

    async fn read(&self, offset: u64, buf: &mut [u8]) -> Result<(), DeviceError> {
        assert!(offset + buf.len() as u64 <= self.0.size);
        self.note(|count| {
            count.reads += 1;
            count.read += buf.len();
        });
        let blocks = self.0.blocks.borrow();
        let (mut at, mut rest) = (offset, buf);
        while !rest.is_empty() {
            let inside = at as usize % BLOCK;
            let (part, after) = rest.split_at_mut((BLOCK - inside).min(rest.len()));
            match blocks.get(&(at / BLOCK as u64)) {
                Some(block) => part.copy_from_slice(&block[inside..inside + part.len()]),
                None => part.fill(0),
            }
            at += part.len() as u64;
            rest = after;
        }
        Ok(())
    }

    async fn write(&self, offset: u64, data: &[u8]) -> Result<(), DeviceError> {
        assert!(offset + data.len() as u64 <= self.0.size);
        self.note(|count| {
            count.writes += 1;
            count.written += data.len();
        });
        self.put(offset, data);
        Ok(())
    }

    async fn flush(&self) -> Result<(), DeviceError> {
        self.note(|count| count.flushes += 1);
        Ok(())
    }
}

pub fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..100_000_000u64 {
        if let Poll::Ready(done) = future.as_mut().poll(&mut context) {
            return done;
        }
    }
    panic!("the future never got ready");
}

/// A small generator for tests and benches: xorshift with 64 bits.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// One that goes on from this state, which is not 0.
    pub fn of_state(state: u64) -> Self {
        Self(state)
    }

    pub fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % most.max(1)
    }
}
