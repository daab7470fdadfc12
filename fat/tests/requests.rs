//! How many requests the disk sees.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // Tests may panic.
mod common;
use common::*;

const PART: usize = 32 * 1024;

fn counted(disk: &Disk, what: &str, most: usize, run: impl FnOnce()) {
    let before = disk.requests();
    run();
    let spent = disk.requests() - before;
    println!("{what}: {spent} requests");
    assert!(spent <= most, "{what}: {spent} requests");
}

/// 64 MiB in requests of 32 KiB: file data cost a request each, and all else next to nothing.
#[test]
fn sequential_and_random_access() {
    let parts = 64 * 1024 * 1024 / PART;
    for (kind, disk) in [
        ("FAT16", mkfs(100 * 1024, &["-F", "16"])),
        ("FAT32", mkfs(100 * 1024, &["-F", "32", "-s", "1"])),
    ] {
        println!("{kind}");
        let volume = mount(&disk);
        let data = pattern(1, PART);
        counted(&disk, "write", parts + parts / 8, || {
            block_on(async {
                let file = volume.open("/big", &WRITE).await.unwrap();
                for part in 0..parts {
                    volume.write(&file, (part * PART) as u64, &data).await.unwrap();
                }
                volume.sync().await.unwrap();
            });
        });
        block_on(volume.unmount()).unwrap();
        let volume = mount(&disk);
        let file = block_on(volume.open("/big", &READ)).unwrap();
        counted(&disk, "read", parts + 10, || {
            let mut buf = vec![0; PART];
            for part in 0..parts {
                block_on(volume.read(&file, (part * PART) as u64, &mut buf)).unwrap();
                assert!(buf == data);
            }
        });
        counted(&disk, "1,000 random reads of 4 KiB", 1000, || {
            let mut random = Random::new(1);
            let mut buf = vec![0; 4096];
            for _ in 0..1000 {
                let at = random.below(64 * 256) * 4096;
                block_on(volume.read(&file, at as u64, &mut buf)).unwrap();
            }
        });
        counted(&disk, "create 1,000 files", 1000, || {
            block_on(async {
                volume.create_dir("/many").await.unwrap();
                for number in 0..1000 {
                    let path = format!("/many/file number {number}");
                    drop(volume.open(&path, &WRITE).await.unwrap());
                }
                volume.sync().await.unwrap();
            });
        });
        counted(&disk, "list and stat 1,000 files", 200, || {
            block_on(async {
                for name in list(&volume, "/many").await.unwrap() {
                    volume.metadata(&format!("/many/{name}")).await.unwrap();
                }
            });
        });
    }
}

#[test]
fn mounting_a_clean_fat32_does_not_read_the_table() {
    let disk = mkfs(100 * 1024, &["-F", "32", "-s", "1"]);
    counted(&disk, "mount", 8, || drop(mount(&disk)));
}
