//! Growing volumes: everything is there afterwards, also when any moment of it was a power cut.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // Tests may panic.
mod common;
use common::*;
use fat::{FatKind, FormatOptions, Geometry, GrowError, Grown, MountOptions, Volume};

const KIB: usize = 1024;

/// The files of a volume and what is in them.
const FILES: [(&str, usize); 5] = [
    ("/first", 30_000),
    ("/dir/a file with a long name", 5000),
    ("/dir/inner/deep", 90_000),
    ("/other/x", 1),
    ("/empty", 0),
];

fn populate(disk: &Disk) {
    let volume = mount(disk);
    block_on(async {
        put(&volume, "/first", &pattern(0, 30_000)).await.unwrap();
        volume.write_record("key", b"secret").await.unwrap();
        for dir in ["/dir", "/dir/inner", "/other"] {
            volume.create_dir(dir).await.unwrap();
        }
        for (number, (path, len)) in FILES.iter().enumerate() {
            put(&volume, path, &pattern(number, *len)).await.unwrap();
        }
        for number in 0..60 {
            let path = format!("/other/one of many files {number}");
            put(&volume, &path, &pattern(number, 700)).await.unwrap();
            if number % 3 == 0 {
                volume.remove_file(&path).await.unwrap();
            }
        }
        volume.unmount().await.unwrap();
    });
}

fn assert_all_there(volume: &Volume<Disk>, what: &str) {
    assert_eq!(volume.read_only(), None, "{what}");
    block_on(async {
        for (number, (path, len)) in FILES.iter().enumerate() {
            let data = get(volume, path).await.unwrap();
            assert!(data == pattern(number, *len), "{what}: {path}");
        }
        for number in (0..60).filter(|number| number % 3 != 0) {
            let data = get(volume, &format!("/other/one of many files {number}")).await.unwrap();
            assert!(data == pattern(number, 700), "{what}: {number}");
        }
        assert_eq!(list(volume, "/").await.unwrap(), ["dir", "empty", "first", "other"], "{what}");
        assert_eq!(volume.read_record("key").await.unwrap().unwrap(), b"secret", "{what}");
    });
}

fn assert_clean(disk: &Disk, what: &str) {
    let mut note = |problem: &fat::Problem| panic!("{what}: {problem}");
    block_on(fat::check(disk, &mut note, &mut |_, _| {})).unwrap();
}

fn grow(disk: &Disk) -> Result<Option<Grown>, GrowError> {
    let volume = mount(disk);
    let grown = block_on(volume.grow());
    drop(volume.into_device());
    grown
}

/// The same volume on a disk of another size.
fn resized(disk: &Disk, kib: usize) -> Disk {
    let mut image = disk.image();
    image.resize(kib * KIB, 0xA5);
    Disk::new(image)
}

/// An exFAT volume that was made here.
fn exfat(kib: usize) -> Disk {
    let disk = Disk::new(vec![0; kib * KIB]);
    let options = FormatOptions { kind: Some(FatKind::ExFat), ..FormatOptions::default() };
    block_on(fat::format(&disk, &options, &mut |_, _| {})).unwrap();
    disk
}

/// How many clusters an exFAT volume's bitmap takes.
fn of_bitmap(geometry: &Geometry) -> u32 {
    if geometry.kind == FatKind::ExFat {
        geometry.clusters.div_ceil(8).div_ceil(geometry.cluster_size)
    } else {
        0
    }
}

