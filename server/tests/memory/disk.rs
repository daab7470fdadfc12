//! From a disk to a volume that is served, and why a disk is not.
use crate::rig::TIME;
use client::{Ram, ready};
use fat::{BlockDevice, DeviceError, FatKind, FormatOptions, MountError, MountOptions};
use server::{OpenError, Options, Random, Ready, ToldKeys};
use std::cell::Cell;

fn open<D: BlockDevice>(device: D, words: &[&str]) -> Result<Ready<D>, OpenError> {
    let (options, problems) = Options::parse(words.iter().copied());
    assert!(problems.is_empty(), "{problems:?}");
    let (memory, told) = (MountOptions::default(), ToldKeys::default());
    let random = Random { volume_id: [1, 2, 3, 4], ..Random::default() };
    let mut progress = |_, _| ();
    let opened = server::prepare(device, &options, &memory, &told, &random, TIME, &mut progress);
    ready(opened).expect("a disk in memory never waits")
}

fn refusal(device: Ram, words: &[&str]) -> OpenError {
    let before = device.0.borrow().clone();
    let Err(refusal) = open(device.clone(), words) else { panic!("it is served") };
    assert!(*device.0.borrow() == before, "and changed: {refusal}");
    refusal
}

fn formatted(size: usize) -> Ram {
    let ram = Ram::zeros(size);
    ready(fat::format(&ram, &FormatOptions::default(), &mut |_, _| ())).unwrap().unwrap();
    ram
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
        let ram = formatted(8 << 20);
        ram.0.borrow_mut().resize(size, 0);
        ram
    };
    let size = |ram: Ram, words: &[&str]| open(ram, words).unwrap().volume.geometry().size;
    assert!(size(larger(24 << 20), &[]) <= 8 << 20);
    assert!(size(larger(24 << 20), &["--grow"]) > 20 << 20);
    assert!(size(larger(8 << 20), &["--grow"]) <= 8 << 20);
}

/// A disk that answers writes of its first sector with an error, or none.
struct Guarded {
    ram: Ram,
    writes: Cell<usize>,
    refuses: bool,
}

impl BlockDevice for Guarded {
    fn sector_size(&self) -> usize {
        self.ram.sector_size()
    }
    fn size(&self) -> u64 {
        self.ram.size()
    }
    fn read_only(&self) -> bool {
        false
    }
    async fn read(&self, offset: u64, buf: &mut [u8]) -> Result<(), DeviceError> {
        self.ram.read(offset, buf).await
    }
    async fn write(&self, offset: u64, data: &[u8]) -> Result<(), DeviceError> {
        self.writes.update(|writes| writes + 1);
        if self.refuses && offset == 0 {
            return Err(DeviceError::Io);
        }
        self.ram.write(offset, data).await
    }
    async fn flush(&self) -> Result<(), DeviceError> {
        self.ram.flush().await
    }
}

#[test]
fn a_disk_that_refuses_writes_is_read_and_one_that_is_only_read_is_not_written() {
    let guarded = |refuses| Guarded { ram: formatted(8 << 20), writes: Cell::new(0), refuses };
    let read_only = |refuses, words: &[&str]| {
        open(guarded(refuses), words).unwrap().volume.read_only().is_some()
    };
    assert!(!read_only(false, &[]));
    assert!(read_only(true, &[]));
    assert!(read_only(false, &["--read-only"]));
    let ready = open(guarded(true), &["--read-only"]).unwrap();
    let Ok(volume) = std::rc::Rc::try_unwrap(ready.volume) else { panic!("somebody has it") };
    assert_eq!(volume.into_device().writes.get(), 0);
}

#[test]
fn times_are_those_of_the_clock_that_wrote_the_volume() {
    let ram = formatted(8 << 20);
    // A folder of 13:00 by the clock on the wall.
    let volume = open(ram.clone(), &["--time-offset=120"]).unwrap().volume;
    ready(volume.create_dir("/folder")).unwrap().unwrap();
    assert_eq!(ready(volume.metadata("/folder")).unwrap().unwrap().modified, TIME);
    ready(volume.sync()).unwrap().unwrap();
    drop(volume);
    let volume = open(ram, &[]).unwrap().volume;
    assert_eq!(ready(volume.metadata("/folder")).unwrap().unwrap().modified, TIME + 7200);
}
