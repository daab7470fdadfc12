//! exFAT volumes are read as they are.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // Tests may panic.
mod common;
mod exfat_image;
use common::*;
use exfat_image::{CHAINED, Dir, How, Image, PLAIN, entries, mkfs as mkfs_exfat, sign};
use fat::{BlockDevice, Error, FatKind, MountError, MountOptions, OpenOptions, Volume};
use std::io::Write;
use std::process::{Command, Stdio};

fn problems(disk: &impl BlockDevice) -> Vec<String> {
    let mut said = Vec::new();
    let report = &mut |problem: &fat::Problem| said.push(problem.to_string());
    block_on(fat::check(disk, report, &mut |_, _| ())).unwrap();
    said
}

/// Names with their contents: short, long, of other letters, with what FAT forbids, empty.
fn names() -> Vec<(String, usize)> {
    let long = "länger als man denkt ".repeat(13).chars().take(255).collect::<String>();
    let names =
        ["a", "Größe ÄÖÜ.txt", "ΣΔ σ.dat", "日本語", "😀.png", "two  spaces", "b.B.b", ".hidden"];
    let mut all: Vec<_> =
        names.iter().enumerate().map(|(n, name)| (name.to_string(), n * 3001)).collect();
    all.push((long, 5000));
    all.push(("fifteen units..".replace("..", "xx"), 1));
    all
}

fn populated() -> Image {
    let mut image = Image::new(mkfs_exfat(16 << 10, &["-c", "4K", "-L", "Größe 1"]));
    let mut root = image.root();
    for (number, (name, len)) in names().iter().enumerate() {
        let how = if number % 2 == 0 { PLAIN } else { CHAINED };
        image.add(&mut root, name, &pattern(number, *len), &how);
    }
    let mut dir = image.add_dir(&mut root, "Chained", 3 * 4096, &CHAINED);
    for number in 0..100 {
        image.add(&mut dir, &format!("file {number}"), &pattern(number, 700), &PLAIN);
    }
    let mut dir = image.add_dir(&mut root, "together", 2 * 4096, &PLAIN);
    let mut inner = image.add_dir(&mut dir, "inner", 1, &PLAIN);
    image.add(&mut inner, "deep", b"down here", &PLAIN);
    image.add(&mut inner, "hidden and read-only", b"!", &How { attributes: 0x23, ..PLAIN });
    image
}

#[test]
fn what_others_made_is_recognised_and_clean() {
    for (kib, arguments, cluster) in [
        (8 << 10, &["-c", "512", "-L", "Ä"][..], 512),
        (64 << 10, &[], 4 << 10),
        (64 << 10, &["-c", "4M", "-b", "4K"], 4 << 20),
        (64 << 10, &["--pack-bitmap"], 4 << 10),
    ] {
        let disk = Disk::new(mkfs_exfat(kib, arguments));
        let volume = mount(&disk);
        assert_eq!(volume.geometry().kind, FatKind::ExFat);
        assert_eq!(volume.geometry().cluster_size, cluster, "{arguments:?}");
        assert_eq!(volume.read_only(), None);
        assert_eq!(volume.label(), if kib == 8 << 10 { "Ä" } else { "" });
        assert_eq!(block_on(list(&volume, "/")), Ok(vec![]));
        let space = block_on(volume.space()).unwrap();
        let image = disk.image();
        let root = volume.geometry().root_cluster;
        // The bitmap, the up-case table and the root directory are all there is.
        assert_eq!(space.total_clusters - space.free_clusters, root - 1, "{arguments:?}");
        assert_eq!(problems(&disk), [""; 0], "{arguments:?}");
        block_on(volume.unmount()).unwrap();
        assert!(disk.image() == image);
    }
}

