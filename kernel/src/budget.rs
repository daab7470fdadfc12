//! What a guest's memory is divided into, whichever machine it is.
use core::ops::Range;
use drivers::xen::netfront::Pages;
use net::tcp::Config;
use server::{Limits, MountOptions, Options};

/// What one connection may hold: its TCP buffers (128 KiB), SSH packets (70 KB), a window (256 KiB), the
/// request that it fills (257 KiB), replies (two of the longest, 512 KiB), and what it made, if it may only
/// add (8 KiB).
const CONNECTION: u64 = 1233 << 10;
/// As many as 32 MiB bear, and no more than anybody has use for.
const CONNECTIONS: Range<u64> = 2..129;

/// What is the same in every guest: disk pages (528 KiB), indexes of directories (768 KiB), QubesDB and
/// calls of qrexec (1 MiB), and the buffers of `SPARE_SOCKETS`.
const FIXED: u64 = 2832 << 10;
const SPARE_SOCKETS: usize = 4;
const TCP_BUFFER: usize = 64 * 1024;

/// The rest of what is shared, in a guest that has memory enough; half or a quarter of it in smaller ones.
const CACHE: usize = 768 << 10;
/// Of files and directories: 65,536.
const EXTENTS: usize = 768 << 10;
const FILE_DATA: usize = 1792 << 10;
const OPERATION_BYTES: usize = 1 << 20;
/// A file is counted as 1 KiB.
const HANDLES: usize = 512 << 10;
/// Frames to receive may take longer to be looked at than a backend takes to send frames on.
const RECEIVE_PAGES: usize = 256;
const TRANSMIT_PAGES: usize = 128;
pub const PAGE: usize = 4096;
const SCALED: u64 = (CACHE
    + EXTENTS
    + FILE_DATA
    + OPERATION_BYTES
    + HANDLES
    + (RECEIVE_PAGES + TRANSMIT_PAGES) * PAGE) as u64;

/// Where half, and all of it, leave enough for connections.
const HALF: u64 = 12 << 20;
const WHOLE: u64 = 20 << 20;
/// The least heap that a guest serves with.
pub const MINIMUM: u64 = FIXED + SCALED / 4 + CONNECTIONS.start * CONNECTION;

const OPERATIONS: usize = 32;

/// The parts of a heap.
pub struct Budget {
    /// All of it, in bytes.
    pub heap: u64,
    pub server: Limits,
    pub volume: MountOptions,
    pub network: Pages,
}

impl Budget {
    /// Of a heap of so many bytes, which are `MINIMUM` or more.
    pub fn new(heap: u64) -> Self {
        let part = match heap {
            WHOLE.. => 1,
            HALF.. => 2,
            _ => 4,
        };
        let connections = heap.saturating_sub(FIXED + SCALED / part) / CONNECTION;
        let connections = connections.clamp(CONNECTIONS.start, CONNECTIONS.end - 1) as usize;
        let part = part as usize;
        Self {
            heap,
            server: Limits {
                connections,
                operations: OPERATIONS,
                operation_bytes: OPERATION_BYTES / part,
                handle_bytes: HANDLES / part,
            },
            volume: MountOptions {
                cache_bytes: CACHE / part,
                extent_bytes: EXTENTS / part,
                data_bytes: FILE_DATA / part,
                // Nobody is connected while the volume is mounted.
                walk_bytes: connections * CONNECTION as usize / 2,
                ..MountOptions::default()
            },
            network: Pages { receive: RECEIVE_PAGES / part, transmit: TRANSMIT_PAGES / part },
        }
    }

    /// Sockets for the connections, and some more for those that come and go.
    pub fn sockets(&self, port: u16, mtu: Option<u16>, seed: u64) -> Config {
        Config {
            port,
            sockets: self.server.connections + SPARE_SOCKETS,
            listening: SPARE_SOCKETS,
            receive_buffer: TCP_BUFFER,
            send_buffer: TCP_BUFFER,
            mtu,
            seed,
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_0_is_the_usual_one() {
        let asked = |asked| port(&Options { port: asked, ..Options::default() });
        assert_eq!((asked(0), asked(23)), (Options::default().port, 23));
    }

    /// The heap of a guest of so many MiB on QEMU, where less is left than under Xen, with the largest ELF
    /// that kernel.mk lets pass.
    fn heap(memory: u64) -> u64 {
        (memory << 20) - (3752 << 10)
    }

    #[test]
    fn memory_is_divided_and_never_promised_twice() {
        for (memory, connections) in [(12, 3), (16, 5), (24, 9), (32, 16), (64, 42), (1024, 128)] {
            let budget = Budget::new(heap(memory));
            let sockets = budget.sockets(22, None, 0);
            let Budget { heap, server, volume, network } = budget;
            assert_eq!(server.connections, connections, "{memory} MiB");
            let repairs_2_tib = volume.walk_bytes >= (2 << 40) / (32 << 10) / 8;
            assert_eq!(repairs_2_tib, memory >= 32, "{memory} MiB");
            let buffers = sockets.receive_buffer + sockets.send_buffer;
            let spare = (sockets.sockets - connections) * buffers;
            assert!((528 << 10) + (768 << 10) + (1 << 20) + spare as u64 <= FIXED);
            let pages = (network.receive + network.transmit) * PAGE;
            let volume = volume.cache_bytes + volume.extent_bytes + volume.data_bytes;
            let shared = volume + server.operation_bytes + server.handle_bytes + pages;
            let held = FIXED + shared as u64 + connections as u64 * CONNECTION;
            assert!(heap >= MINIMUM && held <= heap, "{memory} MiB: {held} of {heap}");
        }
    }
}
