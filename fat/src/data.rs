//! The bytes of files: the largest requests that the extents allow, several at once.
use crate::extents::Extents;
use crate::join::join;
use crate::{BlockDevice, DeviceError, Error, Volume};
use alloc::vec;
use alloc::vec::Vec;

/// The largest request.
const CHUNK: u64 = 1 << 20;

impl<D: BlockDevice> Volume<D> {
    /// The pieces `(offset on the disk, length)` of a range of a file.
    fn pieces(&self, extents: &Extents, mut at: u64, len: u64) -> Result<Vec<(u64, usize)>, Error> {
        let cluster_size = u64::from(self.geometry.cluster_size);
        let outside = Error::Device(DeviceError::OutOfRange);
        let mut pieces = Vec::new();
        let mut left = len;
        while left > 0 {
            let number = u32::try_from(at / cluster_size).map_err(|_| outside)?;
            let (cluster, count) = extents.find(number).ok_or(outside)?;
            let inside = at % cluster_size;
            let room = u64::from(count).saturating_mul(cluster_size).saturating_sub(inside);
            let len = room.min(left).min(CHUNK);
            let offset = self.cluster_offset(cluster).checked_add(inside).ok_or(outside)?;
            pieces.push((offset, usize::try_from(len).map_err(|_| outside)?));
            at = at.saturating_add(len);
            left = left.saturating_sub(len);
        }
        Ok(pieces)
    }

    /// Whole sectors of a file.
    async fn read_sectors(
        &self,
        extents: &Extents,
        at: u64,
        mut buf: &mut [u8],
    ) -> Result<(), Error> {
        let pieces = self.pieces(extents, at, buf.len() as u64)?;
        if let [(offset, _)] = pieces.as_slice() {
            return Ok(self.device.read(*offset, buf).await?);
        }
        let mut parts = Vec::with_capacity(pieces.len());
        for (offset, len) in pieces {
            let Some((part, rest)) = buf.split_at_mut_checked(len) else {
                break;
            };
            parts.push((offset, part));
            buf = rest;
        }
        let device = &self.device;
        Ok(join(parts.into_iter().map(|(offset, part)| device.read(offset, part))).await?)
    }

    async fn write_sectors(&self, extents: &Extents, at: u64, data: &[u8]) -> Result<(), Error> {
        let pieces = self.pieces(extents, at, data.len() as u64)?;
        self.unflushed.set(true);
        if let [(offset, _)] = pieces.as_slice() {
            return Ok(self.device.write(*offset, data).await?);
        }
        let mut rest = data;
        let mut parts = Vec::with_capacity(pieces.len());
        for (offset, len) in pieces {
            let Some((part, after)) = rest.split_at_checked(len) else {
                break;
            };
            parts.push((offset, part));
            rest = after;
        }
        let device = &self.device;
        Ok(join(parts.into_iter().map(|(offset, part)| device.write(offset, part))).await?)
    }

    /// Fills `buf`, which lies inside the file, from byte `at` on.
    pub(crate) async fn read_data(
        &self,
        extents: &Extents,
        at: u64,
        buf: &mut [u8],
    ) -> Result<(), Error> {
        let sector = self.device.sector_size();
        let (head, inside) = split(at, sector, buf.len());
        let (first, rest) = buf.split_at_mut_checked(head).unwrap_or_default();
        if !first.is_empty() {
            let mut bounce = vec![0; sector];
            self.read_sectors(extents, at.saturating_sub(inside as u64), &mut bounce).await?;
            copy(first, bounce.get(inside..).unwrap_or_default());
        }
        let at = at.saturating_add(head as u64);
        let whole = rest.len() / sector * sector;
        let (middle, last) = rest.split_at_mut_checked(whole).unwrap_or_default();
        if !middle.is_empty() {
            self.read_sectors(extents, at, middle).await?;
        }
        if !last.is_empty() {
            let mut bounce = vec![0; sector];
            self.read_sectors(extents, at.saturating_add(whole as u64), &mut bounce).await?;
            copy(last, &bounce);
        }
        Ok(())
    }

    /// Writes `data` from byte `at` on; the clusters are there. `valid` is the size of the file so
    /// far: what lies behind it on the disk is not kept, and zeros take its place.
    pub(crate) async fn write_data(
        &self,
        extents: &Extents,
        at: u64,
        data: &[u8],
        valid: u64,
    ) -> Result<(), Error> {
        let sector = self.device.sector_size();
        let (head, inside) = split(at, sector, data.len());
        let (first, rest) = data.split_at_checked(head).unwrap_or_default();
        if !first.is_empty() {
            let base = at.saturating_sub(inside as u64);
            self.write_part(extents, base, inside, first, valid).await?;
        }
        let at = at.saturating_add(head as u64);
        let whole = rest.len() / sector * sector;
        let (middle, last) = rest.split_at_checked(whole).unwrap_or_default();
        if !middle.is_empty() {
            self.write_sectors(extents, at, middle).await?;
        }
        if !last.is_empty() {
            let base = at.saturating_add(whole as u64);
            self.write_part(extents, base, 0, last, valid).await?;
        }
        Ok(())
    }

    /// Changes part of the sector at `base`.
    async fn write_part(
        &self,
        extents: &Extents,
        base: u64,
        inside: usize,
        data: &[u8],
        valid: u64,
    ) -> Result<(), Error> {
        let mut bounce = vec![0; self.device.sector_size()];
        if base < valid {
            self.read_sectors(extents, base, &mut bounce).await?;
            let kept = usize::try_from(valid.saturating_sub(base)).unwrap_or(usize::MAX);
            bounce.iter_mut().skip(kept).for_each(|byte| *byte = 0);
        }
        copy(bounce.get_mut(inside..).unwrap_or_default(), data);
        self.write_sectors(extents, base, &bounce).await
    }
}

/// How many of `len` bytes at `at` belong to a sector that does not start there, and how far inside
/// it they start.
fn split(at: u64, sector: usize, len: usize) -> (usize, usize) {
    let inside = usize::try_from(at % sector.max(1) as u64).unwrap_or(0);
    let head = if inside == 0 { 0 } else { len.min(sector.saturating_sub(inside)) };
    (head, inside)
}

fn copy(to: &mut [u8], from: &[u8]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = *from;
    }
}
