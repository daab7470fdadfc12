//! What a Unix process adds to the server's crates: disk images in files, and the `fat` command
//! that makes, fills and checks them.
//!
//! May depend on every crate of the project but `kernel` and `drivers`. The `fat` command's parts
//! in `fat_command` use the file system alone.
#![forbid(unsafe_code)]

mod block_on;
pub mod fat_command;
mod image;
pub mod keygen;
pub mod logger;
mod progress;
mod sockets;

pub use block_on::block_on;
pub use image::{Image, ImageError};
pub use progress::Progress;
pub use sockets::Sockets;
