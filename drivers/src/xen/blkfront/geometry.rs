//! What a backend says of its disk, checked.
use super::link::MAX_SEGMENTS;
use crate::task::join;
use crate::xen::bus::{Backend, BusError};
use crate::xen::xenstore::{StoreError, Xenstore};
use alloc::format;
use alloc::vec::Vec;
use core::fmt;
use fat::DeviceError;
use xen_sys::blkif::{SECTOR_SIZE, SEGMENTS, VDISK_READONLY};

/// The numbers that a backend tells, with what holds for one that does not.
const NODES: [(&str, u64); 6] = [
    ("sector-size", SECTOR_SIZE as u64),
    ("sectors", 0),
    ("info", 0),
    ("feature-flush-cache", 0),
    ("feature-barrier", 0),
    ("feature-max-indirect-segments", 0),
];

/// How what was written becomes durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flush {
    Cache,
    /// An older backend: an empty write with a barrier.
    Barrier,
    /// The disk has no volatile cache, or does not tell.
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// A power of two from 512 to 4096.
    pub sector_size: usize,
    /// In bytes; whole sectors.
    pub size: u64,
    pub read_only: bool,
    pub flush: Flush,
    /// Pages that one request may move.
    pub segments: usize,
}

impl Geometry {
    pub async fn read(store: &Xenstore, backend: &Backend) -> Result<Self, BusError> {
        const NONSENSE: BusError = BusError::Backend("its backend tells no usable disk");
        // Side by side: each answer takes a while.
        let number = |(name, default)| backend.number(store, name, default);
        let numbers = join(NODES.map(number)).await.into_iter().collect::<Result<Vec<u64>, _>>()?;
        let Ok([sector_size, sectors, info, cache, barrier, indirect]) =
            <[u64; NODES.len()]>::try_from(numbers)
        else {
            return Err(NONSENSE);
        };
        if !sector_size.is_power_of_two() || !(512..=4096).contains(&sector_size) {
            return Err(NONSENSE);
        }
        // In units of 512 bytes, whatever the sector size.
        let size = sectors.checked_mul(SECTOR_SIZE as u64).ok_or(NONSENSE)?;
        let size = size & !sector_size.saturating_sub(1);
        if size == 0 {
            return Err(NONSENSE);
        }
        let mode = match store.read(&format!("{}/mode", backend.path)).await {
            Err(StoreError::NotFound) => Vec::new(),
            mode => mode?,
        };
        let flush = match (cache, barrier) {
            (1.., _) => Flush::Cache,
            (0, 1..) => Flush::Barrier,
            (0, 0) => Flush::None,
        };
        Ok(Self {
            sector_size: sector_size as usize,
            size,
            read_only: info & u64::from(VDISK_READONLY) != 0 || mode.starts_with(b"r"),
            flush,
            segments: usize::try_from(indirect)
                .map_or(SEGMENTS, |n| n.clamp(SEGMENTS, MAX_SEGMENTS)),
        })
    }

    /// Whether a disk that was known as this one can go on as `other`.
    pub fn fits(&self, other: &Self) -> bool {
        (self.sector_size, self.size, self.read_only)
            == (other.sector_size, other.size, other.read_only)
    }

    /// Whether a request of this place and length, in bytes, may be made.
    pub fn check(&self, offset: u64, length: usize) -> Result<(), DeviceError> {
        let whole = |n: u64| n.is_multiple_of(self.sector_size as u64);
        let end = u64::try_from(length).ok().and_then(|n| offset.checked_add(n));
        let inside = end.is_some_and(|end| end <= self.size && whole(end));
        if inside && whole(offset) { Ok(()) } else { Err(DeviceError::OutOfRange) }
    }
}

impl fmt::Display for Geometry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let access = if self.read_only { "read-only" } else { "writable" };
        let flush = match self.flush {
            Flush::Cache => "flushes",
            Flush::Barrier => "barriers",
            Flush::None => "no flush: the backend has none",
        };
        let (mib, sector) = (self.size >> 20, self.sector_size);
        write!(f, "{mib} MiB, {access}, sectors of {sector} bytes, {flush}, ")?;
        write!(f, "{} pages a request", self.segments)
    }
}
