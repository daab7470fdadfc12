//! A small exFAT volume, made here by the specification.
#[path = "../../fat/tests/exfat_image/set.rs"]
mod set;

use client::Ram;
use set::{PLAIN, entries};

const SECTOR: usize = 512;
/// Sectors of the two boot regions; the table is in the one behind them.
const BOOT: usize = 24;
const CLUSTERS: usize = 120;
const HEAP: usize = (BOOT + 1) * SECTOR;
/// Where bytes matter most: all before the data of files.
pub const METADATA: usize = HEAP + 12 * SECTOR;

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

/// A disk with a volume that has directories and files.
pub fn populated() -> Ram {
    let mut disk = vec![0; HEAP + CLUSTERS * SECTOR];
    let mut put = |at: usize, bytes: &[u8]| disk[at..at + bytes.len()].copy_from_slice(bytes);
    let numbers = [BOOT, 1, BOOT + 1, CLUSTERS, 4].map(|number| (number as u32).to_le_bytes());
    for region in [0, 12 * SECTOR] {
        put(region, b"\xEB\x76\x90EXFAT   ");
        put(region + 72, &((BOOT + 1 + CLUSTERS) as u64).to_le_bytes());
        put(region + 80, &numbers.concat());
        put(region + 100, &[1, 2, 3, 4, 0, 1, 0, 0, 9, 0, 1, 0x80]);
        for sector in 0..9 {
            put(region + sector * SECTOR + 510, &[0x55, 0xAA]);
        }
    }
    // Cluster 2: the bitmap, 3: the table of case, 4: the root, 5 and 6: a folder, 7 and 9: a chain.
    let table = BOOT * SECTOR;
    let end = u32::MAX.to_le_bytes();
    for (cluster, next) in [(2, end), (3, end), (4, end), (7, 9u32.to_le_bytes()), (9, end)] {
        put(table + 4 * cluster, &next);
    }
    put(table, &[0xF8, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]);
    let cluster = |number: usize| HEAP + (number - 2) * SECTOR;
    put(cluster(2), &[0b1011_1111, 0]);
    let letters = (0..26).map(|letter| 0x41 + letter);
    let case: Vec<u8> =
        [0xFFFF, 0x61].into_iter().chain(letters).flat_map(u16::to_le_bytes).collect();
    put(cluster(3), &case);
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
    let folder = set::How { attributes: 0x10, ..PLAIN };
    let mut root = vec![
        label,
        system(0x81, 0, 2, CLUSTERS.div_ceil(8) as u64),
        system(0x82, sum32(case.iter().copied()), 3, case.len() as u64),
    ];
    root.extend(entries("folder", 2 * SECTOR as u64, 5, true, &folder));
    root.extend(entries("in pieces", 700, 7, false, &PLAIN));
    root.extend(entries("empty", 0, 0, false, &PLAIN));
    put(cluster(4), root.as_flattened());
    let half = set::How { valid: Some(100), vendor: true, ..PLAIN };
    let inner = entries("a name of more than fifteen units", 300, 8, true, &half);
    put(cluster(5) + SECTOR - 64, inner.as_flattened());
    sign(&mut disk);
    Ram::new(disk)
}
