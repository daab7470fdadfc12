//! The bytes of files: the largest requests that the extents allow, several at once.
use crate::disk::join::join;
use crate::space::extents::Extents;
use crate::{BlockDevice, DeviceError, Error, Volume};
use alloc::vec;
use alloc::vec::Vec;

impl<D: BlockDevice> Volume<D> {
    /// The pieces `(offset on the disk, length)` of a range of a file.
    pub(crate) fn pieces(
        &self,
        extents: &Extents,
        mut at: u64,
        len: u64,
    ) -> Result<Vec<(u64, usize)>, DeviceError> {
        let cluster_size = u64::from(self.geometry.cluster_size.max(1));
        let largest = self.device.largest_request().max(self.device.sector_size()) as u64;
        let outside = DeviceError::OutOfRange;
        let mut pieces = Vec::new();
        let mut left = len;
        while left > 0 {
            let number = u32::try_from(at / cluster_size).map_err(|_| outside)?;
            let (cluster, count) = extents.find(number).ok_or(outside)?;
            let inside = at % cluster_size;
            let room = u64::from(count).saturating_mul(cluster_size).saturating_sub(inside);
            let len = room.min(left).min(largest);
            let offset = self.cluster_offset(cluster).checked_add(inside).ok_or(outside)?;
            pieces.push((offset, usize::try_from(len).map_err(|_| outside)?));
            at = at.saturating_add(len);
            left = left.saturating_sub(len);
        }
        Ok(pieces)
    }

    /// Whole sectors of a file.
    pub(crate) async fn read_sectors(
        &self,
        extents: &Extents,
        at: u64,
        mut buf: &mut [u8],
    ) -> Result<(), DeviceError> {
        let pieces = self.pieces(extents, at, buf.len() as u64)?;
        if let [(offset, _)] = pieces.as_slice() {
            return self.device.read(*offset, buf).await;
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
        join(parts.into_iter().map(|(offset, part)| device.read(offset, part))).await
    }

    /// Writes whole sectors of file data.
    pub(crate) async fn write_sectors(&self, offset: u64, data: &[u8]) -> Result<(), DeviceError> {
        self.note_write();
        self.memory.blocks.discard(offset, data.len() as u64);
        let written = self.device.write(offset, data).await;
        self.note_write();
        self.memory.note_bytes(data.len());
        written
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

    /// Writes whole sectors from byte `at` on; the clusters are there.
    pub(crate) async fn write_data(
        &self,
        extents: &Extents,
        at: u64,
        data: &[u8],
    ) -> Result<(), DeviceError> {
        let mut rest = data;
        let pieces = self.pieces(extents, at, data.len() as u64)?;
        let mut parts = Vec::with_capacity(pieces.len());
        for (offset, len) in pieces {
            let Some((part, after)) = rest.split_at_checked(len) else {
                break;
            };
            parts.push((offset, part));
            rest = after;
        }
        join(parts.into_iter().map(|(offset, part)| self.write_sectors(offset, part))).await
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
