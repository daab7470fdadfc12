//! The log of a growth: what is to be written where. It lies behind the old volume's clusters.
//!
//! An entry is a sector with, little-endian, where its data belong on the disk (8 bytes) and their
//! length (8), and then the data. The boot sector that leads to it begins as follows: a jump (3),
//! `MSFSGROW` (8), zeros where FAT keeps the size of a sector (2), then at 16 the offset of the log
//! from there (8), its length (8), the FNV-1a hash of all of it (8), and the size of a sector (8).
use super::error::GrowError;
use crate::bytes::{Fnv, u64_at};
use crate::layout::geometry::{GROWING, GROWING_AT};
use crate::{BlockDevice, DeviceError, MountError};
use alloc::vec;
use alloc::vec::Vec;

const FIELDS: usize = 16;
/// How much is read at once, and the most data of an entry.
const CHUNK: u64 = 1 << 20;
const BROKEN: MountError =
    MountError::NotFat("its growth was interrupted, and the log of it is damaged");

pub(super) struct Log<'a, D> {
    device: &'a D,
    start: u64,
    next: u64,
    end: u64,
    hash: Fnv,
}

impl<'a, D: BlockDevice> Log<'a, D> {
    /// An empty log in `start..end`.
    pub fn new(device: &'a D, start: u64, end: u64) -> Self {
        Self { device, start, next: start, end, hash: Fnv::default() }
    }

    /// Adds whole sectors for this place.
    pub async fn add(&mut self, place: u64, data: &[u8]) -> Result<(), GrowError> {
        let sector = self.device.sector_size();
        let mut entry = Vec::with_capacity(sector.saturating_add(data.len()));
        entry.extend_from_slice(&place.to_le_bytes());
        entry.extend_from_slice(&(data.len() as u64).to_le_bytes());
        entry.resize(sector, 0);
        entry.extend_from_slice(data);
        let after = self.next.saturating_add(entry.len() as u64);
        if after > self.end {
            return Err(GrowError::Refused("there is too little new room to do it safely"));
        }
        self.hash.add(&entry);
        self.device.write(self.next, &entry).await?;
        self.next = after;
        Ok(())
    }
}

/// The sector that takes the place of the boot sector while the log is the truth.
pub(super) fn marker<D: BlockDevice>(boot: &[u8], log: &Log<'_, D>, start: u64) -> Vec<u8> {
    let mut sector = vec![0; boot.len()];
    let mut put = |at: usize, bytes: &[u8]| {
        for (to, from) in sector.iter_mut().skip(at).zip(bytes) {
            *to = *from;
        }
    };
    put(0, &[0xEB, 0xFE, 0x90]);
    put(GROWING_AT, GROWING);
    let size = log.device.sector_size() as u64;
    let (at, len) = (log.start.saturating_sub(start), log.next.saturating_sub(log.start));
    for (index, field) in [at, len, log.hash.finish(), size].into_iter().enumerate() {
        put(FIELDS.saturating_add(index.saturating_mul(8)), &field.to_le_bytes());
    }
    put(510, &[0x55, 0xAA]);
    sector
}

/// Writes what the log of the growth says, which the boot sector at `start` leads to.
pub(crate) async fn finish<D: BlockDevice>(device: &D, start: u64) -> Result<(), MountError> {
    let sector = device.sector_size();
    let mut boot = vec![0; sector.max(512)];
    device.read(start, &mut boot).await?;
    let field = |index: usize| u64_at(&boot, FIELDS.saturating_add(index.saturating_mul(8)));
    let (at, len, hash, size) = (field(0), field(1), field(2), field(3));
    let from = start.checked_add(at).ok_or(BROKEN)?;
    let to = from.checked_add(len).filter(|end| *end <= device.size()).ok_or(BROKEN)?;
    if boot.get(GROWING_AT..GROWING_AT + GROWING.len()) != Some(GROWING)
        || size != sector as u64
        || len == 0
        || !(from | len).is_multiple_of(size)
    {
        return Err(BROKEN);
    }
    let mut sum = Fnv::default();
    each_chunk(device, from, to, |data| sum.add(data)).await?;
    if sum.finish() != hash {
        return Err(BROKEN);
    }
    let mut next = from;
    while next < to {
        let mut head = vec![0; sector];
        device.read(next, &mut head).await?;
        let (place, len) = (u64_at(&head, 0), u64_at(&head, 8));
        let data_at = next.saturating_add(size);
        let fits = data_at.checked_add(len).is_some_and(|end| end <= to);
        // The log is whole: this is only what a crafted one could say.
        let inside = place >= start && place.checked_add(len).is_some_and(|end| end <= from);
        if !fits || !inside || len == 0 || len > CHUNK || !(place | len).is_multiple_of(size) {
            return Err(BROKEN);
        }
        let mut data = vec![0; usize::try_from(len).map_err(|_| BROKEN)?];
        device.read(data_at, &mut data).await?;
        next = data_at.saturating_add(len);
        if next == to {
            // The new boot sector: everything else is there.
            device.flush().await?;
        }
        device.write(place, &data).await?;
    }
    device.flush().await?;
    log::info!("the volume has grown");
    Ok(())
}

async fn each_chunk<D: BlockDevice>(
    device: &D,
    from: u64,
    to: u64,
    mut with: impl FnMut(&[u8]),
) -> Result<(), DeviceError> {
    let mut at = from;
    while at < to {
        let len = to.saturating_sub(at).min(CHUNK);
        let mut data = vec![0; usize::try_from(len).unwrap_or(0)];
        device.read(at, &mut data).await?;
        with(&data);
        at = at.saturating_add(len);
    }
    Ok(())
}