#[test]
fn it_may_be_in_a_partition() {
    let basic = "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7";
    for script in [
        "label: dos\nstart=64, size=1900, type=83\nstart=2048, size=24000, type=7\n".to_string(),
        format!("label: gpt\nstart=2048, size=24000, type={basic}\n"),
    ] {
        let file = TempFile::new(&vec![0; 16 << 20]);
        let mut child = Command::new("sfdisk")
            .args(["--quiet", "--no-reread", "--no-tell-kernel"])
            .arg(&file.0)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
        let disk = Disk::new(std::fs::read(&file.0).unwrap());
        let mut image = Image::new(mkfs_exfat(12_000, &["-c", "4K"]));
        let mut root = image.root();
        image.add(&mut root, "inside", b"a partition", &PLAIN);
        disk.poke(2048 * 512, &image.bytes);
        let volume = mount(&disk);
        assert_eq!(volume.geometry().start, 2048 * 512);
        assert_eq!(block_on(get(&volume, "/inside")).unwrap(), b"a partition");
        assert_eq!(problems(&disk), [""; 0]);
    }
    // NTFS has the same type.
    let disk = Disk::new(mkfs_exfat(8 << 10, &[]));
    disk.poke(3, b"NTFS    ");
    let error = block_on(Volume::mount(disk, &MountOptions::default())).err().unwrap();
    assert!(error.to_string().contains("NTFS"), "{error}");
}

#[test]
fn files_of_every_kind_are_read() {
    let image = populated();
    let (clean, said) = exfat_image::fsck(&image.bytes);
    assert!(clean, "{said}");
    let disk = image.disk();
    assert_eq!(problems(&disk), [""; 0]);
    let volume = mount(&disk);
    assert_eq!(volume.label(), "Größe 1");
    let mut expected: Vec<String> = names().into_iter().map(|(name, _)| name).collect();
    expected.extend(["Chained".into(), "together".into()]);
    expected.sort();
    assert_eq!(block_on(list(&volume, "/")).unwrap(), expected);
    for (number, (name, len)) in names().iter().enumerate() {
        assert!(
            block_on(get(&volume, &format!("/{name}"))).unwrap() == pattern(number, *len),
            "{name}"
        );
    }
    // By the volume's own table of case.
    for (other, number) in
        [("/A", 0), ("/GRÖSSE äöü.TXT", 99), ("/grÖßE äöü.TXT", 1), ("/σδ Σ.DAT", 2)]
    {
        let got = block_on(get(&volume, other));
        match number {
            99 => assert_eq!(got, Err(Error::NotFound), "{other}"),
            number => assert!(got.unwrap() == pattern(number, names()[number].1), "{other}"),
        }
    }
    for number in 0..100 {
        assert!(
            block_on(get(&volume, &format!("/chained/FILE {number}"))).unwrap()
                == pattern(number, 700)
        );
    }
    assert_eq!(block_on(get(&volume, "/together/inner/deep")).unwrap(), b"down here");
    let metadata = block_on(volume.metadata("/together/inner/hidden and read-only")).unwrap();
    assert!(metadata.read_only && metadata.hidden && !metadata.system && !metadata.is_dir);
    assert_eq!((metadata.created, metadata.modified, metadata.accessed), (NOW, NOW + 1, NOW));
    assert!(block_on(volume.metadata("/Chained")).unwrap().is_dir);
}

#[test]
fn times_are_told_in_utc() {
    let mut image = Image::new(mkfs_exfat(8 << 10, &[]));
    let mut root = image.root();
    // Two hours ahead; five and a half behind; none given.
    for (name, offset) in
        [("east", 0x88), ("west", 0x80 | (-22i8 & 0x7F).cast_unsigned()), ("none", 0)]
    {
        image.add(&mut root, name, b"", &How { offset, ..PLAIN });
    }
    let volume = mount(&image.disk());
    let time = |path| block_on(volume.metadata(path)).unwrap().created;
    assert_eq!(time("/east"), NOW - 2 * 3600);
    assert_eq!(time("/west"), NOW + 5 * 3600 + 1800);
    assert_eq!(time("/none"), NOW);
}

#[test]
fn what_is_not_valid_reads_as_zeros() {
    let mut image = Image::new(mkfs_exfat(8 << 10, &["-c", "4K"]));
    let mut root = image.root();
    let data = pattern(1, 20_000);
    for (name, valid) in [("none", 0), ("some", 5_001), ("all", 20_000)] {
        image.add(&mut root, name, &data, &How { valid: Some(valid), ..CHAINED });
        let volume = mount(&image.disk());
        let got = block_on(get(&volume, &format!("/{name}"))).unwrap();
        let (kept, zeros) = got.split_at(valid as usize);
        assert!(kept == &data[..valid as usize] && zeros.iter().all(|byte| *byte == 0), "{name}");
        // A read that begins behind what is valid, and one across its end.
        let file = block_on(volume.open(&format!("/{name}"), &READ)).unwrap();
        let mut buf = [7; 100];
        assert_eq!(block_on(volume.read(&file, 19_950, &mut buf)), Ok(50));
        let last = if valid == 20_000 { &data[19_950..] } else { &[0; 50][..] };
        assert_eq!(&buf[..50], last, "{name}");
    }
    assert_eq!(problems(&image.disk()), [""; 0]);
}

