//! From a disk to a volume that is served, and why a disk is not.
use crate::rig::{Late, TIME, wait};
use client::Ram;
use fat::{BlockDevice, FatKind, MountError, MountOptions};
use server::{OpenError, Options, Random, Ready, ToldKeys};

fn open<D: BlockDevice>(device: D, words: &[&str]) -> Result<Ready<D>, OpenError> {
    let (options, problems) = Options::parse(words.iter().copied());
    assert!(problems.is_empty(), "{problems:?}");
    let (memory, told) = (MountOptions::default(), ToldKeys::default());
    let random = Random { volume_id: [1, 2, 3, 4], ..Random::default() };
    let mut progress = |_, _| ();
    let opened = server::prepare(device, &options, &memory, &told, &random, TIME, &mut progress);
    wait(opened)
}

fn refusal(device: Ram, words: &[&str]) -> OpenError {
    let before = device.0.borrow().clone();
    let Err(refusal) = open(device.clone(), words) else { panic!("it is served") };
    assert!(*device.0.borrow() == before, "and changed: {refusal}");
    refusal
}

#[test]
fn a_blank_disk_is_formatted_when_that_was_asked_for() {
    for (size, word, kind, posix) in [
        (8 << 20, "--format-if-blank=fat", FatKind::Fat16, false),
        (8 << 20, "--format-if-blank", FatKind::ExFat, true),
        // Too small for exFAT, whose least size is 1 MiB.
        (512 << 10, "--format-if-blank", FatKind::Fat12, false),
    ] {
        let ram = Ram::zeros(size);
        let volume = open(ram.clone(), &[word]).unwrap().volume;
        assert_eq!((volume.geometry().kind, volume.keeps_posix()), (kind, posix), "{size} {word}");
        assert_eq!(volume.read_only(), None);
        // The number that tells volumes apart is where each kind has it.
        let at = match kind {
            FatKind::ExFat => 100,
            _ => 39,
        };
        assert_eq!(ram.0.borrow()[at..at + 4], [1, 2, 3, 4], "{kind:?}");
        // And it is not blank any more.
        drop(volume);
        assert!(open(ram, &[]).is_ok());
    }
}

#[test]
fn a_blank_disk_is_left_alone_otherwise() {
    let blank = || Ram::zeros(8 << 20);
    for words in [&[][..], &["--format-if-blank", "--read-only"]] {
        let refusal = refusal(blank(), words);
        assert!(matches!(refusal, OpenError::Blank), "{refusal:?}");
        assert_eq!(refusal.to_string(), "a blank disk; --format-if-blank formats it");
    }
    let written = blank();
    written.0.borrow_mut()[(3 << 20) + 5] = 1;
    let refusal = refusal(written, &["--format-if-blank"]);
    assert!(matches!(refusal, OpenError::NotBlank(3_145_733)), "{refusal:?}");
    assert!(refusal.to_string().contains("byte 3145733 is not zero"), "{refusal}");
}

#[test]
fn what_is_no_volume_is_refused_with_what_makes_one() {
    let noise = Ram::new((0..1 << 20).map(|n: u32| n as u8 | 1).collect());
    let refusal = refusal(noise, &["--format-if-blank"]);
    assert!(matches!(refusal, OpenError::Mount(MountError::NotFat(_))), "{refusal:?}");
    assert!(refusal.to_string().ends_with("; `fat create` makes a disk image that can be served"));
    let tiny = open(Ram::zeros(4096), &["--format-if-blank"]).err().unwrap().to_string();
    assert!(tiny.starts_with("cannot be formatted: "), "{tiny}");
}

#[test]
fn a_volume_grows_when_that_was_asked_for() {
    let larger = |size: usize| {
        let ram = Ram::formatted(8 << 20);
        ram.0.borrow_mut().resize(size, 0);
        ram
    };
    let size = |ram: Ram, words: &[&str]| open(ram, words).unwrap().volume.geometry().size;
    assert!(size(larger(24 << 20), &[]) <= 8 << 20);
    assert!(size(larger(24 << 20), &["--grow"]) > 20 << 20);
    assert!(size(larger(8 << 20), &["--grow"]) <= 8 << 20);
}

#[test]
fn a_disk_that_refuses_writes_is_read_and_one_that_is_only_read_is_not_written() {
    // Refusing writes of its first sector, or none.
    let disk = |refuses| {
        let disk = Late::new(Ram::formatted(8 << 20));
        disk.refuse_writes(0..u64::from(refuses));
        disk
    };
    let read_only =
        |refuses, words: &[&str]| open(disk(refuses), words).unwrap().volume.read_only().is_some();
    assert!(!read_only(false, &[]));
    assert!(read_only(true, &[]));
    assert!(read_only(false, &["--read-only"]));
    let untouched = disk(true);
    open(untouched.clone(), &["--read-only"]).unwrap();
    assert_eq!(untouched.writes(), 0);
}

#[test]
fn times_are_those_of_the_clock_that_wrote_the_volume() {
    let ram = Ram::formatted(8 << 20);
    // A folder of 13:00 by the clock on the wall.
    let volume = open(ram.clone(), &["--time-offset=120"]).unwrap().volume;
    wait(volume.create_dir("/folder")).unwrap();
    assert_eq!(wait(volume.metadata("/folder")).unwrap().modified, TIME);
    wait(volume.sync()).unwrap();
    drop(volume);
    let volume = open(ram, &[]).unwrap().volume;
    assert_eq!(wait(volume.metadata("/folder")).unwrap().modified, TIME + 7200);
}
