//! Volumes in partitions, made by sfdisk: found by MBR and GPT, refused in words when hostile.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // Tests may panic.
mod common;
use common::*;
use fat::Geometry;
use std::io::Write;
use std::process::{Command, Stdio};

const KIB: usize = 1024;
const BASIC: &str = "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7";
const ESP: &str = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B";
const LINUX: &str = "0FC63DAF-8483-4772-8E79-3D69D8477DE4";

/// A disk of `kib` KiB with the partition table that sfdisk makes of a script.
fn table(kib: usize, script: &str) -> Disk {
    let file = TempFile::new(&vec![0; kib * KIB]);
    let mut child = Command::new("sfdisk")
        .args(["--quiet", "--no-reread", "--no-tell-kernel"])
        .arg(&file.0)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("sfdisk is needed for this test: {error}"));
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "{script}");
    Disk::new(std::fs::read(&file.0).unwrap())
}

fn place(disk: &Disk, start: usize, volume: &Disk) {
    disk.poke(start, &volume.image());
}

fn refused(disk: &Disk) -> String {
    block_on(Geometry::read(disk)).unwrap_err().to_string()
}

/// Uses the volume at `start`, `len` bytes long, and looks that nothing around it changed.
fn assert_usable(disk: &Disk, start: usize, len: usize, what: &str) {
    let before = disk.image();
    let volume = mount(disk);
    assert_eq!(volume.read_only(), None, "{what}");
    assert_eq!(volume.geometry().start, start as u64, "{what}");
    assert_eq!(volume.label(), "TEST", "{what}");
    let data = pattern(3, 100_000);
    block_on(async {
        volume.write_record("key", b"secret").await.unwrap();
        put(&volume, "/A long name", &data).await.unwrap();
        volume.create_dir("/dir").await.unwrap();
        volume.rename("/A long name", "/dir/moved", true).await.unwrap();
        volume.unmount().await.unwrap();
    });
    let after = disk.image();
    assert!(after[..start] == before[..start] && after[start + len..] == before[start + len..]);
    let inside = &after[start..start + len];
    assert_eq!(fsck(inside), "", "{what}");
    assert!(mtools("mtype", inside, &["::/dir/moved"]) == data, "{what}");
    let again = mount(disk);
    assert!(block_on(get(&again, "/dir/moved")).unwrap() == data, "{what}");
    let mut note = |problem: &fat::Problem| panic!("{what}: {problem}");
    block_on(fat::check(disk, &mut note, &mut |_, _| {})).unwrap();
}

#[test]
fn the_first_fat_partition_of_an_mbr() {
    for kind in ["1", "4", "6", "b", "c", "e"] {
        let script = format!(
            "label: dos\nstart=64, size=2000, type=83\nstart=2111, size=9000, type={kind}\nstart=12000, type=c\n"
        );
        let disk = table(8000, &script);
        place(&disk, 2111 * 512, &mkfs(4500, &["-F", "16", "-s", "1"]));
        assert_usable(&disk, 2111 * 512, 4500 * KIB, kind);
    }
}

#[test]
fn partitions_inside_an_extended_one() {
    for kind in ["5", "f", "85"] {
        let script = format!(
            "label: dos\nstart=64, size=2000, type=83\nstart=4096, type={kind}\nstart=4200, size=100, type=83\nstart=5000, size=9000, type=6\n"
        );
        let disk = table(8000, &script);
        place(&disk, 5000 * 512, &mkfs(4500, &["-F", "16", "-s", "1"]));
        assert_usable(&disk, 5000 * 512, 4500 * KIB, kind);
    }
}

fn gpt() -> Disk {
    let script = format!(
        "label: gpt\nfirst-lba: 34\nstart=64, size=1000, type={LINUX}\nstart=2048, size=100, type={ESP}\nstart=4096, size=9000, type={BASIC}\n"
    );
    let disk = table(8000, &script);
    place(&disk, 4096 * 512, &mkfs(4500, &["-F", "16", "-s", "1"]));
    disk
}

#[test]
fn the_first_fat_partition_of_a_gpt() {
    // The EFI system partition holds something else.
    let disk = gpt();
    disk.poke(2048 * 512, b"\xEB\x52\x90NTFS    ");
    assert_usable(&disk, 4096 * 512, 4500 * KIB, "the third of a GPT");
    let script = format!("label: gpt\nfirst-lba: 34\nstart=64, size=9000, type={ESP}\n");
    let disk = table(8000, &script);
    place(&disk, 64 * 512, &mkfs(4500, &["-F", "16", "-s", "1"]));
    assert_usable(&disk, 64 * 512, 4500 * KIB, "an EFI system partition");
}