#[test]
fn a_file_beyond_4_gib_is_read_to_its_end() {
    let mut small = Image::new(mkfs_exfat(64 << 10, &["-c", "32K"]));
    // The same volume with its clusters counted up to 8 GiB, on a disk that keeps only what is not zero.
    let clusters: u32 = 8 << 15;
    let heap = u64::from(u32::from_le_bytes(small.bytes[88..92].try_into().unwrap())) * 512;
    let mut bytes = small.bytes.split_off(0);
    let sectors = 1u64 << 20 >> 9;
    let root_cluster = small.geometry.root_cluster;
    // A longer table, and the clusters behind it.
    let table = u64::from(clusters + 2) * 4;
    let new_heap = (1 << 20) + table.next_multiple_of(1 << 20);
    let disk = Sparse::new(new_heap + u64::from(clusters) * (32 << 10));
    bytes[72..80].copy_from_slice(&(disk.size() / 512).to_le_bytes());
    bytes[80..84].copy_from_slice(&(sectors as u32).to_le_bytes());
    bytes[84..88].copy_from_slice(&(((new_heap - (1 << 20)) / 512) as u32).to_le_bytes());
    bytes[88..92].copy_from_slice(&((new_heap / 512) as u32).to_le_bytes());
    bytes[92..96].copy_from_slice(&clusters.to_le_bytes());
    let old_table = small.geometry.table_start as usize;
    let links = bytes[old_table..old_table + 64].to_vec();
    disk.put(1 << 20, &links);
    // A bitmap of 32 KiB is one cluster: the three files keep their places.
    let mut heap_bytes = bytes[heap as usize..heap as usize + 10 * (32 << 10)].to_vec();
    let at = (root_cluster - 2) as usize * (32 << 10);
    let bitmap = heap_bytes[at..].chunks(32).position(|entry| entry[0] == 0x81).unwrap();
    heap_bytes[at + bitmap * 32 + 24..][..8]
        .copy_from_slice(&u64::from(clusters / 8).to_le_bytes());
    let free = heap_bytes[at..].chunks(32).position(|entry| entry[0] == 0).unwrap();
    let len = (6u64 << 30) + 12_345;
    let first = root_cluster + 5;
    let set = entries("large", len, first, true, &PLAIN).concat();
    heap_bytes[at + free * 32..][..set.len()].copy_from_slice(&set);
    for cluster in u64::from(first)..u64::from(first) + len.div_ceil(32 << 10) {
        heap_bytes[(cluster - 2) as usize / 8] |= 1 << ((cluster - 2) % 8);
    }
    disk.put(new_heap, &heap_bytes);
    let data = new_heap + u64::from(first - 2) * (32 << 10);
    disk.put(data + (5 << 30), b"beyond 4 GiB");
    disk.put(data + len - 3, b"end");
    let sum = boot_sum(&bytes[..11 * 512]);
    let sums = sum.to_le_bytes().repeat(128);
    for copy in [0, 12 * 512] {
        disk.put(copy, &bytes[..11 * 512]);
        disk.put(copy + 11 * 512, &sums);
    }
    assert_eq!(problems(&disk), [""; 0]);
    let volume = block_on(Volume::mount(disk, &MountOptions::default())).unwrap();
    let file = block_on(volume.open("/large", &READ)).unwrap();
    assert_eq!(volume.file_metadata(&file).len, len);
    let mut buf = [7; 12];
    assert_eq!(block_on(volume.read(&file, 5 << 30, &mut buf)), Ok(12));
    assert_eq!(&buf, b"beyond 4 GiB");
    assert_eq!(block_on(volume.read(&file, len - 3, &mut buf)), Ok(3));
    assert_eq!(&buf[..3], b"end");
}

