//! Boot sectors: those of mkfs.fat are understood, damaged ones refused in words.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // Tests may panic.
mod image_file;

use fat::{BlockDevice, FatKind, FormatOptions, Geometry, MountError};
use image_file::{ImageFile, block_on, run};
use std::process::Command;

const MIB: u64 = 1 << 20;

fn formatted(kind: FatKind, size: u64) -> ImageFile {
    let image = ImageFile::new(size, 512);
    let options = FormatOptions { kind: Some(kind), ..FormatOptions::default() };
    block_on(fat::format(&image, &options, &mut |_, _| {})).unwrap();
    image
}

/// What is said of a good volume with `bytes` written at `offset` of its boot sector.
fn said_of(kind: FatKind, offset: u64, bytes: &[u8]) -> String {
    let image = formatted(kind, 64 * MIB);
    image.patch(offset, bytes);
    block_on(Geometry::read(&image))
        .map(|geometry| format!("{geometry:?}"))
        .unwrap_or_else(|error| error.to_string())
}

#[test]
fn volumes_of_mkfs_are_understood() {
    for (arguments, kind, cluster_size) in [
        (&["-F", "12", "-s", "8"][..], FatKind::Fat12, 4096),
        (&["-F", "16", "-s", "4", "-n", "OTHER", "-i", "cafe0123"], FatKind::Fat16, 2048),
        (&["-F", "32", "-s", "1", "-f", "1"], FatKind::Fat32, 512),
        (&["-F", "32", "-S", "4096", "-s", "1"], FatKind::Fat32, 4096), // FAT32 with 4,000 clusters
    ] {
        let size = if kind == FatKind::Fat12 { 15 * MIB } else { 64 * MIB };
        let image = ImageFile::new(size, 512);
        let (code, said) = run(Command::new("mkfs.fat").args(arguments).arg(image.path()));
        assert_eq!(code, 0, "{said}");
        let geometry = block_on(Geometry::read(&image)).unwrap();
        assert_eq!((geometry.kind, geometry.cluster_size), (kind, cluster_size));
        let (_, said) = image.fsck();
        assert!(said.contains(&format!("/{} clusters", geometry.clusters)), "{geometry:?} {said}");
        if kind == FatKind::Fat16 {
            assert_eq!((geometry.volume_id, &geometry.label), (0xCAFE_0123, b"OTHER      "));
        }
    }
}

#[test]
fn what_is_wrong_is_named() {
    use FatKind::{Fat16, Fat32};
    for (kind, offset, bytes, words) in [
        (Fat16, 19, &[0, 0, 0, 0, 0, 0, 0][..], "media"),
        (Fat16, 32, &[0; 4], "no sectors"),
        (Fat16, 32, &[0xFF; 4], "larger than its disk"),
        (Fat16, 13, &[0], "makes no sense"),
        (Fat16, 13, &[3], "makes no sense"),
        (Fat16, 11, &[0, 1], "makes no sense"),
        (Fat16, 14, &[0, 0], "no room for a table"),
        (Fat16, 16, &[0], "no room for a table"),
        (Fat16, 22, &[0xFF, 0xFF], "outside the volume"),
        (Fat16, 17, &[0, 0], "root directory has no room"),
        (Fat32, 36, &[0; 4], "gives the tables no size"),
        (Fat16, 13, &[1], "more clusters than FAT16"),
        (Fat16, 3, b"NTFS    ", "NTFS"),
        (Fat32, 36, &[0xFF; 4], "outside the volume"),
        (Fat32, 40, &[0x82, 0], "active table"),
        (Fat32, 42, &[1], "newer"),
        (Fat32, 44, &[1, 0, 0, 0], "root directory lies outside"),
        (Fat32, 44, &[0xFF; 4], "root directory lies outside"),
    ] {
        let said = said_of(kind, offset, bytes);
        assert!(said.contains(words), "{offset}: {said}");
    }
}

#[test]
fn what_can_be_borne_is_borne() {
    let image = formatted(FatKind::Fat16, 64 * MIB);
    let whole = block_on(Geometry::read(&image)).unwrap();
    // Tables that hold fewer clusters than the volume has room for limit the clusters.
    image.patch(22, &[8, 0]);
    assert_eq!(block_on(Geometry::read(&image)).unwrap().clusters, 8 * 256 - 2);
    assert!(whole.clusters > 30_000);

    let image = formatted(FatKind::Fat32, 64 * MIB);
    image.patch(40, &[0x81]);
    image.patch(48, &[0xFF, 0xFF, 0xFF, 0x70]);
    let geometry = block_on(Geometry::read(&image)).unwrap();
    assert_eq!(
        (geometry.active_table, geometry.fs_info, geometry.backup_boot),
        (Some(1), None, None)
    );
}

