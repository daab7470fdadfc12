//! A cut after every event of a log, whole and with the writes that no flush covers in part.
use crate::common::*;
use crate::writer::{Found, History, LINK};
use fat::Volume;
use std::ops::AddAssign;

#[derive(Clone, Copy, Default)]
pub struct Counts {
    pub workloads: usize,
    /// Cuts after an event, with everything before it on the disk.
    pub whole: usize,
    /// Cuts with part of what no flush covers.
    pub torn: usize,
    /// Cuts of the repair that a mount does.
    pub repair: usize,
    /// Verdicts of fsck.fat or fsck.exfat.
    pub fsck: usize,
}

impl Counts {
    /// Cuts of a workload.
    pub fn cuts(&self) -> usize {
        self.whole + self.torn
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.workloads += other.workloads;
        self.whole += other.whole;
        self.torn += other.torn;
        self.repair += other.repair;
        self.fsck += other.fsck;
    }
}

/// Cuts everywhere and checks each outcome against what the writers did.
pub struct Cutter<'a> {
    pub what: String,
    pub histories: &'a [History],
    pub random: Random,
    pub counts: Counts,
}

impl Cutter<'_> {
    /// Cuts after each of the events of `log`, which began with `before` on the disk.
    pub fn cut_everywhere(&mut self, before: Vec<u8>, log: &[Event]) {
        self.counts.workloads += 1;
        let disk = Disk::new(before);
        disk.keep_undo();
        let mut unflushed = Vec::new();
        for at in 0..=log.len() {
            let mark = disk.mark();
            for index in &unflushed {
                apply(&disk, &log[*index], |_| true);
            }
            self.counts.whole += 1;
            self.check(&disk, at, "whole");
            disk.rewind(mark);
            // Also a flush that was cut may have written anything.
            let times = unflushed.len().min(2);
            for _ in 0..times {
                tear(&disk, log, &unflushed, &mut self.random);
                self.counts.torn += 1;
                self.check(&disk, at, "torn");
                disk.rewind(mark);
            }
            settle(&disk, log, at, &mut unflushed);
        }
    }

    fn check(&mut self, disk: &Disk, at: usize, how: &str) {
        let what = format!("{}, {how} after {at} events", self.what);
        let mut fsck_too = self.random.below(400) == 0;
        let mark = disk.mark();
        disk.record();
        let volume = mount(disk);
        assert_eq!(volume.read_only(), None, "{what}");
        // Debian 12's fsck.exfat does not know what stands behind the names of such a volume.
        let is_plain = !volume.keeps_posix();
        fsck_too &= is_plain || newer_fsck().is_some();
        let found = block_on(tree(&volume, &what));
        for history in self.histories {
            if !history.allows(&found, at) {
                let sizes: Vec<_> =
                    found.iter().map(|(k, v)| (k, v.as_ref().map(|v| (v.0.len(), v.1)))).collect();
                panic!("{what}: no state since the last sync, but {sizes:#?}");
            }
        }
        if fsck_too {
            self.counts.fsck += 1;
            let report = verdict(disk, is_plain);
            // fsck.exfat tells of chains that are longer than their file in words of its own.
            assert!(is_exfat(disk) || harmless(&report), "{what}: {report}");
        }
        block_on(volume.unmount()).unwrap();
        let repair = disk.0.log.take().unwrap();
        assert_clean(disk, fsck_too, is_plain, &what);
        if self.random.below(8) == 0 {
            block_on(async {
                put(&volume, "/after", &pattern(1, 100_000)).await.unwrap();
                volume.remove_file("/after").await.unwrap();
                volume.unmount().await.unwrap();
                assert!(tree(&volume, &what).await == found, "{what}, used on");
            });
            assert_clean(disk, fsck_too, is_plain, &format!("{what}, used on"));
        }
        disk.rewind(mark);
        if self.random.below(48) == 0 {
            self.cut_repair(disk, &repair, &found, &what);
        }
    }

    /// Cuts the writes of a mount and unmount after each, whole and in part, and mounts again.
    fn cut_repair(&mut self, disk: &Disk, repair: &[Event], found: &Found, what: &str) {
        let start = disk.mark();
        let mut unflushed = Vec::new();
        for at in 0..=repair.len() {
            let mark = disk.mark();
            for torn in 0..1 + unflushed.len().min(1) {
                match torn {
                    0 => unflushed.iter().for_each(|index| apply(disk, &repair[*index], |_| true)),
                    _ => tear(disk, repair, &unflushed, &mut self.random),
                }
                self.counts.repair += 1;
                let volume = mount(disk);
                let what = format!("{what}, repair cut after {at}");
                assert!(block_on(tree(&volume, &what)) == *found, "{what}");
                block_on(volume.unmount()).unwrap();
                assert_clean(disk, false, true, &what);
                disk.rewind(mark);
            }
            settle(disk, repair, at, &mut unflushed);
        }
        disk.rewind(start);
    }
}