fn volumes() -> [(&'static str, Disk, usize); 7] {
    [
        ("FAT12", mkfs(1200, &["-F", "12", "-s", "1"]), 2000),
        ("FAT12 with room in its table", mkfs(4000, &["-F", "12", "-s", "8"]), 5000),
        ("FAT16", mkfs(4400, &["-F", "16", "-s", "1"]), 9000),
        ("FAT16 with clusters of 2 KiB", mkfs(12_000, &["-F", "16", "-s", "4"]), 20_000),
        ("FAT32", mkfs(4400, &["-F", "32", "-s", "1"]), 18_000),
        ("exFAT", Disk::new(mkfs_exfat(4000, &["-c", "512"])), 9000),
        ("exFAT with clusters of 4 KiB", exfat(2000), 3500),
    ]
}

#[test]
fn everything_is_there_and_there_is_room() {
    for (kind, disk, kib) in volumes() {
        populate(&disk);
        let before = block_on(mount(&disk).space()).unwrap();
        let old = mount(&disk).geometry().clone();
        let disk = resized(&disk, kib);
        let grown = grow(&disk).unwrap().unwrap();
        assert_eq!((grown.from, grown.limited), (old.size, false), "{kind}");
        assert!(
            grown.to + u64::from(old.cluster_size) + 512 > kib as u64 * 1024,
            "{kind}: {grown:?}"
        );
        let volume = mount(&disk);
        assert_eq!(volume.geometry().kind, old.kind);
        assert_all_there(&volume, kind);
        let after = block_on(volume.space()).unwrap();
        let more = volume.geometry().clusters - old.clusters;
        let longer = of_bitmap(volume.geometry()) - of_bitmap(&old);
        assert_eq!(after.free_clusters, before.free_clusters + more - longer, "{kind}");
        assert_clean(&disk, kind);
        // A FAT32 volume as small as this one has no friends.
        if kind != "FAT32" {
            assert_eq!(fsck(&disk.image()), "", "{kind}");
        }
        if kind.starts_with("FAT1") {
            let data = mtools("mtype", &disk.image(), &["::/dir/inner/deep"]);
            assert!(data == pattern(2, 90_000), "{kind}");
        }
        // Where the journal ended up in pieces it is made anew; it is of use again either way.
        block_on(volume.keep_journal()).unwrap();
        block_on(volume.unmount()).unwrap();
        let after = block_on(volume.space()).unwrap();
        assert_clean(&disk, kind);
        // The new room can be filled.
        let size = u64::from(after.free_clusters - 60) * u64::from(after.cluster_size);
        block_on(async {
            put(&volume, "/big", &pattern(9, size as usize)).await.unwrap();
            volume.sync().await.unwrap();
            assert!(get(&volume, "/big").await.unwrap() == pattern(9, size as usize), "{kind}");
            volume.remove_file("/big").await.unwrap();
            volume.unmount().await.unwrap();
        });
        assert_all_there(&volume, kind);
        assert_clean(&disk, kind);
        assert_eq!(grow(&disk), Ok(None), "{kind}");
    }
}

#[test]
fn step_by_step() {
    let mut disk = mkfs(4400, &["-F", "32", "-s", "1"]);
    populate(&disk);
    for kib in [5000, 5100, 9000, 20_000, 41_111] {
        disk = resized(&disk, kib);
        assert!(grow(&disk).unwrap().is_some(), "{kib}");
        assert_all_there(&mount(&disk), &kib.to_string());
        assert_clean(&disk, &kib.to_string());
    }
    assert_eq!(fsck(&disk.image()), "");
    assert!(mtools("mtype", &disk.image(), &["::/dir/inner/deep"]) == pattern(2, 90_000));
}

#[test]
fn each_kind_of_fat_has_its_end() {
    for (arguments, kib, kind, most) in [
        (&["-F", "12", "-s", "1"], 1200, FatKind::Fat12, 4084),
        (&["-F", "16", "-s", "1"], 4400, FatKind::Fat16, 65_524),
    ] {
        let disk = mkfs(kib, arguments);
        populate(&disk);
        let disk = resized(&disk, 60_000);
        let grown = grow(&disk).unwrap().unwrap();
        assert!(grown.limited, "{kind}");
        let volume = mount(&disk);
        assert_eq!(volume.geometry().kind, kind);
        assert_eq!(volume.geometry().clusters, most - 16);
        assert_all_there(&volume, "limited");
        assert_eq!(fsck(&disk.image()), "", "{kind}");
    }
}

#[test]
fn exfat_grows_as_far_as_its_table_has_room() {
    // The table ends where the clusters begin.
    let disk = exfat(2000);
    populate(&disk);
    let disk = resized(&disk, 30_000);
    let table = mount(&disk).geometry().data_start - mount(&disk).geometry().table_start;
    let grown = grow(&disk).unwrap().unwrap();
    assert!(grown.limited && grown.to > 2 * grown.from, "{grown:?}");
    let volume = mount(&disk);
    assert_eq!(u64::from(volume.geometry().clusters + 2) * 4, table);
    assert_all_there(&volume, "limited");
    assert_eq!(fsck(&disk.image()), "");
    let said = grow(&disk).unwrap_err().to_string();
    assert!(said.contains("its table has no room for more clusters"), "{said}");
    assert_all_there(&mount(&disk), "still there");
    // One whose clusters begin right behind the table, as mkfs.exfat may make it.
    let disk = Disk::new(mkfs_exfat(4000, &["-c", "4K", "-b", "4K"]));
    populate(&disk);
    let disk = resized(&disk, 8000);
    let before = disk.image();
    let grown = grow(&disk);
    match grown {
        Ok(Some(grown)) => assert!(grown.limited || grown.to > 7900 << 10),
        _ => assert!(disk.image() == before),
    }
    assert_all_there(&mount(&disk), "of mkfs.exfat");
    assert_eq!(fsck(&disk.image()), "");
}

#[test]
fn what_cannot_grow_stays_as_it_is() {
    let disk = mkfs(4400, &["-F", "32", "-s", "1"]);
    populate(&disk);
    let refused = |disk: &Disk, words: &str| {
        let before = disk.image();
        let said = grow(disk).unwrap_err().to_string();
        assert!(said.contains(words), "{said}");
        let volume = mount(disk);
        assert_all_there(&volume, words);
        let size = volume.geometry().size as usize;
        assert!(disk.image()[..size] == before[..size], "{words}");
    };
    // Too little room for the log of the change.
    refused(&resized(&disk, 4430), "too little new room");
    let tiny = mkfs(4400, &["-F", "32", "-s", "1"]);
    populate(&tiny);
    // The tables of so much room would take more than the volume.
    let geometry = mount(&tiny).geometry().clone();
    assert_eq!(geometry.kind, FatKind::Fat32);
    refused(&resized(&tiny, 700_000), "in steps");
    assert_eq!(grow(&disk), Ok(None));
    // A chain that somebody should look at first.
    let damaged = resized(&disk, 9000);
    for copy in 0..2 {
        let at = geometry.table_start + copy * geometry.table_size;
        for cluster in 3..400 {
            damaged.poke(at as usize + cluster * 4, &[5, 0, 0, 0]);
        }
    }
    assert!(matches!(grow(&damaged), Err(GrowError::Refused(_))));
}

#[test]
fn a_power_cut_at_any_moment() {
    for (kind, disk, kib) in volumes() {
        populate(&disk);
        let disk = resized(&disk, kib);
        disk.keep_undo();
        disk.record();
        grow(&disk).unwrap().unwrap();
        let log = disk.0.log.take().unwrap();
        disk.rewind(0);
        let old = block_on(Geometry::read(&disk)).unwrap().clusters;
        let (mut seen, mut interrupted) = ([false; 2], 0);
        let mut random = Random::new(kib as u64);
        let mut cut = |disk: &Disk, what: &str| {
            let mark = disk.mark();
            disk.record();
            let volume = mount(disk);
            let finish = disk.0.log.take().unwrap();
            seen[usize::from(volume.geometry().clusters > old)] = true;
            assert_all_there(&volume, what);
            block_on(volume.unmount()).unwrap();
            assert_clean(disk, what);
            disk.rewind(mark);
            // The growth is completed by a mount: a cut of that as well.
            if !finish.is_empty() {
                interrupted += 1;
                for _ in 0..3 {
                    let events = random.below(finish.len());
                    for event in &finish[..events] {
                        if let Event::Write(at, data) = event {
                            disk.poke(*at, data);
                        }
                    }
                    assert_all_there(
                        &mount(disk),
                        &format!("{what}, completion cut after {events}"),
                    );
                    disk.rewind(mark);
                }
            }
        };
        let mut unflushed: Vec<(usize, &Vec<u8>)> = Vec::new();
        let mut torn = Random::new(1);
        for (at, event) in log.iter().enumerate() {
            match event {
                Event::Write(offset, data) => unflushed.push((*offset, data)),
                Event::Flush(_) => {
                    for (offset, data) in unflushed.drain(..) {
                        disk.poke(offset, data);
                    }
                }
            }
            // Most of the writes before the step that counts are alike.
            if unflushed.len() > 12 && torn.below(8) != 0 {
                continue;
            }
            let mark = disk.mark();
            for (offset, data) in &unflushed {
                disk.poke(*offset, data);
            }
            cut(&disk, &format!("{kind}, after {at}"));
            disk.rewind(mark);
            for (offset, data) in &unflushed {
                for (index, sector) in data.chunks(512).enumerate() {
                    if torn.below(2) == 0 {
                        disk.poke(offset + index * 512, sector);
                    }
                }
            }
            cut(&disk, &format!("{kind}, torn after {at}"));
            disk.rewind(mark);
        }
        assert_eq!(seen, [true, true], "{kind}");
        assert!(interrupted > 0, "{kind}");
    }
}

#[test]
fn a_read_only_mount_waits_for_the_completion() {
    let disk = mkfs(4400, &["-F", "16", "-s", "1"]);
    populate(&disk);
    let disk = resized(&disk, 9000);
    let before = disk.image();
    disk.record();
    grow(&disk).unwrap().unwrap();
    // Up to the mark in the boot sector.
    let log = disk.0.log.take().unwrap();
    let mark = log.iter().position(|event| matches!(event, Event::Write(0, _))).unwrap();
    let disk = Disk::new(before);
    for event in &log[..=mark] {
        if let Event::Write(at, data) = event {
            disk.poke(*at, data);
        }
    }
    let read_only = MountOptions { read_only: true, ..MountOptions::default() };
    let said = |disk: &Disk, options: &MountOptions| {
        let mounted = block_on(Volume::mount(disk.clone(), options));
        mounted.err().unwrap().to_string()
    };
    assert!(said(&disk, &read_only).contains("interrupted"));
    let damaged = Disk::new(disk.image());
    damaged.poke(4400 * KIB + 100_000, b"x");
    assert!(said(&damaged, &MountOptions::default()).contains("the log of it is damaged"));
    assert_all_there(&mount(&disk), "completed");
    // A mark that leads to nothing.
    damaged.poke(0, b"\xEB\xFE\x90MSFSGROW\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    assert!(said(&damaged, &MountOptions::default()).contains("the log of it is damaged"));
}
