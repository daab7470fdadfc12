//! The disk. A call is over when the host has the data; there is no way to make it keep them.
use super::{Refusal, Tender};
use alloc::rc::Rc;
use core::fmt;
use fat::{BlockDevice, DeviceError};

/// A disk. Clones share it.
#[derive(Clone)]
pub struct Solo5Disk(Rc<Disk>);

struct Disk {
    tender: Rc<dyn Tender>,
    device: u64,
    /// In bytes; whole sectors.
    size: u64,
    sector_size: usize,
}

/// Sectors of a size that no volume has, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadDisk {
    pub size: u64,
    pub sector_size: u16,
}

impl fmt::Display for BadDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { size, sector_size } = self;
        write!(f, "{size} bytes in sectors of {sector_size}: sectors have 512 to 4096 bytes here")
    }
}

impl core::error::Error for BadDisk {}

impl Solo5Disk {
    /// The disk of this handle, of `size` bytes.
    pub fn new(
        tender: Rc<dyn Tender>,
        device: u64,
        size: u64,
        sector_size: u16,
    ) -> Result<Self, BadDisk> {
        let whole = size & !u64::from(sector_size.saturating_sub(1));
        if !sector_size.is_power_of_two() || !(512..=4096).contains(&sector_size) || whole == 0 {
            return Err(BadDisk { size, sector_size });
        }
        log::info!(
            "disk storage: {} MiB, sectors of {sector_size} bytes, no flush: Solo5 has none, so what is synced \
             may not survive a crash of the host",
            size >> 20
        );
        let sector_size = sector_size.into();
        Ok(Self(Rc::new(Disk { tender, device, size: whole, sector_size })))
    }

    /// Whether a request of this place and length, in bytes, may be made.
    fn check(&self, offset: u64, length: usize) -> Result<(), DeviceError> {
        let whole = |n: u64| n.is_multiple_of(self.0.sector_size as u64);
        let end = u64::try_from(length).ok().and_then(|n| offset.checked_add(n));
        let inside = end.is_some_and(|end| end <= self.0.size && whole(end));
        if inside && whole(offset) { Ok(()) } else { Err(DeviceError::OutOfRange) }
    }
}

fn done(result: Result<(), Refusal>) -> Result<(), DeviceError> {
    result.map_err(|refusal| match refusal {
        Refusal::Invalid => DeviceError::OutOfRange,
        Refusal::Again | Refusal::Other => DeviceError::Io,
    })
}

impl BlockDevice for Solo5Disk {
    fn sector_size(&self) -> usize {
        self.0.sector_size
    }

    fn size(&self) -> u64 {
        self.0.size
    }

    fn read_only(&self) -> bool {
        false
    }

    async fn read(&self, offset: u64, buf: &mut [u8]) -> Result<(), DeviceError> {
        self.check(offset, buf.len())?;
        match buf.is_empty() {
            true => Ok(()),
            false => done(self.0.tender.read_block(self.0.device, offset, buf)),
        }
    }

    async fn write(&self, offset: u64, data: &[u8]) -> Result<(), DeviceError> {
        self.check(offset, data.len())?;
        match data.is_empty() {
            true => Ok(()),
            false => done(self.0.tender.write_block(self.0.device, offset, data)),
        }
    }

    /// What was written is the host's already, and nothing makes it do more.
    async fn flush(&self) -> Result<(), DeviceError> {
        Ok(())
    }
}
