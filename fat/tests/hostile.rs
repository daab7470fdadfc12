//! Volumes damaged at random, and disks that fail: every operation returns, nothing panics, what is found
//! damaged is not changed any more, and what was told to be safe is there.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // Tests may panic.
mod common;
use common::*;
use fat::{Error, MountOptions, Volume};
use std::future::Future;
use std::task::{Context, Waker};

fn populated(disk: &Disk) -> Vec<u8> {
    let volume = mount(disk);
    block_on(async {
        volume.write_record("key", &[7; 2000]).await.unwrap();
        for dir in ["/one", "/one/two", "/one/two/three", "/other"] {
            volume.create_dir(dir).await.unwrap();
            for number in 0..12 {
                let path = format!("{dir}/a file with a long name {number}");
                put(&volume, &path, &pattern(number, 5000)).await.unwrap();
            }
        }
        volume.unmount().await.unwrap();
    });
    disk.image()
}

/// What could be done to damaged volumes.
#[derive(Debug, Default)]
struct Done {
    mounted: usize,
    visited: usize,
    read: usize,
    written: usize,
    stopped: usize,
}

/// Visits everything and changes something everywhere; errors are fine.
async fn exercise(volume: &Volume<Disk>, disk: &Disk, done: &mut Done) {
    let mut dirs = vec![(String::new(), 0)];
    let mut visited = 0;
    while let Some((dir, depth)) = dirs.pop() {
        let Ok(open) = volume.open_dir(&dir).await else {
            continue;
        };
        while let Ok(entries) = volume.read_dir(&open, 50).await {
            if entries.is_empty() || visited > 500 {
                break;
            }
            for entry in entries {
                visited += 1;
                done.visited += 1;
                let path = format!("{dir}/{}", entry.name);
                let _ = volume.metadata(&path).await;
                if entry.metadata.is_dir {
                    if depth < 6 {
                        dirs.push((path, depth + 1));
                    }
                } else if let Ok(file) = volume.open(&path, &WRITE).await {
                    let mut buf = vec![0; 10_000];
                    done.read += usize::from(volume.read(&file, 0, &mut buf).await.is_ok());
                    let _ = volume.read(&file, u64::from(u32::MAX) - 5, &mut buf).await;
                    done.written += usize::from(volume.write(&file, 4000, &buf).await.is_ok());
                    let _ = volume.set_len(&file, 100).await;
                }
            }
        }
        let _ = put(volume, &format!("{dir}/a new file with a name"), &[1; 9000]).await;
        let _ = volume.create_dir(&format!("{dir}/new dir")).await;
        let _ = volume.rename(&format!("{dir}/new dir"), "/moved", true).await;
        let _ = volume.remove_file(&format!("{dir}/a file with a long name 3")).await;
        let _ = volume.remove_dir(&dir).await;
    }
    let _ = volume.read_record("key").await;
    let _ = volume.write_record("key", &[1; 3000]).await;
    let _ = volume.sync().await;
    if volume.read_only().is_some() {
        done.stopped += 1;
        let before = disk.image();
        let refused = |result| matches!(result, Err(Error::ReadOnly | Error::Damaged(_)));
        assert!(refused(put(volume, "/refused", b"1").await));
        assert!(refused(volume.create_dir("/refused").await));
        let _ = volume.sync().await;
        assert!(disk.image() == before, "it was changed after that");
    }
    let _ = volume.unmount().await;
}

#[test]
fn random_damage() {
    // Of 250 volumes of each kind: what came of it, with a little room.
    let least =
        [[220, 10_000, 8000, 8000, 50], [220, 10_000, 8000, 8000, 50], [210, 9000, 6000, 6000, 70]];
    for ((kind, disk), least) in kinds().into_iter().zip(least) {
        let good = populated(&disk);
        let mut done = Done::default();
        let geometry = mount(&disk).geometry().clone();
        let data = usize::try_from(geometry.data_start).unwrap();
        let table = usize::try_from(geometry.table_start).unwrap();
        for seed in 0..250 {
            let mut random = Random::new(seed + 1);
            let mut image = good.clone();
            let (from, len) = match seed % 4 {
                0 => (0, 512),
                1 => (table, 1024),
                2 => (data, 100_000),
                _ => (0, 1 << 20),
            };
            for _ in 0..[1, 4, 40, 400][random.below(4)] {
                let at = (from + random.below(len)).min(image.len() - 1);
                image[at] = random.below(256) as u8;
            }
            if seed % 8 < 4 {
                // A mount tries to repair it.
                image[if kind == "FAT32" { 0x41 } else { 0x25 }] |= 1;
            }
            println!("{kind}, seed {seed}");
            let damaged = Disk::new(image);
            let mounted = block_on(Volume::mount(damaged.clone(), &MountOptions::default()));
            if let Ok(volume) = mounted {
                done.mounted += 1;
                block_on(exercise(&volume, &damaged, &mut done));
                drop(volume);
                block_on(Volume::mount(damaged, &MountOptions::default())).unwrap();
            }
        }
        println!("{kind}: {done:?}");
        let Done { mounted, visited, read, written, stopped } = done;
        let reached = [mounted, visited, read, written, stopped];
        assert!(reached.iter().zip(least).all(|(n, least)| *n >= least), "{kind}: {reached:?}");
    }
}

