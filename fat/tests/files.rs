//! Files: contents, sizes, holes, truncation, sharing, attributes, full volumes.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // Tests may panic.
mod common;
use common::*;
use fat::{Error, MountOptions, OpenOptions, Volume};

#[test]
fn what_is_written_is_read_back_also_by_mtools() {
    for (kind, disk) in kinds() {
        let volume = mount(&disk);
        let data = pattern(1, 300_000);
        block_on(async {
            put(&volume, "/Hello World.bin", &data).await.unwrap();
            volume.create_dir("/Folder").await.unwrap();
            put(&volume, "/Folder/SMALL.TXT", b"small").await.unwrap();
            put(&volume, "/Folder/empty", b"").await.unwrap();
            assert_eq!(get(&volume, "/hello world.BIN").await.unwrap(), data);
            volume.unmount().await.unwrap();
        });
        let image = disk.image();
        assert_eq!(fsck(&image), "", "{kind}");
        assert_eq!(mtools("mtype", &image, &["::/Hello World.bin"]), data);
        assert_eq!(mtools("mtype", &image, &["::/Folder/small.txt"]), b"small");
        let again = mount(&disk);
        block_on(async {
            assert_eq!(get(&again, "/Hello World.bin").await.unwrap(), data);
            assert_eq!(list(&again, "/").await.unwrap(), ["Folder", "Hello World.bin"]);
            assert_eq!(list(&again, "/Folder").await.unwrap(), ["SMALL.TXT", "empty"]);
        });
        assert_eq!(again.label(), "TEST");
    }
}

#[test]
fn files_of_mtools_are_read() {
    for (kind, disk) in kinds() {
        let data = pattern(2, 100_001);
        let source = TempFile::new(&data);
        let image = TempFile::new(&disk.image());
        for target in ["::/lower.txt", "::/Ein langer Name.dat"] {
            let status = std::process::Command::new("mcopy")
                .args(["-i", image.0.to_str().unwrap(), source.0.to_str().unwrap(), target])
                .status();
            assert!(status.unwrap().success());
        }
        let volume = mount(&Disk::new(std::fs::read(&image.0).unwrap()));
        block_on(async {
            let names = list(&volume, "/").await.unwrap();
            assert_eq!(names, ["Ein langer Name.dat", "lower.txt"], "{kind}");
            assert_eq!(get(&volume, "/LOWER.TXT").await.unwrap(), data);
            assert_eq!(get(&volume, "/ein LANGER name.dat").await.unwrap(), data);
        });
    }
}

#[test]
fn odd_offsets_and_lengths() {
    let disk = mkfs(16 * 1024, &["-F", "16"]);
    let volume = mount(&disk);
    let mut random = Random::new(5);
    block_on(async {
        let file = volume.open("/file", &WRITE).await.unwrap();
        let mut model: Vec<u8> = Vec::new();
        for round in 0..400 {
            let at = random.below(90_000);
            let data = pattern(round, 1 + random.below(9_000));
            volume.write(&file, at as u64, &data).await.unwrap();
            model.resize(model.len().max(at + data.len()), 0);
            model[at..at + data.len()].copy_from_slice(&data);
            let from = random.below(100_000);
            let mut buf = vec![0; 1 + random.below(20_000)];
            let got = volume.read(&file, from as u64, &mut buf).await.unwrap();
            let expected = model.get(from..).unwrap_or_default();
            assert_eq!(got, expected.len().min(buf.len()));
            assert_eq!(buf[..got], expected[..got], "round {round}");
        }
        drop(file);
        volume.unmount().await.unwrap();
    });
    assert_eq!(fsck(&disk.image()), "");
}

