//! Reading: from memory, from what somebody else is just reading, else from the disk, and with it
//! what is likely to be asked for next.
use crate::file::node::File;
use crate::memory::lock::Lock;
use crate::{BlockDevice, DeviceError, Error, Volume};
use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::ops::Range;

/// Reads up to this length are kept for a while even when they are random.
const SMALL: usize = 16 * 1024;

/// Sectors that somebody is reading into memory.
#[derive(Debug)]
pub(crate) struct Reading {
    range: Range<u64>,
    /// Held alone until they are there.
    lock: Lock,
}

impl<D: BlockDevice> Volume<D> {
    /// The most that is read at once to be asked for later.
    fn window_limit(&self) -> usize {
        self.device.largest_request().min(self.files.data_bytes / 8)
    }

    /// What is just being read into memory, in bytes.
    fn being_read_bytes(&self) -> usize {
        let lens = |reading: &Rc<Reading>| reading.range.end.saturating_sub(reading.range.start);
        let bytes = self.files.reading.borrow().iter().map(lens).fold(0, u64::saturating_add);
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }

    /// What the blocks may take of the memory for file data: what nothing else needs.
    pub(crate) fn room_for_blocks(&self) -> usize {
        let others = self.files.held.bytes.get().saturating_add(self.being_read_bytes());
        self.files.data_bytes.saturating_sub(others)
    }

    /// Fills `buf`, which lies inside the file, from byte `offset` on. The file is locked.
    pub(crate) async fn read_file(
        &self,
        file: &File,
        offset: u64,
        buf: &mut [u8],
    ) -> Result<(), Error> {
        let node = &file.node;
        let range = offset..offset.saturating_add(buf.len() as u64);
        let mut sequence = file.sequence.get();
        let goes_on = sequence.note(&range);
        file.sequence.set(sequence);
        self.settle_range(node, &range).await;
        // What is in memory is not kept twice: its old contents would have to go when it is written.
        let keeps = node.behind.is_empty();
        let mut done = 0;
        while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let at = offset.saturating_add(done as u64);
            let there = node.find(at, self.geometry.cluster_size);
            let place = there.map(|(cluster, inside, bytes)| {
                (self.cluster_offset(cluster).saturating_add(inside), bytes)
            });
            let Some((place, bytes)) = place.filter(|(_, bytes)| *bytes >= rest.len() as u64)
            else {
                // In several pieces, which are read side by side.
                let (extents, inside) = node.piece(at, rest.len(), self.geometry.cluster_size);
                return self.read_data(&extents, inside, rest).await;
            };
            match self.memory.blocks.copy(place, rest) {
                0 => {}
                copied => {
                    done = done.saturating_add(copied);
                    continue;
                }
            }
            if let Some(reading) = self.being_read(place) {
                drop(reading.lock.shared().await);
                continue;
            }
            // What many read at once would add up.
            let keeps = keeps && self.being_read_bytes() <= self.files.data_bytes / 4;
            let mut wanted = rest.len();
            if goes_on && keeps && wanted <= self.window_limit() / 2 {
                let mut sequence = file.sequence.get();
                wanted = sequence.widen(wanted, self.window_limit());
                file.sequence.set(sequence);
            }
            // What nobody asked for may lie on a bad sector.
            if keeps
                && (wanted > rest.len() || wanted <= SMALL)
                && self.read_more(place, wanted, bytes, rest).await.is_ok()
            {
                return Ok(());
            }
            let (extents, inside) = node.piece(at, rest.len(), self.geometry.cluster_size);
            return self.read_data(&extents, inside, rest).await;
        }
        Ok(())
    }

    fn being_read(&self, place: u64) -> Option<Rc<Reading>> {
        let reading = self.files.reading.borrow();
        reading.iter().find(|reading| reading.range.contains(&place)).cloned()
    }

    /// Reads `wanted` bytes at `place` on the disk, where `bytes` belong to the file, keeps them and
    /// fills `buf`, which may be shorter.
    async fn read_more(
        &self,
        place: u64,
        wanted: usize,
        bytes: u64,
        buf: &mut [u8],
    ) -> Result<(), Error> {
        let sector = self.device.sector_size().max(1) as u64;
        let start = place / sector * sector;
        let end = place.saturating_add(bytes.min(wanted as u64));
        let end = end.checked_next_multiple_of(sector).unwrap_or(end);
        let range = start..end;
        let reading = Rc::new(Reading { range, lock: Lock::default() });
        let _alone = reading.lock.exclusive().await;
        self.files.reading.borrow_mut().push(reading.clone());
        let listed = Listed { list: &self.files.reading, reading: &reading };
        self.memory.blocks.shrink(self.room_for_blocks());
        let mut data = vec![0; usize::try_from(end.saturating_sub(start)).unwrap_or(0)];
        self.device.read(start, &mut data).await?;
        let inside = usize::try_from(place.saturating_sub(start)).unwrap_or(usize::MAX);
        let end = inside.saturating_add(buf.len());
        buf.copy_from_slice(data.get(inside..end).ok_or(DeviceError::OutOfRange)?);
        drop(listed);
        self.memory.blocks.insert(start, data, self.room_for_blocks());
        Ok(())
    }
}

/// Takes its reading out of the list when it is over.
struct Listed<'v> {
    list: &'v RefCell<Vec<Rc<Reading>>>,
    reading: &'v Rc<Reading>,
}

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        self.list.borrow_mut().retain(|other| !Rc::ptr_eq(other, self.reading));
    }
}
