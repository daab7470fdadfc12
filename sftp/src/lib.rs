//! SFTP version 3 (draft-ietf-secsh-filexfer-02) with OpenSSH's extensions, as a server without IO:
//! bytes of a channel in, complete reply packets out, and the file system behind [`Files`].
//!
//! Depends on `alloc` alone and imports no other crate of this project. It never waits, never reads
//! a clock, never panics on what a client sends, and allocates no more than a fixed number of
//! packets and handles for each session.
//!
//! One session is one [`Packets`] and one [`Server`]:
//!
//! 1. [`Packets::push`] takes bytes until one request is complete, [`Packets::next`] gives it out.
//! 2. Once [`Server::may_start`] allows it, [`Server::run`] makes it a future. Requests must be
//!    started in the order in which they arrived: one that may not start yet holds up the next.
//! 3. The future's output is the reply to send. Replies go out in the order they are ready.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod attributes;
mod copy;
mod files;
mod fxp;
mod give_way;
mod handles;
mod kinds;
mod order;
mod reply;
mod request;
mod server;
mod status;
mod walk;
mod wire;

pub use attributes::Attributes;
pub use files::{Files, Link, Name, OpenFlags, StatVfs};
pub use give_way::give_way;
pub use handles::HandleMemory;
pub use kinds::Requests;
pub use request::Request;
pub use request::fatal::Fatal;
pub use request::packet::Packets;
pub use server::Server;
pub use status::{Status, StatusCode};

/// The most bytes that one READ gives; a longer one is answered with this much (OpenSSH's figure).
pub const MAX_READ: u32 = 261_120;

/// The most bytes of data that limits@openssh.com allows in one WRITE (OpenSSH's figure).
pub const MAX_WRITE: u32 = 261_120;

/// The longest packet that limits@openssh.com allows, without its length field (OpenSSH's figure).
pub const MAX_PACKET: u32 = 262_144;
