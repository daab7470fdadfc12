//! exFAT's clusters: the bitmap, and files whose clusters are neighbours. Sections 7.1 "Allocation Bitmap
//! Directory Entry" and 6.3.4.2 "NoFatChain Field".
use crate::layout::dirent::Dirent;
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

    /// Counts the clusters that the bitmap has free.
    pub(crate) async fn count_free_bits(&self) -> Result<(), Error> {
        let (bitmap, len) = self.space.bitmap.borrow().clone();
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
