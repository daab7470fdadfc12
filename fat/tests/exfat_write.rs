//! exFAT volumes are written: what others read there, and what fsck.exfat says.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // Tests may panic.
mod common;
mod exfat_image;
use common::*;
use exfat_image::{CHAINED, How, Image, PLAIN, entries, find, mkfs as mkfs_exfat, sign};
use fat::{BlockDevice, Error, MountOptions, Volume};

fn problems(disk: &impl BlockDevice) -> Vec<String> {
    let mut said = Vec::new();
    let report = &mut |problem: &fat::Problem| said.push(problem.to_string());
    block_on(fat::check(disk, report, &mut |_, _| ())).unwrap();
    said
}

/// Unmounts, and asks everybody whether anything is wrong.
fn assert_clean(volume: &Volume<Disk>, disk: &Disk) {
    block_on(volume.unmount()).unwrap();
    assert_eq!(problems(disk), [""; 0]);
    assert_eq!(fsck(&disk.image()), "");
}

fn small(arguments: &[&str]) -> Disk {
    Disk::new(mkfs_exfat(8 << 10, &[&["-b", "4K"], arguments].concat()))
}

/// As `small`, with sectors of 4096 bytes, which mkfs.exfat makes on such disks alone.
fn large_sectors() -> Disk {
    let mut image = mkfs_exfat(8 << 10, &["-c", "4K", "-b", "1M"]);
    let field = |at: usize| u32::from_le_bytes(image[at..at + 4].try_into().unwrap()) / 8;
    let fields = [72, 76, 80, 84, 88].map(field);
    let mut region = vec![0; 12 * 4096];
    region[..512].copy_from_slice(&image[..512]);
    region[72..92].copy_from_slice(fields.map(u32::to_le_bytes).as_flattened());
    (region[108], region[109]) = (12, 0);
    for sector in 1..9 {
        region[sector * 4096 + 4092..][..4].copy_from_slice(&[0, 0, 0x55, 0xAA]);
    }
    let summed = region[..11 * 4096].iter().enumerate();
    let summed = summed.filter(|(at, _)| !matches!(at, 106 | 107 | 112));
    let sum = summed.fold(0u32, |sum, (_, byte)| sum.rotate_right(1).wrapping_add((*byte).into()));
    region[11 * 4096..].copy_from_slice(&sum.to_le_bytes().repeat(1024));
    image[..12 * 4096].copy_from_slice(&region);
    image[12 * 4096..24 * 4096].copy_from_slice(&region);
    Disk::new(image)
}

/// The set of a name.
fn set(disk: &Disk, name: &str) -> Vec<[u8; 32]> {
    let image = disk.image();
    let slots = image.as_chunks::<32>().0;
    slots[find(slots, name)].to_vec()
}

fn is_contiguous(disk: &Disk, name: &str) -> bool {
    set(disk, name)[1][1] == 3
}

fn first_cluster(disk: &Disk, name: &str) -> u32 {
    u32::from_le_bytes(set(disk, name)[1][20..24].try_into().unwrap())
}

fn link(disk: &Disk, volume: &Volume<Disk>, cluster: u32) -> u32 {
    let at = volume.geometry().table_start as usize + 4 * cluster as usize;
    u32::from_le_bytes(disk.image()[at..at + 4].try_into().unwrap())
}

