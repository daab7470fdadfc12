//! A disk in memory, images made by mkfs.fat, and the verdicts of fsck.fat and mtools.
#![allow(dead_code, unused_imports)] // Each test file uses its part.
use fat::{BlockDevice, DeviceError, File, MountOptions, OpenOptions, Volume};
#[path = "../ground/mod.rs"]
mod ground;
pub use ground::{READ, Random, Sparse, WRITE, block_on};
#[path = "../sparse_exfat/mod.rs"]
mod sparse;
pub use sparse::sparse_exfat;
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::path::PathBuf;
use std::pin::Pin;
use std::process::{Command, Output};
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};

pub const NOW: u64 = 1_700_000_000;

/// What a disk was asked to do, in order.
#[derive(Clone)]
pub enum Event {
    Write(usize, Vec<u8>),
    /// Makes the events before this number durable: those that were done when it was asked for.
    Flush(usize),
}

/// Bytes that a write replaced, and where.
pub type Old = (usize, Vec<u8>);

#[derive(Default)]
pub struct Inner {
    pub data: RefCell<Vec<u8>>,
    pub reads: Cell<usize>,
    pub writes: Cell<usize>,
    pub flushes: Cell<usize>,
    pub log: RefCell<Option<Vec<Event>>>,
    pub read_only: Cell<bool>,
    /// Every request is pending once, so that operations interleave.
    pub slow: Cell<bool>,
    /// The largest request, when it is not the 1 MiB of most.
    pub largest: Cell<Option<usize>>,
    /// The next request fails.
    pub fail_once: Cell<bool>,
    /// Requests that are left before all fail.
    pub fuse: Cell<Option<usize>>,
    /// What was on the disk before each write, to go back there.
    pub undo: RefCell<Option<Vec<Old>>>,
}

#[derive(Clone, Default)]
pub struct Disk(pub Rc<Inner>);

impl Disk {
    pub fn new(data: Vec<u8>) -> Self {
        let disk = Self::default();
        *disk.0.data.borrow_mut() = data;
        disk
    }

    pub fn image(&self) -> Vec<u8> {
        self.0.data.borrow().clone()
    }

    pub fn record(&self) {
        *self.0.log.borrow_mut() = Some(Vec::new());
    }

    pub fn logged(&self) -> usize {
        self.0.log.borrow().as_ref().map_or(0, Vec::len)
    }

    /// From now on `rewind` can undo writes.
    pub fn keep_undo(&self) {
        *self.0.undo.borrow_mut() = Some(Vec::new());
    }

    /// Where `rewind` comes back to.
    pub fn mark(&self) -> usize {
        self.0.undo.borrow().as_ref().map_or(0, Vec::len)
    }

    pub fn rewind(&self, mark: usize) {
        let mut undo = self.0.undo.borrow_mut();
        for (at, old) in undo.as_mut().unwrap().drain(mark..).rev() {
            self.0.data.borrow_mut()[at..at + old.len()].copy_from_slice(&old);
        }
    }

    /// Writes without a request.
    pub fn poke(&self, at: usize, bytes: &[u8]) {
        let mut data = self.0.data.borrow_mut();
        let place = &mut data[at..at + bytes.len()];
        if let Some(undo) = self.0.undo.borrow_mut().as_mut() {
            undo.push((at, place.to_vec()));
        }
        place.copy_from_slice(bytes);
    }

    pub fn requests(&self) -> usize {
        self.0.reads.get() + self.0.writes.get() + self.0.flushes.get()
    }

