//! Sectors of the tables and directories, read through the cache and written back.
use crate::disk::join::join;
use crate::memory::cache::{Class, DirtyLine};
use crate::{BlockDevice, DeviceError, Error, Volume};
use alloc::vec;
use alloc::vec::Vec;

/// How much is read at once when a sector is not in the cache.
const READ_AHEAD: u64 = 16 * 1024;
/// The largest request that dirty sectors are merged into.
const WRITE_MERGE: usize = 64 * 1024;
/// Requests of one batch of dirty sectors.
const BATCH: usize = 256;

impl<D: BlockDevice> Volume<D> {
    /// The line that `offset` lies in, and where in it.
    pub(crate) fn line_of(&self, offset: u64) -> (u64, usize) {
        let inside = offset.saturating_sub(self.geometry.start) % self.memory.cache.line_size();
        (offset.saturating_sub(inside), usize::try_from(inside).unwrap_or(0))
    }

    /// Brings the line at `base` into the cache, and with it what follows of the `ahead` bytes from
    /// `base` on that belong together.
    async fn load(&self, base: u64, ahead: u64) -> Result<(), Error> {
        if self.memory.cache.contains(base) {
            return Ok(());
        }
        let line = self.memory.cache.line_size();
        let len = ahead.min(READ_AHEAD) / line * line;
        let mut data = vec![0; usize::try_from(len.max(line)).unwrap_or(0)];
        self.device.read(base, &mut data).await?;
        let mut lines = data.chunks(usize::try_from(line).unwrap_or(512));
        let first = lines.next();
        let mut at = base;
        for data in lines {
            at = at.saturating_add(line);
            self.memory.cache.insert(at, data);
        }
        // Last, so that its neighbours cannot push it out.
        if let Some(first) = first {
            self.memory.cache.insert(base, first);
        }
        Ok(())
    }

    /// Puts lines that have just been written at `base` into the cache.
    pub(crate) fn remember(&self, base: u64, data: &[u8]) {
        let mut at = base;
        for line in
            data.chunks(usize::try_from(self.memory.cache.line_size()).unwrap_or(512).max(1))
        {
            self.memory.cache.insert(at, line);
            at = at.saturating_add(line.len() as u64);
        }
    }

    /// Calls `f` with the line at `base`.
    pub(crate) async fn line<R>(
        &self,
        base: u64,
        ahead: u64,
        f: impl FnOnce(&[u8]) -> R,
    ) -> Result<R, Error> {
        match self.memory.cache.with(base, f) {
            Ok(result) => Ok(result),
            Err(f) => {
                self.load(base, ahead).await?;
                let result = self.memory.cache.with(base, f);
                result.map_err(|_| Error::Device(DeviceError::OutOfRange))
            }
        }
    }

    /// Calls `f` with the line at `base` to change it. The lock is held exclusively.
    pub(crate) async fn change_line<R>(
        &self,
        base: u64,
        class: Class,
        f: impl FnOnce(&mut [u8]) -> R,
    ) -> Result<R, Error> {
        self.load(base, 0).await?;
        self.memory.cache.update(base, class, f).ok_or(Error::Device(DeviceError::OutOfRange))
    }

    /// Writes all dirty sectors of a class, those of the table to every copy in use.
    pub(crate) async fn write_dirty(&self, class: Class) -> Result<(), Error> {
        let mut from = 0;
        loop {
            let lines = self.memory.cache.dirty(class, from, BATCH);
            let Some(last) = lines.last() else {
                return Ok(());
            };
            from = last.offset.saturating_add(1);
            let written: Vec<u64> = lines.iter().map(|line| line.offset).collect();
            let runs = merge(lines, self.memory.cache.line_size());
            self.note_write();
            let copies = match class {
                Class::Table => self.table_copies(),
                Class::Directory => vec![0],
            };
            let device = &self.device;
            join(copies.iter().flat_map(|copy| {
                runs.iter().map(move |(at, data)| device.write(at.saturating_add(*copy), data))
            }))
            .await?;
            self.note_write();
            for offset in written {
                self.memory.cache.set_clean(offset);
            }
        }
    }

    /// Writes the dirty table sectors when they take up much of the cache. That is safe at any
    /// time: what must not be written yet is pending and not in the cache.
    pub(crate) async fn relieve(&self) -> Result<(), Error> {
        if self.memory.cache.dirty_count(Class::Table) > self.memory.cache.capacity() / 4 {
            self.write_dirty(Class::Table).await?;
        }
        Ok(())
    }

    pub(crate) async fn flush(&self) -> Result<(), Error> {
        let writes = self.memory.writes.get();
        self.memory.unflushed_bytes.set(0);
        self.device.flush().await?;
        self.memory.flushed.set(self.memory.flushed.get().max(writes));
        Ok(())
    }

    /// Whether something was written that no flush has followed which succeeded.
    pub(crate) fn is_unflushed(&self) -> bool {
        self.memory.writes.get() > self.memory.flushed.get()
    }

    /// To be called when a write begins and when it ends: a flush that began in between may have
    /// come too early for it.
    pub(crate) fn note_write(&self) {
        self.memory.writes.set(self.memory.writes.get().saturating_add(1));
    }

    /// Writes past the cache.
    pub(crate) async fn write_through(&self, offset: u64, data: &[u8]) -> Result<(), Error> {
        self.note_write();
        let written = self.device.write(offset, data).await;
        self.note_write();
        Ok(written?)
    }

    /// Reads a sector past the cache, changes it and writes it when that made a difference.
    pub(crate) async fn patch(&self, base: u64, f: impl FnOnce(&mut [u8])) -> Result<(), Error> {
        let mut data = vec![0; usize::try_from(self.memory.cache.line_size()).unwrap_or(512)];
        self.device.read(base, &mut data).await?;
        let before = data.clone();
        f(&mut data);
        if data != before {
            self.write_through(base, &data).await?;
        }
        Ok(())
    }
}

/// Joins neighbouring lines, which come in order, to requests.
fn merge(lines: Vec<DirtyLine>, line_size: u64) -> Vec<(u64, Vec<u8>)> {
    let mut runs: Vec<(u64, Vec<u8>)> = Vec::new();
    let mut next = None;
    for DirtyLine { offset, data, .. } in lines {
        match runs.last_mut() {
            Some((_, run)) if next == Some(offset) && run.len() < WRITE_MERGE => {
                run.extend_from_slice(&data);
            }
            _ => runs.push((offset, data.into_vec())),
        }
        next = offset.checked_add(line_size);
    }
    runs
}