#[test]
fn whatever_is_done_fsck_finds_it_clean() {
    let disk = small(&["-c", "4K"]);
    let volume = mount(&disk);
    let size = volume.geometry().cluster_size as usize;
    block_on(async {
        volume.keep_journal().await.unwrap();
        put(&volume, "/Größe.txt", &pattern(1, 10_000)).await.unwrap();
        assert_eq!(disk.image()[106] & 2, 2, "in use");
        volume.create_dir("/dir").await.unwrap();
        put(&volume, "/dir/empty", b"").await.unwrap();
        put(&volume, &format!("/dir/{}", "ä".repeat(255)), b"long").await.unwrap();
        volume.rename("/GRÖSSE.txt", "/x", true).await.unwrap_err();
        volume.rename("/grÖße.TXT", "/dir/moved", true).await.unwrap();
        put(&volume, "/new", &pattern(2, 300)).await.unwrap();
        volume.rename("/new", "/dir/MOVED", true).await.unwrap();
        assert_eq!(get(&volume, "/dir/moved").await.unwrap(), pattern(2, 300));
        assert_eq!(
            volume.rename("/dir/moved", "/dir/empty", false).await,
            Err(Error::AlreadyExists)
        );
        volume.rename("/dir/moved", "/dir/Moved", true).await.unwrap();
        volume.create_dir("/dir/inner").await.unwrap();
        volume.create_dir("/over").await.unwrap();
        volume.rename("/dir/inner", "/over", true).await.unwrap();
        assert_eq!(volume.rename("/dir", "/dir/inner", true).await, Err(Error::IntoItself));
        assert_eq!(volume.remove_dir("/dir").await, Err(Error::NotEmpty));
        volume.rename("/dir", "/elsewhere", true).await.unwrap();
        put(&volume, "/elsewhere/gone", &pattern(3, 3 * size)).await.unwrap();
        volume.sync().await.unwrap();
        volume.remove_file("/elsewhere/gone").await.unwrap();
        volume.set_read_only("/elsewhere/empty", true).await.unwrap();
        let refused = volume.open("/elsewhere/empty", &WRITE).await.unwrap_err();
        assert_eq!(refused, Error::ReadOnlyFile);
        let file = volume.open("/elsewhere/Moved", &WRITE).await.unwrap();
        volume.write(&file, 20_000, b"behind a hole").await.unwrap();
        volume.set_len(&file, 20_005).await.unwrap();
        volume.set_file_times(&file, Some(NOW + 101), Some(NOW + 200)).await.unwrap();
        drop(file);
        volume.set_times("/over", Some(NOW + 301), None).await.unwrap();
    });
    assert_clean(&volume, &disk);
    let image = disk.image();
    assert_eq!(image[106], 0);
    let space = block_on(volume.space()).unwrap();
    let used = u64::from(space.total_clusters - space.free_clusters);
    assert_eq!(u64::from(image[112]), used * 100 / u64::from(space.total_clusters));
    assert!(image[112] > 0);
    let again = mount(&disk);
    block_on(async {
        let mut names = vec!["Moved".to_string(), "empty".into(), "ä".repeat(255)];
        names.sort();
        assert_eq!(list(&again, "/elsewhere").await.unwrap(), names);
        assert_eq!(list(&again, "/").await.unwrap(), ["elsewhere", "over"]);
        let mut expected = pattern(2, 300);
        expected.resize(20_000, 0);
        expected.extend(b"behin");
        assert!(get(&again, "/elsewhere/moved").await.unwrap() == expected);
        let moved = again.metadata("/elsewhere/moved").await.unwrap();
        assert_eq!((moved.modified, moved.accessed), (NOW + 101, NOW + 200));
        assert!(again.metadata("/elsewhere/empty").await.unwrap().read_only);
        assert_eq!(again.metadata("/over").await.unwrap().modified, NOW + 301);
    });
    // To 10 ms, in UTC.
    let file = set(&disk, "Moved")[0];
    assert_eq!((file[21], &file[22..25]), (100, &[0x80; 3][..]));
}

