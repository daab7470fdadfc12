//! A disk in a temporary file, sparse, that the tools of other systems can look at.
use fat::{BlockDevice, DeviceError};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};

pub struct ImageFile {
    path: PathBuf,
    file: File,
    size: u64,
    sector: usize,
}

impl ImageFile {
    pub fn new(size: u64, sector: usize) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("fat-{}-{number}.img", std::process::id()));
        let file =
            File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
        file.set_len(size).unwrap();
        Self { path, file, size, sector }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes past every check, as damage does.
    pub fn patch(&self, offset: u64, bytes: &[u8]) {
        self.file.write_all_at(bytes, offset).unwrap();
    }

    /// What `fsck.fat -n` says: its exit code and its words.
    pub fn fsck(&self) -> (i32, String) {
        run(Command::new("fsck.fat").arg("-n").arg(&self.path))
    }
}

impl Drop for ImageFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

impl BlockDevice for ImageFile {
    fn sector_size(&self) -> usize {
        self.sector
    }

    fn size(&self) -> u64 {
        self.size
    }

    fn read_only(&self) -> bool {
        false
    }

    async fn read(&self, offset: u64, buf: &mut [u8]) -> Result<(), DeviceError> {
        self.whole_sectors(offset, buf.len());
        self.file.read_exact_at(buf, offset).map_err(|_| DeviceError::OutOfRange)
    }

    async fn write(&self, offset: u64, data: &[u8]) -> Result<(), DeviceError> {
        self.whole_sectors(offset, data.len());
        assert!(offset + data.len() as u64 <= self.size, "a write past the end");
        self.file.write_all_at(data, offset).map_err(|_| DeviceError::Io)
    }

    async fn flush(&self) -> Result<(), DeviceError> {
        Ok(())
    }
}

impl ImageFile {
    fn whole_sectors(&self, offset: u64, length: usize) {
        assert!(offset.is_multiple_of(self.sector as u64) && length.is_multiple_of(self.sector));
    }
}

/// Runs a program: its exit code and what it said on both streams.
pub fn run(command: &mut Command) -> (i32, String) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&said).into_owned())
}

pub fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
}