#[test]
fn a_hole_is_zeros_never_old_contents() {
    for (kind, disk) in kinds() {
        let volume = mount(&disk);
        block_on(async {
            // Fill the disk with something, then free it.
            let old = volume.open("/old", &WRITE).await.unwrap();
            let mut at = 0;
            while volume.write(&old, at, &[0x55; 65_536]).await.is_ok() {
                at += 65_536;
            }
            drop(old);
            volume.remove_file("/old").await.unwrap();
            volume.sync().await.unwrap();
            let file = volume.open("/holes", &WRITE).await.unwrap();
            volume.write(&file, 100, b"x").await.unwrap();
            volume.write(&file, 200_001, b"y").await.unwrap();
            volume.set_len(&file, 300_000).await.unwrap();
            volume.set_len(&file, 200_000).await.unwrap();
            volume.set_len(&file, 400_000).await.unwrap();
            let mut expected = vec![0; 400_000];
            expected[100] = b'x';
            assert_eq!(read_file(&volume, &file).await.unwrap(), expected, "{kind}");
            drop(file);
            volume.unmount().await.unwrap();
        });
        assert_eq!(fsck(&disk.image()), "", "{kind}");
    }
}

#[test]
fn shrinking_and_growing_again_within_one_commit() {
    for (kind, disk) in kinds() {
        let volume = mount(&disk);
        block_on(async {
            let file = volume.open("/f", &WRITE).await.unwrap();
            volume.write(&file, 0, &pattern(1, 100_000)).await.unwrap();
            volume.sync().await.unwrap();
            volume.set_len(&file, 30_000).await.unwrap();
            // Closed and opened again while the table still has the long chain.
            drop(file);
            let file = volume.open("/f", &WRITE).await.unwrap();
            volume.write(&file, 30_000, &pattern(2, 50_000)).await.unwrap();
            let mut expected = pattern(1, 30_000);
            expected.extend(pattern(2, 50_000));
            assert_eq!(read_file(&volume, &file).await.unwrap(), expected);
            put(&volume, "/other", &pattern(3, 100_000)).await.unwrap();
            assert_eq!(read_file(&volume, &file).await.unwrap(), expected);
            drop(file);
            volume.unmount().await.unwrap();
        });
        assert_eq!(fsck(&disk.image()), "", "{kind}");
    }
}

#[test]
fn two_opens_share_one_file() {
    let volume = mount(&mkfs(4096, &[]));
    block_on(async {
        let a = volume.open("/f", &WRITE).await.unwrap();
        let b = volume.open("/F", &WRITE).await.unwrap();
        volume.write(&a, 0, b"hello").await.unwrap();
        assert_eq!(read_file(&volume, &b).await.unwrap(), b"hello");
        assert_eq!(volume.metadata("/f").await.unwrap().len, 5);
        volume.set_len(&b, 2).await.unwrap();
        assert_eq!(read_file(&volume, &a).await.unwrap(), b"he");
        let other = volume.open("/g", &WRITE).await.unwrap();
        assert!(a.is_same_as(&b) && !a.is_same_as(&other));
        // Also when it got another name meanwhile.
        volume.rename("/f", "/h", false).await.unwrap();
        assert!(a.is_same_as(&volume.open("/h", &WRITE).await.unwrap()));
    });
}

#[test]
fn open_says_what_is_wrong() {
    let volume = mount(&mkfs(4096, &[]));
    block_on(async {
        volume.create_dir("/d").await.unwrap();
        put(&volume, "/f", b"1").await.unwrap();
        let new = OpenOptions { create_new: true, ..WRITE };
        assert_eq!(volume.open("/f", &new).await.unwrap_err(), Error::AlreadyExists);
        assert_eq!(volume.open("/d", &READ).await.unwrap_err(), Error::IsADirectory);
        assert_eq!(volume.open("/", &READ).await.unwrap_err(), Error::IsADirectory);
        assert_eq!(volume.open("/no", &READ).await.unwrap_err(), Error::NotFound);
        assert_eq!(volume.open("/f/x", &WRITE).await.unwrap_err(), Error::NotADirectory);
        assert_eq!(volume.open("/no/x", &WRITE).await.unwrap_err(), Error::NotFound);
        let long = format!("/{}", "n".repeat(256));
        assert_eq!(volume.open(&long, &WRITE).await.unwrap_err(), Error::NameTooLong);
        let file = volume.open("/f", &READ).await.unwrap();
        assert_eq!(volume.write(&file, 0, b"x").await, Err(Error::NotOpenForThis));
        let file = volume.open("/f", &WRITE).await.unwrap();
        let reads = volume.write(&file, u64::from(u32::MAX), b"x").await;
        assert_eq!(reads, Err(Error::TooLarge));
        assert_eq!(volume.set_len(&file, 1 << 32).await, Err(Error::TooLarge));
        assert_eq!(volume.set_len(&file, u64::from(u32::MAX)).await, Err(Error::NoSpace));
        assert_eq!(volume.metadata("/f").await.unwrap().len, 1);
    });
}

