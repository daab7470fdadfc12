//! Prints how many requests the disk sees for what clients do, beside the least that is possible
//! and what drivers of Linux need: 6.1's vfat, 6.12's and 7.2's exfat.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // A bench may panic.
#[path = "../tests/workloads/mod.rs"]
mod workloads;

use std::time::Instant;
use workloads::{Cost, KINDS, LINUX_EXFAT, Large, Linux, Small, run, run_on, sparse_exfat};

fn main() {
    for (kind, size, linux) in KINDS {
        print(&format!("{kind:?}, {} MiB", size >> 20), &linux, &run(kind, size, &linux));
    }
    let disk = sparse_exfat(2 << 30, &["-c", "32K"]);
    print("exFAT, 2048 MiB", &LINUX_EXFAT, &run_on(&disk, &LINUX_EXFAT));
    large_directory("FAT32", &Large::new);
    large_directory("exFAT", &|| Large::on(sparse_exfat(2 << 30, &["-c", "32K"])));
    small_files();
}

fn print(volume: &str, linux: &[Linux], costs: &[Cost]) {
    println!("{volume}, requests of 32 KiB where nothing else is said; Linux' are without flushes");
    let names: String =
        linux.iter().map(|(name, _)| format!("{:>11}", format!("Linux {name}"))).collect();
    println!(
        "{:37} {:>8} {:>8}{names} {:>8} {:>8} {:>8} {:>10} {:>10}",
        "", "requests", "least", "reads", "writes", "flushes", "KiB read", "KiB written"
    );
    for Cost { what, count, least, linux } in costs {
        let told = |linux: &Option<usize>| linux.map_or("".into(), |of: usize| of.to_string());
        let linux: String = linux.iter().map(|linux| format!("{:>11}", told(linux))).collect();
        println!(
            "{what:37} {:>8} {least:>8}{linux} {:>8} {:>8} {:>8} {:>10} {:>10}",
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

/// Files of 4 KiB, without a commit between: the last thousand of 15,000 beside the first.
fn small_files() {
    const ROUNDS: usize = 7;
    const FILES: usize = 15_000;
    let mut spent = [const { Vec::new() }; 2];
    for _ in 0..ROUNDS {
        let small = Small::new();
        let timed = |from: usize, to: usize| {
            let start = Instant::now();
            small.write(from..to);
            start.elapsed()
        };
        spent[0].push(timed(0, 1000));
        small.write(1000..FILES - 1000);
        spent[1].push(timed(FILES - 1000, FILES));
    }
    let [first, last] = spent.map(|mut times| {
        times.sort_unstable();
        times[ROUNDS / 2].as_secs_f64() * 1e3
    });
    println!("{FILES} files of 4 KiB without a commit; {ROUNDS} rounds");
    println!(
        "1,000 files      first {first:6.2} ms, last {last:6.2} ms, ratio {:.2}",
        last / first
    );
}

/// The directory of 50,000 files: the last thousand beside the first, by the median of the rounds.
fn large_directory(name: &str, large: &dyn Fn() -> Large) {
    const ROUNDS: usize = 15;
    let mut requests = 0;
    let mut spent = [const { Vec::new() }; 4];
    for _ in 0..ROUNDS {
        let large = large();
        let mut timed = |what: usize, run: &dyn Fn()| {
            let start = Instant::now();
            run();
            spent[what].push(start.elapsed());
        };
        timed(0, &|| large.create(0..1000));
        timed(2, &|| large.look_up(0..1000));
        large.create(1000..Large::FILES - 1000);
        timed(1, &|| large.create(Large::FILES - 1000..Large::FILES));
        timed(3, &|| large.look_up(Large::FILES - 1000..Large::FILES));
        requests = large.disk.count().requests();
    }
    println!(
        "{name}: {} files in one directory, {requests} requests; {ROUNDS} rounds",
        Large::FILES
    );
    let [first, last, first_looks, last_looks] = spent.map(|mut times| {
        times.sort_unstable();
        times[ROUNDS / 2].as_secs_f64() * 1e3
    });
    for (what, first, last) in [("creations", first, last), ("look-ups", first_looks, last_looks)] {
        println!(
            "1,000 {what:10} first {first:6.2} ms, last {last:6.2} ms, ratio {:.2}",
            last / first
        );
    }
}
