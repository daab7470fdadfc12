//! What a mount does with the journal's record after a power cut.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // Tests may panic.
mod common;
use common::*;
use fat::Geometry;

/// FNV-1a with 64 bits.
fn hash(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01B3);
    bytes.iter().fold(0xCBF2_9CE4_8422_2325, step)
}

/// A volume that was cut off, whose journal holds a record of two sectors or more, and where that is.
fn cut(disk: &Disk) -> (Vec<u8>, Geometry, usize) {
    let volume = mount(disk);
    block_on(async {
        volume.keep_journal().await.unwrap();
        for number in 0..40 {
            put(&volume, &format!("/file number {number}"), b"x").await.unwrap();
        }
        volume.sync().await.unwrap();
    });
    let image = disk.image();
    let records: Vec<_> =
        (0..image.len()).step_by(512).filter(|at| image[*at..].starts_with(b"MSFSJNL1")).collect();
    assert_eq!(records.len(), 1);
    (image, volume.geometry().clone(), records[0])
}

/// Makes sector `number` of the record one that belongs at `offset`, where `before` is now.
fn forge(image: &mut [u8], record: usize, number: usize, offset: u64, new: [u8; 512]) {
    let count = u32::from_le_bytes(image[record + 16..][..4].try_into().unwrap()) as usize;
    let head = (24 + 16 * count).next_multiple_of(512);
    let field = record + 24 + 16 * number;
    let before =
        usize::try_from(offset).ok().and_then(|at| image.get(at..at.checked_add(512)?)).map(hash);
    image[field..field + 8].copy_from_slice(&offset.to_le_bytes());
    image[field + 8..field + 16].copy_from_slice(&before.unwrap_or(0).to_le_bytes());
    image[record + head + 512 * number..][..512].copy_from_slice(&new);
    let sum = hash(&image[record + 16..record + head + 512 * count]);
    image[record + 8..record + 16].copy_from_slice(&sum.to_le_bytes());
}

#[test]
fn a_record_that_names_sectors_outside_the_directories_is_ignored_whole() {
    for (kind, disk) in kinds().into_iter().skip(1) {
        let (image, geometry, record) = cut(&disk);
        let directory = match kind {
            "FAT16" => geometry.root_start,
            _ => geometry.data_start,
        };
        // The record is a right one: inside the directories the forged sector is written.
        let mut good = image.clone();
        let mut sector: [u8; 512] = good[directory as usize..][..512].try_into().unwrap();
        sector[480..].fill(0xE5);
        forge(&mut good, record, 0, directory, sector);
        let disk = Disk::new(good);
        drop(mount(&disk));
        assert!(disk.image()[directory as usize..][..512] == sector, "{kind}");

        let end = geometry.start + geometry.size;
        for (what, offset) in [
            ("the boot sector", geometry.start),
            ("the table", geometry.table_start),
            ("the end of the tables", directory - 512),
            ("half a sector", directory + 256),
            ("the end of the volume", end),
            ("half behind the end", end - 256),
            ("the highest number", u64::MAX - 511),
        ] {
            let mut bad = image.clone();
            // The sector before it is one that could be written.
            forge(&mut bad, record, 0, directory, sector);
            forge(&mut bad, record, 1, offset, [0xA5; 512]);
            let disk = Disk::new(bad.clone());
            disk.record();
            drop(mount(&disk));
            let log = disk.0.log.take().unwrap();
            let wrote = |event: &Event| matches!(event, Event::Write(_, data) if data.windows(512).any(|part| part == [0xA5; 512]));
            assert!(!log.iter().any(wrote), "{kind}: {what} was written");
            let there = &disk.image()[directory as usize..][..512];
            assert!(*there == bad[directory as usize..][..512], "{kind}: {what}: half a record");
        }
    }
}
