//! A cut after every write, and with the writes since the last flush in part: what was synced is
//! there, and the volume is one that the engine was in at some moment since.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // Tests may panic.
mod common;
use common::*;
use fat::Volume;
use std::cell::RefCell;
use std::collections::BTreeMap;

type Tree = BTreeMap<String, Option<Vec<u8>>>;

/// States of the tree with the number of events logged when they began.
struct History {
    states: RefCell<Vec<(usize, Tree)>>,
    /// `(events logged, index of the state)` at each sync.
    syncs: RefCell<Vec<(usize, usize)>>,
    disk: Disk,
}

impl History {
    /// Notes a state that may be met from now on.
    fn may(&self, change: impl FnOnce(&mut Tree)) {
        let mut states = self.states.borrow_mut();
        let mut tree = states.last().unwrap().1.clone();
        change(&mut tree);
        states.push((self.disk.logged(), tree));
    }

    async fn sync(&self, volume: &Volume<Disk>) {
        volume.sync().await.unwrap();
        let state = self.states.borrow().len() - 1;
        self.syncs.borrow_mut().push((self.disk.logged(), state));
    }

    async fn put(&self, volume: &Volume<Disk>, path: &str, data: &[u8]) {
        self.may(|tree| drop(tree.insert(path.into(), Some(Vec::new()))));
        let file = volume.open(path, &REWRITE).await.unwrap();
        self.may(|tree| drop(tree.insert(path.into(), Some(data.to_vec()))));
        volume.write(&file, 0, data).await.unwrap();
    }

    async fn append(&self, volume: &Volume<Disk>, path: &str, data: &[u8]) {
        self.may(|tree| tree.get_mut(path).unwrap().as_mut().unwrap().extend(data));
        let file = volume.open(path, &WRITE).await.unwrap();
        let end = volume.file_metadata(&file).len;
        volume.write(&file, end, data).await.unwrap();
    }

    async fn truncate(&self, volume: &Volume<Disk>, path: &str, len: usize) {
        self.may(|tree| tree.get_mut(path).unwrap().as_mut().unwrap().truncate(len));
        let file = volume.open(path, &WRITE).await.unwrap();
        volume.set_len(&file, len as u64).await.unwrap();
    }

    async fn mkdir(&self, volume: &Volume<Disk>, path: &str) {
        self.may(|tree| drop(tree.insert(path.into(), None)));
        volume.create_dir(path).await.unwrap();
    }

    async fn remove(&self, volume: &Volume<Disk>, path: &str) {
        let mut dir = false;
        self.may(|tree| dir = tree.remove(path).unwrap().is_none());
        if dir { volume.remove_dir(path).await } else { volume.remove_file(path).await }.unwrap();
    }

    async fn rename(&self, volume: &Volume<Disk>, from: &str, to: &str) {
        self.may(|tree| {
            let inside = format!("{from}/");
            let moved: Vec<String> = tree
                .keys()
                .filter(|key| *key == from || key.starts_with(&inside))
                .cloned()
                .collect();
            for old in moved {
                let value = tree.remove(&old).unwrap();
                tree.insert(to.to_string() + &old[from.len()..], value);
            }
        });
        volume.rename(from, to, true).await.unwrap();
    }
}

async fn workload(history: &History, volume: &Volume<Disk>) {
    let h = history;
    h.mkdir(volume, "/documents").await;
    h.mkdir(volume, "/documents/inner folder with a long name").await;
    h.put(volume, "/stable", &pattern(1, 70_000)).await;
    h.sync(volume).await;
    for round in 0..3 {
        for number in 0..20 {
            let path = format!("/documents/a file with a rather long name {number}.txt");
            h.put(volume, &path, &pattern(number + round, 3000)).await;
        }
        h.sync(volume).await;
        h.put(volume, "/documents/new", &pattern(90 + round, 40_000)).await;
        h.sync(volume).await;
        let target = "/documents/a file with a rather long name 3.txt";
        h.rename(volume, "/documents/new", target).await;
        h.append(volume, target, &pattern(5, 20_000)).await;
        h.sync(volume).await;
        h.truncate(volume, target, 10_000).await;
        h.append(volume, target, &pattern(6, 9_000)).await;
        h.rename(volume, target, "/documents/inner folder with a long name/moved").await;
        for number in (0..20).filter(|number| *number != 3) {
            let path = format!("/documents/a file with a rather long name {number}.txt");
            h.remove(volume, &path).await;
        }
        h.put(volume, "/reuser", &pattern(round, 60_000)).await;
        h.sync(volume).await;
        h.rename(volume, "/documents", "/elsewhere").await;
        h.mkdir(volume, "/documents").await;
        h.rename(volume, "/elsewhere/inner folder with a long name", "/documents/inner").await;
        h.sync(volume).await;
        h.remove(volume, "/elsewhere").await;
        h.rename(volume, "/documents/inner", "/documents/inner folder with a long name").await;
    }
    h.sync(volume).await;
}

