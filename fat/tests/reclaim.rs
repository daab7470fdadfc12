//! What a mount after a power cut gives back, and what it leaves alone.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // Tests may panic.
mod common;
use common::*;
use fat::{FatKind, Geometry};

/// Sets an entry of all tables.
fn set_entry(disk: &Disk, geometry: &Geometry, cluster: usize, value: u32) {
    for copy in 0..usize::from(geometry.table_count) {
        set_entry_of(disk, geometry, copy, cluster, value);
    }
}

fn set_entry_of(disk: &Disk, geometry: &Geometry, copy: usize, cluster: usize, value: u32) {
    let start = geometry.table_start as usize + copy * geometry.table_size as usize;
    let mut data = disk.0.data.borrow_mut();
    match geometry.kind {
        FatKind::Fat12 => {
            let at = start + cluster + cluster / 2;
            let old = u16::from_le_bytes([data[at], data[at + 1]]);
            let new = value as u16 & 0xFFF;
            let new =
                if cluster.is_multiple_of(2) { old & 0xF000 | new } else { old & 0xF | new << 4 };
            data[at..at + 2].copy_from_slice(&new.to_le_bytes());
        }
        FatKind::Fat16 => {
            let at = start + 2 * cluster;
            data[at..at + 2].copy_from_slice(&(value as u16).to_le_bytes());
        }
        FatKind::Fat32 | FatKind::ExFat => {
            let at = start + 4 * cluster;
            data[at..at + 4].copy_from_slice(&value.to_le_bytes());
        }
    }
}

fn state_byte(geometry: &Geometry) -> usize {
    if geometry.kind == FatKind::Fat32 { 0x41 } else { 0x25 }
}

