//! An SSH and SFTP client in memory, for tests: the kernel's self-check runs it where there is no
//! operating system.
//!
//! Depends on net (for the stream) and sunset. No product code depends on it.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod pipe;
mod requests;
mod ssh;

pub use pipe::{End, Once, pair};
pub use requests::{Reply, init, request};
pub use ssh::{Client, Failed};