async fn tree(volume: &Volume<Disk>) -> Tree {
    let mut tree = Tree::new();
    let mut dirs = vec![String::new()];
    while let Some(dir) = dirs.pop() {
        for name in list(volume, &dir).await.unwrap() {
            let path = format!("{dir}/{name}");
            if volume.metadata(&path).await.unwrap().is_dir {
                dirs.push(path.clone());
                tree.insert(path, None);
            } else {
                let data = get(volume, &path).await.unwrap();
                tree.insert(path, Some(data));
            }
        }
    }
    tree
}

/// Lines of fsck.fat that mean a volume that is in use: a mount repairs all else.
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

fn check(image: Vec<u8>, at: usize, history: &History, fsck_too: bool, what: &str) {
    println!("{what} {at}");
    let disk = Disk::new(image.clone());
    disk.record();
    let volume = mount(&disk);
    let repair = disk.0.log.take().unwrap();
    assert_eq!(volume.read_only(), None);
    let found = block_on(tree(&volume));
    let syncs = history.syncs.borrow();
    let from = syncs.iter().filter(|(logged, _)| *logged <= at).map(|sync| sync.1).max().unwrap();
    let states = history.states.borrow();
    let possible = states[from..].iter().take_while(|(begun, _)| *begun <= at);
    // A state may also be met that began exactly here.
    let matched = possible.map(|(_, tree)| tree).any(|tree| *tree == found);
    if !matched {
        let names: Vec<_> = found.iter().map(|(k, v)| (k, v.as_ref().map(Vec::len))).collect();
        panic!("{what} {at}: none of the states since the last sync, but {names:#?}");
    }
    assert_eq!(volume.read_only(), None, "{what} {at}");
    if fsck_too {
        let report = fsck(&disk.image());
        assert!(harmless(&report), "{what} {at}: {report}");
    }
    // The volume can be used on.
    block_on(async {
        put(&volume, "/after", &pattern(1, 200_000)).await.unwrap();
        volume.remove_file("/after").await.unwrap();
        volume.unmount().await.unwrap();
        assert!(tree(&volume).await == found);
    });
    if at.is_multiple_of(5) {
        assert_clean(&disk, fsck_too, &format!("{what} {at}, used on"));
    }
    if fsck_too {
        cut_repair(&image, &repair, &found, &format!("{what} {at}, repair cut"));
    }
}

/// A volume that was unmounted has nothing wrong.
fn assert_clean(disk: &Disk, fsck_too: bool, what: &str) {
    let mut problems = Vec::new();
    let note = &mut |problem: &fat::Problem| problems.push(problem.to_string());
    block_on(fat::check(disk, note, &mut |_, _| {})).unwrap();
    assert!(problems.is_empty(), "{what}: {problems:#?}");
    if fsck_too {
        assert_eq!(fsck(&disk.image()), "", "{what}");
    }
}

/// Cuts the writes of a mount after each, whole and in part, and mounts again.
fn cut_repair(image: &[u8], repair: &[Event], found: &Tree, what: &str) {
    let mut random = Random::new(repair.len() as u64);
    for cut in 0..=repair.len() {
        let mut image = image.to_vec();
        let flushed = repair[..cut].iter().rposition(|event| matches!(event, Event::Flush));
        for (at, event) in repair[..cut].iter().enumerate() {
            let Event::Write(offset, data) = event else {
                continue;
            };
            for (index, sector) in data.chunks(512).enumerate() {
                let to = offset + index * 512;
                let lost = cut % 2 == 1 && Some(at) > flushed && random.below(2) == 0;
                if !lost {
                    image[to..to + sector.len()].copy_from_slice(sector);
                }
            }
        }
        let disk = Disk::new(image);
        let volume = mount(&disk);
        assert!(block_on(tree(&volume)) == *found, "{what} {cut}");
        block_on(volume.unmount()).unwrap();
        assert_clean(&disk, cut == 0, &format!("{what} {cut}"));
    }
}

