//! What the targets share: a volume in memory, and clients' requests made of arbitrary bytes.
pub mod exfat;
pub mod requests;

use client::Ram;
use fat::{FormatOptions, MountOptions, OpenOptions, Volume};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// A formatted disk of 512 KiB.
pub fn formatted() -> Ram {
    formatted_as(512 << 10)
}

/// A formatted disk of `size` bytes.
pub fn formatted_as(size: usize) -> Ram {
    thread_local! {
        static DISKS: RefCell<BTreeMap<usize, Vec<u8>>> = RefCell::default();
    }
    let make = || {
        let ram = Ram::zeros(size);
        let options = FormatOptions::default();
        wait(fat::format(&ram, &options, &mut |_, _| ())).expect("a disk in memory");
        ram.0.take()
    };
    Ram::new(DISKS.with(|disks| disks.borrow_mut().entry(size).or_insert_with(make).clone()))
}

/// A disk of 512 KiB with directories and files, so that damage meets something.
pub fn populated() -> Ram {
    thread_local! {
        static DISK: Vec<u8> = {
            let ram = formatted();
            let options = MountOptions::default();
            let volume = wait(Volume::mount(ram.clone(), &options)).expect("a disk in memory");
            let how = OpenOptions { write: true, create: true, ..OpenOptions::default() };
            wait(async {
                for dir in ["/dir", "/dir/inner folder with a long name"] {
                    volume.create_dir(dir).await?;
                    for number in 0..6 {
                        let path = format!("{dir}/file number {number}");
                        let file = volume.open(&path, &how).await?;
                        volume.write(&file, 0, &vec![number; 700 * usize::from(number)]).await?;
                    }
                }
                volume.write_record("key", &[7; 900]).await?;
                volume.unmount().await
            })
            .expect("room for a few files");
            drop(volume);
            ram.0.take()
        };
    }
    Ram::new(DISK.with(Clone::clone))
}

/// The volume on the disk is whole.
pub fn check(ram: &Ram) {
    let mut problems = Vec::new();
    wait(fat::check(ram, &mut |p| problems.push(p.to_string()), &mut |_, _| ())).unwrap();
    assert!(problems.is_empty(), "{problems:?}");
}

/// Runs a future that waits for nothing outside, and gives way a bounded number of times.
pub fn wait<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    for _ in 0..1_000_000 {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return value;
        }
    }
    panic!("it waits for ever");
}
