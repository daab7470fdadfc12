//! What was accepted and is not on the disk yet: it is read, cut, bounded, reported when it fails.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // Tests may panic.
mod common;
use common::*;
use fat::{DeviceError, Error, MountOptions, Volume};
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

const LOST: Error = Error::Device(DeviceError::Io);

fn mount_with(disk: &Disk, data_bytes: usize) -> Volume<Disk> {
    let options = MountOptions { data_bytes, ..MountOptions::default() };
    let volume = block_on(Volume::mount(disk.clone(), &options)).unwrap();
    volume.set_time(NOW);
    volume
}

/// Reads, writes and cuts at random what others do not touch, and compares with a model.
async fn use_file(volume: &Volume<Disk>, number: usize, rounds: usize) {
    let path = format!("/file {number}");
    let mut random = Random::new(number as u64 + 1);
    let mut model: Vec<u8> = Vec::new();
    let files =
        [volume.open(&path, &WRITE).await.unwrap(), volume.open(&path, &WRITE).await.unwrap()];
    for round in 0..rounds {
        let file = &files[random.below(2)];
        let from = random.below(model.len() + 2000);
        let len = [1, 100, 5000, 40_000, 100_000][random.below(5)];
        match random.below(10) {
            0..=2 => {
                let data = pattern(round, 1 + random.below(len));
                model.resize(model.len().max(from + data.len()), 0);
                model[from..from + data.len()].copy_from_slice(&data);
                volume.write(file, from as u64, &data).await.unwrap();
            }
            3..=5 => {
                let data = pattern(round, 1 + random.below(len));
                model.extend(&data);
                volume.append(file, &data).await.unwrap();
            }
            6 => {
                model.resize(from, 0);
                volume.set_len(file, from as u64).await.unwrap();
            }
            7 if random.below(4) == 0 => volume.sync_file(file).await.unwrap(),
            _ => {
                let mut buf = vec![0; len];
                let got = volume.read(file, from as u64, &mut buf).await.unwrap();
                let expected = model.get(from..).unwrap_or_default();
                assert_eq!(got, expected.len().min(len), "file {number}, round {round}");
                assert!(buf[..got] == expected[..got], "file {number}, round {round}");
            }
        }
    }
    assert!(read_file(volume, &files[0]).await.unwrap() == model, "file {number}");
}

#[test]
fn every_read_sees_what_was_written_before() {
    for (data_bytes, largest) in [(2 << 20, 1 << 20), (96 << 10, 16 << 10), (0, 4096)] {
        for (kind, disk) in kinds().into_iter().skip(1) {
            disk.0.largest.set(Some(largest));
            disk.0.slow.set(true);
            let volume = mount_with(&disk, data_bytes);
            run_all((0..3).map(|n| Box::pin(use_file(&volume, n, 150)) as _).collect());
            block_on(volume.unmount()).unwrap();
            assert_eq!(fsck(&disk.image()), "", "{kind}");
        }
    }
}

#[test]
fn small_writes_in_turn_reach_the_disk_together() {
    let disk = mkfs(16 * 1024, &["-F", "16"]);
    let volume = mount(&disk);
    block_on(async {
        let file = volume.open("/f", &WRITE).await.unwrap();
        volume.write(&file, 0, b"x").await.unwrap();
        let before = disk.0.writes.get();
        for part in pattern(1, 1 << 20).chunks(1000) {
            volume.append(&file, part).await.unwrap();
        }
        assert_eq!(disk.0.writes.get() - before, 1);
        drop(file);
        let mut expected = vec![b'x'];
        expected.extend(pattern(1, 1 << 20));
        assert!(get(&volume, "/f").await.unwrap() == expected);
    });
}

#[test]
fn no_more_is_held_than_the_bound() {
    const MOST: usize = 256 << 10;
    let disk = mkfs(32 * 1024, &["-F", "16"]);
    let volume = mount_with(&disk, MOST);
    disk.record();
    let written = || {
        let log = disk.0.log.borrow();
        let bytes = |event: &Event| if let Event::Write(_, data) = event { data.len() } else { 0 };
        log.as_ref().unwrap().iter().map(bytes).sum::<usize>()
    };
    block_on(async {
        for number in 0..400 {
            put(&volume, &format!("/F{number}"), &pattern(number, 3000)).await.unwrap();
            assert!((number + 1) * 3000 <= written() + MOST, "{number}");
        }
        for number in 0..400 {
            assert_eq!(get(&volume, &format!("/F{number}")).await.unwrap(), pattern(number, 3000));
        }
    });
}

