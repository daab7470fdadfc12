//! TCP over IP and Ethernet, on smoltcp: a network interface for machines without an operating
//! system.
//!
//! `Interface` owns the device and is polled by the machine's loop; `Listener` and `Stream` are
//! handles for the server. ARP, neighbour discovery and ICMP echo are answered. Fragments are dropped.
//! Nothing here waits, and every call does a bounded amount of work.
//!
//! Frames pass a `Guard` on their way to smoltcp and back, which follows each connection's numbers
//! (`flows`) and the MTU of the path to each peer (`paths`). What smoltcp lacks is there.
mod address;
mod clock;
mod flows;
mod guard;
mod interface;
mod link;
mod neighbours;
mod paths;
mod segment;
mod sockets;
mod stream;

pub use address::{Address, BadAddress, Own};
pub use interface::Interface;
pub use sockets::Config;
pub use stream::{Listener, Stream};
