//! How much is free, whatever the FSInfo sector says: who wrote the volume last need not have kept it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // Tests may panic.
mod common;
use common::*;
use fat::{Error, Volume};
use std::cell::Cell;
use std::pin::Pin;
use std::process::Command;
use std::task::{Context, Waker};

/// The tables end well behind one piece of a count.
const KIB: usize = 80 * 1024;

/// A clean FAT32 volume of 1 KiB clusters with a file on it, how many clusters are free, and where its
/// FSInfo sector is.
fn volume() -> (Disk, u32, usize) {
    let disk = mkfs(KIB, &["-F", "32", "-s", "2"]);
    let volume = mount(&disk);
    let info = volume.geometry().fs_info.unwrap() as usize;
    block_on(async {
        put(&volume, "/file", &pattern(1, 50_000)).await.unwrap();
        volume.unmount().await.unwrap();
        (disk.clone(), volume.space().await.unwrap().free_clusters, info)
    })
}

fn free(volume: &Volume<Disk>) -> u32 {
    block_on(volume.space()).unwrap().free_clusters
}

/// Each is a number that another system may have left.
const SAID: [u32; 6] = [0, 1, 7, 60_000, 79_000, u32::MAX];

#[test]
fn what_the_fsinfo_sector_says_is_not_believed() {
    for said in SAID {
        let (disk, right, info) = volume();
        disk.poke(info + 488, &said.to_le_bytes());
        let volume = mount(&disk);
        assert_eq!(free(&volume), right, "{said}");
        // Whoever changes something leaves the right number.
        block_on(put(&volume, "/new", b"new")).unwrap();
        block_on(volume.unmount()).unwrap();
        assert_eq!(fsck(&disk.image()), "", "{said}");
    }
    let (disk, right, info) = volume();
    disk.poke(info, b"none");
    assert_eq!(free(&mount(&disk)), right);
}

#[test]
fn what_another_program_took_without_saying_so_is_not_free() {
    let (disk, right, info) = volume();
    let before = disk.image()[info..info + 512].to_vec();
    let file = TempFile::new(&disk.image());
    let path = file.0.to_str().unwrap();
    let made = Command::new("mmd").args(["-i", path, "::/theirs"]).status().unwrap();
    assert!(made.success());
    let disk = Disk::new(std::fs::read(path).unwrap());
    disk.poke(info, &before);
    assert_eq!(free(&mount(&disk)), right - 1);
}

#[test]
fn a_full_volume_is_full_and_one_with_room_is_not() {
    for said in SAID {
        let (disk, right, info) = volume();
        disk.poke(info + 488, &said.to_le_bytes());
        let volume = mount(&disk);
        block_on(async {
            let all = pattern(2, right as usize * 1024);
            let more = put(&volume, "/more", &[&all[..], b"x"].concat()).await;
            assert_eq!(more, Err(Error::NoSpace), "{said}");
            volume.remove_file("/more").await.unwrap();
            put(&volume, "/all", &all).await.unwrap();
            assert_eq!(volume.space().await.unwrap().free_clusters, 0, "{said}");
            volume.unmount().await.unwrap();
        });
        assert_eq!(fsck(&disk.image()), "", "{said}");
    }
}

/// Clusters are taken and given back before and behind where the count has come to.
#[test]
fn others_may_write_while_the_count_goes_on() {
    let (disk, right, info) = volume();
    disk.poke(info + 488, &70_000u32.to_le_bytes());
    let volume = mount(&disk);
    let mut count: Pin<Box<dyn Future<Output = _>>> = Box::pin(volume.count(|| true));
    let mut context = Context::from_waker(Waker::noop());
    // Two pieces of 8,192 clusters.
    let mut go_on = |count: &mut Pin<Box<dyn Future<Output = _>>>| {
        (0..2).all(|_| count.as_mut().poll(&mut context).is_pending())
    };
    assert!(go_on(&mut count));
    let change = |remove: Option<&str>, new: &str| {
        block_on(async {
            if let Some(path) = remove {
                volume.remove_file(path).await.unwrap();
            }
            put(&volume, new, &pattern(3, 30 << 20)).await.unwrap();
            for _ in 0..3 {
                volume.sync().await.unwrap();
            }
        });
    };
    change(Some("/file"), "/one");
    assert!(go_on(&mut count));
    change(Some("/one"), "/two");
    assert!(go_on(&mut count));
    block_on(volume.remove_file("/two")).unwrap();
    block_on(volume.sync()).unwrap();
    block_on(count).unwrap();
    assert_eq!(free(&volume), right + 50_000u32.div_ceil(1024));
    block_on(volume.unmount()).unwrap();
    assert_eq!(fsck(&disk.image()), "");
}

#[test]
fn a_count_ends_when_it_may_not_go_on_and_begins_anew() {
    let (disk, right, info) = volume();
    disk.poke(info + 488, &1_000u32.to_le_bytes());
    let volume = mount(&disk);
    let before = disk.requests();
    block_on(volume.count(|| false)).unwrap();
    assert_eq!(disk.requests(), before);
    let turns = Cell::new(0);
    block_on(volume.count(|| {
        turns.set(turns.get() + 1);
        turns.get() <= 2
    }))
    .unwrap();
    assert_eq!(disk.requests() - before, 2);
    assert_eq!(free(&volume), right);
    // Nobody counts twice.
    let before = disk.requests();
    block_on(volume.count(|| true)).unwrap();
    assert_eq!(free(&volume), right);
    assert_eq!(disk.requests(), before);
}
