//! Sizes that a test has no room for, on a disk that keeps only what is not zero: large volumes,
//! files in many pieces, directories with many entries.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // Tests may panic.
mod common;
use common::{Sparse, WRITE, block_on};
use fat::{BlockDevice, Error, FatKind, FormatOptions, MountOptions, Volume};
use std::io::Write;
use std::time::Instant;

fn formatted(size: u64) -> Sparse {
    let disk = Sparse::new(size);
    let options = FormatOptions { kind: Some(FatKind::Fat32), ..FormatOptions::default() };
    block_on(fat::format(&disk, &options, &mut |_, _| ())).unwrap();
    disk
}

fn mount(disk: &Sparse) -> Volume<Sparse> {
    block_on(Volume::mount(disk.clone(), &MountOptions::default())).unwrap()
}

#[test]
fn a_file_of_4_gib_less_one_byte() {
    const MOST: u64 = u32::MAX as u64;
    let disk = formatted(5 << 30);
    let volume = mount(&disk);
    block_on(async {
        let free = volume.space().await.unwrap().free_clusters;
        let file = volume.open("/file", &WRITE).await.unwrap();
        volume.write(&file, MOST - 2, b"ab").await.unwrap();
        assert_eq!(volume.write(&file, MOST - 1, b"xy").await, Err(Error::TooLarge));
        assert_eq!(volume.write(&file, MOST, b"x").await, Err(Error::TooLarge));
        assert_eq!(volume.set_len(&file, MOST + 1).await, Err(Error::TooLarge));
        volume.sync().await.unwrap();
        assert_eq!(volume.metadata("/file").await.unwrap().len, MOST);
        let mut end = [9; 8];
        assert_eq!(volume.read(&file, MOST - 4, &mut end).await.unwrap(), 4);
        assert_eq!(&end[..4], b"\0\0ab");
        let used = free - volume.space().await.unwrap().free_clusters;
        assert_eq!(used, (1u32 << 31) / (volume.space().await.unwrap().cluster_size / 2));
        drop(file);
        volume.remove_file("/file").await.unwrap();
        assert_eq!(volume.space().await.unwrap().free_clusters, free);
        volume.unmount().await.unwrap();
    });
}

#[test]
fn files_in_many_pieces_are_opened_while_there_is_room_for_where_they_lie() {
    let disk = Sparse::new(8 << 20);
    let options = FormatOptions { kind: Some(FatKind::Fat16), ..FormatOptions::default() };
    block_on(fat::format(&disk, &options, &mut |_, _| ())).unwrap();
    block_on(async {
        let volume = mount(&disk);
        assert_eq!(volume.geometry().cluster_size, 1024);
        for n in 0..6000 {
            if n % 1000 == 0 {
                volume.create_dir(&format!("/{}", n / 1000)).await.unwrap();
            }
            let file = volume.open(&format!("/{}/{n}", n / 1000), &WRITE).await.unwrap();
            volume.write(&file, 0, &[1; 1024]).await.unwrap();
        }
        let rest = volume.open("/rest", &WRITE).await.unwrap();
        while volume.append(&rest, &[2; 1024]).await.is_ok() {}
        drop(rest);
        // What becomes free now is one cluster here and one there.
        for n in (0..6000).step_by(2) {
            volume.remove_file(&format!("/{}/{n}", n / 1000)).await.unwrap();
        }
        for name in ["/a", "/b", "/c"] {
            let file = volume.open(name, &WRITE).await.unwrap();
            volume.write(&file, 0, &[3; 990 * 1024]).await.unwrap();
        }
        volume.unmount().await.unwrap();

        let options = MountOptions { extent_bytes: 2500 * 12, ..MountOptions::default() };
        let volume = Volume::mount(disk.clone(), &options).await.unwrap();
        let a = volume.open("/a", &WRITE).await.unwrap();
        let b = volume.open("/b", &WRITE).await.unwrap();
        assert_eq!(volume.open("/c", &WRITE).await.unwrap_err(), Error::TooManyExtents);
        // Others are not concerned, and what was open is whole.
        volume.open("/0/1", &WRITE).await.unwrap();
        let mut end = [0; 1024];
        assert_eq!(volume.read(&a, 989 * 1024, &mut end).await.unwrap(), 1024);
        assert_eq!(end, [3; 1024]);
        drop(a);
        let c = volume.open("/c", &WRITE).await.unwrap();
        assert_eq!(volume.open("/a", &WRITE).await.unwrap_err(), Error::TooManyExtents);
        drop((b, c));
        volume.unmount().await.unwrap();

        // What cannot be opened can be removed and replaced, and its space comes back.
        let options = MountOptions { extent_bytes: 500 * 12, ..MountOptions::default() };
        let volume = Volume::mount(disk.clone(), &options).await.unwrap();
        assert_eq!(volume.open("/a", &WRITE).await.unwrap_err(), Error::TooManyExtents);
        let free = volume.space().await.unwrap().free_clusters;
        volume.remove_file("/a").await.unwrap();
        volume.rename("/0/1", "/b", true).await.unwrap();
        assert_eq!(volume.space().await.unwrap().free_clusters, free + 2 * 990);
        volume.sync().await.unwrap();
        assert_eq!(volume.space().await.unwrap().free_clusters, free + 2 * 990);
        assert_eq!(volume.metadata("/b").await.unwrap().len, 1024);
        volume.unmount().await.unwrap();
        let mut note = |problem: &fat::Problem| panic!("{problem}");
        fat::check(&disk, &mut note, &mut |_, _| {}).await.unwrap();
    });
}

