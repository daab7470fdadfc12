//! Power cuts: a workload is recorded, write for write, and the disk is looked at as each cut would
//! leave it, also with the writes since the last flush in part, also when the repair is cut in turn.
//!
//! POWER_CUT_SECONDS=N goes on with new workloads for N seconds, POWER_CUT_FIRST=N begins with workload N.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // Tests may panic.
#[path = "../common/mod.rs"]
mod common;
mod cuts;
mod workload;
mod writer;

use common::*;
use cuts::{Counts, Cutter};
use fat::Volume;
use std::io::Write;
use std::pin::pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};
use writer::Writer;

/// What a volume is made with: a name, its size in KiB, and the arguments of mkfs.fat or mkfs.exfat. The
/// smallest volumes that have room for a journal are the quickest to check.
type Kind = (&'static str, usize, &'static [&'static str]);
const KINDS: [Kind; 4] = [
    ("FAT12", 4000, &["-F", "12", "-s", "2"]),
    ("FAT16", 4400, &["-F", "16", "-s", "1"]),
    ("FAT32", 4400, &["-F", "32", "-s", "1"]),
    ("FAT16 with clusters of 2 KiB", 10_000, &["-F", "16", "-s", "4"]),
];
const EXFAT: [Kind; 2] = [
    ("exFAT with clusters of 512 bytes", 4400, &["-c", "512", "-b", "512"]),
    ("exFAT with clusters of 2 KiB", 4400, &["-c", "2K", "-b", "512"]),
];
/// That keep modes and links.
const POSIX: [Kind; 2] = [
    ("exFAT with modes and links, clusters of 512 bytes", 4400, &["-c", "512", "-b", "512"]),
    ("exFAT with modes and links, clusters of 2 KiB", 4400, &["-c", "2K", "-b", "512"]),
];
const WORKLOADS: [&str; 3] = ["script", "random", "three at once"];
/// The workloads of `make test`, and cuts that they have at least.
const JOBS: (usize, usize) = (36, 20_000);
const JOBS_OF_EXFAT: (usize, usize) = (36, 20_000);
const JOBS_OF_POSIX: (usize, usize) = (12, 5_000);
/// The disks' largest requests: what is written leaves memory late and at once, or in parts.
const LARGEST: [usize; 3] = [1 << 20, 1024, 8192];

/// Records workload `number` and cuts it everywhere.
fn run(number: usize, kinds: &[Kind], blank: &[Vec<u8>]) -> Counts {
    let (kind, _, _) = kinds[number % kinds.len()];
    let work = WORKLOADS[number / kinds.len() % WORKLOADS.len()];
    let seed = number as u64 + 1;
    let disk = Disk::new(blank[number % kinds.len()].clone());
    disk.0.largest.set(Some(LARGEST[number / (kinds.len() * WORKLOADS.len()) % LARGEST.len()]));
    let volume = mount(&disk);
    let roots: &[&str] = if work == "three at once" { &["/x", "/y", "/z"] } else { &[""] };
    block_on(async {
        volume.write_record("key", b"secret").await.unwrap();
        if kinds == POSIX {
            volume.mark_posix().await.unwrap();
        }
        for root in roots.iter().filter(|root| !root.is_empty()) {
            volume.create_dir(root).await.unwrap();
        }
        volume.sync().await.unwrap();
    });
    let before = disk.image();
    disk.record();
    let writers: Vec<_> = roots.iter().map(|root| Writer::new(&volume, &disk, root)).collect();
    match work {
        "script" => block_on(workload::scripted(&writers[0])),
        "random" => block_on(workload::random(&writers[0], 150, seed)),
        _ => {
            disk.0.slow.set(true);
            let seeds = seed * 100..;
            let work = writers
                .iter()
                .zip(seeds)
                .map(|(writer, seed)| Box::pin(workload::random(writer, 60, seed)) as _);
            run_all(work.collect());
        }
    }
    let log = disk.0.log.take().unwrap();
    let histories: Vec<_> = writers.into_iter().map(Writer::history).collect();
    let mut cutter = Cutter {
        what: format!("{kind}, {work}, seed {seed}"),
        histories: &histories,
        random: Random::new(seed),
        counts: Counts::default(),
    };
    cutter.cut_everywhere(before, &log);
    cutter.counts
}

#[test]
fn every_cut_keeps_what_was_synced() {
    cut_all(&KINDS, JOBS, |(_, kib, arguments)| mkfs(kib, arguments).image());
}

#[test]
fn every_cut_of_exfat_keeps_what_was_synced() {
    cut_all(&EXFAT, JOBS_OF_EXFAT, |(_, kib, arguments)| mkfs_exfat(kib, arguments));
}

#[test]
fn every_cut_of_modes_and_links_keeps_what_was_synced() {
    cut_all(&POSIX, JOBS_OF_POSIX, |(_, kib, arguments)| mkfs_exfat(kib, arguments));
}

fn cut_all(kinds: &[Kind], (jobs, least): (usize, usize), blank: impl FnMut(Kind) -> Vec<u8>) {
    let given = |name| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let end = given("POWER_CUT_SECONDS").map(|s: u64| Instant::now() + Duration::from_secs(s));
    let first = given("POWER_CUT_FIRST").unwrap_or(0) as usize;
    let wanted = |job: usize| match end {
        Some(end) => Instant::now() < end,
        None => job < jobs,
    };
    let blank: Vec<_> = kinds.iter().copied().map(blank).collect();
    let (next, total) = (AtomicUsize::new(first), Mutex::new(Counts::default()));
    let work = || {
        loop {
            let job = next.fetch_add(1, Ordering::Relaxed);
            if !wanted(job) {
                break;
            }
            let counts = run(job, kinds, &blank);
            *total.lock().unwrap() += counts;
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from).min(8) {
            scope.spawn(work);
        }
    });
    let counts = total.into_inner().unwrap();
    // Not by a macro, whose output the test harness keeps to itself.
    let said = writeln!(
        std::io::stderr(),
        "power cuts of {}: {} in {} workloads ({} whole, {} torn) and {} of the repair, {} verdicts of \
         fsck: 0 broken promises",
        match kinds {
            _ if kinds == KINDS => "FAT",
            _ if kinds == POSIX => "exFAT with modes and links",
            _ => "exFAT",
        },
        counts.cuts(),
        counts.workloads,
        counts.whole,
        counts.torn,
        counts.repair,
        counts.fsck
    );
    said.unwrap();
    assert!(end.is_some() || counts.cuts() >= least, "only {} cuts", counts.cuts());
}

#[test]
fn without_a_journal_what_was_synced_and_left_alone_survives() {
    let disk = mkfs(2048, &["-F", "12"]);
    let volume = mount(&disk);
    let before = disk.image();
    disk.record();
    let writer = Writer::new(&volume, &disk, "");
    block_on(async {
        writer.put("/stable", &pattern(1, 70_000)).await;
        writer.sync().await;
    });
    let synced = disk.logged();
    block_on(workload::scripted(&writer));
    let log = disk.0.log.take().unwrap();
    let mut image = before;
    for (at, event) in log.iter().enumerate() {
        if let Event::Write(offset, data) = event {
            image[*offset..*offset + data.len()].copy_from_slice(data);
        }
        if at >= synced {
            let volume = mount(&Disk::new(image.clone()));
            let data = block_on(get(&volume, "/stable")).unwrap();
            assert!(data == pattern(1, 70_000), "{at}");
            assert!(block_on(list(&volume, "/")).is_ok(), "{at}");
        }
    }
}

/// Which has taken what there is to do, and need not have done it.
#[test]
fn a_sync_waits_for_the_commit_that_another_began() {
    let mut context = Context::from_waker(Waker::noop());
    for blank in [mkfs(KINDS[1].1, KINDS[1].2).image(), mkfs_exfat(EXFAT[0].1, EXFAT[0].2)] {
        let disk = Disk::new(blank);
        block_on(async {
            let volume = mount(&disk);
            put(&volume, "/grows", &pattern(1, 300)).await.unwrap();
            put(&volume, "/old", &pattern(2, 300)).await.unwrap();
            volume.unmount().await.unwrap();
        });
        for requests in 0.. {
            let disk = Disk::new(disk.image());
            let volume = mount(&disk);
            // What it needs of the disk is not in memory yet.
            block_on(async {
                let file = volume.open("/grows", &WRITE).await.unwrap();
                volume.append(&file, &pattern(3, 3000)).await.unwrap();
                volume.rename("/old", "/new", false).await.unwrap();
            });
            disk.0.slow.set(true);
            let mut other = pin!(volume.unmount());
            if (0..=requests).any(|_| other.as_mut().poll(&mut context).is_ready()) {
                break;
            }
            let mut sync = pin!(volume.sync());
            if sync.as_mut().poll(&mut context).is_ready() {
                let cut = mount(&Disk::new(disk.image()));
                let len = block_on(cut.metadata("/grows")).map(|found| found.len);
                assert_eq!(len, Ok(3300), "synced while the other had made {requests} requests");
                assert!(block_on(cut.metadata("/new")).is_ok(), "{requests}");
            }
        }
    }
}

#[test]
fn a_journal_does_not_undo_what_another_system_wrote() {
    let disk = mkfs(9000, &["-F", "16", "-s", "2"]);
    let volume = mount(&disk);
    block_on(async {
        volume.write_record("key", b"secret").await.unwrap();
        for number in 0..40 {
            put(&volume, &format!("/file number {number}"), b"x").await.unwrap();
        }
        volume.sync().await.unwrap();
    });
    // Cut here: the journal holds the last commit. Another system removes all that is in the root.
    let file = TempFile::new(&disk.image());
    let status = std::process::Command::new("mdel")
        .args(["-i", file.0.to_str().unwrap(), "::/file*"])
        .env("MTOOLS_SKIP_CHECK", "1")
        .status();
    assert!(status.unwrap().success());
    let again = mount(&Disk::new(std::fs::read(&file.0).unwrap()));
    assert!(block_on(list(&again, "/")).unwrap().is_empty());
}

/// The entry of this cluster lies in two sectors of FAT12's table.
const SPLIT: usize = 341;

fn split_entry(disk: &Disk, volume: &Volume<Disk>) -> u16 {
    let at = volume.geometry().table_start as usize + SPLIT * 3 / 2;
    assert_eq!(at % 512, 511);
    u16::from_le_bytes(disk.image()[at..at + 2].try_into().unwrap()) >> 4
}

/// A FAT12 volume, and how many free clusters lie before the one whose entry is split.
fn before_split() -> (Disk, Volume<Disk>, usize) {
    let disk = mkfs(KINDS[0].1, KINDS[0].2);
    let volume = mount(&disk);
    block_on(volume.write_record("key", b"secret")).unwrap();
    block_on(volume.unmount()).unwrap();
    let space = block_on(volume.space()).unwrap();
    let first = (space.total_clusters - space.free_clusters) as usize + 2;
    (disk, volume, SPLIT - first)
}

/// A cut may leave one half of the entry old and one new.
#[test]
fn half_an_entry_of_fat12_harms_no_file() {
    let (disk, volume, clusters) = before_split();
    let whole = (clusters + 1) * volume.geometry().cluster_size as usize;
    let before = disk.image();
    disk.record();
    let writer = Writer::new(&volume, &disk, "");
    block_on(async {
        writer.put("/file", &pattern(1, whole)).await;
        writer.sync().await;
        assert_eq!(split_entry(&disk, &volume), 0xFFF, "it is the file's last cluster");
        writer.append("/file", &pattern(2, 9000)).await;
        writer.sync().await;
        assert!((2..0xFF0).contains(&split_entry(&disk, &volume)));
        writer.truncate("/file", whole).await;
        writer.sync().await;
        writer.put("/other", &pattern(3, 9000)).await;
        writer.sync().await;
        writer.remove("/file").await;
        writer.sync().await;
        writer.sync().await;
    });
    let log = disk.0.log.take().unwrap();
    let histories = [writer.history()];
    for seed in 1..=30 {
        let what = format!("seed {seed}");
        let (random, counts) = (Random::new(seed), Counts::default());
        let mut cutter = Cutter { what, histories: &histories, random, counts };
        cutter.cut_everywhere(before.clone(), &log);
    }
}

/// No size tells where they end.
#[test]
fn directories_of_fat12_never_have_a_cluster_with_a_split_entry() {
    let (disk, volume, clusters) = before_split();
    let cluster = volume.geometry().cluster_size as usize;
    block_on(async {
        volume.create_dir("/grows").await.unwrap();
        put(&volume, "/filler", &pattern(1, (clusters - 1) * cluster)).await.unwrap();
        for number in 0..40 {
            put(&volume, &format!("/grows/{number}"), b"").await.unwrap();
        }
        volume.create_dir("/new").await.unwrap();
        volume.unmount().await.unwrap();
        assert_eq!(split_entry(&disk, &volume), 0);
        volume.create_dir("/another").await.unwrap();
        let free = volume.space().await.unwrap().free_clusters as usize;
        put(&volume, "/file", &pattern(1, free * cluster)).await.unwrap();
        volume.unmount().await.unwrap();
    });
    assert!(split_entry(&disk, &volume) != 0, "a file takes it");
    assert_eq!(fsck(&disk.image()), "");
}
