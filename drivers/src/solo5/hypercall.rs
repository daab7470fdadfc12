//! The hypercalls: a structure's address written to a port (include/hvt_abi.h).
use super::{Refusal, Tender};
use core::arch::asm;

/// The first call's port is the next.
const PORT: u16 = 0x500;

const WALL_TIME: u16 = 1;
const PUTS: u16 = 2;
const POLL: u16 = 3;
const BLOCK_WRITE: u16 = 4;
const BLOCK_READ: u16 = 5;
const NET_WRITE: u16 = 6;
const NET_READ: u16 = 7;
const HALT: u16 = 8;

#[repr(C)]
struct WallTime {
    nanoseconds: u64,
}

#[repr(C)]
struct Puts {
    data: u64,
    len: u64,
}

#[repr(C)]
struct Poll {
    timeout: u64,
    ready: u64,
    result: i32,
}

#[repr(C)]
struct Block {
    handle: u64,
    offset: u64,
    data: u64,
    len: u64,
    result: i32,
}

#[repr(C)]
struct Net {
    handle: u64,
    data: u64,
    len: u64,
    result: i32,
}

#[repr(C)]
struct Halt {
    cookie: u64,
    status: i32,
}

/// The tender's calls.
#[derive(Clone, Copy, Debug)]
pub struct Hypercalls(());

impl Hypercalls {
    /// # Safety
    /// The program runs under Solo5's `hvt`, with its memory mapped to itself below 4 GiB and its last page
    /// unused.
    pub unsafe fn new() -> Self {
        Self(())
    }

    /// Calls with a structure that the tender reads and writes.
    fn call<T>(self, number: u16, arguments: &mut T) {
        let address = (&raw mut *arguments).expose_provenance() as u32;
        // SAFETY: `new` has a promise of the tender and of memory. The tender reads and writes `arguments`,
        // which is borrowed for that, and the buffer that the methods below put into it: each has the
        // buffer borrowed, for writing where the tender writes. Nothing else is touched, no flag changes.
        unsafe {
            asm!("out dx, eax", in("dx") PORT.wrapping_add(number), in("eax") address,
                options(nostack, preserves_flags));
        }
    }

    /// Writes text to the tender's console.
    pub fn puts(self, text: &[u8]) {
        let mut puts = Puts { data: address(text), len: text.len() as u64 };
        self.call(PUTS, &mut puts);
    }

    /// Ends the machine; the tender exits with this status.
    pub fn halt(self, status: i32) -> ! {
        let mut halt = Halt { cookie: 0, status };
        loop {
            self.call(HALT, &mut halt);
        }
    }

    fn block(
        self,
        call: u16,
        handle: u64,
        offset: u64,
        data: u64,
        len: u64,
    ) -> Result<(), Refusal> {
        let mut block = Block { handle, offset, data, len, result: -1 };
        self.call(call, &mut block);
        result(block.result)
    }
}

fn address(data: &[u8]) -> u64 {
    data.as_ptr().expose_provenance() as u64
}

fn address_mut(data: &mut [u8]) -> u64 {
    data.as_mut_ptr().expose_provenance() as u64
}

fn result(code: i32) -> Result<(), Refusal> {
    match code {
        0 => Ok(()),
        1 => Err(Refusal::Again),
        2 => Err(Refusal::Invalid),
        _ => Err(Refusal::Other),
    }
}

impl Tender for Hypercalls {
    fn wall_time(&self) -> u64 {
        let mut time = WallTime { nanoseconds: 0 };
        self.call(WALL_TIME, &mut time);
        time.nanoseconds
    }

    fn poll(&self, nanoseconds: u64) {
        let mut poll = Poll { timeout: nanoseconds, ready: 0, result: 0 };
        self.call(POLL, &mut poll);
    }

    fn read_block(&self, device: u64, offset: u64, data: &mut [u8]) -> Result<(), Refusal> {
        let len = data.len() as u64;
        self.block(BLOCK_READ, device, offset, address_mut(data), len)
    }

    fn write_block(&self, device: u64, offset: u64, data: &[u8]) -> Result<(), Refusal> {
        self.block(BLOCK_WRITE, device, offset, address(data), data.len() as u64)
    }

    fn read_net(&self, device: u64, frame: &mut [u8]) -> Result<usize, Refusal> {
        let len = frame.len() as u64;
        let mut net = Net { handle: device, data: address_mut(frame), len, result: -1 };
        self.call(NET_READ, &mut net);
        result(net.result).map(|()| net.len as usize)
    }

    fn write_net(&self, device: u64, frame: &[u8]) -> Result<(), Refusal> {
        let len = frame.len() as u64;
        let mut net = Net { handle: device, data: address(frame), len, result: -1 };
        self.call(NET_WRITE, &mut net);
        result(net.result)
    }
}