#[test]
fn a_large_volume_is_repaired_where_there_is_memory_for_it() {
    let disk = formatted(u64::from(u32::MAX) * 512);
    let clusters = mount(&disk).geometry().clusters;
    assert!(clusters > 60 << 20);
    let leaking = mount(&disk);
    block_on(async {
        for name in ["/kept", "/lost"] {
            let file = leaking.open(name, &WRITE).await.unwrap();
            leaking.write(&file, 0, &[7; 100_000]).await.unwrap();
        }
        leaking.sync().await.unwrap();
        // The entry goes with this commit, its clusters would with the next.
        leaking.remove_file("/lost").await.unwrap();
        leaking.sync().await.unwrap();
    });
    drop(leaking);
    let problems = || {
        let mut found = Vec::new();
        let mut note = |problem: &fat::Problem| found.push(problem.to_string());
        block_on(fat::check(&disk, &mut note, &mut |_, _| {})).unwrap();
        found.join(", ")
    };
    let leaked = problems();
    assert!(leaked.contains("in use by no file"), "{leaked}");
    let options = MountOptions { walk_bytes: 4 << 20, ..MountOptions::default() };
    let small = block_on(Volume::mount(disk.clone(), &options)).unwrap();
    assert_eq!(block_on(small.metadata("/kept")).unwrap().len, 100_000);
    drop(small);
    assert_eq!(problems(), leaked);
    let before = disk.count();
    let repaired = mount(&disk);
    let spent = disk.count().since(&before);
    // Each of both tables once, but for the one page that has what is kept and what is lost.
    let tables = 2 * repaired.geometry().table_size as usize;
    let (pages, most) = (tables.div_ceil(32 << 10), tables + (256 << 10));
    let said = format!("{spent:?} for tables of {tables} bytes");
    println!("{said}");
    assert!(spent.read <= most && spent.reads <= pages + 40, "{said}");
    assert!(spent.writes <= 20, "{said}");
    let free = block_on(repaired.space()).unwrap().free_clusters;
    assert!(disk.count().since(&before).reads == spent.reads, "counted once more");
    block_on(repaired.unmount()).unwrap();
    assert_eq!(problems(), "");
    assert_eq!(block_on(mount(&disk).space()).unwrap().free_clusters, free);
}

/// As many sectors as a boot sector can say.
#[test]
fn a_volume_of_2_tib_mounts_without_its_table() {
    let disk = formatted(u64::from(u32::MAX) * 512);
    let before = disk.count();
    let volume = mount(&disk);
    let count = disk.count().since(&before);
    let (requests, bytes) = (count.requests(), count.read);
    let table = usize::try_from(volume.geometry().table_size).unwrap();
    assert!(table > 200 << 20);
    assert!(requests <= 10 && bytes <= 256 << 10, "{requests} requests, {bytes} bytes");
    let before = disk.count();
    let space = block_on(volume.space()).unwrap();
    let read = disk.count().since(&before).read;
    assert!(table - (1 << 15) < read && read <= table, "{read} bytes of {table}");
    assert_eq!(space.free_clusters, space.total_clusters - 1);
    block_on(async {
        let file = volume.open("/file", &WRITE).await.unwrap();
        volume.write(&file, 0, &[7; 100_000]).await.unwrap();
        drop(file);
        volume.unmount().await.unwrap();
    });
    let before = disk.count();
    let again = mount(&disk);
    assert!(disk.count().since(&before).read <= 256 << 10);
    let left = block_on(again.space()).unwrap().free_clusters;
    assert_eq!(left, space.free_clusters - 100_000u32.div_ceil(space.cluster_size));
}

