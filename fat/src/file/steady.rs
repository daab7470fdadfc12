//! What is done for the n-th file since the last commit is what was done for the first.
#[path = "../../tests/ground/mod.rs"]
mod ground;
use crate::file::node::{File, LOOKS};
use crate::{FatKind, FormatOptions, MountOptions, Volume, format};
use ground::{Sparse, WRITE, block_on};
use std::format as text;
use std::vec::Vec;

/// A volume with so much memory for directories that nothing forces a commit.
fn volume() -> (Sparse, Volume<Sparse>) {
    let disk = Sparse::new(4 << 30);
    let options = FormatOptions { kind: Some(FatKind::Fat32), ..FormatOptions::default() };
    block_on(format(&disk, &options, &mut |_, _| ())).unwrap();
    let options = MountOptions { cache_bytes: 64 << 20, ..MountOptions::default() };
    let volume = block_on(Volume::mount(disk.clone(), &options)).unwrap();
    block_on(volume.create_dir("/d")).unwrap();
    (disk, volume)
}

fn open(volume: &Volume<Sparse>, number: usize) -> File {
    block_on(volume.open(&text!("/d/F{number:07}"), &WRITE)).unwrap()
}

fn put(volume: &Volume<Sparse>, number: usize, len: usize) {
    let file = open(volume, number);
    block_on(volume.write(&file, 0, &std::vec![7; len])).unwrap();
    file.close().unwrap();
}

/// How many looks at nodes each hundred of the calls took.
fn looks(calls: usize, mut call: impl FnMut(usize)) -> Vec<usize> {
    let hundred = |hundred: usize| {
        let before = LOOKS.get();
        (hundred * 100..(hundred + 1) * 100).for_each(&mut call);
        LOOKS.get() - before
    };
    (0..calls / 100).map(hundred).collect()
}

fn assert_steady(looks: &[usize], what: &str) {
    let first = looks[1..11].iter().sum::<usize>();
    let last = looks[looks.len() - 10..].iter().sum::<usize>();
    assert!(last * 100 <= first * 115, "{what}: {first} looks, then {last} for as many files");
    assert!(last <= 40 * 1000, "{what}: {last} looks for a thousand files");
}

#[test]
fn the_last_of_many_files_is_written_as_the_first_was() {
    for len in [100, 5000] {
        let (disk, volume) = volume();
        put(&volume, 20_000, len);
        let flushes = disk.count().flushes;
        assert_steady(&looks(15_000, |number| put(&volume, number, len)), "new files");
        assert_eq!(disk.count().flushes, flushes, "there was a commit");
        assert_steady(&looks(15_000, |number| drop(open(&volume, number))), "opened again");
        assert_eq!(disk.count().flushes, flushes, "there was a commit");
    }
}

/// As `volume`, with room for few bytes of files.
fn small(files: usize) -> Volume<Sparse> {
    let (disk, volume) = volume();
    (0..files).for_each(|number| put(&volume, number, 100));
    block_on(volume.unmount()).unwrap();
    let options = MountOptions { data_bytes: 64 << 10, ..MountOptions::default() };
    block_on(Volume::mount(disk, &options)).unwrap()
}

#[test]
fn few_closed_files_are_kept_in_memory() {
    let volume = small(2000);
    (0..2000).for_each(|number| drop(open(&volume, number)));
    let kept = volume.files.len();
    assert!(kept <= 34, "{kept} files that were only opened");
    (0..2000).for_each(|number| put(&volume, number, 10));
    let kept = volume.files.len();
    assert!(kept <= 300, "{kept} files that were written over");
    for number in 3000..5000 {
        put(&volume, number, 10);
        block_on(volume.remove_file(&text!("/d/F{number:07}"))).unwrap();
    }
    let kept = volume.files.orphans.borrow().len();
    assert!(kept <= 66, "{kept} files that were removed");
}

#[test]
fn files_that_stay_open_cost_the_others_nothing() {
    let measure = |open_files: usize| {
        let (_, volume) = volume();
        let open: Vec<_> = (20_000..20_000 + open_files).map(|n| open(&volume, n)).collect();
        let looks = looks(1000, |number| put(&volume, number, 100));
        drop(open);
        looks[1..].iter().sum::<usize>()
    };
    let (few, many) = (measure(10), measure(1000));
    assert!(many * 100 <= few * 115, "{few} looks beside 10 open files, {many} beside 1,000");
}
