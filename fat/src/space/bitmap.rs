//! exFAT's clusters: the bitmap, and files whose clusters are neighbours. Sections 7.1 "Allocation Bitmap
//! Directory Entry" and 6.3.4.2 "NoFatChain Field".
use crate::layout::dirent::Dirent;
use crate::memory::cache::Class;
use crate::space::extents::Extents;
use crate::{BlockDevice, Error, Volume};
use alloc::vec;

/// How much of the bitmap is read at once.
const CHUNK: usize = 64 * 1024;

impl<D: BlockDevice> Volume<D> {
    /// Where the clusters of a file or directory are. An empty file of exFAT has none.
    pub(crate) async fn extents_of(&self, entry: &Dirent) -> Result<Extents, Error> {
        let set = match entry {
            Dirent::Fat(entry) => {
                let first = entry.cluster(self.wide());
                return if first == 0 { Ok(Extents::default()) } else { self.chain(first).await };
            }
            Dirent::ExFat(set) => set,
        };
        self.extents(set.cluster(), set.len(), set.is_contiguous()).await
    }

    /// Where so many bytes from this cluster on are.
    pub(crate) async fn extents(
        &self,
        first: u32,
        len: u64,
        contiguous: bool,
    ) -> Result<Extents, Error> {
        let mut extents = Extents::default();
        let clusters = len.div_ceil(self.geometry.cluster_size.max(1).into());
        if clusters == 0 {
            return Ok(extents);
        }
        let last = u64::from(first).saturating_add(clusters).saturating_sub(1);
        let fits = u32::try_from(last).is_ok_and(|last| self.is_cluster(last));
        match u32::try_from(clusters) {
            Ok(clusters) if contiguous && self.is_cluster(first) && fits => {
                extents.push(first, clusters);
            }
            Ok(clusters) if !contiguous => {
                extents = self.chain(first).await?;
                extents.truncate(clusters);
            }
            _ => return Err(self.damage("a file lies outside the volume")),
        }
        Ok(extents)
    }

    /// Where a system file of so many bytes is; nothing when it is not whole.
    pub(crate) async fn system_file(&self, first: u32, len: u64) -> Option<Extents> {
        let extents = self.extents(first, len, false).await.ok()?;
        let needed = len.div_ceil(self.geometry.cluster_size.max(1).into());
        (needed > 0 && u64::from(extents.clusters()) >= needed).then_some(extents)
    }

    /// Notes where the bitmap is, and how long.
    pub(crate) fn set_bitmap(&self, bitmap: Extents, len: u64) {
        *self.space.bitmap.borrow_mut() = (bitmap, len);
    }

    /// Where the bitmap is, and how long.
    pub(crate) fn bitmap(&self) -> (Extents, u64) {
        self.space.bitmap.borrow().clone()
    }

    /// The line of a cluster's bit, which byte of it, and how many bytes of the bitmap there are from the
    /// line's start on.
    pub(crate) fn bit_line(&self, cluster: u32) -> Result<(u64, usize, u64), Error> {
        let size = u64::from(self.geometry.cluster_size.max(1));
        let byte = u64::from(cluster.saturating_sub(2) / 8);
        let at = u32::try_from(byte / size).unwrap_or(u32::MAX);
        let found = self.space.bitmap.borrow().0.find(at).filter(|_| self.is_cluster(cluster));
        let (first, left) =
            found.ok_or_else(|| self.damage("a cluster that the bitmap has not"))?;
        let (base, at) = self.line_of(self.cluster_offset(first).saturating_add(byte % size));
        let ahead = u64::from(left).saturating_mul(size).saturating_sub(byte % size);
        Ok((base, at, ahead.saturating_add(at as u64)))
    }

