//! qrexec, the calls of programs and services between qubes: the agent's side, protocol 3
//! (libqrexec's qrexec.h), which daemons of Qubes 4.2 and 4.3 both speak.
//!
//! The daemon in dom0 asks over the control vchan (`Agent`); each call has a data vchan of its own
//! (`Data`), on which a program's standard input and output and its exit code are carried.
mod agent;
mod command;
mod data;

pub use agent::{Agent, BadControl, Exec};
pub use command::Command;
pub use data::{BadData, Data, MAX_CHUNK};

/// The version that we speak, and the oldest that is accepted.
const VERSION: u32 = 3;
const OLDEST: u32 = 2;

/// `struct msg_header`: u32 type, u32 length of what follows.
pub const HEADER: usize = 8;

/// Message types.
pub mod kind {
    pub const DATA_STDIN: u32 = 0x190;
    pub const DATA_STDOUT: u32 = 0x191;
    pub const DATA_STDERR: u32 = 0x192;
    pub const DATA_EXIT_CODE: u32 = 0x193;
    pub const EXEC_CMDLINE: u32 = 0x200;
    pub const JUST_EXEC: u32 = 0x201;
    pub const SERVICE_CONNECT: u32 = 0x202;
    pub const SERVICE_REFUSED: u32 = 0x203;
    pub const CONNECTION_TERMINATED: u32 = 0x211;
    pub const HELLO: u32 = 0x300;
}

/// Exit codes that mean something to qrexec.
pub mod exit {
    pub const OK: i32 = 0;
    pub const FAILURE: i32 = 1;
    /// The agent could not run it.
    pub const PROBLEM: i32 = 125;
    pub const REFUSED: i32 = 126;
    pub const NOT_FOUND: i32 = 127;
}

/// A message of words of 32 bits.
fn message(kind: u32, words: &[u32]) -> alloc::vec::Vec<u8> {
    let length = (words.len() as u32).saturating_mul(4);
    [kind, length].iter().chain(words).flat_map(|word| word.to_le_bytes()).collect()
}

/// The `n`th word of 32 bits.
fn word(bytes: &[u8], n: usize) -> Option<u32> {
    let from = n.checked_mul(4)?;
    let bytes = bytes.get(from..from.checked_add(4)?)?;
    bytes.try_into().ok().map(u32::from_le_bytes)
}
