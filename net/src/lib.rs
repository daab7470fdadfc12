//! SSH sessions on sunset, without input or output of their own: a session is fed from and
//! written to a `Stream`, and says what happened by events. `tcp` gives such streams where there is
//! no operating system, from smoltcp and an Ethernet device.
//!
//! Depends on no operating system and on no other crate of this project. It never waits, never
//! keeps more of a client's data than the windows it granted, and knows nothing of what the
//! channels carry.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod algorithms;
mod alive;
mod auth;
mod channel;
mod data;
mod ended;
mod event;
mod host_key;
mod program;
mod rekey;
mod session;
mod stream;
pub mod tcp;

pub use algorithms::Algorithms;
pub use alive::ClientAlive;
pub use auth::{Keys, MAX_AUTH_TRIES, Offered};
pub use ended::Ended;
pub use event::Event;
pub use host_key::HostKey;
pub use rekey::RekeyLimit;
pub use session::Session;
pub use stream::{Closed, Listener, Stream};
pub use sunset::config::MAX_CHANNELS;

/// The receive window of a channel in bytes: what a session may hold of a client's data.
pub const WINDOW: usize = sunset::config::DEFAULT_WINDOW;