/// The checksum of the boot region.
fn boot_sum(bytes: &[u8]) -> u32 {
    let kept = bytes.iter().enumerate().filter(|(at, _)| !matches!(at, 106 | 107 | 112));
    kept.fold(0u32, |sum, (_, byte)| sum.rotate_right(1).wrapping_add(u32::from(*byte)))
}

#[test]
fn mounted_read_only_nothing_is_written_whatever_is_asked() {
    let disk = populated().disk();
    let before = disk.image();
    // A writable disk: only the engine keeps it from being written.
    let options = MountOptions { read_only: true, ..MountOptions::default() };
    let volume = block_on(Volume::mount(disk.clone(), &options)).unwrap();
    block_on(async {
        let refused = Err(Error::ReadOnly);
        assert_eq!(put(&volume, "/new", b"x").await, refused);
        assert_eq!(put(&volume, "/a", b"x").await, refused);
        assert_eq!(volume.create_dir("/dir").await, refused);
        assert_eq!(volume.remove_file("/a").await, refused);
        assert_eq!(volume.remove_dir("/together").await, refused);
        assert_eq!(volume.rename("/a", "/b", true).await, refused);
        assert_eq!(volume.set_times("/a", Some(NOW), None).await, refused);
        assert_eq!(volume.set_read_only("/a", true).await, refused);
        assert_eq!(volume.write_record("key", b"secret").await, refused);
        assert_eq!(volume.read_record("key").await, Ok(None));
        assert!(volume.keep_journal().await.is_err());
        let file = volume.open("/a", &READ).await.unwrap();
        assert_eq!(volume.write(&file, 0, b"x").await, Err(Error::NotOpenForThis));
        volume.sync().await.unwrap();
        assert!(matches!(volume.grow().await, Ok(None)), "there is nothing to grow into");
        volume.unmount().await.unwrap();
    });
    assert!(disk.image() == before);
}

#[test]
fn a_volume_in_use_elsewhere_is_told_and_read() {
    let disk = populated().disk();
    disk.poke(106, &[2]);
    assert_eq!(problems(&disk), ["the volume was not unmounted"]);
    let volume = mount(&disk);
    assert_eq!(block_on(get(&volume, "/together/inner/deep")).unwrap(), b"down here");
}

#[test]
fn a_folder_with_more_names_than_memory_holds() {
    const FILES: usize = 70_000;
    let mut image = Image::new(mkfs_exfat(32 << 10, &["-c", "32K"]));
    let mut root = image.root();
    let mut dir: Dir = image.add_dir(&mut root, "many", FILES as u64 * 96, &PLAIN);
    for number in 0..FILES {
        let set = entries(&format!("file {number}"), 0, 0, false, &PLAIN);
        image.put(&mut dir, &set);
    }
    let volume = mount(&image.disk());
    assert_eq!(block_on(list(&volume, "/many")).unwrap().len(), FILES);
    for number in [0, 1, FILES / 2, FILES - 1] {
        assert!(block_on(volume.metadata(&format!("/many/FILE {number}"))).is_ok(), "{number}");
    }
    assert_eq!(block_on(volume.metadata("/many/file")).unwrap_err(), Error::NotFound);
}

