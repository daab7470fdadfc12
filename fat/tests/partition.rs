//! Volumes in partitions, made by sfdisk: found by MBR and GPT, refused in words when hostile.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // Tests may panic.
mod common;
use common::*;
use fat::{Geometry, MountError, MountOptions, Place, Volume};
use std::io::Write;
use std::process::{Command, Stdio};

const KIB: usize = 1024;
const BASIC: &str = "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7";
const ESP: &str = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B";
const LINUX: &str = "0FC63DAF-8483-4772-8E79-3D69D8477DE4";

/// A disk of `kib` KiB with the partition table that sfdisk makes of a script.
fn table(kib: usize, script: &str) -> Disk {
    partition(&Disk::new(vec![0; kib * KIB]), script)
}

/// The same of a disk that held something before.
fn partition(before: &Disk, script: &str) -> Disk {
    let file = TempFile::new(&before.image());
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
    let of = |script: &str| table(8000, script);
    let none = of("label: dos\nstart=64, type=83\n");
    none.poke(64 * 512, &[7; 512]);
    assert!(refused(&none).contains("without a FAT volume"), "{}", refused(&none));
    let blank = of("label: dos\nstart=64, type=c\n");
    assert!(refused(&blank).contains("the partition is blank"), "{}", refused(&blank));
    let marks: [(usize, &[u8], &str); 4] = [
        (3, b"EXFAT   ", "exFAT"),
        (3, b"NTFS    ", "NTFS"),
        (0, b"LUKS\xBA\xBE", "LUKS"),
        (32_769, b"CD001", "ISO 9660"),
    ];
    for (at, bytes, name) in marks {
        for script in ["label: dos\nstart=64, size=100, type=83\nstart=512, type=7\n".into(), {
            format!(
                "label: gpt\nfirst-lba: 34\nstart=64, size=100, type={ESP}\nstart=512, type={LINUX}\n"
            )
        }] {
            let other = table(8000, &script);
            other.poke(512 * 512 + at, bytes);
            let said = refused(&other);
            // Of exFAT, which would be served, what is wrong with it is said instead.
            let place = name == "exFAT" || said.contains("partition 2");
            assert!(said.contains(name) && place, "{name}: {said}");
            let options = MountOptions { place: Place::Partition(2), ..MountOptions::default() };
            let said = block_on(Volume::mount(other, &options)).err().unwrap().to_string();
            assert!(said.contains(name), "{name}: {said}");
        }
    }
    // A table that leads past the end of the disk, to its start, or to nothing.
    for (first, count) in [(15_000u32, 2000u32), (u32::MAX, u32::MAX), (0, 100), (64, 0)] {
        let disk = of("label: dos\nstart=64, type=c\n");
        disk.poke(446 + 8, &first.to_le_bytes());
        disk.poke(446 + 12, &count.to_le_bytes());
        assert!(refused(&disk).contains("outside the disk"), "{first}: {}", refused(&disk));
    }
}

/// Whose reason is not the disk.
fn only_reads(disk: &Disk, place: Place, start: usize, words: &str) {
    let before = disk.image();
    let options = MountOptions { place, ..MountOptions::default() };
    let volume = block_on(Volume::mount(disk.clone(), &options)).unwrap();
    assert_eq!(volume.geometry().start, start as u64, "{words}");
    let why = volume.read_only().unwrap_or_default();
    assert!(why.contains(words), "{words}: {why:?}");
    block_on(async {
        assert_eq!(put(&volume, "/new", b"1").await, Err(fat::Error::ReadOnly));
        list(&volume, "/").await.unwrap();
        volume.unmount().await.unwrap();
    });
    assert!(disk.image() == before, "{words}");
    let mut said = String::new();
    let mut note = |problem: &fat::Problem| said += &problem.to_string();
    block_on(fat::check_at(disk, place, &mut note, &mut |_, _| {})).unwrap();
    assert!(said.contains("can only be read"), "{said}");
}

fn writes(disk: &Disk, place: Place, start: usize) {
    let options = MountOptions { place, ..MountOptions::default() };
    let volume = block_on(Volume::mount(disk.clone(), &options)).unwrap();
    assert_eq!((volume.geometry().start, volume.read_only()), (start as u64, None), "{place:?}");
    block_on(put(&volume, "/new", b"1")).unwrap();
    block_on(volume.unmount()).unwrap();
}

const AT: usize = 2048 * 512;

