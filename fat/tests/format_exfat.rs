//! New exFAT volumes of every size, judged by exfatprogs and by what is done with them.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // Tests may panic.
mod image_file;

use fat::{FatKind, FormatError, FormatOptions, Geometry, MountOptions, OpenOptions, Volume};
use image_file::{ImageFile, block_on, run};
use std::process::Command;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

fn options(kind: Option<FatKind>) -> FormatOptions {
    FormatOptions {
        kind,
        label: fat::volume_label("backup 1").unwrap(),
        volume_id: 0x1234_ABCD,
        time: 1_700_000_000,
    }
}

fn format(image: &ImageFile, options: &FormatOptions) -> Result<Geometry, FormatError> {
    block_on(fat::format(image, options, &mut |_, _| {}))
}

fn judge(program: &str, image: &ImageFile) -> String {
    let mut command = Command::new(program);
    if program == "fsck.exfat" {
        command.arg("-n");
    }
    let (code, said) = run(command.arg(image.path()));
    assert_eq!(code, 0, "{program}: {said}");
    said
}

/// The other tools find a whole volume with the right label, and still do when files were written.
fn assert_good(image: ImageFile, geometry: &Geometry) {
    assert!(judge("fsck.exfat", &image).contains("clean. directories 1, files 0"));
    let said = judge("dump.exfat", &image);
    let tells = |what: &str, value: &str| {
        let found = said.lines().any(|line| {
            let (name, told) = line.split_once("\t").unwrap_or((line, ""));
            name.starts_with(what) && told.trim() == value
        });
        assert!(found, "{what} {value}: {said}");
    };
    tells("Volume label:", "BACKUP 1");
    tells("Volume Serial:", "0x1234abcd");
    tells("Cluster Count:", &geometry.clusters.to_string());
    tells("Total Clusters:", &geometry.clusters.to_string());
    let sectors = geometry.size / u64::from(geometry.bytes_per_sector);
    tells("Volume Length(sectors):", &sectors.to_string());
    tells("Upcase table size:", "5836");
    let volume = block_on(Volume::mount(image, &MountOptions::default())).unwrap();
    assert_eq!(volume.read_only(), None);
    volume.set_time(1_700_000_000);
    let write = OpenOptions { write: true, create: true, ..OpenOptions::default() };
    block_on(async {
        volume.create_dir("/Größe").await.unwrap();
        for name in ["/Größe/eins", "/zwei", "/GRÖSSE"] {
            let file = volume.open(name, &write).await.unwrap();
            volume.write(&file, 0, &[7; 10_000]).await.unwrap();
            file.close().unwrap();
        }
        assert!(volume.metadata("/gröSSe/EINS").await.is_err());
        assert_eq!(volume.metadata("/GRÖßE/EINS").await.unwrap().len, 10_000);
        volume.unmount().await.unwrap();
    });
    let image = volume.into_device();
    assert!(judge("fsck.exfat", &image).contains("clean. directories 2, files 3"));
    let mut problem = |problem: &fat::Problem| panic!("{problem}");
    block_on(fat::check(&image, &mut problem, &mut |_, _| {})).unwrap();
}

fn assert_layout(image: &ImageFile, geometry: &Geometry) {
    let size = fat::BlockDevice::size(image);
    assert_eq!(geometry.kind, FatKind::ExFat);
    assert_eq!((geometry.data_start % 4096, geometry.table_start % 4096), (0, 0));
    if size >= 256 * MIB {
        assert_eq!((geometry.data_start % MIB, geometry.table_start % MIB), (0, 0));
    }
    let end = geometry.data_start + u64::from(geometry.clusters) * u64::from(geometry.cluster_size);
    assert!(end <= size && size - end < u64::from(geometry.cluster_size) + 4096);
    // A fiftieth at most is not for files, but on the smallest.
    assert!(
        geometry.data_start <= size / 50 + 32 * KIB + 2 * u64::from(geometry.bytes_per_sector * 24)
    );
}

#[test]
fn volumes_of_every_size_are_whole() {
    let sizes = [
        (MIB, 512, 4 * KIB),
        (MIB + 512, 512, 4 * KIB),
        (MIB, 4096, 4 * KIB),
        (2 * MIB + 1024, 1024, 4 * KIB),
        (20 * MIB, 512, 4 * KIB),
        (100_000_256, 512, 4 * KIB),
        (256 * MIB, 2048, 4 * KIB),
        (257 * MIB, 512, 32 * KIB),
        (600 * MIB, 4096, 32 * KIB),
        (2 * GIB, 512, 32 * KIB),
        (32 * GIB, 512, 32 * KIB),
        (33 * GIB, 512, 128 * KIB),
        (8 << 40, 512, 128 * KIB),
        (15 << 40, 4096, 256 * KIB),
    ];
    for (size, sector, cluster) in sizes {
        let image = ImageFile::new(size, sector);
        let geometry = format(&image, &options(Some(FatKind::ExFat))).unwrap();
        assert_eq!(
            (geometry.cluster_size.into(), geometry.bytes_per_sector as usize),
            (cluster, sector)
        );
        assert_layout(&image, &geometry);
        assert_good(image, &geometry);
    }
}

#[test]
fn without_a_kind_it_is_exfat_above_32_gib() {
    for (size, kind) in [(32 * GIB, FatKind::Fat32), (32 * GIB + 512, FatKind::ExFat)] {
        assert_eq!(format(&ImageFile::new(size, 512), &options(None)).unwrap().kind, kind);
    }
}

#[test]
fn a_volume_below_a_mebibyte_is_refused() {
    let image = ImageFile::new(MIB - 512, 512);
    let refused = format(&image, &options(Some(FatKind::ExFat))).unwrap_err();
    assert_eq!(refused, FormatError::TooSmall { kind: FatKind::ExFat, least: MIB });
    assert_eq!(block_on(fat::first_byte(&image)), Ok(None), "nothing was written");
}

/// Of neither format, nor of another file system's marks.
#[test]
fn an_old_volume_leaves_nothing_behind() {
    let image = ImageFile::new(64 * MIB, 512);
    image.patch(0, &[0x55; 4 << 20]);
    let plain = FormatOptions { kind: Some(FatKind::ExFat), ..FormatOptions::default() };
    format(&image, &plain).unwrap();
    assert!(judge("fsck.exfat", &image).contains("clean. directories 1, files 0"));
    let said = judge("dump.exfat", &image);
    assert!(said.lines().any(|line| line.trim_end() == "Volume label:"), "{said}");
    let (code, said) = run(Command::new("blkid").arg("-p").arg(image.path()));
    assert!(code == 0 && said.contains("TYPE=\"exfat\""), "{said}");
    // And FAT over exFAT.
    let fat32 = FormatOptions { kind: Some(FatKind::Fat32), ..FormatOptions::default() };
    assert_eq!(format(&image, &fat32).unwrap().kind, FatKind::Fat32);
    assert_eq!(image.fsck().0, 0);
}