#[test]
fn a_looping_chain_makes_the_volume_read_only() {
    let disk = mkfs(16 * 1024, &["-F", "16", "-s", "4"]);
    let mut image = populated(&disk);
    let table = usize::try_from(mount(&disk).geometry().table_start).unwrap();
    // Every chain loops back to cluster 2.
    for entry in 2..2000 {
        image[table + entry * 2..][..2].copy_from_slice(&[2, 0]);
    }
    let volume = mount(&Disk::new(image));
    block_on(async {
        let error = list(&volume, "/one").await.unwrap_err();
        assert!(matches!(error, fat::Error::Damaged(_)), "{error}");
        assert!(volume.read_only().is_some());
        assert_eq!(put(&volume, "/f", b"1").await, Err(fat::Error::ReadOnly));
    });
}

#[test]
fn a_failing_disk_gives_errors_and_nothing_else() {
    let disk = mkfs(16 * 1024, &["-F", "16", "-s", "4"]);
    let good = populated(&disk);
    let mut mounts = 0;
    for fuse in 0..400 {
        let disk = Disk::new(good.clone());
        disk.0.fuse.set(Some(fuse));
        let mounted = block_on(Volume::mount(disk.clone(), &MountOptions::default()));
        if let Ok(volume) = mounted {
            mounts += 1;
            block_on(exercise(&volume, &disk, &mut Done::default()));
        }
    }
    assert!((300..400).contains(&mounts), "{mounts}");
}

/// What a failing disk was told to keep and said that it has is there when it works again, and nothing else is
/// harmed.
#[test]
fn what_a_failing_disk_keeps_is_told_rightly() {
    let disk = mkfs(16 * 1024, &["-F", "16", "-s", "4"]);
    let good = populated(&disk);
    let names = |number| format!("/one/a file with a long name {number}");
    let (mut kept, mut told) = (0, 0);
    for fuse in 0..150 {
        let disk = Disk::new(good.clone());
        let volume = mount(&disk);
        disk.0.fuse.set(Some(fuse));
        let results = block_on(async {
            [
                put(&volume, "/one/new", &pattern(90, 50_000)).await,
                put(&volume, &names(3), &pattern(91, 9000)).await,
                volume.rename(&names(4), "/other/moved", true).await,
                volume.remove_file(&names(5)).await,
                volume.sync().await,
            ]
        });
        let all = results.iter().all(Result::is_ok);
        if all {
            kept += 1
        } else {
            told += 1
        }
        drop(volume);
        let disk = Disk::new(disk.image());
        let volume = mount(&disk);
        assert_eq!(volume.read_only(), None, "{fuse}");
        let read = |path: &str| block_on(get(&volume, path));
        for number in [0, 1, 2, 6, 11] {
            assert_eq!(read(&names(number)), Ok(pattern(number, 5000)), "{fuse}: {number}");
        }
        if all {
            assert_eq!(read("/one/new"), Ok(pattern(90, 50_000)), "{fuse}");
            assert_eq!(read(&names(3)), Ok(pattern(91, 9000)), "{fuse}");
            assert_eq!(read("/other/moved"), Ok(pattern(4, 5000)), "{fuse}");
            assert_eq!(read(&names(5)), Err(fat::Error::NotFound), "{fuse}");
        }
        block_on(volume.unmount()).unwrap();
        assert_eq!(fsck(&disk.image()), "", "{fuse}");
    }
    assert!(kept > 50 && told > 10, "{kept} kept, {told} told");
}

#[test]
fn an_operation_that_is_dropped_holds_no_lock() {
    let disk = mkfs(16 * 1024, &["-F", "16", "-s", "4"]);
    let good = populated(&disk);
    for polls in 0..60 {
        let disk = Disk::new(good.clone());
        let volume = mount(&disk);
        disk.0.slow.set(true);
        let mut context = Context::from_waker(Waker::noop());
        {
            let mut dropped = Box::pin(async {
                put(&volume, "/one/dropped", &pattern(1, 50_000)).await.unwrap();
                volume.rename("/one/dropped", "/other/x", true).await.unwrap();
                volume.sync().await.unwrap();
            });
            for _ in 0..polls {
                if dropped.as_mut().poll(&mut context).is_ready() {
                    break;
                }
            }
        }
        disk.0.slow.set(false);
        block_on(async {
            put(&volume, "/after", &pattern(2, 50_000)).await.unwrap();
            assert_eq!(get(&volume, "/after").await.unwrap(), pattern(2, 50_000));
            volume.unmount().await.unwrap();
        });
    }
}