/// Goes over event `at`: a flush makes what it covers part of the disk.
fn settle(disk: &Disk, log: &[Event], at: usize, unflushed: &mut Vec<usize>) {
    match log.get(at) {
        Some(Event::Write(..)) => unflushed.push(at),
        Some(Event::Flush(covered)) => unflushed.retain(|index| {
            if index < covered {
                apply(disk, &log[*index], |_| true);
            }
            index >= covered
        }),
        None => (),
    }
}

/// Writes the sectors of an event that `keep` takes.
fn apply(disk: &Disk, event: &Event, mut keep: impl FnMut(usize) -> bool) {
    let Event::Write(offset, data) = event else { return };
    for (index, sector) in data.chunks(512).enumerate() {
        if keep(index) {
            disk.poke(offset + index * 512, sector);
        }
    }
}

/// Writes part of what no flush covers: sectors or requests at random, all but one, or the last.
fn tear(disk: &Disk, log: &[Event], unflushed: &[usize], random: &mut Random) {
    let mode = random.below(4);
    let chosen = random.below(unflushed.len());
    for (order, index) in unflushed.iter().enumerate() {
        let whole = match mode {
            0 => None,
            1 => Some(random.below(2) == 0),
            2 => Some(order != chosen),
            _ => Some(order + 1 == unflushed.len()),
        };
        apply(disk, &log[*index], |_| whole.unwrap_or_else(|| random.below(2) == 0));
    }
}

async fn tree(volume: &Volume<Disk>, what: &str) -> Found {
    let mut tree = Found::new();
    let mut dirs = vec![String::new()];
    while let Some(dir) = dirs.pop() {
        let open = volume.open_dir(&dir).await.unwrap();
        loop {
            let entries = volume.read_dir(&open, 50).await.unwrap();
            if entries.is_empty() {
                break;
            }
            for entry in entries {
                let path = format!("{dir}/{}", entry.name);
                if entry.metadata.is_dir {
                    dirs.push(path.clone());
                    tree.insert(path, None);
                } else if entry.metadata.is_link() {
                    let link = volume.read_link(&path).await;
                    let link = link.unwrap_or_else(|e| panic!("{what}: {path}: {e:?}"));
                    tree.insert(path, Some((link.target.into_bytes(), LINK)));
                } else {
                    let data = get(volume, &path).await;
                    let data = data.unwrap_or_else(|e| panic!("{what}: {path}: {e:?}"));
                    let mode = entry.metadata.posix.map_or(0, |posix| posix.permissions());
                    tree.insert(path, Some((data, mode)));
                }
            }
        }
    }
    tree
}

/// A fsck.exfat that knows what may stand behind names, as Debian 13's does: `make unit` names it.
fn newer_fsck() -> Option<String> {
    std::env::var("NEWER_FSCK_EXFAT").ok()
}

/// What fsck says, but for its warning of a FAT32 volume as small as these. `is_plain`: without modes and links.
fn verdict(disk: &Disk, is_plain: bool) -> String {
    let small = ["Warning: Filesystem is FAT32", "  but has only", "  This may lead"];
    let image = disk.image();
    let mut report = if is_plain { fsck(&image) } else { String::new() };
    if is_exfat(disk)
        && let Some(program) = newer_fsck()
    {
        report += &fsck_exfat(&program, &image);
    }
    let lines = report.lines().filter(|line| !small.iter().any(|start| line.starts_with(start)));
    lines.map(|line| format!("{line}\n")).collect()
}

fn is_exfat(disk: &Disk) -> bool {
    disk.0.data.borrow()[3..8] == *b"EXFAT"
}

/// Whether all lines of fsck.fat's mean a volume that is in use: a mount repairs all else.
fn harmless(report: &str) -> bool {
    report.lines().all(|line| {
        [
            "Dirty bit",
            "Free cluster summary",
            "differences between boot sector",
            "mostly harmless",
            "65:01/00",
            "Not automatically",
            "Automatically",
            "Leaving",
            "Auto-correcting",
        ]
        .iter()
        .any(|known| line.contains(known))
    })
}

/// A volume that was unmounted has nothing wrong.
fn assert_clean(disk: &Disk, fsck_too: bool, is_plain: bool, what: &str) {
    let mut problems = Vec::new();
    let note = &mut |problem: &fat::Problem| problems.push(problem.to_string());
    block_on(fat::check(disk, note, &mut |_, _| {})).unwrap();
    assert!(problems.is_empty(), "{what}: {problems:#?}");
    if fsck_too {
        assert_eq!(verdict(disk, is_plain), "", "{what}");
    }
}