#[test]
fn a_damaged_gpt_has_a_backup() {
    // The header is in sector 1, its entries are in sector 2 and those that follow.
    let damages: [(&str, usize, &[u8]); 6] = [
        ("signature", 512, b"NO"),
        ("checksum", 512 + 16, &[1, 2, 3]),
        ("size", 512 + 12, &[0xFF; 4]),
        ("entries", 1024 + 200, b"x"),
        ("place", 512 + 72, &[0xFF; 8]),
        ("count", 512 + 80, &[0xFF; 4]),
    ];
    for (what, at, bytes) in damages {
        let disk = gpt();
        disk.poke(at, bytes);
        assert_usable(&disk, 4096 * 512, 4500 * KIB, what);
        let last = disk.image().len() - 512;
        disk.poke(last + 16, &[9, 9]);
        let said = refused(&disk);
        assert!(said.contains("its backup are both damaged"), "{what}: {said}");
    }
}

#[test]
fn a_volume_smaller_than_its_disk_or_partition() {
    let disk = mkfs(4500, &["-F", "16", "-s", "1"]);
    let mut image = disk.image();
    image.resize(6000 * KIB, 0x55);
    assert_usable(&Disk::new(image), 0, 4500 * KIB, "a bare volume");
    let disk = table(8000, "label: dos\nstart=64, size=12000, type=c\n");
    place(&disk, 64 * 512, &mkfs(4500, &["-F", "16", "-s", "1"]));
    assert_usable(&disk, 64 * 512, 4500 * KIB, "in a partition");
    assert_eq!(mount(&disk).geometry().room, 12_000 * 512);
}

#[test]
fn what_cannot_be_served_is_named() {
    let volume = mkfs(4500, &["-F", "16", "-s", "1"]);
    let of = |script: &str, at: usize, volume: Option<&Disk>| {
        let disk = table(8000, script);
        volume.into_iter().for_each(|volume| place(&disk, at, volume));
        disk
    };
    let none = of("label: dos\nstart=64, type=83\n", 64 * 512, Some(&volume));
    assert!(refused(&none).contains("without a FAT partition"), "{}", refused(&none));
    let blank = of("label: dos\nstart=64, type=c\n", 0, None);
    assert!(refused(&blank).contains("the partition is blank"), "{}", refused(&blank));
    let short = of("label: dos\nstart=64, size=8000, type=c\n", 64 * 512, Some(&volume));
    assert!(refused(&short).contains("larger than its partition"), "{}", refused(&short));
    let other = of("label: dos\nstart=64, type=c\n", 64 * 512, Some(&volume));
    other.poke(64 * 512 + 3, b"EXFAT   ");
    assert!(refused(&other).contains("exFAT"), "{}", refused(&other));
    // A table that leads past the end of the disk, to its start, or to nothing.
    for (first, count) in [(15_000u32, 2000u32), (u32::MAX, u32::MAX), (0, 100), (64, 0)] {
        let disk = of("label: dos\nstart=64, type=c\n", 0, None);
        disk.poke(446 + 8, &first.to_le_bytes());
        disk.poke(446 + 12, &count.to_le_bytes());
        assert!(refused(&disk).contains("outside the disk"), "{first}: {}", refused(&disk));
    }
}

#[test]
fn extended_partitions_end() {
    let script = "label: dos\nstart=64, type=5\nstart=100, size=100, type=83\nstart=500, size=100, type=83\n";
    let good = table(8000, script);
    let next = 64 * 512 + 446 + 16;
    // To itself, back, far away, and into nothing.
    for first in [0u32, 1, u32::MAX, 10_000] {
        let disk = Disk::new(good.image());
        disk.poke(next + 8, &first.to_le_bytes());
        assert!(refused(&disk).contains("without a FAT partition"), "{first}: {}", refused(&disk));
    }
}

/// Whatever tables say, the answer is an error or a volume inside the disk.
#[test]
fn no_table_leads_outside_the_disk() {
    let volume = mkfs(1400, &["-F", "12"]);
    let gpt = format!("label: gpt\nfirst-lba: 34\nstart=40, type={BASIC}\n");
    let (mut mounted, mut random) = (0, Random::new(1));
    for script in [
        "label: dos\nstart=64, type=c\n",
        "label: dos\nstart=8, type=5\nstart=64, type=c\n",
        gpt.as_str(),
    ] {
        let good = table(2000, script);
        place(&good, if script == gpt { 40 } else { 64 } * 512, &volume);
        let places: Vec<usize> = match script {
            _ if script == gpt => (446..510).chain(512..1200).collect(),
            _ => (446..510).chain(8 * 512 + 446..8 * 512 + 510).collect(),
        };
        good.keep_undo();
        for _ in 0..3000 {
            for _ in 0..1 + random.below(4) {
                let at = places[random.below(places.len())];
                good.poke(at, &[[0, 1, 5, 12, 0xFF, random.below(256) as u8][random.below(6)]]);
            }
            if let Ok(geometry) = block_on(Geometry::read(&good)) {
                assert!(geometry.start + geometry.size <= good.image().len() as u64);
                assert!(geometry.start > 0);
                mounted += 1;
            }
            good.rewind(0);
        }
    }
    assert!(mounted > 1000, "{mounted}");
    let disk = Disk::new(vec![0; 512]);
    disk.poke(446, &[0, 0, 0, 0, 0xEE, 0, 0, 0, 1, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF]);
    disk.poke(510, &[0x55, 0xAA]);
    assert!(refused(&disk).contains("both damaged"));
}
