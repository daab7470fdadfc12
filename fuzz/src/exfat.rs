//! Small exFAT volumes, made here by the specification.
#[path = "../../fat/tests/exfat_image/set.rs"]
mod set;

use client::Ram;
use set::{PLAIN, entries};

const SECTOR: usize = 512;
/// Sectors of the two boot regions; the table is behind them.
const BOOT: usize = 24;
/// Of the volume with files in it; its table is one sector.
const CLUSTERS: usize = 120;
/// Where bytes matter most: all before the data of files.
pub const METADATA: usize = heap(CLUSTERS) + 12 * SECTOR;
const TABLE: usize = BOOT * SECTOR;
/// The end of a chain.
const END: [u8; 4] = [0xFF; 4];

/// Where the clusters begin.
const fn heap(clusters: usize) -> usize {
    TABLE + ((clusters + 2) * 4).next_multiple_of(SECTOR)
}

fn sum32(bytes: impl Iterator<Item = u8>) -> u32 {
    bytes.fold(0u32, |sum, byte| sum.rotate_right(1).wrapping_add(u32::from(byte)))
}

/// Puts the checksums of the boot regions right.
pub fn sign(disk: &mut [u8]) {
    for region in [0, 12 * SECTOR] {
        let bytes = disk[region..region + 11 * SECTOR].iter().enumerate();
        let sum = sum32(bytes.filter(|(at, _)| !matches!(at, 106 | 107 | 112)).map(|(_, b)| *b));
        let sums = sum.to_le_bytes().repeat(SECTOR / 4);
        disk[region + 11 * SECTOR..region + 12 * SECTOR].copy_from_slice(&sums);
    }
}

/// Where the root directory of an empty volume ends.
const ROOT_END: usize = 3 * 32;

/// The bytes of an empty volume of up to 4096 clusters: 2 is the bitmap, 3 the table of case, 4 the root.
fn empty(clusters: usize) -> Vec<u8> {
    let heap = heap(clusters);
    let mut disk = vec![0; heap + clusters * SECTOR];
    let mut put = |at: usize, bytes: &[u8]| disk[at..at + bytes.len()].copy_from_slice(bytes);
    let table = heap / SECTOR - BOOT;
    let numbers = [BOOT, table, heap / SECTOR, clusters, 4].map(|n| (n as u32).to_le_bytes());
    for region in [0, 12 * SECTOR] {
        put(region, b"\xEB\x76\x90EXFAT   ");
        put(region + 72, &((heap / SECTOR + clusters) as u64).to_le_bytes());
        put(region + 80, &numbers.concat());
        put(region + 100, &[1, 2, 3, 4, 0, 1, 0, 0, 9, 0, 1, 0x80]);
        for sector in 0..9 {
            put(region + sector * SECTOR + 510, &[0x55, 0xAA]);
        }
    }
    put(TABLE, &[0xF8, 0xFF, 0xFF, 0xFF]);
    for entry in 1..5 {
        put(TABLE + 4 * entry, &END);
    }
    put(heap, &[0b111]);
    let letters = (0..26).map(|letter| 0x41 + letter);
    let case: Vec<u8> =
        [0xFFFF, 0x61].into_iter().chain(letters).flat_map(u16::to_le_bytes).collect();
    put(heap + SECTOR, &case);
    let system = |kind: u8, sum: u32, first: u32, len: u64| {
        let mut entry = [0; 32];
        entry[0] = kind;
        entry[4..8].copy_from_slice(&sum.to_le_bytes());
        entry[20..24].copy_from_slice(&first.to_le_bytes());
        entry[24..].copy_from_slice(&len.to_le_bytes());
        entry
    };
    let mut label = [0; 32];
    label[..4].copy_from_slice(&[0x83, 1, b'x', 0]);
    let root = [
        label,
        system(0x81, 0, 2, clusters.div_ceil(8) as u64),
        system(0x82, sum32(case.iter().copied()), 3, case.len() as u64),
    ];
    put(heap + 2 * SECTOR, root.as_flattened());
    sign(&mut disk);
    disk
}

/// A disk of 2 MiB with an empty volume.
pub fn blank() -> Ram {
    Ram::new(empty(4000))
}

/// A set with an entry of ours behind the name.
fn with_mode(name: &str, len: u64, first: u32, mode: u16) -> Vec<[u8; 32]> {
    let mut set = entries(name, len, first, len > 0, &PLAIN);
    let mut entry = [0; 32];
    entry[0] = 0xE0;
    entry[2..18]
        .copy_from_slice(b"\xFA\x83\xA7\x04\xD6\xFE\x0A\x4C\xB8\xB9\x7E\x19\xD5\xF6\x95\xBE");
    entry[18..20].copy_from_slice(&mode.to_le_bytes());
    set.push(entry);
    set[0][1] += 1;
    set::sign(&mut set);
    set
}

/// A disk with a volume that has directories and files.
pub fn populated() -> Ram {
    let mut disk = empty(CLUSTERS);
    let mut put = |at: usize, bytes: &[u8]| disk[at..at + bytes.len()].copy_from_slice(bytes);
    // Cluster 5 and 6: a folder, 7 and 9: a chain, 10: the system folder, 11: the mark in it, 12: a link.
    put(TABLE + 4 * 7, &9u32.to_le_bytes());
    put(TABLE + 4 * 9, &END);
    let cluster = |number: usize| heap(CLUSTERS) + (number - 2) * SECTOR;
    put(cluster(2), &[0b1111_1111, 0b111]);
    let folder = set::How { attributes: 0x10, ..PLAIN };
    let mut root = entries("folder", 2 * SECTOR as u64, 5, true, &folder);
    root.extend(entries("in pieces", 700, 7, false, &PLAIN));
    root.extend(entries("empty", 0, 0, false, &PLAIN));
    root.extend(entries(".mirage-sshfs", SECTOR as u64, 10, true, &folder));
    put(cluster(4) + ROOT_END, root.as_flattened());
    put(cluster(10), entries("posix", 2, 11, true, &PLAIN).as_flattened());
    put(cluster(11), b"1\n");
    put(cluster(12), b"../folder/script");
    let mut first = with_mode("link", 16, 12, 0o120_777);
    first.extend(with_mode("script", 0, 0, 0o100_755));
    // The name below begins two entries before the next cluster.
    first.resize(SECTOR / 32 - 2, [5; 32]);
    put(cluster(5), first.as_flattened());
    let half = set::How { valid: Some(100), vendor: true, ..PLAIN };
    let inner = entries("a name of more than fifteen units", 300, 8, true, &half);
    put(cluster(5) + SECTOR - 64, inner.as_flattened());
    Ram::new(disk)
}
