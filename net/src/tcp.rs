//! TCP over IPv4 and Ethernet, on smoltcp: a network interface for machines without an operating
//! system.
//!
//! `Interface` owns the device and is polled by the machine's loop; `Listener` and `Stream` are
//! handles for the server. ARP and ICMP echo are answered. IPv6 and IPv4 fragments are dropped.
//! Nothing here waits, and every call does a bounded amount of work.
mod clock;
mod interface;
mod link;
mod sockets;
mod stream;

pub use interface::{Address, BadAddress, Interface};
pub use sockets::Config;
pub use stream::{Listener, Stream};
