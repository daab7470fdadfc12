//! New volumes of every kind and size, judged by dosfstools and mtools.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // Tests may panic.
mod image_file;

use fat::{BlockDevice, FatKind, FormatError, FormatOptions, Geometry, MountError, volume_label};
use image_file::{ImageFile, block_on, run};
use std::process::Command;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

fn make(
    size: u64,
    sector: usize,
    kind: Option<FatKind>,
) -> (ImageFile, Result<Geometry, FormatError>) {
    let image = ImageFile::new(size, sector);
    let options = FormatOptions {
        kind,
        label: volume_label("backup 1").unwrap(),
        volume_id: 0x1234_ABCD,
        time: 1_700_000_000,
    };
    let made = block_on(fat::format(&image, &options, &mut |_, _| {}));
    (image, made)
}

/// fsck.fat and mtools take the volume, and a file put on it by mtools is read back whole.
fn assert_accepted(image: &ImageFile, geometry: &Geometry) {
    let (code, said) = image.fsck();
    assert_eq!(code, 0, "{geometry:?}\n{said}");
    let quiet = ["clusters", "fsck.fat 4.2"];
    let complaints: Vec<_> =
        said.lines().filter(|line| !quiet.iter().any(|word| line.contains(word))).collect();
    assert!(complaints.is_empty(), "{geometry:?}\n{said}");
    let mtools = |program: &str, arguments: &[&str]| {
        let (code, said) = run(Command::new(program).arg("-i").arg(image.path()).args(arguments));
        assert_eq!(code, 0, "{program}: {said} on {geometry:?}");
        said
    };
    let listed = mtools("mdir", &["::"]);
    assert!(listed.contains("Volume in drive : is BACKUP 1"), "{listed}");
    assert!(listed.contains("Volume Serial Number is 1234-ABCD"), "{listed}");
    mtools("mcopy", &["Cargo.toml", "::A long name.toml"]);
    let text = std::fs::read_to_string("Cargo.toml").unwrap();
    assert_eq!(mtools("mtype", &["::A long name.toml"]), text);
    assert_eq!(image.fsck().0, 0);
}

fn assert_layout(image: &ImageFile, geometry: &Geometry) {
    assert_eq!(geometry.data_start % 4096, 0, "{geometry:?}");
    assert_eq!(geometry.table_start % 4096, 0, "{geometry:?}");
    let end = geometry.data_start + u64::from(geometry.clusters) * u64::from(geometry.cluster_size);
    assert!(end <= geometry.size && geometry.size <= image.size());
    // At most a cluster and what a table could not halve is lost at the end.
    assert!(image.size() - end < u64::from(geometry.cluster_size) + 8192, "{geometry:?}");
}

#[test]
fn chooses_a_kind_by_size() {
    use FatKind::{Fat12, Fat16, Fat32};
    let sizes = [
        (160 * KIB, Fat12, 512),
        (MIB, Fat12, 512),
        (4 * MIB, Fat12, 1 << 10),
        (16 * MIB, Fat16, 1 << 10),
        (32 * MIB, Fat16, 2 << 10),
        (64 * MIB, Fat16, 2 << 10),
        (127 * MIB, Fat16, 2 << 10),
        (128 * MIB, Fat16, 2 << 10),
        (256 * MIB, Fat16, 4 << 10),
        (512 * MIB - 512, Fat16, 8 << 10),
        (512 * MIB, Fat32, 4 << 10),
        (2 * GIB, Fat32, 4 << 10),
        (8 * GIB, Fat32, 4 << 10),
        (32 * GIB, Fat32, 16 << 10),
    ];
    for (size, kind, cluster_size) in sizes {
        let (image, made) = make(size, 512, None);
        let geometry = made.unwrap();
        assert_eq!((geometry.kind, geometry.cluster_size), (kind, cluster_size), "{size}");
        assert_layout(&image, &geometry);
        assert_accepted(&image, &geometry);
    }
}

#[test]
fn odd_sizes_are_used_to_the_last_sector_but_a_few() {
    for size in [
        163 * KIB + 512,
        4_300_800,
        4_301_312,
        10_000_384,
        33 * MIB + 1536,
        100_000_256,
        700_000_256,
    ] {
        let (image, made) = make(size, 512, None);
        let geometry = made.unwrap();
        assert_layout(&image, &geometry);
        assert_accepted(&image, &geometry);
    }
}

#[test]
fn makes_the_kind_asked_for() {
    use FatKind::{Fat12, Fat16, Fat32};
    let cases = [
        (Fat12, 32 * MIB),
        (Fat12, 200 * MIB),
        (Fat16, 3 * MIB),
        (Fat16, 512 * MIB),
        (Fat16, 2 * GIB),
        (Fat16, 4 * GIB - 64 * MIB),
        (Fat32, 34 * MIB),
        (Fat32, 64 * MIB),
        (Fat32, 300 * MIB),
    ];
    for (kind, size) in cases {
        let (image, made) = make(size, 512, Some(kind));
        let geometry = made.unwrap();
        assert_eq!(geometry.kind, kind);
        assert_layout(&image, &geometry);
        assert_accepted(&image, &geometry);
    }
}