    async fn pause(&self) -> Result<(), DeviceError> {
        if self.0.fail_once.take() {
            return Err(DeviceError::Io);
        }
        if let Some(left) = self.0.fuse.get() {
            if left == 0 {
                return Err(DeviceError::Io);
            }
            self.0.fuse.set(Some(left - 1));
        }
        let mut waited = !self.0.slow.get();
        poll_fn(|context| {
            if std::mem::replace(&mut waited, true) {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
        Ok(())
    }

    fn check(&self, offset: u64, len: usize) -> Result<usize, DeviceError> {
        let at = usize::try_from(offset).unwrap();
        assert!(at.is_multiple_of(512) && len.is_multiple_of(512) && len > 0, "{at}+{len}");
        if at + len > self.0.data.borrow().len() {
            return Err(DeviceError::OutOfRange);
        }
        Ok(at)
    }
}

impl BlockDevice for Disk {
    fn sector_size(&self) -> usize {
        512
    }

    fn size(&self) -> u64 {
        self.0.data.borrow().len() as u64
    }

    fn read_only(&self) -> bool {
        self.0.read_only.get()
    }

    fn largest_request(&self) -> usize {
        self.0.largest.get().unwrap_or(1 << 20)
    }

    async fn read(&self, offset: u64, buf: &mut [u8]) -> Result<(), DeviceError> {
        self.0.reads.set(self.0.reads.get() + 1);
        self.pause().await?;
        let at = self.check(offset, buf.len())?;
        buf.copy_from_slice(&self.0.data.borrow()[at..at + buf.len()]);
        Ok(())
    }

    async fn write(&self, offset: u64, data: &[u8]) -> Result<(), DeviceError> {
        assert!(!self.0.read_only.get(), "a write to a read-only disk");
        self.0.writes.set(self.0.writes.get() + 1);
        self.pause().await?;
        let at = self.check(offset, data.len())?;
        self.poke(at, data);
        if let Some(log) = self.0.log.borrow_mut().as_mut() {
            log.push(Event::Write(at, data.to_vec()));
        }
        Ok(())
    }

    async fn flush(&self) -> Result<(), DeviceError> {
        self.0.flushes.set(self.0.flushes.get() + 1);
        let before = self.logged();
        self.pause().await?;
        if let Some(log) = self.0.log.borrow_mut().as_mut() {
            log.push(Event::Flush(before));
        }
        Ok(())
    }
}

/// Polls all in turn until all are done, as the server's loop does.
pub fn run_all<'a>(mut futures: Vec<Pin<Box<dyn Future<Output = ()> + 'a>>>) {
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..10_000_000u64 {
        futures.retain_mut(|future| future.as_mut().poll(&mut context).is_pending());
        if futures.is_empty() {
            return;
        }
    }
    panic!("{} futures are stuck", futures.len());
}

pub struct TempFile(pub PathBuf);

impl TempFile {
    pub fn new(data: &[u8]) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("fat-engine-{}-{number}.img", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, data).unwrap();
        Self(path)
    }

    fn text(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn command(program: &str, arguments: &[&str]) -> Output {
    let output = Command::new(program).args(arguments).env("MTOOLS_SKIP_CHECK", "1").output();
    output.unwrap_or_else(|error| panic!("{program} is needed for this test: {error}"))
}

/// An image made by mkfs.fat.
pub fn mkfs(kib: usize, arguments: &[&str]) -> Disk {
    let file = TempFile::new(&[]);
    let size = std::fs::OpenOptions::new().write(true).open(&file.0).unwrap();
    size.set_len(kib as u64 * 1024).unwrap();
    let mut all = vec!["-n", "TEST", "-i", "12345678"];
    all.extend(arguments);
    all.push(file.text());
    let output = command("mkfs.fat", &all);
    assert!(output.status.success(), "{output:?}");
    Disk::new(std::fs::read(&file.0).unwrap())
}

/// An empty image made by mkfs.exfat.
pub fn mkfs_exfat(kib: usize, arguments: &[&str]) -> Vec<u8> {
    let file = TempFile::new(&[]);
    let empty = std::fs::OpenOptions::new().write(true).open(&file.0).unwrap();
    empty.set_len(kib as u64 * 1024).unwrap();
    let mut all = arguments.to_vec();
    all.push(file.text());
    let output = command("mkfs.exfat", &all);
    assert!(output.status.success(), "{output:?}");
    std::fs::read(&file.0).unwrap()
}

/// One image of each kind.
pub fn kinds() -> [(&'static str, Disk); 3] {
    [
        ("FAT12", mkfs(2048, &["-F", "12"])),
        ("FAT16", mkfs(16 * 1024, &["-F", "16", "-s", "4"])),
        ("FAT32", mkfs(40 * 1024, &["-F", "32", "-s", "1"])),
    ]
}

/// What fsck.fat or fsck.exfat says that is not just its banner; nothing for a clean volume.
pub fn fsck(image: &[u8]) -> String {
    if image[3..11] == *b"EXFAT   " {
        return fsck_exfat("fsck.exfat", image);
    }
    let file = TempFile::new(image);
    let output = command("fsck.fat", &["-n", file.text()]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    text.lines()
        .filter(|line| {
            !line.starts_with("fsck.fat ") && !line.contains(" files, ") && !line.is_empty()
        })
        .map(|line| line.replace(file.text(), "IMAGE") + "\n")
        .collect()
}

/// The same of another fsck.exfat.
pub fn fsck_exfat(program: &str, image: &[u8]) -> String {
    let file = TempFile::new(image);
    let output = command(program, &["-n", file.text()]);
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).replace(file.text(), "IMAGE");
    let banner = |line: &&str| !line.starts_with("exfatprogs") && !line.contains(": clean. ");
    text.lines().filter(banner).map(|line| format!("{line}\n")).collect()
}

pub fn mtools(program: &str, image: &[u8], arguments: &[&str]) -> Vec<u8> {
    let file = TempFile::new(image);
    let mut all = vec!["-i", file.text()];
    all.extend(arguments);
    let output = command(program, &all);
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
    output.stdout
}

pub fn mount(disk: &Disk) -> Volume<Disk> {
    let volume = block_on(Volume::mount(disk.clone(), &MountOptions::default())).unwrap();
    volume.set_time(NOW);
    volume
}

pub const REWRITE: OpenOptions = OpenOptions { truncate: true, ..WRITE };

pub async fn put(volume: &Volume<Disk>, path: &str, data: &[u8]) -> Result<(), fat::Error> {
    let file = volume.open(path, &REWRITE).await?;
    volume.write(&file, 0, data).await
}

pub async fn read_file(volume: &Volume<Disk>, file: &File) -> Result<Vec<u8>, fat::Error> {
    let len = usize::try_from(volume.file_metadata(file).len).unwrap();
    let mut data = vec![0xAA; len + 10];
    let got = volume.read(file, 0, &mut data).await?;
    assert_eq!(got, len);
    data.truncate(got);
    Ok(data)
}

pub async fn get(volume: &Volume<Disk>, path: &str) -> Result<Vec<u8>, fat::Error> {
    let file = volume.open(path, &READ).await?;
    read_file(volume, &file).await
}

pub async fn list(volume: &Volume<Disk>, path: &str) -> Result<Vec<String>, fat::Error> {
    let dir = volume.open_dir(path).await?;
    let mut names = Vec::new();
    loop {
        let entries = volume.read_dir(&dir, 7).await?;
        if entries.is_empty() {
            names.sort();
            return Ok(names);
        }
        names.extend(entries.into_iter().map(|entry| entry.name));
    }
}

/// Bytes that tell their place.
pub fn pattern(seed: usize, len: usize) -> Vec<u8> {
    (0..len)
        .map(|at| (at.wrapping_mul(31).wrapping_add(at >> 9).wrapping_add(seed * 17)) as u8)
        .collect()
}