#[test]
fn what_fails_late_is_told_once_to_each_who_has_the_file_open() {
    let disk = mkfs(16 * 1024, &["-F", "16"]);
    let volume = mount(&disk);
    block_on(async {
        let a = volume.open("/f", &WRITE).await.unwrap();
        let b = volume.open("/f", &WRITE).await.unwrap();
        let c = volume.open("/f", &WRITE).await.unwrap();
        let reader = volume.open("/f", &READ).await.unwrap();
        let other = volume.open("/g", &WRITE).await.unwrap();
        volume.sync().await.unwrap();
        volume.write(&a, 0, b"lost").await.unwrap();
        disk.0.fuse.set(Some(0));
        assert_eq!(volume.sync().await, Err(LOST));
        disk.0.fuse.set(None);
        volume.write(&other, 0, b"kept").await.unwrap();
        assert_eq!(volume.sync_file(&a).await, Err(LOST));
        assert_eq!(volume.sync_file(&a).await, Ok(()));
        assert_eq!(volume.write(&b, 0, b"more").await, Err(LOST));
        assert_eq!(volume.write(&b, 0, b"more").await, Ok(()));
        assert_eq!(c.close(), Err(LOST));
        assert_eq!(reader.close(), Ok(()));
        assert_eq!(volume.open("/f", &WRITE).await.unwrap().close(), Ok(()));
        assert_eq!(other.close(), Ok(()));
        assert_eq!(get(&volume, "/f").await.unwrap(), b"more");
        assert_eq!(get(&volume, "/g").await.unwrap(), b"kept");
        volume.sync().await.unwrap();
        volume.unmount().await.unwrap();
    });
    assert_eq!(fsck(&disk.image()), "");
}

/// The disk works again before anything but the contents of a file is written.
#[test]
fn a_sync_tells_of_contents_that_failed_though_the_commit_did_not() {
    let disk = mkfs(16 * 1024, &["-F", "16"]);
    let volume = mount(&disk);
    block_on(async {
        put(&volume, "/f", b"1").await.unwrap();
        disk.0.fail_once.set(true);
        assert_eq!(volume.sync().await, Err(LOST));
        assert!(!disk.0.fail_once.get());
        assert_eq!(volume.sync().await, Ok(()));
        put(&volume, "/g", b"1").await.unwrap();
        disk.0.fail_once.set(true);
        assert_eq!(volume.unmount().await, Err(LOST));
    });
}

#[test]
fn writing_out_tells_at_once_what_fails() {
    let disk = mkfs(16 * 1024, &["-F", "16"]);
    let volume = mount(&disk);
    block_on(async {
        let file = volume.open("/f", &WRITE).await.unwrap();
        volume.write(&file, 0, b"1").await.unwrap();
        let before = disk.0.writes.get();
        assert_eq!(volume.write_out(&file).await, Ok(()));
        assert_eq!(disk.0.writes.get(), before + 1);
        volume.write(&file, 0, b"2").await.unwrap();
        disk.0.fuse.set(Some(0));
        assert_eq!(volume.write_out(&file).await, Err(LOST));
        disk.0.fuse.set(None);
        assert_eq!(get(&volume, "/f").await.unwrap(), b"1");
    });
}

#[test]
fn a_write_that_is_given_up_holds_nobody_up() {
    let disk = mkfs(16 * 1024, &["-F", "16"]);
    let volume = mount(&disk);
    block_on(async {
        let file = volume.open("/f", &WRITE).await.unwrap();
        volume.write(&file, 0, &pattern(1, 1 << 19)).await.unwrap();
        disk.0.slow.set(true);
        let data = pattern(2, 1 << 20);
        {
            let mut write = pin!(volume.write(&file, 1 << 19, &data));
            let poll = write.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            assert!(poll.is_pending());
        }
        volume.sync().await.ok();
        assert_eq!(volume.sync_file(&file).await, Err(LOST));
        volume.write(&file, 0, &data).await.unwrap();
        volume.sync_file(&file).await.unwrap();
        assert!(get(&volume, "/f").await.unwrap()[..1 << 20] == data);
    });
}

#[test]
fn what_is_removed_before_a_commit_never_reaches_the_disk() {
    let disk = mkfs(16 * 1024, &["-F", "16"]);
    let volume = mount(&disk);
    block_on(async {
        put(&volume, "/kept", b"1").await.unwrap();
        volume.sync().await.unwrap();
        disk.record();
        put(&volume, "/gone", &[0xA5; 100_000]).await.unwrap();
        volume.remove_file("/gone").await.unwrap();
        volume.sync().await.unwrap();
        volume.unmount().await.unwrap();
    });
    let log = disk.0.log.take().unwrap();
    assert!(log.iter().all(|event| {
        !matches!(event, Event::Write(_, data) if data.windows(9).any(|bytes| *bytes == [0xA5; 9]))
    }));
    assert_eq!(fsck(&disk.image()), "");
}

