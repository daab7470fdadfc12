//! Prints how many requests the disk sees for what clients do, beside the least that is possible
//! and what Linux 6.1's vfat needs.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // A bench may panic.
#[path = "../tests/workloads/mod.rs"]
mod workloads;

use std::time::Instant;
use workloads::{Cost, KINDS, Large, run};

fn main() {
    for (kind, size, linux) in KINDS {
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
        println!();
    }
    large_directory();
}

/// The directory of 50,000 files: the last thousand beside the first, in the time of this machine.
fn large_directory() {
    const ROUNDS: usize = 5;
    let (mut created, mut looked_up, mut requests) = (Vec::new(), Vec::new(), 0);
    for _ in 0..ROUNDS {
        let large = Large::new();
        let timed = |run: &dyn Fn()| {
            let start = Instant::now();
            run();
            start.elapsed().as_secs_f64() * 1e3
        };
        let first = timed(&|| large.create(0..1000));
        let few = timed(&|| large.look_up(0..1000));
        large.create(1000..Large::FILES - 1000);
        let last = timed(&|| large.create(Large::FILES - 1000..Large::FILES));
        requests = large.disk.count().requests();
        // A thousand from everywhere.
        let many = timed(&|| large.look_up((0..Large::FILES).step_by(Large::FILES / 1000)));
        created.push((last / first, first, last));
        looked_up.push((many / few, few, many));
    }
    println!("{} files in one directory; median of {ROUNDS} rounds, least and most", Large::FILES);
    println!("({requests} requests to the disk to create them)");
    for (what, mut rounds) in [("creations", created), ("look-ups", looked_up)] {
        rounds.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (ratio, first, last) = rounds[ROUNDS / 2];
        println!(
            "1,000 {what:10} first {first:8.2} ms, last {last:8.2} ms, ratio {ratio:.2} ({:.2}-{:.2})",
            rounds[0].0,
            rounds[ROUNDS - 1].0
        );
    }
}
