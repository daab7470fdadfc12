//! A disk in a file: an image, or a block device of this machine.
use fat::{BlockDevice, DeviceError};
use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, FileTypeExt};
use std::path::Path;

/// A disk in a file, locked against every other server and tool of this project while it is open
/// (an advisory lock: for writing alone, for reading beside other readers).
///
/// Every request is done when its future returns.
#[derive(Debug)]
pub struct Image {
    file: File,
    size: u64,
    read_only: bool,
}

/// Why an image cannot be opened or made, and what to do. It does not name the image: the caller
/// knows how its user calls it.
#[derive(Debug)]
pub enum ImageError {
    Missing,
    IsDirectory,
    NotADisk,
    Exists,
    NotAllowed,
    InUse,
    /// Not a whole number of 512-byte sectors: the size in bytes.
    BrokenSize(u64),
    Empty,
    /// Bytes that do not fit where the file is to be.
    TooLarge(u64),
    Other(io::Error),
}

impl fmt::Display for ImageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("there is no such file: make it with `fat create`"),
            Self::IsDirectory => f.write_str("this is a directory: name an image file"),
            Self::NotADisk => f.write_str("this is neither a file nor a block device"),
            Self::Exists => f.write_str("it exists already: choose another name or use --force"),
            Self::NotAllowed => f.write_str("permission denied: check its owner and mode"),
            Self::InUse => f.write_str(
                "it is in use by another process: stop the server or command that uses it",
            ),
            Self::BrokenSize(size) => write!(
                f,
                "its size of {size} bytes is no whole number of 512-byte sectors: \
                 it is no disk image or was cut short"
            ),
            Self::Empty => f.write_str("it is empty: make it with `fat create --force`"),
            Self::TooLarge(size) => {
                write!(
                    f,
                    "a file of {size} bytes is more than this file system takes: use a smaller size"
                )
            }
            Self::Other(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ImageError {}

impl From<io::Error> for ImageError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::NotFound => Self::Missing,
            ErrorKind::PermissionDenied => Self::NotAllowed,
            ErrorKind::IsADirectory => Self::IsDirectory,
            ErrorKind::AlreadyExists => Self::Exists,
            _ => Self::Other(error),
        }
    }
}

impl Image {
    /// Opens an image or a block device. One that may not be written is opened for reading:
    /// see [`BlockDevice::read_only`].
    pub fn open(path: impl AsRef<Path>, read_only: bool) -> Result<Self, ImageError> {
        let path = path.as_ref();
        let kind = path.metadata()?.file_type();
        if kind.is_dir() {
            return Err(ImageError::IsDirectory);
        }
        if !kind.is_file() && !kind.is_block_device() {
            return Err(ImageError::NotADisk);
        }
        let open = |write| File::options().read(true).write(write).open(path);
        let (file, read_only) = match open(!read_only) {
            Err(error) if !read_only && unwritable(&error) => (open(false)?, true),
            file => (file?, read_only),
        };
        lock(&file, read_only)?;
        Self::over(file, read_only)
    }

    /// Makes an image of `size` bytes that takes no room until it is written. `replace` lets it
    /// take the place of a file that exists, which loses its contents; a block device is never
    /// made or resized, but may be opened and formatted.
    pub fn create(path: impl AsRef<Path>, size: u64, replace: bool) -> Result<Self, ImageError> {
        if !size.is_multiple_of(SECTOR) {
            return Err(ImageError::BrokenSize(size));
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        if replace {
            // Not truncated yet: that waits for the lock.
            options.create(true).truncate(false);
        } else {
            options.create_new(true);
        }
        let file = options.open(path).map_err(|error| match error.kind() {
            // Missing is what cannot be said of a file that is to be made.
            ErrorKind::NotFound => ImageError::Other(io::Error::new(
                ErrorKind::NotFound,
                "there is no such directory: make it first",
            )),
            _ => error.into(),
        })?;
        if !file.metadata()?.is_file() {
            return Err(ImageError::NotADisk);
        }
        lock(&file, false)?;
        file.set_len(0)?;
        file.set_len(size).map_err(|error| match error.kind() {
            ErrorKind::FileTooLarge | ErrorKind::InvalidInput => ImageError::TooLarge(size),
            _ => ImageError::Other(error),
        })?;
        Self::over(file, false)
    }

    fn over(mut file: File, read_only: bool) -> Result<Self, ImageError> {
        // A block device's metadata has no size.
        let size = file.seek(SeekFrom::End(0))?;
        if size == 0 {
            return Err(ImageError::Empty);
        }
        if !size.is_multiple_of(SECTOR) {
            return Err(ImageError::BrokenSize(size));
        }
        Ok(Self { file, size, read_only })
    }

    fn check(&self, offset: u64, length: usize) -> Result<(), DeviceError> {
        let length = length as u64;
        let end = offset.checked_add(length).ok_or(DeviceError::OutOfRange)?;
        let whole = offset.is_multiple_of(SECTOR) && length.is_multiple_of(SECTOR);
        if whole && end <= self.size { Ok(()) } else { Err(DeviceError::OutOfRange) }
    }
}

impl BlockDevice for Image {
    fn sector_size(&self) -> usize {
        SECTOR as usize
    }

    fn size(&self) -> u64 {
        self.size
    }

    fn read_only(&self) -> bool {
        self.read_only
    }

    /// The system caches the file and merges requests itself: what is copied here should stay in the
    /// processor's cache until it is written.
    fn largest_request(&self) -> usize {
        256 << 10
    }

    async fn read(&self, offset: u64, buf: &mut [u8]) -> Result<(), DeviceError> {
        self.check(offset, buf.len())?;
        self.file.read_exact_at(buf, offset).map_err(|error| report("reading", offset, &error))
    }

    async fn write(&self, offset: u64, data: &[u8]) -> Result<(), DeviceError> {
        if self.read_only {
            return Err(DeviceError::ReadOnly);
        }
        self.check(offset, data.len())?;
        self.file.write_all_at(data, offset).map_err(|error| report("writing", offset, &error))
    }

    async fn flush(&self) -> Result<(), DeviceError> {
        if self.read_only {
            return Ok(());
        }
        self.file.sync_data().map_err(|error| report("flushing", 0, &error))
    }
}

/// The log keeps what the engine's error has no room for: a full host file system, above all.
fn report(what: &str, offset: u64, error: &io::Error) -> DeviceError {
    log::error!("{what} the disk image at byte {offset}: {error}");
    match error.kind() {
        ErrorKind::UnexpectedEof => DeviceError::Gone, // cut short while it was open
        _ => DeviceError::Io,
    }
}

fn unwritable(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem)
}

fn lock(file: &File, shared: bool) -> Result<(), ImageError> {
    let locked = if shared { file.try_lock_shared() } else { file.try_lock() };
    match locked {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(ImageError::InUse),
        // Some network file systems have no locks: better unlocked than not at all.
        Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => {
            log::warn!("this file system has no locks: nothing may use the image meanwhile");
            Ok(())
        }
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

const SECTOR: u64 = 512;
