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

mod call;
mod disk;
mod keys;
mod levels;
mod limits;
pub mod logging;
mod login;
mod options;
mod serve;
mod server;
mod shown;
mod time;
mod user_name;
mod words;

pub use call::{Asked, Call};
pub use disk::{OpenError, Random, Ready, prepare};
pub use fat::MountOptions;
pub use keys::access::Access;
pub use keys::authorized_key::AuthorizedKey;
pub use keys::key::{PublicKey, ed25519_blob, fingerprint};
pub use levels::Levels;
pub use limits::Reserve;
pub use login::host_key::HostKey;
pub use login::users::ToldKeys;
pub use options::{IfBlank, Options};
pub use serve::share::Share;
pub use server::{Limits, Now, Server, Turn};
pub use shown::Shown;
pub use words::words;