/// A volume of each kind that was not unmounted, with a file of three clusters at the end of the
/// clusters that are in use.
fn cut() -> [(&'static str, Disk, Geometry, usize); 3] {
    kinds().map(|(kind, disk)| {
        let volume = mount(&disk);
        let geometry = volume.geometry().clone();
        let first = block_on(async {
            volume.create_dir("/dir").await.unwrap();
            put(&volume, "/dir/file", &pattern(1, 3 * geometry.cluster_size as usize))
                .await
                .unwrap();
            volume.unmount().await.unwrap();
            let space = volume.space().await.unwrap();
            (space.total_clusters - space.free_clusters) as usize + 2 - 3
        });
        disk.0.data.borrow_mut()[state_byte(&geometry)] |= 1;
        (kind, disk, geometry, first)
    })
}

const END: u32 = 0x0FFF_FFFF;
const BAD: u32 = 0x0FFF_FFF7;

fn assert_repaired(disk: &Disk, used: u32, what: &str) {
    let volume = mount(disk);
    let space = block_on(volume.space()).unwrap();
    assert_eq!(space.total_clusters - space.free_clusters, used, "{what}");
    block_on(volume.unmount()).unwrap();
    assert_eq!(fsck(&disk.image()), "", "{what}");
}

#[test]
fn leaked_clusters_are_freed_and_bad_ones_stay() {
    for (kind, disk, geometry, first) in cut() {
        set_entry(&disk, &geometry, first + 10, first as u32 + 11);
        set_entry(&disk, &geometry, first + 11, END);
        set_entry(&disk, &geometry, first + 20, BAD);
        assert_repaired(&disk, first as u32 + 3 - 2 + 1, kind);
    }
}

#[test]
fn a_chain_longer_than_its_file_is_cut() {
    for (kind, disk, geometry, first) in cut() {
        set_entry(&disk, &geometry, first + 2, first as u32 + 30);
        set_entry(&disk, &geometry, first + 30, first as u32 + 29);
        set_entry(&disk, &geometry, first + 29, END);
        assert_repaired(&disk, first as u32 + 3 - 2, kind);
    }
}

#[test]
fn an_older_second_table_becomes_the_first() {
    for (kind, disk, geometry, first) in cut() {
        set_entry_of(&disk, &geometry, 1, first + 2, 0);
        assert_repaired(&disk, first as u32 + 3 - 2, kind);
    }
}

/// One half of its last entry is new and one old, at each such place of the table.
#[test]
fn half_an_entry_of_fat12_at_the_end_of_a_chain_is_repaired() {
    let mut places = 0;
    let [(kind, disk, geometry, first), ..] = cut();
    for cluster in 2..=geometry.clusters as usize + 1 {
        let at = geometry.table_start as usize + cluster + cluster / 2;
        if at / 512 == (at + 1) / 512 {
            continue;
        }
        for new in 0..2 {
            let disk = Disk::new(disk.image());
            set_entry(&disk, &geometry, first + 1, cluster as u32);
            set_entry(&disk, &geometry, first + 2, 0);
            let halves = |entry| {
                set_entry(&disk, &geometry, cluster, entry);
                disk.image()
            };
            let (old, all_new) = (halves(0), halves(END));
            let mut data = disk.0.data.borrow_mut();
            for copy in 0..2 {
                let place = at + copy * geometry.table_size as usize;
                data[place] = [&old, &all_new][new][place];
                data[place + 1] = [&all_new, &old][new][place + 1];
            }
            drop(data);
            assert_repaired(&disk, first as u32 + 3 - 2, &format!("{kind}, cluster {cluster}"));
            places += 1;
        }
    }
    assert!(places >= 4, "{places}");
}

/// Far from everything that is in use, where the walk through the tree never looks.
#[test]
fn what_lies_at_the_end_of_the_tables_is_repaired_too() {
    for (kind, disk, geometry, first) in cut() {
        let last = geometry.clusters as usize + 1;
        set_entry(&disk, &geometry, last, END);
        set_entry(&disk, &geometry, last - 1, last as u32);
        set_entry(&disk, &geometry, last - 2, BAD);
        set_entry_of(&disk, &geometry, 1, last - 3, END);
        let end = (geometry.table_start + 2 * geometry.table_size) as usize;
        disk.0.data.borrow_mut()[end - 1] ^= 0x55;
        assert_repaired(&disk, first as u32 + 3 - 2 + 1, kind);
        let (first, second) =
            (end - 2 * geometry.table_size as usize, end - geometry.table_size as usize);
        let data = disk.0.data.borrow();
        assert!(data[first..second] == data[second..end], "{kind}: the tables differ");
    }
}

#[test]
fn the_copy_of_the_boot_sector_is_marked_clean_too() {
    for (kind, disk, geometry, first) in cut() {
        if let Some(backup) = geometry.backup_boot {
            disk.0.data.borrow_mut()[backup as usize + state_byte(&geometry)] |= 1;
            assert_repaired(&disk, first as u32 + 3 - 2, kind);
        }
    }
}

/// What no power cut leaves: somebody may want to look at it first.
#[test]
fn a_contradiction_leaves_the_volume_as_it_is() {
    for (kind, disk, geometry, first) in cut() {
        for (fault, at, value) in [
            ("loop", first + 2, first as u32),
            ("cross link", first + 2, first as u32 - 1),
            ("free", first + 1, 0),
            ("bad", first + 1, BAD),
            ("outside", first + 1, geometry.clusters + 2),
            ("too short", first + 1, END),
        ] {
            let disk = Disk::new(disk.image());
            set_entry(&disk, &geometry, at, value);
            set_entry(&disk, &geometry, first + 10, END);
            let before = disk.image();
            let volume = mount(&disk);
            assert!(disk.image() == before, "{kind}, {fault}");
            block_on(volume.unmount()).unwrap();
            assert!(disk.image() == before, "{kind}, {fault}");
        }
    }
}

#[test]
fn a_clean_or_read_only_volume_is_not_repaired() {
    for (kind, disk, geometry, first) in cut() {
        set_entry(&disk, &geometry, first + 10, END);
        disk.0.read_only.set(true);
        let before = disk.image();
        drop(mount(&disk));
        disk.0.read_only.set(false);
        disk.0.data.borrow_mut()[state_byte(&geometry)] &= !1;
        let clean = disk.image();
        assert!(before != clean);
        drop(mount(&disk));
        assert!(disk.image() == clean, "{kind}");
    }
}

/// After each write, and with the writes since the last flush in part.
#[test]
fn a_cut_repair_is_completed_by_the_next() {
    for (kind, disk, geometry, first) in cut() {
        set_entry(&disk, &geometry, first + 2, first as u32 + 700);
        for cluster in first + 20..first + 700 {
            set_entry(&disk, &geometry, cluster, cluster as u32 + 1);
        }
        set_entry(&disk, &geometry, first + 700, END);
        set_entry(&disk, &geometry, first + 701, END);
        set_entry_of(&disk, &geometry, 1, first + 1, 0);
        let before = disk.image();
        disk.record();
        drop(mount(&disk));
        let log = disk.0.log.take().unwrap();
        assert!(log.len() >= 6, "{kind}: {} events", log.len());
        let (mut image, mut flushed) = (before.clone(), before);
        let mut since_flush = Vec::new();
        let mut random = Random::new(3);
        for event in &log {
            match event {
                Event::Write(offset, data) => {
                    for (index, sector) in data.chunks(512).enumerate() {
                        let at = offset + index * 512;
                        image[at..at + 512].copy_from_slice(sector);
                        since_flush.push((at, sector));
                    }
                }
                Event::Flush(_) => {
                    flushed.clone_from(&image);
                    since_flush.clear();
                }
            }
            assert_repaired(&Disk::new(image.clone()), first as u32 + 3 - 2, kind);
            for _ in 0..2 {
                let mut torn = flushed.clone();
                for (at, sector) in &since_flush {
                    if random.below(2) == 0 {
                        torn[*at..at + 512].copy_from_slice(sector);
                    }
                }
                let disk = Disk::new(torn);
                assert_repaired(&disk, first as u32 + 3 - 2, kind);
                let data = block_on(get(&mount(&disk), "/dir/file")).unwrap();
                assert!(data == pattern(1, 3 * geometry.cluster_size as usize), "{kind}");
            }
        }
    }
}
