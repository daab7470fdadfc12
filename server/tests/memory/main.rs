//! The whole server in memory: real SSH clients of the tests, a FAT volume in RAM, no sockets.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod access;
mod call;
mod disk;
mod durable;
mod endless;
mod login;
mod posix;
mod rig;
mod slow;
mod together;
