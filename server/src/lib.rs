//! Puts the volume, SFTP, SSH and qrexec together: users and keys, the share, sessions, services,
//! and the one turn of the loop that every machine runs.
//!
//! Depends on fat, sftp, net and qubes, and is the only crate that knows them all. It knows no machine:
//! disk, network, time and randomness come as arguments. It never waits.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod access;
mod authorized_key;
mod call;
mod connection;
mod disk;
mod host_key;
mod key;
mod key_options;
mod levels;
mod options;
mod pattern;
mod server;
mod share;
mod tasks;
mod time;
mod transfer;
mod users;
mod words;

pub use access::Access;
pub use authorized_key::AuthorizedKey;
pub use call::{Asked, Call};
pub use disk::{OpenError, Random, Ready, prepare};
pub use fat::MountOptions;
pub use host_key::HostKey;
pub use key::{PublicKey, ed25519_blob, fingerprint};
pub use levels::Levels;
pub use options::Options;
pub use server::{Limits, Now, Server, Turn};
pub use share::{Share, Shown};
pub use users::ToldKeys;
pub use words::words;