#[test]
fn stamps_may_be_local_time() {
    // What is on the disk, in mtools' words, is two hours later than UTC, or earlier.
    for (minutes, stamps) in
        [(0, "2024-05-06   7:08"), (120, "2024-05-06   9:08"), (-600, "2024-05-05  21:08")]
    {
        let at = 1_714_979_280;
        for (kind, disk) in kinds() {
            let options = MountOptions { time_offset: minutes, ..MountOptions::default() };
            let mounted = || block_on(Volume::mount(disk.clone(), &options)).unwrap();
            let volume = mounted();
            volume.set_time(at);
            block_on(async {
                put(&volume, "/written", b"1").await.unwrap();
                put(&volume, "/set", b"1").await.unwrap();
                volume.create_dir("/folder").await.unwrap();
                volume.set_times("/set", Some(at + 86_400), Some(at)).await.unwrap();
                let file = volume.open("/written", &READ).await.unwrap();
                assert_eq!(volume.file_metadata(&file).modified, at, "{kind}");
                drop(file);
                volume.unmount().await.unwrap();
            });
            let listed = mtools("mdir", &disk.image(), &["::/"]);
            let listed = String::from_utf8_lossy(&listed);
            assert_eq!(listed.matches(stamps).count(), 2, "{kind}: {listed}");
            let volume = mounted();
            for (path, modified) in [("/written", at), ("/set", at + 86_400), ("/folder", at)] {
                let metadata = block_on(volume.metadata(path)).unwrap();
                assert_eq!((metadata.modified, metadata.created), (modified, at), "{kind} {path}");
            }
        }
    }
}

#[test]
fn times_and_attributes() {
    for (kind, disk) in kinds() {
        let volume = mount(&disk);
        block_on(async {
            put(&volume, "/f", b"1").await.unwrap();
            volume.create_dir("/d").await.unwrap();
            let made = volume.metadata("/f").await.unwrap();
            assert_eq!((made.modified, made.created), (NOW, NOW), "{kind}");
            volume.set_times("/f", Some(1_000_000_001), Some(1_000_000_001)).await.unwrap();
            volume.set_times("/d", Some(1_500_000_000), None).await.unwrap();
            volume.set_read_only("/f", true).await.unwrap();
            assert_eq!(volume.open("/f", &WRITE).await.unwrap_err(), Error::ReadOnlyFile);
            volume.unmount().await.unwrap();
        });
        let again = mount(&disk);
        block_on(async {
            let f = again.metadata("/f").await.unwrap();
            assert_eq!((f.modified, f.accessed), (1_000_000_000, 999_993_600));
            assert!(f.read_only && !f.is_dir);
            let d = again.metadata("/d").await.unwrap();
            assert_eq!((d.modified, d.is_dir), (1_500_000_000, true));
            assert!(again.metadata("/").await.unwrap().is_dir);
            again.set_read_only("/f", false).await.unwrap();
            let file = again.open("/f", &WRITE).await.unwrap();
            again.set_file_times(&file, Some(1_200_000_000), None).await.unwrap();
            assert_eq!(again.file_metadata(&file).modified, 1_200_000_000);
            again.set_time(NOW + 60);
            again.write(&file, 0, b"2").await.unwrap();
            assert_eq!(again.file_metadata(&file).modified, NOW + 60);
        });
    }
}

