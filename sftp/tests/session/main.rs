//! One SFTP session against files in memory, driven through bytes as a client would.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod client;
mod copy;
mod cost;
mod directory;
mod extended;
mod file;
mod handle;
mod link;
mod malformed;
mod memory;
mod order;
mod packets;
mod path;
