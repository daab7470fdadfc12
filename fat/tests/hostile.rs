//! Volumes damaged at random: every operation returns, nothing panics.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // Tests may panic.
mod common;
use common::*;
use fat::{MountOptions, Volume};
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

/// Visits everything and changes something everywhere; errors are fine.
async fn exercise(volume: &Volume<Disk>) {
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
                let path = format!("{dir}/{}", entry.name);
                let _ = volume.metadata(&path).await;
                if entry.metadata.is_dir {
                    if depth < 6 {
                        dirs.push((path, depth + 1));
                    }
                } else if let Ok(file) = volume.open(&path, &WRITE).await {
                    let mut buf = vec![0; 10_000];
                    let _ = volume.read(&file, 0, &mut buf).await;
                    let _ = volume.read(&file, u64::from(u32::MAX) - 5, &mut buf).await;
                    let _ = volume.write(&file, 4000, &buf).await;
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
    let _ = volume.unmount().await;
}

#[test]
fn random_damage() {
    for (kind, disk) in kinds() {
        let good = populated(&disk);
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
            let mounted = block_on(Volume::mount(damaged, &MountOptions::default()));
            if let Ok(volume) = mounted {
                block_on(exercise(&volume));
            }
        }
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
    for fuse in 0..400 {
        let disk = Disk::new(good.clone());
        disk.0.fuse.set(Some(fuse));
        let mounted = block_on(Volume::mount(disk, &MountOptions::default()));
        if let Ok(volume) = mounted {
            block_on(exercise(&volume));
        }
    }
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