#[test]
fn neighbours_have_no_chain_until_somebody_is_in_the_way() {
    let disk = small(&["-c", "1K"]);
    let volume = mount(&disk);
    let add = |name: &str, seed: usize, len: usize| {
        block_on(async {
            let file = volume.open(name, &WRITE).await.unwrap();
            volume.append(&file, &pattern(seed, len)).await.unwrap();
            volume.sync().await.unwrap();
        });
    };
    add("/a", 1, 2000);
    let first = first_cluster(&disk, "a");
    let before: Vec<_> = (first..first + 9).map(|cluster| link(&disk, &volume, cluster)).collect();
    add("/a", 2, 5000);
    assert!(is_contiguous(&disk, "a"));
    let after: Vec<_> = (first..first + 9).map(|cluster| link(&disk, &volume, cluster)).collect();
    assert_eq!(before, after, "the table is not written for it");
    add("/b", 3, 100);
    add("/a", 4, 3000);
    assert!(!is_contiguous(&disk, "a") && is_contiguous(&disk, "b"));
    let linked = (first..first + 6).all(|cluster| link(&disk, &volume, cluster) == cluster + 1);
    assert!(linked, "what had no chain has one now");
    add("/b", 5, 5000);
    add("/a", 6, 5000);
    let whole = [pattern(1, 2000), pattern(2, 5000), pattern(4, 3000), pattern(6, 5000)].concat();
    assert!(block_on(get(&volume, "/a")).unwrap() == whole);
    block_on(async {
        let file = volume.open("/a", &WRITE).await.unwrap();
        volume.set_len(&file, 1).await.unwrap();
        volume.sync().await.unwrap();
        volume.set_len(&file, 0).await.unwrap();
        volume.sync().await.unwrap();
    });
    assert_eq!(set(&disk, "a")[1][1], 1, "an empty file has no clusters");
    assert_eq!(first_cluster(&disk, "a"), 0);
    assert_clean(&volume, &disk);
    assert!(
        block_on(get(&mount(&disk), "/b")).unwrap() == [pattern(3, 100), pattern(5, 5000)].concat()
    );
}

#[test]
fn folders_grow_side_by_side_and_use_their_places_again() {
    let disks = [small(&["-c", "512"]), small(&["-c", "4K"]), large_sectors()];
    for (disk, files) in disks.into_iter().zip([250, 600, 300]) {
        let volume = mount(&disk);
        let name = |dir: usize, number: usize| {
            format!("/{dir}/a name of {number} that needs {} entries", "some ".repeat(number % 30))
        };
        block_on(async {
            volume.keep_journal().await.unwrap();
            for dir in 0..2 {
                volume.create_dir(&format!("/{dir}")).await.unwrap();
            }
            for number in 0..files {
                for dir in 0..2 {
                    put(&volume, &name(dir, number), &[dir as u8; 3]).await.unwrap();
                }
            }
            volume.sync().await.unwrap();
            let free = volume.space().await.unwrap().free_clusters;
            for number in (0..files).step_by(3) {
                volume.remove_file(&name(1, number)).await.unwrap();
            }
            volume.sync().await.unwrap();
            for number in (0..files).step_by(3) {
                put(&volume, &name(1, number), &[1; 3]).await.unwrap();
            }
            volume.sync().await.unwrap();
            assert_eq!(volume.space().await.unwrap().free_clusters, free);
        });
        assert!(!is_contiguous(&disk, "0"));
        assert_clean(&volume, &disk);
        let again = mount(&disk);
        block_on(async {
            for number in 0..files {
                for dir in 0..2 {
                    assert_eq!(get(&again, &name(dir, number)).await.unwrap(), [dir as u8; 3]);
                }
            }
            assert_eq!(list(&again, "/1").await.unwrap().len(), files);
        });
    }
}

/// A file with an entry of a vendor that has a cluster of its own.
fn with_vendor(name: &str, data: u32, own: u32) -> Vec<[u8; 32]> {
    let mut set = entries(name, 100, data, true, &How { vendor: true, ..PLAIN });
    let mut entry = [9; 32];
    entry[..2].copy_from_slice(&[0xE1, 3]);
    entry[20..24].copy_from_slice(&own.to_le_bytes());
    entry[24..].copy_from_slice(&100u64.to_le_bytes());
    set.push(entry);
    set[0][1] += 1;
    sign(&mut set);
    set
}