#[test]
fn a_full_volume_says_so_and_gives_all_back() {
    for (kind, disk) in kinds() {
        let volume = mount(&disk);
        block_on(async {
            let before = volume.space().await.unwrap();
            let file = volume.open("/big", &WRITE).await.unwrap();
            let mut at = 0;
            let error = loop {
                match volume.write(&file, at, &pattern(1, 100_000)).await {
                    Ok(()) => at += 100_000,
                    Err(error) => break error,
                }
            };
            assert_eq!(error, Error::NoSpace, "{kind}");
            assert_eq!(volume.file_metadata(&file).len, at);
            drop(file);
            assert_eq!(put(&volume, "/more", &pattern(2, 200_000)).await, Err(Error::NoSpace));
            volume.remove_file("/more").await.unwrap();
            volume.remove_file("/big").await.unwrap();
            assert_eq!(volume.space().await.unwrap(), before);
            // What was freed just now can be used at once.
            put(&volume, "/big", &pattern(3, at as usize)).await.unwrap();
            assert_eq!(get(&volume, "/big").await.unwrap(), pattern(3, at as usize));
            volume.remove_file("/big").await.unwrap();
            volume.unmount().await.unwrap();
        });
        assert_eq!(fsck(&disk.image()), "", "{kind}");
    }
}

#[test]
fn read_only_mounts_write_nothing() {
    let disk = mkfs(4096, &[]);
    block_on(put(&mount(&disk), "/lost", b"x")).unwrap();
    let volume = mount(&disk);
    block_on(async {
        put(&volume, "/f", b"1").await.unwrap();
        volume.unmount().await.unwrap();
    });
    let before = disk.image();
    let options = MountOptions { read_only: true, ..MountOptions::default() };
    let volume = block_on(Volume::mount(disk.clone(), &options)).unwrap();
    assert!(volume.read_only().is_some());
    block_on(async {
        assert_eq!(put(&volume, "/g", b"1").await, Err(Error::ReadOnly));
        assert_eq!(volume.open("/f", &WRITE).await.unwrap_err(), Error::ReadOnly);
        assert_eq!(volume.create_dir("/d").await, Err(Error::ReadOnly));
        assert_eq!(volume.remove_file("/f").await, Err(Error::ReadOnly));
        assert_eq!(volume.rename("/f", "/g", true).await, Err(Error::ReadOnly));
        assert_eq!(volume.write_record("r", b"").await, Err(Error::ReadOnly));
        assert_eq!(get(&volume, "/f").await.unwrap(), b"1");
        volume.sync().await.unwrap();
        volume.unmount().await.unwrap();
    });
    assert!(disk.image() == before);
}

#[test]
fn unsynced_changes_are_reported_until_synced() {
    let volume = mount(&mkfs(4096, &[]));
    block_on(async {
        assert_eq!(volume.unsynced_since(), None);
        let file = volume.open("/f", &WRITE).await.unwrap();
        volume.set_time(NOW + 5);
        volume.write(&file, 0, b"x").await.unwrap();
        assert_eq!(volume.unsynced_since(), Some(NOW));
        volume.sync_file(&file).await.unwrap();
        assert_eq!(volume.unsynced_since(), None);
        volume.remove_file("/f").await.unwrap();
        volume.sync().await.unwrap();
        assert_eq!(volume.unsynced_since(), None);
        drop(file);
        assert_eq!(volume.unsynced_since(), Some(NOW + 5));
        volume.sync().await.unwrap();
        assert_eq!(volume.unsynced_since(), None);
    });
}

#[test]
fn many_writers_and_readers_at_once_stay_in_few_pieces() {
    let disk = mkfs(32 * 1024, &["-F", "16"]);
    let volume = mount(&disk);
    disk.0.slow.set(true);
    run_all(
        (0..4)
            .map(|number| {
                let volume = &volume;
                Box::pin(async move {
                    let path = format!("/file {number}");
                    let file = volume.open(&path, &WRITE).await.unwrap();
                    let data = pattern(number, 2_000_000);
                    for (index, part) in data.chunks(32_768).enumerate() {
                        volume.write(&file, index as u64 * 32_768, part).await.unwrap();
                    }
                    volume.sync_file(&file).await.unwrap();
                    assert_eq!(read_file(volume, &file).await.unwrap(), data);
                }) as _
            })
            .collect(),
    );
    disk.0.slow.set(false);
    block_on(volume.unmount()).unwrap();
    assert_eq!(fsck(&disk.image()), "");
    let again = mount(&disk);
    block_on(async {
        for number in 0..4 {
            let file = again.open(&format!("/file {number}"), &READ).await.unwrap();
            let before = disk.0.reads.get();
            assert_eq!(read_file(&again, &file).await.unwrap(), pattern(number, 2_000_000));
            // 62 writes of 32 KiB each would be 62 pieces without reservations.
            let requests = disk.0.reads.get() - before;
            assert!(requests <= 16, "{requests} requests");
        }
    });
}