/// Volumes of every kind on a whole disk, by other programs, on which a partition is made later.
fn stale() -> Vec<(String, Disk)> {
    let mut disks = Vec::new();
    for kind in [&["-F", "12", "-s", "32"][..], &["-F", "16", "-s", "2"], &["-F", "32", "-s", "1"]]
    {
        for mbr in ["--mbr=y", "--mbr=n"] {
            let mut arguments = kind.to_vec();
            arguments.push(mbr);
            disks.push((format!("{arguments:?}"), mkfs(20_000, &arguments)));
        }
    }
    let file = TempFile::new(&vec![0; 20_000 * KIB]);
    let text = file.0.to_str().unwrap();
    let arguments = ["-i", text, "-T", "40000", "-h", "16", "-s", "63", "::"];
    assert!(Command::new("mformat").args(arguments).output().unwrap().status.success());
    disks.push(("mformat".into(), Disk::new(std::fs::read(&file.0).unwrap())));
    // Longer than the disk, and another system's.
    let long = mkfs(30_000, &["-F", "16", "-s", "2"]).image();
    disks.push(("too long".into(), Disk::new(long[..20_000 * KIB].to_vec())));
    let exfat = mkfs(20_000, &["-F", "16", "-s", "2"]);
    exfat.poke(3, b"EXFAT   ");
    disks.push(("exFAT".into(), exfat));
    disks
}

#[test]
fn a_stale_boot_sector_under_a_partition_table() {
    for (what, before) in stale() {
        let inner = mkfs(8000, &["-F", "16", "-s", "1"]);
        let scripts = [
            ("dos", "label: dos\nstart=2048, size=16000, type=c\n".into()),
            ("dos, 83", "label: dos\nstart=2048, size=16000, type=83\n".into()),
            ("gpt", format!("label: gpt\nstart=2048, size=16000, type={BASIC}\n")),
            ("gpt, linux", format!("label: gpt\nstart=2048, size=16000, type={LINUX}\n")),
        ];
        for (label, script) in scripts {
            let disk = partition(&before, &script);
            place(&disk, AT, &inner);
            match label {
                "dos" | "gpt, linux" => {
                    assert_usable(&disk, AT, 8000 * KIB, &format!("{what}, {label}"));
                }
                _ => writes(&disk, Place::Found, AT),
            }
        }
        // As gdisk's users do it: sgdisk, then another system's volume in the partition.
        let file = TempFile::new(&before.image());
        let said =
            Command::new("sgdisk").args(["-g", "-o", "-n", "1:2048:+8M"]).arg(&file.0).output();
        let said = said.unwrap_or_else(|error| panic!("sgdisk is needed for this test: {error}"));
        assert!(said.status.success(), "{said:?}");
        let disk = Disk::new(std::fs::read(&file.0).unwrap());
        place(&disk, AT, &inner);
        assert_usable(&disk, AT, 8000 * KIB, &format!("{what}, sgdisk"));
        // exFAT in the partition is what the disk is for, too.
        disk.poke(AT + 3, b"EXFAT   ");
        assert!(refused(&disk).contains("exFAT"), "{what}: {}", refused(&disk));
    }
}

#[test]
fn a_table_that_tells_nothing_of_the_volume_leaves_it_readable() {
    for (what, before) in stale() {
        if what == "exFAT" || what == "too long" {
            continue;
        }
        writes(&Disk::new(before.image()), Place::Found, 0);
        // The partition is empty, has something else, leads outside, or overlaps another.
        let empty = partition(&before, "label: dos\nstart=2048, size=16000, type=c\n");
        only_reads(&empty, Place::Found, 0, "a partition table lies over the volume");
        let inner = mkfs(8000, &["-F", "16", "-s", "2"]);
        for (at, bytes) in [(446 + 12, u32::MAX), (462 + 8, 3000)] {
            let disk = Disk::new(empty.image());
            place(&disk, AT, &inner);
            disk.poke(462 + 4, &[0x83]);
            disk.poke(462 + 8, &30_000u32.to_le_bytes());
            disk.poke(462 + 12, &1000u32.to_le_bytes());
            disk.poke(at, &bytes.to_le_bytes());
            only_reads(&disk, Place::Found, 0, "a partition table lies over the volume");
        }
        // Whoever knows says so.
        writes(&empty, Place::Whole, 0);
        place(&empty, AT, &inner);
        writes(&empty, Place::Partition(1), AT);
        let options = MountOptions { place: Place::Partition(2), ..MountOptions::default() };
        let none = block_on(Volume::mount(empty, &options)).err().unwrap();
        assert_eq!(none, MountError::NoPartition(2));
    }
    // What is left of a GPT: its protective entry, or its header alone.
    let before = mkfs(20_000, &["-F", "32", "-s", "1", "-R", "64"]);
    let gpt = partition(&before, &format!("label: gpt\nstart=2048, size=16000, type={BASIC}\n"));
    let broken = Disk::new(gpt.image());
    broken.poke(512, b"no");
    broken.poke(20_000 * KIB - 512, b"no");
    only_reads(&broken, Place::Found, 0, "a GUID partition table");
    let unprotected = Disk::new(gpt.image());
    unprotected.poke(446, &[0; 64]);
    only_reads(&unprotected, Place::Found, 0, "a GUID partition table");
    writes(&unprotected, Place::Whole, 0);
}