#[test]
fn what_others_keep_with_a_file_goes_where_it_goes() {
    let mut image = Image::new(mkfs_exfat(8 << 10, &["-c", "4K"]));
    let mut root = image.root();
    let clusters = image.take(4 * 4096, &PLAIN);
    image.put(&mut root, &with_vendor("kept", clusters[0], clusters[1]));
    image.put(&mut root, &with_vendor("gone", clusters[2], clusters[3]));
    let disk = image.disk();
    assert_eq!(problems(&disk), [""; 0]);
    let others = |name: &str| set(&disk, name)[3..].to_vec();
    let before = others("kept");
    assert_eq!(before.len(), 2);
    // After a dirty end they are somebody's too.
    disk.poke(106, &[2]);
    let volume = mount(&disk);
    let free = || block_on(volume.space()).unwrap().free_clusters;
    let at_first = free();
    block_on(async {
        put(&volume, "/kept", b"new").await.unwrap();
        volume.sync().await.unwrap();
        volume.rename("/kept", "/named anew", true).await.unwrap();
        volume.rename("/named anew", "/gone", true).await.unwrap();
        volume.sync().await.unwrap();
        volume.sync().await.unwrap();
        volume.unmount().await.unwrap();
    });
    assert_eq!(others("gone"), before);
    assert_eq!(free(), at_first + 2, "the replaced file's are free");
    assert_eq!(problems(&disk), [""; 0]);
    block_on(async {
        volume.remove_file("/gone").await.unwrap();
        volume.unmount().await.unwrap();
    });
    assert_eq!(free(), at_first + 4);
    assert_eq!(problems(&disk), [""; 0]);
}

#[test]
fn what_a_cut_leaves_is_put_right_at_the_next_mount() {
    let image = || {
        let mut image = Image::new(mkfs_exfat(8 << 10, &["-c", "4K"]));
        let mut root = image.root();
        image.add(&mut root, "chained", &pattern(1, 3 * 4096), &CHAINED);
        image.add(&mut root, "plain", &pattern(2, 3 * 4096), &PLAIN);
        image.bytes[106] = 2;
        (image, root)
    };
    let mounted = |image: &Image| {
        let disk = image.disk();
        let volume = mount(&disk);
        assert!(block_on(get(&volume, "/chained")).unwrap() == pattern(1, 3 * 4096));
        assert!(block_on(get(&volume, "/plain")).unwrap() == pattern(2, 3 * 4096));
        (disk, volume)
    };
    let (whole, _) = image();
    let (disk, volume) = mounted(&whole);
    let free = block_on(volume.space()).unwrap().free_clusters;
    assert_clean(&volume, &disk);
    // Clusters that nobody has.
    let (mut leaked, _) = image();
    leaked.take(20 * 4096, &CHAINED);
    let (disk, volume) = mounted(&leaked);
    assert_eq!(block_on(volume.space()).unwrap().free_clusters, free);
    assert_clean(&volume, &disk);
    // A bad cluster stays in use.
    let (mut bad, _) = image();
    let cluster = bad.take(4096, &CHAINED)[0];
    let at = bad.link_place(cluster);
    bad.bytes[at..at + 4].copy_from_slice(&0xFFFF_FFF7u32.to_le_bytes());
    let (_, volume) = mounted(&bad);
    assert_eq!(block_on(volume.space()).unwrap().free_clusters, free - 1);
    // A chain that is longer than its file.
    let (mut long, _) = image();
    let more = long.take(4096, &CHAINED)[0];
    let last = long.geometry.root_cluster + 5;
    let at = long.link_place(last);
    assert_eq!(long.bytes[at..at + 4], [0xFF; 4]);
    long.bytes[at..at + 4].copy_from_slice(&more.to_le_bytes());
    let (disk, volume) = mounted(&long);
    assert_eq!(block_on(volume.space()).unwrap().free_clusters, free);
    assert_clean(&volume, &disk);
    // A file whose clusters count as free, as other systems may leave it.
    let (mut unmarked, _) = image();
    let at = unmarked.bitmap();
    unmarked.bytes[at + 1] = 0;
    let (disk, volume) = mounted(&unmarked);
    assert_eq!(block_on(volume.space()).unwrap().free_clusters, free);
    assert_clean(&volume, &disk);
    // What contradicts itself is left alone.
    let (mut crossed, mut root) = image();
    let first = crossed.geometry.root_cluster + 1;
    crossed.put(&mut root, &entries("other", 4096, first, true, &PLAIN));
    crossed.take(20 * 4096, &PLAIN);
    let before = crossed.bytes.clone();
    let (disk, _) = mounted(&crossed);
    assert!(disk.image() == before);
}

