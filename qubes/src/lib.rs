//! What Qubes OS speaks with a qube, without input or output of its own: the rings of a vchan, the
//! client of QubesDB, the agent's side of qrexec, and the receiver of file copies.
//!
//! Depends on `alloc` alone and imports no other crate of this project. Bytes that came go in, bytes
//! to send and what happened come out; memory that another domain can write is reached through
//! `vchan::Memory`. Nothing here waits, panics over what another domain sends, or keeps more than the
//! bounds that each module states.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod filecopy;
pub mod qrexec;
pub mod qubesdb;
pub mod vchan;
