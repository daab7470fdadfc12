//! What the targets share: a volume in memory, and clients' requests made of arbitrary bytes.
pub mod requests;

use client::Ram;
use fat::FormatOptions;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// A formatted disk of 512 KiB.
pub fn formatted() -> Ram {
    thread_local! {
        static DISK: Vec<u8> = {
            let ram = Ram::zeros(512 << 10);
            let options = FormatOptions::default();
            wait(fat::format(&ram, &options, &mut |_, _| ())).expect("a disk in memory");
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