/// 2 GiB in 65,000 pieces: opening reads the chain, and from then on each read is one request.
#[test]
fn seeks_in_a_fragmented_file_walk_no_chain() {
    let disk = formatted(8 << 30);
    let volume = mount(&disk);
    block_on(async {
        let file = volume.open("/fragmented", &WRITE).await.unwrap();
        volume.write(&file, 0, b"x").await.unwrap();
        drop(file);
        volume.unmount().await.unwrap();
    });
    let geometry = volume.geometry().clone();
    drop(volume);
    // Runs of 8 clusters, each behind 8 that are free.
    const RUN: u32 = 8;
    const PIECES: u32 = 65_000;
    let first = 3u32;
    let mut table = vec![0; (geometry.clusters as usize + 2) * 4];
    block_on(disk.read(geometry.table_start, &mut table[..512])).unwrap();
    let mut set = |cluster: u32, value: u32| {
        table[cluster as usize * 4..][..4].copy_from_slice(&value.to_le_bytes());
    };
    for piece in 0..PIECES {
        let start = first + piece * 2 * RUN;
        (0..RUN - 1).for_each(|at| set(start + at, start + at + 1));
        let next = if piece + 1 == PIECES { 0x0FFF_FFFF } else { start + 2 * RUN };
        set(start + RUN - 1, next);
    }
    for copy in 0..2 {
        disk.put(geometry.table_start + copy * geometry.table_size, &table);
    }
    let len = PIECES * RUN * geometry.cluster_size;
    assert!(len > 2_000_000_000);
    let mut root = vec![0; geometry.cluster_size as usize];
    block_on(disk.read(geometry.data_start, &mut root)).unwrap();
    let slot = root.chunks(32).position(|slot| slot[11] == 0x20).unwrap() * 32;
    assert_eq!(u32::from(root[slot + 26]), first, "the first file has the first free cluster");
    disk.put(geometry.data_start + slot as u64 + 28, &len.to_le_bytes());
    let marker = |piece: u32| {
        let before = u64::from(first - 2 + piece * 2 * RUN) * u64::from(geometry.cluster_size);
        geometry.data_start + before
    };
    (0..PIECES).step_by(977).for_each(|piece| disk.put(marker(piece), &piece.to_le_bytes()));
    let volume = mount(&disk);
    let file = block_on(volume.open("/fragmented", &WRITE)).unwrap();
    let before = disk.count();
    let mut seeks = 0;
    let mut buf = [0; 4096];
    for piece in (0..PIECES).step_by(977).rev() {
        let at = u64::from(piece) * u64::from(RUN * geometry.cluster_size);
        block_on(volume.read(&file, at, &mut buf)).unwrap();
        assert_eq!(buf[..4], piece.to_le_bytes());
        seeks += 1;
    }
    let requests = disk.count().since(&before).requests();
    assert!(requests <= seeks, "{requests} requests for {seeks} reads");
}

/// What the last thousand of 50,000 files cost, beside the first thousand.
#[test]
fn fifty_thousand_files_in_a_directory() {
    const FILES: usize = 50_000;
    let disk = formatted(1 << 30);
    let volume = mount(&disk);
    block_on(volume.create_dir("/many")).unwrap();
    let name = |number: usize| format!("/many/f{number:06}.txt");
    let mut cost = Vec::new();
    for thousand in 0..FILES / 1000 {
        let (before, began) = (disk.count(), Instant::now());
        for number in 0..1000 {
            drop(block_on(volume.open(&name(thousand * 1000 + number), &WRITE)).unwrap());
        }
        block_on(volume.sync()).unwrap();
        cost.push((disk.count().since(&before).requests(), began.elapsed()));
    }
    let (first, last) = (cost[0], cost[cost.len() - 1]);
    let mut looked = Vec::new();
    for from in [0, FILES - 1000] {
        (from..from + 1000).for_each(|n| _ = block_on(volume.metadata(&name(n))).unwrap());
        let (before, began) = (disk.count(), Instant::now());
        (from..from + 1000).for_each(|n| _ = block_on(volume.metadata(&name(n))).unwrap());
        looked.push((disk.count().since(&before).requests(), began.elapsed()));
    }
    let said = format!(
        "50,000 files in a directory: created the first thousand in {} requests and {:?}, the last \
         in {} and {:?}; looked up {} and {:?}, {} and {:?}\n",
        first.0, first.1, last.0, last.1, looked[0].0, looked[0].1, looked[1].0, looked[1].1
    );
    std::io::stderr().write_all(said.as_bytes()).unwrap();
    assert!(last.0 <= 2 * first.0, "{said}");
    assert!(looked.iter().all(|(requests, _)| *requests == 0), "{said}");
    block_on(async {
        for number in [0, 1, 25_000, FILES - 1] {
            volume.rename(&name(number), &format!("/many/r{number}"), true).await.unwrap();
            volume.remove_file(&format!("/many/R{number}")).await.unwrap();
        }
        volume.unmount().await.unwrap();
    });
    let mut note = |problem: &fat::Problem| panic!("{problem}");
    let summary = block_on(fat::check(&disk, &mut note, &mut |_, _| {})).unwrap();
    assert_eq!(summary.files as usize, FILES - 4);
}