/// Damage, and what a mount says; nothing when the volume is served.
#[test]
fn damage_to_the_boot_region_is_refused_in_words() {
    let good = mkfs_exfat(8 << 10, &[]);
    let refused = |change: &dyn Fn(&mut Vec<u8>), sign: bool| {
        let mut bytes = good.clone();
        change(&mut bytes);
        if sign {
            let sum = boot_sum(&bytes[..11 * 512]).to_le_bytes().repeat(128);
            bytes[11 * 512..12 * 512].copy_from_slice(&sum);
        }
        block_on(Volume::mount(Disk::new(bytes), &MountOptions::default()))
            .err()
            .map(|e| e.to_string())
    };
    let says = |change: &dyn Fn(&mut Vec<u8>), word: &str| {
        let said = refused(change, true).unwrap_or_else(|| panic!("served: {word}"));
        assert!(said.contains(word), "{said}: {word}");
    };
    assert!(refused(&|b| b[96] ^= 1, false).unwrap().contains("checksum"));
    assert!(refused(&|b| b[11 * 512 + 5] ^= 1, false).unwrap().contains("checksum"));
    // What changes while the volume is used is not summed.
    assert_eq!(refused(&|b| (b[106], b[112]) = (2, 50), false), None);
    says(&|b| b[108] = 13, "no sense");
    says(&|b| b[109] = 17, "no sense");
    says(&|b| b[20] = 1, "no sense");
    says(&|b| b[510] = 0, "no sense");
    says(&|b| b[110] = 2, "TexFAT");
    says(&|b| b[110] = 0, "no sense");
    says(&|b| b[106] = 1, "TexFAT");
    says(&|b| b[105] = 2, "revision");
    says(&|b| b[79] = 0xFF, "outside");
    says(&|b| b[74] = 0xFF, "larger");
    says(&|b| b[80..84].fill(0), "outside");
    says(&|b| b[84..88].fill(0xFF), "outside");
    says(&|b| b[88..92].fill(0xFF), "outside");
    says(&|b| b[92..96].fill(0xFF), "outside");
    says(&|b| b[92..96].fill(0), "outside");
    says(&|b| b[96..100].fill(0xFF), "root directory");
    says(&|b| b[96..100].fill(0), "root directory");
}