#[test]
fn fat_in_partitions_of_any_type() {
    let inner = mkfs(4500, &["-F", "16", "-s", "1"]);
    for kind in ["83", "7", "ef", "b", "1b", "da", "a5", "82"] {
        let disk = table(8000, &format!("label: dos\nstart=2048, size=9000, type={kind}\n"));
        place(&disk, AT, &inner);
        assert_usable(&disk, AT, 4500 * KIB, kind);
        let logical = format!("label: dos\nstart=64, type=5\nstart=2048, size=9000, type={kind}\n");
        let disk = table(8000, &logical);
        place(&disk, AT, &inner);
        assert_usable(&disk, AT, 4500 * KIB, kind);
        writes(&disk, Place::Partition(5), AT);
    }
    for kind in [LINUX, ESP, BASIC, "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F"] {
        let disk = table(8000, &format!("label: gpt\nstart=2048, size=9000, type={kind}\n"));
        place(&disk, AT, &inner);
        assert_usable(&disk, AT, 4500 * KIB, kind);
    }
    // Typed ones first, an EFI system partition last.
    let second = 12_000 * 512;
    for (first, other, expected) in [
        ("83", "c", second),
        ("ef", "83", second),
        ("ef", "c", second),
        ("c", "83", AT),
        ("83", "83", AT),
        ("c", "ef", AT),
    ] {
        let script = format!(
            "label: dos\nstart=2048, size=9000, type={first}\nstart=12000, size=9000, type={other}\n"
        );
        let disk = table(12_000, &script);
        place(&disk, AT, &inner);
        place(&disk, second, &inner);
        assert_usable(&disk, expected, 4500 * KIB, &format!("{first} {other}"));
        writes(&disk, Place::Partition(1), AT);
        writes(&disk, Place::Partition(2), second);
    }
}

/// What is in doubt inside a partition, and images of disks with larger sectors.
#[test]
fn doubts_about_a_partition() {
    let inner = mkfs(4500, &["-F", "16", "-s", "1", "-R", "16"]);
    let disk = table(8000, "label: dos\nstart=2048, size=9000, type=83\n");
    place(&disk, AT, &inner);
    let ext = Disk::new(disk.image());
    ext.poke(AT + 1080, b"\x53\xEF");
    only_reads(&ext, Place::Found, AT, "another file system");
    writes(&ext, Place::Partition(1), AT);
    let iso = Disk::new(disk.image());
    iso.poke(32_769, b"CD001");
    only_reads(&iso, Place::Found, AT, "ISO 9660");
    let overlapped = Disk::new(disk.image());
    overlapped.poke(462, &disk.image()[446..462]);
    only_reads(&overlapped, Place::Found, AT, "another partition lies over");
    writes(&overlapped, Place::Partition(2), AT);

    // With blocks of 4096 bytes the header lies at byte 4096, the array behind it.
    let small = gpt().image();
    let crc = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);
    let large = |backup: bool| {
        let mut image = vec![0; 16_000 * KIB];
        image[..512].copy_from_slice(&small[..512]);
        let last = image.len() / 4096 - 1;
        let (at, array) = if backup { (last, last - 4) } else { (1, 2) };
        let mut entry = small[1024..1152].to_vec();
        entry[32..40].copy_from_slice(&256u64.to_le_bytes());
        entry[40..48].copy_from_slice(&(256u64 + 1200).to_le_bytes());
        let mut entries = vec![0; 128 * 128];
        entries[..128].copy_from_slice(&entry);
        let mut header = small[512..604].to_vec();
        header[16..20].fill(0);
        header[24..32].copy_from_slice(&(at as u64).to_le_bytes());
        header[72..80].copy_from_slice(&(array as u64).to_le_bytes());
        header[88..92].copy_from_slice(&crc.checksum(&entries).to_le_bytes());
        let sum = crc.checksum(&header);
        header[16..20].copy_from_slice(&sum.to_le_bytes());
        image[at * 4096..][..92].copy_from_slice(&header);
        image[array * 4096..][..entries.len()].copy_from_slice(&entries);
        let disk = Disk::new(image);
        place(&disk, 256 * 4096, &mkfs(4500, &["-F", "12", "-S", "4096", "-s", "1"]));
        disk
    };
    for backup in [false, true] {
        only_reads(&large(backup), Place::Found, 256 * 4096, "other sectors");
        writes(&large(backup), Place::Partition(1), 256 * 4096);
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
        assert!(refused(&disk).contains("without a FAT volume"), "{first}: {}", refused(&disk));
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
