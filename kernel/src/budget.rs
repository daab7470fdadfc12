//! What a guest's memory is divided into, whichever machine it is.
use core::ops::Range;
use net::tcp::Config;
use server::{Limits, Options};

/// What one connection may hold: its TCP buffers (128 KiB), SSH packets (70 KB), a window and the
/// request that it fills (256 KiB each), and replies (two of the longest).
const CONNECTION: u64 = 1264 << 10;
/// What the rest of the server may hold: caches, file data, disk and network pages, operations in
/// flight.
const SHARED: u64 = 10 << 20;
const CONNECTIONS: Range<u64> = 4..129;

const TCP_BUFFER: usize = 64 * 1024;
const OPERATIONS: usize = 32;
const OPERATION_BYTES: usize = 2 << 20;

/// How long what runs may take once the machine is to end, in milliseconds: a disk that never
/// answers must not keep it.
pub const STOP_WAIT: u64 = 30_000;

/// What the server may use of a heap of so many bytes.
pub fn limits(heap: u64) -> Limits {
    let connections = heap.saturating_sub(SHARED) / CONNECTION;
    let connections = connections.clamp(CONNECTIONS.start, CONNECTIONS.end - 1) as usize;
    Limits { connections, operations: OPERATIONS, operation_bytes: OPERATION_BYTES }
}

/// The port of the command line, or the usual one in the place of 0.
pub fn port(options: &Options) -> u16 {
    match options.port {
        0 => {
            let default = Options::default().port;
            log::warn!("--port 0: a guest has no system that chooses one; it is {default}");
            default
        }
        port => port,
    }
}

/// Sockets for the connections, and some more for those that come and go.
pub fn sockets(limits: &Limits, port: u16, seed: u64) -> Config {
    Config {
        port,
        sockets: limits.connections + 4,
        listening: 4,
        receive_buffer: TCP_BUFFER,
        send_buffer: TCP_BUFFER,
        seed,
    }
}