/// Operations at random, by which files grow in turns, shrink, and take each other's names.
async fn random_workload(history: &History, volume: &Volume<Disk>, seed: u64) {
    const FILES: [&str; 5] = ["/a", "/dir/a", "/dir/a long name for a file", "/other dir/b", "/C"];
    const DIRS: [&str; 3] = ["/dir", "/other dir", "/third directory"];
    let h = history;
    let mut random = Random::new(seed);
    for dir in &DIRS[..2] {
        h.mkdir(volume, dir).await;
    }
    for step in 0..150 {
        let tree = h.states.borrow().last().unwrap().1.clone();
        let path = FILES[random.below(FILES.len())];
        let to = FILES[random.below(FILES.len())];
        let len = 1 + random.below(12_000);
        let parent = |path: &str| path.rfind('/').map(|at| path[..at].to_string()).unwrap();
        let fits = |path: &str| parent(path).is_empty() || tree.contains_key(&parent(path));
        let size = tree.get(path).and_then(|data| data.as_ref().map(Vec::len));
        match (random.below(9), size) {
            (0..=1, _) if fits(path) => h.put(volume, path, &pattern(step, len)).await,
            (2..=3, Some(_)) => h.append(volume, path, &pattern(step, len)).await,
            // Whole clusters: within one, what is appended next overwrites in place what the
            // disk still counts as the file.
            (4, Some(size)) => {
                h.truncate(volume, path, random.below(size / 1024 + 1) * 1024).await;
            }
            (5, Some(_)) if fits(to) && to != path => {
                h.may(|_| ());
                h.rename(volume, path, to).await;
            }
            (6, Some(_)) if random.below(3) == 0 => h.remove(volume, path).await,
            (7, _) => {
                let (from, to) = (DIRS[random.below(3)], DIRS[random.below(3)]);
                if from != to && tree.contains_key(from) && !tree.contains_key(to) {
                    h.rename(volume, from, to).await;
                }
            }
            (8, _) => h.sync(volume).await,
            _ => (),
        }
    }
    h.sync(volume).await;
}

/// Records a workload on a volume with a journal and checks every moment of it.
fn every_moment(
    kind: &str,
    disk: &Disk,
    seed: u64,
    work: impl AsyncFnOnce(&History, &Volume<Disk>),
) {
    let volume = mount(disk);
    block_on(volume.write_record("key", b"secret")).unwrap();
    block_on(volume.sync()).unwrap();
    let before = disk.image();
    disk.record();
    let history = History {
        states: RefCell::new(vec![(0, Tree::new())]),
        syncs: RefCell::new(vec![(0, 0)]),
        disk: disk.clone(),
    };
    block_on(work(&history, &volume));
    let log = disk.0.log.take().unwrap();
    println!("{kind}, seed {seed}: {} events", log.len());
    let mut image = before.clone();
    let mut flushed = before;
    let mut since_flush: Vec<(usize, Vec<u8>)> = Vec::new();
    let mut random = Random::new(seed);
    for (at, event) in log.iter().enumerate() {
        match event {
            Event::Write(offset, data) => {
                image[*offset..*offset + data.len()].copy_from_slice(data);
                since_flush.push((*offset, data.clone()));
            }
            Event::Flush => {
                flushed.clone_from(&image);
                since_flush.clear();
            }
        }
        check(image.clone(), at + 1, &history, at % 50 == 0, kind);
        // The same moment with some of the unflushed writes missing, sector by sector.
        if !since_flush.is_empty() && random.below(3) == 0 {
            let mut torn = flushed.clone();
            for (offset, data) in &since_flush {
                for (index, sector) in data.chunks(512).enumerate() {
                    if random.below(2) == 0 {
                        let to = offset + index * 512;
                        torn[to..to + 512].copy_from_slice(sector);
                    }
                }
            }
            check(torn, at + 1, &history, false, "torn");
        }
    }
}

fn with_journal() -> [(&'static str, Disk); 2] {
    [
        ("FAT16", mkfs(9000, &["-F", "16", "-s", "2"])),
        ("FAT32", mkfs(34_000, &["-F", "32", "-s", "1"])),
    ]
}

#[test]
fn every_prefix_of_the_writes_is_a_state_since_the_last_sync() {
    for (kind, disk) in with_journal() {
        every_moment(kind, &disk, 7, workload);
    }
}

#[test]
fn every_prefix_of_random_operations_is_a_state_since_the_last_sync() {
    for (kind, disk) in with_journal() {
        every_moment(kind, &disk, 1, async |history, volume| {
            random_workload(history, volume, 1).await;
        });
    }
}

#[test]
fn without_a_journal_what_was_synced_and_left_alone_survives() {
    let disk = mkfs(2048, &["-F", "12"]);
    let volume = mount(&disk);
    let before = disk.image();
    disk.record();
    let history = History {
        states: RefCell::new(vec![(0, Tree::new())]),
        syncs: RefCell::new(Vec::new()),
        disk: disk.clone(),
    };
    block_on(workload(&history, &volume));
    let synced = history.syncs.borrow()[0].0;
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
            block_on(tree(&volume));
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