#[test]
fn a_file_beyond_4_gib_is_written_and_a_large_hole_costs_nothing() {
    let disk = sparse_exfat(120 << 30, &["-c", "128K"]);
    let mount = || block_on(Volume::mount(disk.clone(), &MountOptions::default())).unwrap();
    let volume = mount();
    let part = vec![0; 8 << 20];
    let end = (4u64 << 30) + 12_345;
    block_on(async {
        let file = volume.open("/large", &WRITE).await.unwrap();
        let mut at = 0;
        while at < end {
            let len = part.len().min((end - at) as usize);
            volume.write(&file, at, &part[..len]).await.unwrap();
            at += len as u64;
        }
        volume.write(&file, 4 << 30, b"beyond").await.unwrap();
        let before = disk.count();
        let hole = volume.open("/hole", &WRITE).await.unwrap();
        volume.write(&hole, 0, b"begins").await.unwrap();
        volume.set_len(&hole, 100 << 30).await.unwrap();
        volume.sync().await.unwrap();
        assert!(disk.count().since(&before).written < 8 << 20);
        volume.append(&file, b"end").await.unwrap();
        assert_eq!(volume.set_len(&hole, 1 << 40).await, Err(Error::NoSpace));
        volume.unmount().await.unwrap();
    });
    assert_eq!(problems(&disk), [""; 0]);
    let volume = mount();
    block_on(async {
        let file = volume.open("/large", &READ).await.unwrap();
        let mut buf = [7; 20];
        assert_eq!(volume.file_metadata(&file).len, end + 3);
        assert_eq!(volume.read(&file, (4 << 30) - 2, &mut buf).await, Ok(20));
        assert_eq!(&buf, b"\0\0beyond\0\0\0\0\0\0\0\0\0\0\0\0");
        assert_eq!(volume.read(&file, end, &mut buf).await, Ok(3));
        assert_eq!(&buf[..3], b"end");
        let hole = volume.open("/hole", &WRITE).await.unwrap();
        assert_eq!(volume.file_metadata(&hole).len, 100 << 30);
        for (at, expected) in [(0, &b"begins\0"[..]), (99 << 30, &[0; 7])] {
            let mut buf = [7; 7];
            assert_eq!(volume.read(&hole, at, &mut buf).await, Ok(7));
            assert_eq!(buf, expected);
        }
        // What is written into a hole is what is read, with zeros before it.
        volume.write(&hole, 200_001, b"inside").await.unwrap();
        let mut buf = [7; 8];
        assert_eq!(volume.read(&hole, 200_000, &mut buf).await, Ok(8));
        assert_eq!(&buf, b"\0inside\0");
        let mut buf = vec![7; 199_990];
        assert_eq!(volume.read(&hole, 10, &mut buf).await, Ok(199_990));
        assert!(buf.iter().all(|byte| *byte == 0));
        volume.set_len(&hole, 100_000).await.unwrap();
        drop((hole, file));
        volume.remove_file("/large").await.unwrap();
        volume.unmount().await.unwrap();
    });
    assert_eq!(problems(&disk), [""; 0]);
}

#[test]
fn clusters_of_32_mib_are_not_kept_in_memory() {
    let disk = sparse_exfat(2 << 30, &["-c", "32M"]);
    let volume = block_on(Volume::mount(disk.clone(), &MountOptions::default())).unwrap();
    block_on(async {
        volume.create_dir("/dir").await.unwrap();
        let file = volume.open("/dir/file", &WRITE).await.unwrap();
        volume.write(&file, 33 << 20, b"x").await.unwrap();
        volume.unmount().await.unwrap();
    });
    assert_eq!(problems(&disk), [""; 0]);
}