#[test]
fn one_commit_serves_all_who_wait_for_it() {
    let disk = mkfs(16 * 1024, &["-F", "16"]);
    let volume = mount(&disk);
    disk.0.slow.set(true);
    let before = disk.0.flushes.get();
    run_all(
        (0..30)
            .map(|number| {
                let volume = &volume;
                Box::pin(async move {
                    let file = volume.open(&format!("/f{number}"), &WRITE).await.unwrap();
                    for round in 0..10 {
                        volume.append(&file, &pattern(round, 700)).await.unwrap();
                        volume.sync_file(&file).await.unwrap();
                    }
                }) as _
            })
            .collect(),
    );
    // One by one it would be 300 commits of two flushes or more.
    let flushes = disk.0.flushes.get() - before;
    assert!(flushes <= 90, "{flushes} flushes for 300 syncs");
}

/// Whoever waits is served by a commit that began after its call, if that succeeds; else it must try itself.
#[test]
fn a_sync_that_waits_behind_a_commit_that_fails_is_not_told_that_all_is_well() {
    let (mut failed, mut served) = (0, 0);
    for requests in 1..40 {
        let disk = mkfs(16 * 1024, &["-F", "16"]);
        let volume = mount(&disk);
        let (a, b) = block_on(async {
            let a = volume.open("/a", &WRITE).await.unwrap();
            let b = volume.open("/b", &WRITE).await.unwrap();
            volume.write(&a, 0, b"of a").await.unwrap();
            volume.write(&b, 0, b"of b").await.unwrap();
            (a, b)
        });
        disk.0.slow.set(true);
        disk.0.fuse.set(Some(requests));
        let mut context = Context::from_waker(Waker::noop());
        let mut first = pin!(volume.sync_file(&a));
        let mut second = pin!(volume.sync_file(&b));
        assert!(first.as_mut().poll(&mut context).is_pending());
        assert!(second.as_mut().poll(&mut context).is_pending(), "it waits behind the first");
        let told = loop {
            if let Poll::Ready(told) = first.as_mut().poll(&mut context) {
                break told;
            }
        };
        // The disk recovers.
        disk.0.fuse.set(None);
        failed += usize::from(told.is_err());
        let told = block_on(second);
        if told.is_ok() {
            served += 1;
            let after = mount(&Disk::new(disk.image()));
            let data = block_on(get(&after, "/b"));
            assert_eq!(data.as_deref(), Ok(&b"of b"[..]), "lost, {requests} requests");
        }
    }
    assert!(failed >= 5 && served >= 5, "{failed} failed, {served} were served");
}

#[test]
fn reads_that_go_on_are_read_ahead_by_many_at_once() {
    let disk = mkfs(16 * 1024, &["-F", "16"]);
    let volume = mount(&disk);
    let data = pattern(1, 4 << 20);
    block_on(async {
        put(&volume, "/f", &data).await.unwrap();
        volume.unmount().await.unwrap();
    });
    let volume = mount(&disk);
    disk.0.slow.set(true);
    let file = block_on(volume.open("/f", &READ)).unwrap();
    let before = disk.0.reads.get();
    // Sixteen in flight, as sftp does it, in pairs that come the wrong way round.
    for group in 0..8 {
        let (volume, file, data) = (&volume, &file, &data);
        let read = |number: usize| {
            Box::pin(async move {
                let at = (group * 16 + (number ^ 1)) * 32_768;
                let mut buf = vec![0; 32_768];
                assert_eq!(volume.read(file, at as u64, &mut buf).await.unwrap(), buf.len());
                assert!(buf == data[at..at + buf.len()]);
            }) as _
        };
        run_all((0..16).map(read).collect());
    }
    let reads = disk.0.reads.get() - before;
    assert!(reads <= 40, "{reads} requests for 128 reads");
}

#[test]
fn a_bad_sector_that_nobody_asked_for_harms_nobody() {
    let disk = mkfs(16 * 1024, &["-F", "16"]);
    let volume = mount(&disk);
    block_on(async {
        put(&volume, "/f", &pattern(1, 200_000)).await.unwrap();
        volume.unmount().await.unwrap();
    });
    let volume = mount(&disk);
    let file = block_on(volume.open("/f", &READ)).unwrap();
    let mut buf = vec![0; 100];
    // The first request fails, which asks for more than was asked for.
    disk.0.fail_once.set(true);
    assert_eq!(block_on(volume.read(&file, 0, &mut buf)), Ok(100));
    assert_eq!(buf, pattern(1, 100));
}
