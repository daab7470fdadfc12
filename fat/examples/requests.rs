//! Prints how many requests the disk sees for what clients do, beside the least that is possible
//! and what Linux 6.1's vfat needs.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // A bench may panic.
#[path = "../tests/workloads/mod.rs"]
mod workloads;

use workloads::{Cost, run};

fn main() {
    for (kind, size, linux) in workloads::KINDS {
        println!("{kind:?}, {} MiB, requests of 32 KiB where nothing else is said", size >> 20);
        println!(
            "{:36} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>10} {:>10}",
            "",
            "requests",
            "least",
            "vfat",
            "reads",
            "writes",
            "flushes",
            "KiB read",
            "KiB written"
        );
        for Cost { what, count, least, linux } in run(kind, size, linux) {
            let linux = linux.map_or("".into(), |requests| requests.to_string());
            println!(
                "{what:36} {:>8} {least:>8} {linux:>8} {:>8} {:>8} {:>8} {:>10} {:>10}",
                count.requests(),
                count.reads,
                count.writes,
                count.flushes,
                count.read >> 10,
                count.written >> 10,
            );
        }
    }
}
