//! An SSH and SFTP client in memory, and a disk, for tests.
//!
//! Depends on net (for the stream), sunset and fat (for the disk). No product code depends on it.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod pipe;
mod ram;
mod requests;
mod ssh;

pub use pipe::{End, Once, pair};
pub use ram::{Ram, ready};
pub use requests::{Reply, init, request};
pub use ssh::{Client, Failed};
