//! How many requests the disk sees.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // Tests may panic.
mod workloads;
use fat::{FatKind, FormatOptions};
use workloads::{Cost, Disk, KINDS, LINUX_EXFAT, Large, mount, run, run_on, sparse_exfat, wait};

/// The counts are exact, so these bounds are what was reached, with a little room.
const MOST: [[usize; 12]; 3] = [
    [280, 1040, 4080, 4120, 60, 1020, 20, 430, 40, 40, 640, 20],
    [300, 1060, 4090, 4130, 100, 1040, 40, 450, 70, 50, 640, 20],
    [280, 1040, 4080, 4120, 1030, 1020, 20, 430, 40, 40, 530, 8],
];

fn stays_within(number: usize) {
    let (kind, size, linux) = KINDS[number];
    compare(&run(kind, size, &linux), number);
}

fn compare(costs: &[Cost], number: usize) {
    for (Cost { what, count, least, linux }, most) in costs.iter().zip(MOST[number]) {
        println!("{what}: {count:?}, least {least}");
        let spent = count.requests();
        assert!(spent <= most, "{what}: {spent} requests");
        // Of exFAT the first is Linux 6.12's; the next reads with requests that a guest has no memory for.
        let first = linux.first().copied().flatten();
        assert!(
            first.is_none_or(|linux| spent - count.flushes <= linux),
            "{what}: {spent} requests"
        );
    }
}

#[test]
fn of_fat16() {
    stays_within(0);
}

#[test]
fn of_fat32() {
    stays_within(1);
}

#[test]
fn of_exfat() {
    compare(&run_on(&sparse_exfat(2 << 30, &["-c", "32K"]), &LINUX_EXFAT), 2);
}

/// Also of the requests, of which an index that does not fit would need more and more.
#[test]
fn the_last_files_of_a_large_directory_cost_what_the_first_cost() {
    for large in [Large::new(), Large::on(sparse_exfat(2 << 30, &["-c", "32K"]))] {
        last_cost_what_the_first_cost(&large);
    }
}

fn last_cost_what_the_first_cost(large: &Large) {
    /// So many that there are commits among both.
    const MANY: usize = 5000;
    let requests = |run: &dyn Fn()| {
        let before = large.disk.count().requests();
        run();
        large.disk.count().requests() - before
    };
    let first = requests(&|| large.create(0..MANY));
    large.create(MANY..Large::FILES - MANY);
    let last = requests(&|| large.create(Large::FILES - MANY..Large::FILES));
    println!("{first} requests, then {last}");
    assert!(last * 10 <= first * 13, "{first} requests, then {last}");
    let looked_up = requests(&|| large.look_up(Large::FILES - 1000..Large::FILES));
    assert!(looked_up <= 40, "{looked_up} requests");
}

#[test]
fn mounting_a_clean_fat32_does_not_read_the_table() {
    let disk = Disk::new(2 << 30);
    let format = FormatOptions { kind: Some(FatKind::Fat32), ..FormatOptions::default() };
    wait(fat::format(&disk, &format, &mut |_, _| ())).unwrap();
    let before = disk.count().requests();
    drop(mount(&disk));
    let spent = disk.count().requests() - before;
    assert!(spent <= 8, "{spent} requests");
}
