//! Prints how many requests the disk sees for what clients do, beside the least that is possible
//! and what Linux 6.1's vfat needs.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // A bench may panic.
#[path = "../tests/workloads/mod.rs"]
mod workloads;

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

/// The time that this thread had a processor, in milliseconds: what else runs does not count.
fn busy() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e6
}

/// The directory of 50,000 files: the last thousand beside the first.
fn large_directory() {
    const ROUNDS: usize = 10;
    /// The clock moves a few milliseconds at a time.
    const PASSES: usize = 20;
    let (mut requests, mut spent) = (0, [0.0; 4]);
    for _ in 0..ROUNDS {
        let large = Large::new();
        let mut timed = |what: usize, run: &dyn Fn()| {
            let start = busy();
            run();
            spent[what] += busy() - start;
        };
        timed(0, &|| large.create(0..1000));
        timed(2, &|| (0..PASSES).for_each(|_| large.look_up(0..1000)));
        large.create(1000..Large::FILES - 1000);
        timed(1, &|| large.create(Large::FILES - 1000..Large::FILES));
        timed(3, &|| (0..PASSES).for_each(|_| large.look_up(Large::FILES - 1000..Large::FILES)));
        requests = large.disk.count().requests();
    }
    println!("{} files in one directory, {requests} requests; {ROUNDS} rounds", Large::FILES);
    for (what, pair, times) in [("creations", 0, ROUNDS), ("look-ups", 2, ROUNDS * PASSES)] {
        let [first, last] = [spent[pair], spent[pair + 1]].map(|spent: f64| spent / times as f64);
        println!(
            "1,000 {what:10} first {first:6.2} ms, last {last:6.2} ms, ratio {:.2}",
            last / first
        );
    }
}