#[test]
fn follows_the_disks_sector_size() {
    for (sector, size) in
        [(4096, MIB), (4096, 20 * MIB), (4096, 64 * MIB), (4096, 600 * MIB), (2048, 64 * MIB)]
    {
        let (image, made) = make(size, sector, None);
        let geometry = made.unwrap();
        assert_eq!(geometry.bytes_per_sector as usize, sector);
        assert_layout(&image, &geometry);
        assert_accepted(&image, &geometry);
    }
}

#[test]
fn refuses_sizes_that_a_kind_cannot_have() {
    let refused = |kind, size| {
        let (image, made) = make(size, 512, Some(kind));
        assert_eq!(block_on(Geometry::read(&image)).unwrap_err(), MountError::Blank);
        made.unwrap_err()
    };
    for (kind, size) in
        [(FatKind::Fat12, 4 * KIB), (FatKind::Fat16, MIB), (FatKind::Fat32, 16 * MIB)]
    {
        let FormatError::TooSmall { least, .. } = refused(kind, size) else { panic!("{kind}") };
        assert!(least > size);
        // The size named is the least that works.
        make(least, 512, Some(kind)).1.unwrap();
        refused(kind, least - 512);
    }
    assert!(matches!(refused(FatKind::Fat12, GIB), FormatError::TooLarge { .. }));
    assert!(matches!(refused(FatKind::Fat16, 5 * GIB), FormatError::TooLarge { .. }));
}

#[test]
fn an_old_volume_leaves_nothing_behind() {
    let (image, made) = make(20 * MIB, 512, None);
    let old = made.unwrap();
    assert_accepted(&image, &old); // leaves a file
    image.patch(old.table_start, &[0x55; 100_000]);
    let geometry =
        block_on(fat::format(&image, &FormatOptions::default(), &mut |_, _| {})).unwrap();
    assert_eq!(&geometry.label, b"NO NAME    ");
    let (code, listed) = run(Command::new("mdir").arg("-i").arg(image.path()).arg("::"));
    assert!(code == 0 && listed.contains("No files"), "{listed}");
    assert!(listed.contains("has no label"), "{listed}");
    assert_eq!(image.fsck().0, 0);
}

#[test]
fn the_label_has_its_date() {
    let image = ImageFile::new(MIB, 512);
    for (time, date) in [(951_782_400, 0x285D), (0, 0x0021), (u64::MAX, 0xFF9F)] {
        let label = volume_label("x").unwrap();
        let options = FormatOptions { label, time, ..FormatOptions::default() };
        let geometry = block_on(fat::format(&image, &options, &mut |_, _| {})).unwrap();
        let mut sector = [0; 512];
        block_on(image.read(geometry.root_start, &mut sector)).unwrap();
        assert_eq!(u16::from_le_bytes([sector[24], sector[25]]), date, "{time}");
    }
}

#[test]
fn labels() {
    assert_eq!(volume_label("Backup_2"), Some(*b"BACKUP_2   "));
    assert_eq!(volume_label(""), Some(*b"NO NAME    "));
    for bad in ["twelve chars", "a/b", "a.b", "ü", "a\n", " a"] {
        assert_eq!(volume_label(bad), None, "{bad:?}");
    }
}

#[test]
fn progress_ends_at_its_total() {
    let image = ImageFile::new(GIB, 512);
    let mut steps = Vec::new();
    block_on(fat::format(&image, &FormatOptions::default(), &mut |done, total| {
        steps.push((done, total))
    }))
    .unwrap();
    assert!(steps.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 == pair[1].1));
    let (done, total) = *steps.last().unwrap();
    assert_eq!(done, total);
}

#[test]
fn only_zeros_are_blank() {
    let blank = |size, at: Option<u64>| {
        let image = ImageFile::new(size, 512);
        at.into_iter().for_each(|at| image.patch(at, &[1]));
        block_on(fat::first_byte(&image)).unwrap()
    };
    // Any byte of a small disk counts, and where other systems keep things on a large one.
    let size = 20 * MIB + 512;
    for at in [0, 1, 510, 7 * MIB + 3, size - 1] {
        assert_eq!(blank(size, Some(at)), Some(at));
    }
    assert_eq!(blank(size, None), None);
    let size = 7 * GIB + 512;
    for at in [1080, 3 * GIB + 64 * MIB + 1080, size - 1] {
        assert_eq!(blank(size, Some(at)), Some(at));
    }
}
