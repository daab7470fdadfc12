//! How many clusters are free, by reading the table: at once, or piece by piece while others go on.
//!
//! The FSInfo sector says it too, but is a hint: many programs write to volumes without it.
use crate::memory::cache::Class;
use crate::space::table::value;
use crate::{BlockDevice, Error, Volume};
use alloc::vec;

/// How much of the table is read at once.
const PIECE: u64 = 32 * 1024;

/// How far a count has come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Count {
    /// The clusters before this one are counted,
    upto: u32,
    /// and so many of them are free now.
    free: u32,
}

impl Count {
    pub(crate) fn begin() -> Self {
        Self { upto: 2, free: 0 }
    }

    /// So many clusters from `first` on have an owner now.
    pub(crate) fn take(self, first: u32, count: u32) -> Self {
        let counted = self.upto.saturating_sub(first).min(count);
        Self { free: self.free.saturating_sub(counted), ..self }
    }

    /// So many clusters from `first` on have become free.
    pub(crate) fn give(self, first: u32, count: u32) -> Self {
        let counted = self.upto.saturating_sub(first).min(count);
        Self { free: self.free.saturating_add(counted), ..self }
    }
}

impl<D: BlockDevice> Volume<D> {
    /// Counts the free clusters. The lock is held exclusively, or nobody else is there yet.
    pub(crate) async fn count_free(&self) -> Result<(), Error> {
        if self.is_exfat() {
            return self.count_free_bits().await;
        }
        self.space.begin_count();
        while self.count_piece().await? {}
        Ok(())
    }

    /// Counts what is in one piece of the table. The lock is held, at least shared. Returns whether there
    /// is more.
    pub(crate) async fn count_piece(&self) -> Result<bool, Error> {
        let Some(Count { upto, free }) = self.space.count.get() else {
            return Ok(false);
        };
        let end = self.geometry.clusters.saturating_add(2);
        let (next, more) = match self.width() {
            Some(width) => self.free_in_piece(upto, end, width).await?,
            None => {
                let mut free = 0u32;
                for cluster in upto..end {
                    free = free.saturating_add(u32::from(self.entry(cluster).await? == 0));
                }
                (end, free)
            }
        };
        let free = free.saturating_add(more);
        if next >= end {
            self.space.end_count(free);
            return Ok(false);
        }
        self.space.count.set(Some(Count { upto: next, free }));
        Ok(true)
    }

    /// Of the clusters from `first` to before `end` those whose entries lie in one piece of the table:
    /// which is the first behind them, and how many are free.
    async fn free_in_piece(&self, first: u32, end: u32, width: u32) -> Result<(u32, u32), Error> {
        let byte = u64::from(first).saturating_mul(u64::from(width));
        let (start, inside) = (byte / PIECE * PIECE, byte % PIECE);
        let len = PIECE.min(self.geometry.table_size.saturating_sub(start));
        let mut piece = vec![0; usize::try_from(len).unwrap_or(0)];
        let base = self.table().saturating_add(start);
        self.device.read(base, &mut piece).await?;
        // What the disk does not know yet.
        let most = usize::try_from(len / self.memory.cache.line_size().max(1)).unwrap_or(0);
        for line in self.memory.cache.dirty(Class::Table, base, most) {
            let at = usize::try_from(line.offset.saturating_sub(base)).unwrap_or(usize::MAX);
            for (to, from) in piece.iter_mut().skip(at).zip(&line.data) {
                *to = *from;
            }
        }
        let left = end.saturating_sub(first) as usize;
        let entries = piece.get(usize::try_from(inside).unwrap_or(0)..).unwrap_or_default();
        let entries = entries.chunks_exact(width as usize).take(left);
        let next = first.saturating_add(u32::try_from(entries.len()).unwrap_or(u32::MAX));
        let free = entries.filter(|entry| self.widen(value(entry)) == 0).count();
        // A table that is too short has no more.
        Ok((if next == first { end } else { next }, u32::try_from(free).unwrap_or(u32::MAX)))
    }
}