#[test]
fn other_disks_are_told_apart() {
    let image = ImageFile::new(MIB, 512);
    let said = || block_on(Geometry::read(&image)).unwrap_err().to_string();
    assert_eq!(said(), "not a FAT volume: the disk is blank");
    image.patch(446, &[0x80, 0, 1, 0, 0x0C, 0xFE, 0xFF, 0xFF, 0, 8]);
    image.patch(510, &[0x55, 0xAA]);
    assert!(said().contains("a partition lies outside the disk"), "{}", said());
    for (program, words) in [
        (&["mkfs.ext4", "-q"][..], "an ext2, ext3 or ext4 file system"),
        (&["mkfs.ext2", "-q", "-b", "1024"], "an ext2, ext3 or ext4 file system"),
        (&["mkswap"], "Linux swap"),
    ] {
        let image = ImageFile::new(8 * MIB, 512);
        let (code, said) = run(Command::new(program[0]).args(&program[1..]).arg(image.path()));
        assert_eq!(code, 0, "{said}");
        let error = block_on(Geometry::read(&image)).unwrap_err();
        assert_eq!(error, MountError::Foreign { what: words, partition: None });
    }
    let empty = ImageFile::new(0, 512);
    assert_eq!(
        block_on(Geometry::read(&empty)).unwrap_err(),
        MountError::NotFat("the disk is empty")
    );
}

#[test]
fn large_sectors_need_a_volume_made_for_them() {
    let small = formatted(FatKind::Fat16, 64 * MIB);
    let bytes = std::fs::read(small.path()).unwrap();
    let large = ImageFile::new(64 * MIB, 4096);
    large.patch(0, &bytes);
    assert!(matches!(block_on(Geometry::read(&large)), Err(MountError::Unsupported(_))));
}

/// As Linux reads them, and as nobody should write them.
#[test]
fn what_can_only_be_read() {
    for kind in [FatKind::Fat12, FatKind::Fat16, FatKind::Fat32] {
        let size = if kind == FatKind::Fat12 { 8 * MIB } else { 64 * MIB };
        let whole = formatted(kind, size);
        let geometry = block_on(Geometry::read(&whole)).unwrap();
        let bytes = std::fs::read(whole.path()).unwrap();
        let cluster = u64::from(geometry.cluster_size);
        // A sector, some clusters, and most of it.
        for missing in [512, cluster * 5, size - geometry.data_start - cluster - 512] {
            let cut = ImageFile::new(size - missing, 512);
            cut.patch(0, &bytes[..(size - missing) as usize]);
            let read = block_on(Geometry::read(&cut)).unwrap();
            assert!(read.read_only.unwrap().contains("longer than its disk"), "{kind} {missing}");
            assert_eq!((read.kind, read.cluster_size), (kind, geometry.cluster_size));
            let end = read.data_start + u64::from(read.clusters) * cluster;
            assert!(end <= size - missing && read.size <= size - missing, "{kind} {missing}");
            assert!(read.clusters > 0 && read.clusters <= geometry.clusters);
        }
        let cut = ImageFile::new(geometry.data_start, 512);
        cut.patch(0, &bytes[..geometry.data_start as usize]);
        let said = block_on(Geometry::read(&cut)).unwrap_err().to_string();
        assert!(said.contains("larger than its disk"), "{kind}: {said}");
        whole.patch(510, &[0, 0]);
        let read = block_on(Geometry::read(&whole)).unwrap();
        assert!(read.read_only.unwrap().contains("55 AA"), "{kind}");
        whole.patch(0, &[0]);
        let said = block_on(Geometry::read(&whole)).unwrap_err().to_string();
        assert!(said.contains("no boot sector"), "{kind}: {said}");
    }
}

/// Whatever the boot sector says, the answer is an error or a layout inside the disk.
#[test]
fn no_boot_sector_leads_outside_the_disk() {
    let mut random = 0x2545_F491_4F6C_DD1Du64;
    let mut next = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    let mut accepted = 0;
    for kind in [FatKind::Fat12, FatKind::Fat16, FatKind::Fat32] {
        let image = formatted(kind, if kind == FatKind::Fat12 { 8 * MIB } else { 64 * MIB });
        let mut good = [0; 512];
        block_on(image.read(0, &mut good)).unwrap();
        for _ in 0..20_000 {
            let mut boot = good;
            for _ in 0..1 + next() % 4 {
                let value = [0, 1, 0x7F, 0x80, 0xFF, next() as u8][next() as usize % 6];
                boot[11 + next() as usize % 60] = value;
            }
            image.patch(0, &boot);
            let Ok(geometry) = block_on(Geometry::read(&image)) else {
                continue;
            };
            accepted += 1;
            let data = u64::from(geometry.clusters) * u64::from(geometry.cluster_size);
            assert!(geometry.data_start + data <= geometry.size && geometry.size <= image.size());
            let tables = geometry.table_size * u64::from(geometry.table_count);
            assert!(geometry.table_start + tables <= geometry.root_start);
            assert!(
                geometry.root_start + u64::from(geometry.root_entries) * 32 <= geometry.data_start
            );
            assert!(geometry.clusters > 0);
        }
    }
    assert!(accepted > 1000, "{accepted}");
}