    /// The first cluster of `from..to` that is free, or with `free` false the first that is not.
    pub(super) async fn first_bit(
        &self,
        free: bool,
        from: u32,
        to: u32,
    ) -> Result<Option<u32>, Error> {
        let mut cluster = from;
        while cluster < to {
            let (base, at, ahead) = self.bit_line(cluster)?;
            let skip = cluster.saturating_sub(2) % 8;
            let (seen, found) =
                self.line(base, ahead, |line| search(line.get(at..), skip, free)).await?;
            if let Some(found) = found {
                let found = cluster.saturating_add(found);
                return Ok((found < to).then_some(found));
            }
            cluster = cluster.saturating_add(seen.max(1));
        }
        Ok(None)
    }

    /// Says of clusters that they are in use, or that they are not. The lock is held exclusively.
    pub(crate) async fn set_bits(&self, first: u32, count: u32, used: bool) -> Result<(), Error> {
        let (mut cluster, end) = (first, first.saturating_add(count));
        while cluster < end {
            let (base, at, _) = self.bit_line(cluster)?;
            cluster = self
                .change_line(base, Class::Table, |line| {
                    let first = cluster;
                    for byte in line.iter_mut().skip(at) {
                        loop {
                            let bit = 1 << (cluster.saturating_sub(2) % 8);
                            *byte = if used { *byte | bit } else { *byte & !bit };
                            cluster = cluster.saturating_add(1);
                            if cluster >= end {
                                return cluster;
                            }
                            if cluster.saturating_sub(2) % 8 == 0 {
                                break;
                            }
                        }
                    }
                    cluster.max(first.saturating_add(1))
                })
                .await?;
            self.relieve().await?;
        }
        Ok(())
    }

    /// Gives clusters back that are in use.
    pub(super) async fn free_bits(&self, first: u32, count: u32) -> Result<(), Error> {
        let end = first.saturating_add(count);
        if self.first_bit(true, first, end).await?.is_some() {
            return Err(self.damage("two files share a cluster"));
        }
        self.set_bits(first, count, false).await?;
        self.space.give(first, count, self.geometry.clusters);
        Ok(())
    }

    /// Counts the clusters that the bitmap has free.
    pub(crate) async fn count_free_bits(&self) -> Result<(), Error> {
        // The count reads past the cache.
        self.write_dirty(Class::Table).await?;
        let (bitmap, len) = self.bitmap();
        let clusters = u64::from(self.geometry.clusters);
        let (mut at, mut used) = (0u64, 0u64);
        let mut data = vec![0; CHUNK];
        let len = len.min(clusters.div_ceil(8));
        while at < len {
            let left = usize::try_from(len.saturating_sub(at)).unwrap_or(CHUNK);
            let chunk = data.get_mut(..left.min(CHUNK)).unwrap_or_default();
            self.read_data(&bitmap, at, chunk).await?;
            let end = at.saturating_add(chunk.len() as u64).saturating_mul(8);
            if let Some(last) = chunk.last_mut()
                && end > clusters
            {
                // Bits behind the last cluster mean nothing.
                *last &= 0xFFu8 >> (end.saturating_sub(clusters) % 8);
            }
            used = used.saturating_add(chunk.iter().map(|byte| u64::from(byte.count_ones())).sum());
            at = at.saturating_add(chunk.len() as u64);
        }
        let free = u32::try_from(clusters.saturating_sub(used)).unwrap_or(0);
        self.space.end_count(free);
        Ok(())
    }
}

/// How many bits there are behind the first `skip`, and which of them is the first that says what is
/// wanted.
fn search(bytes: Option<&[u8]>, skip: u32, free: bool) -> (u32, Option<u32>) {
    let bytes = bytes.unwrap_or_default();
    let count = u32::try_from(bytes.len()).unwrap_or(0).saturating_mul(8);
    let mut bits = 0u32;
    for byte in bytes {
        let wanted = if free { !*byte } else { *byte };
        let wanted = if bits == 0 { u32::from(wanted) >> skip << skip } else { wanted.into() };
        if wanted != 0 {
            return (count, Some((bits + wanted.trailing_zeros()).saturating_sub(skip)));
        }
        bits += 8;
    }
    (count.saturating_sub(skip), None)
}