#[test]
fn damage_inside_is_found_and_what_is_whole_is_read() {
    /// A volume with one file of two chained clusters and one that is whole.
    fn volume() -> (Image, Dir) {
        let mut image = Image::new(mkfs_exfat(8 << 10, &["-c", "4K"]));
        let mut root = image.root();
        image.add(&mut root, "whole", b"whole", &PLAIN);
        (image, root)
    }
    let said = |image: &Image| {
        let disk = image.disk();
        let mounted = mount(&disk);
        assert_eq!(block_on(get(&mounted, "/whole")).unwrap(), b"whole");
        let _ = block_on(get(&mounted, "/bad"));
        let _ = block_on(list(&mounted, "/bad"));
        problems(&disk)
    };
    let with = |set: &[[u8; 32]]| {
        let (mut image, mut root) = volume();
        image.put(&mut root, set);
        said(&image)
    };
    let root_first = volume().0.geometry.root_cluster;
    let free = root_first + 100;
    let good = |len, first, contiguous| entries("bad", len, first, contiguous, &PLAIN);
    let resigned = |at: usize, byte: usize, value: u8| {
        let mut set = good(0, 0, false);
        set[at][byte] = value;
        sign(&mut set);
        set
    };
    let cases: [(&str, Vec<[u8; 32]>); 16] = [
        ("free in the bitmap", good(5000, free, true)),
        ("does not exist", good(5000, 0xFFFF_0000, true)),
        ("does not exist", good(u64::MAX, free, true)),
        ("shares cluster", good(4096, root_first, true)),
        ("has no cluster", good(5000, 0, false)),
        ("does not exist", good(5000, 1, false)),
        ("link to nothing", good(5000, free, false)),
        ("checksum", {
            let mut set = good(0, 0, false);
            set[0][8] ^= 1;
            set
        }),
        ("hash", resigned(1, 4, 0x77)),
        ("bytes are valid", resigned(1, 8, 1)),
        ("name is cut short", resigned(1, 3, 40)),
        ("name is not whole", resigned(1, 3, 0)),
        ("name cannot be one", resigned(2, 2, b'/')),
        ("cut short", good(0, 0, false)[..2].to_vec()),
        ("without its set", good(0, 0, false)[1..].to_vec()),
        (
            "unknown kind",
            vec![{
                let mut entry = [0; 32];
                entry[0] = 0x86;
                entry
            }],
        ),
    ];
    for (word, set) in &cases[..15] {
        let said = with(set);
        assert!(said.iter().any(|line| line.contains(word)), "{word}: {said:?}");
    }
    // What must be understood and is not: the volume is not served, and the check tells why.
    let (mut image, mut root) = volume();
    image.put(&mut root, &cases[15].1);
    let error = block_on(Volume::mount(image.disk(), &MountOptions::default())).err().unwrap();
    assert!(matches!(error, MountError::Unsupported(_)), "{error}");
    assert!(problems(&image.disk()).iter().any(|line| line.contains("unknown kind")));
    // A vendor's entry harms nobody.
    let (mut image, mut root) = volume();
    image.add(&mut root, "bad", b"fine", &How { vendor: true, ..PLAIN });
    assert_eq!(said(&image), [""; 0]);
    // A loop, a link out of the volume, a second file of the name, leaked clusters.
    let chained = || {
        let (mut image, mut root) = volume();
        let clusters = image.take(3 * 4096, &CHAINED);
        image.put(&mut root, &entries("bad", 3 * 4096, clusters[0], false, &PLAIN));
        (image, root, clusters)
    };
    for (value, word) in [
        (0u32, "link to nothing"),
        (0xFFFF_FFF7, "link to nothing"),
        (0x0FFF_0000, "link to"),
        (1, "link to"),
    ] {
        let (mut image, _, clusters) = chained();
        let at = image.link_place(clusters[1]);
        image.bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        assert!(said(&image).iter().any(|line| line.contains(word)), "{value:x}");
    }
    let (mut image, mut root, clusters) = chained();
    let at = image.link_place(clusters[2]);
    image.bytes[at..at + 4].copy_from_slice(&clusters[0].to_le_bytes());
    assert!(said(&image).iter().any(|line| line.contains("shares cluster")));
    image.bytes[at..at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(said(&image), [""; 0]);
    image.put(&mut root, &entries("BAD", 0, 0, false, &PLAIN));
    assert!(said(&image).iter().any(|line| line.contains("second entry of this name")));
    let (mut image, _) = volume();
    image.take(4096, &PLAIN);
    assert_eq!(said(&image), ["1 clusters are in use by no file or directory"]);
}

#[test]
fn without_its_bitmap_or_its_table_of_case_a_volume_is_still_read() {
    for kind in [0x81u8, 0x82] {
        let image = populated();
        let root = image.place(image.geometry.root_cluster);
        let at = image.bytes[root..].chunks(32).position(|entry| entry[0] == kind).unwrap();
        for damage in 0..3 {
            let disk = image.disk();
            let entry = root + at * 32;
            match damage {
                0 => disk.poke(entry, &[kind & 0x7F]),
                1 => disk.poke(entry + 20, &[0xFF; 4]),
                _ => disk.poke(entry + 24, &[0xFF; 8]),
            }
            let volume = mount(&disk);
            assert_eq!(block_on(get(&volume, "/TOGETHER/inner/deep")).unwrap(), b"down here");
            assert!(volume.read_only().is_some());
            assert_eq!(block_on(put(&volume, "/new", b"x")), Err(Error::ReadOnly));
            let said = problems(&disk);
            assert!(said.iter().any(|line| line.contains("missing or damaged")), "{said:?}");
        }
    }
}

#[test]
fn bytes_damaged_at_random_never_panic_or_hang() {
    let image = populated();
    let used = image.place(image.geometry.root_cluster + 60);
    let table = image.geometry.table_start as usize;
    let heap = image.geometry.data_start as usize;
    for seed in 0..400 {
        let mut random = Random::new(seed + 1);
        let disk = image.disk();
        for _ in 0..1 + random.below(40) {
            let at = match random.below(3) {
                0 => table + random.below(600),
                1 => image.place(image.geometry.root_cluster) + random.below(4096),
                _ => heap + random.below(used - heap),
            };
            let value = [0, 1, 0x7F, 0x81, 0x85, 0xC0, 0xFF][random.below(7)];
            disk.poke(at, &[value]);
        }
        problems(&disk);
        let Ok(volume) = block_on(Volume::mount(disk.clone(), &MountOptions::default())) else {
            continue;
        };
        let mut waiting = vec![(String::new(), 0)];
        while let Some((path, depth)) = waiting.pop() {
            let Ok(names) = block_on(list(&volume, &path)) else { continue };
            for name in names {
                let path = format!("{path}/{name}");
                if let Ok(file) = block_on(volume.open(&path, &OpenOptions { read: true, ..READ }))
                {
                    let len = volume.file_metadata(&file).len;
                    for at in [0, len / 2, len.saturating_sub(10), 1 << 40] {
                        let _ = block_on(volume.read(&file, at, &mut [0; 5000]));
                    }
                } else if depth < 4 {
                    waiting.push((path, depth + 1));
                }
            }
        }
        assert!(disk.requests() < 200_000, "seed {seed}: {} requests", disk.requests());
    }
}