#[test]
fn appends_of_many_do_not_overwrite_each_other() {
    let disk = mkfs(4096, &[]);
    let volume = mount(&disk);
    disk.0.slow.set(true);
    run_all(
        (0..4)
            .map(|number: u8| {
                let volume = &volume;
                Box::pin(async move {
                    let file = volume.open("/log", &WRITE).await.unwrap();
                    for _ in 0..50 {
                        volume.append(&file, &[number; 100]).await.unwrap();
                    }
                }) as _
            })
            .collect(),
    );
    let data = block_on(get(&volume, "/log")).unwrap();
    assert_eq!(data.len(), 4 * 50 * 100);
    assert!(data.chunks(100).all(|line| line.iter().all(|byte| *byte == line[0])));
}

#[test]
fn small_files_written_one_after_the_other_lie_together() {
    let disk = mkfs(64 * 1024, &["-F", "32", "-s", "1"]);
    let volume = mount(&disk);
    let before = disk.image();
    block_on(async {
        for number in 0..100 {
            put(&volume, &format!("/F{number}"), &[1; 4096]).await.unwrap();
        }
        volume.unmount().await.unwrap();
    });
    let after = disk.image();
    let last = (0..after.len()).rev().find(|at| after[*at] != before[*at]).unwrap();
    let data = usize::try_from(volume.geometry().data_start).unwrap();
    assert!(last < data + 100 * 4096 * 2, "the last byte is at {}", last - data);
}

#[test]
fn a_directory_changes_its_time_with_its_entries() {
    let volume = mount(&mkfs(4096, &[]));
    block_on(async {
        volume.create_dir("/d").await.unwrap();
        volume.create_dir("/e").await.unwrap();
        let mut now = NOW;
        let mut later = || {
            now += 60;
            volume.set_time(now);
            now
        };
        let time = async |path| volume.metadata(path).await.unwrap().modified;
        let made = later();
        put(&volume, "/d/f", b"1").await.unwrap();
        assert_eq!((time("/d").await, time("/e").await), (made, NOW));
        let moved = later();
        volume.rename("/d/f", "/e/f", true).await.unwrap();
        assert_eq!((time("/d").await, time("/e").await), (moved, moved));
        let removed = later();
        volume.remove_file("/e/f").await.unwrap();
        assert_eq!((time("/d").await, time("/e").await), (moved, removed));
    });
}

#[test]
fn without_mirroring_one_table_is_used_alone() {
    let disk = mkfs(40 * 1024, &["-F", "32", "-s", "1"]);
    // Extended flags: mirroring off, the second table is active.
    disk.0.data.borrow_mut()[0x28] = 0x81;
    let volume = mount(&disk);
    let start = usize::try_from(volume.geometry().table_start).unwrap();
    let size = usize::try_from(volume.geometry().table_size).unwrap();
    let before = disk.image();
    block_on(async {
        put(&volume, "/f", &pattern(1, 50_000)).await.unwrap();
        volume.unmount().await.unwrap();
    });
    assert!(disk.image()[start..start + size] == before[start..start + size]);
    let again = mount(&disk);
    assert_eq!(block_on(get(&again, "/f")).unwrap(), pattern(1, 50_000));
}

#[test]
fn syncing_again_without_a_change_costs_nothing() {
    let disk = mkfs(4096, &[]);
    let volume = mount(&disk);
    block_on(async {
        put(&volume, "/f", b"1").await.unwrap();
        volume.sync().await.unwrap();
        let before = disk.requests();
        volume.sync().await.unwrap();
        assert_eq!(disk.requests(), before);
    });
}
