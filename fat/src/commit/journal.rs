//! The redo journal: makes a commit that changes several directory sectors atomic.
//!
//! It is a contiguous file in the system folder. Before directory sectors are written in place a
//! record with their new contents is written there and flushed; the next commit wipes it before
//! anything else is written. A mount that finds a whole record after a power cut writes its sectors
//! once more, unless another system changed them since; a torn record means that nothing was
//! written in place yet.
//!
//! A record, little-endian, padded to whole sectors: magic (8 bytes), hash of all that follows (8),
//! number of sectors (4), size of a sector (4), then for each sector its offset on the disk (8) and
//! the hash of its contents before (8); then the sectors, each in a sector of the file.
use crate::bytes::hash_bytes;
use crate::layout::entry::{ATTR_HIDDEN, ATTR_SYSTEM};
use crate::memory::cache::{Class, DirtyLine};
use crate::space::extents::Extents;
use crate::space::pending::Freed;
use crate::tree::directory::Directory;
use crate::tree::record::JOURNAL;
use crate::{BlockDevice, Error, Volume};
use alloc::vec;
use alloc::vec::Vec;

const MAGIC: [u8; 8] = *b"MSFSJNL1";
const HEADER: usize = 24;
const PER_SECTOR: usize = 16;
/// The most sectors of a record.
const CAPACITY: usize = 192;
/// The journal takes at most this part of the volume, or there is none.
const SHARE: u64 = 32;

/// Where the journal is, and whether it holds a record.
#[derive(Debug)]
pub(crate) struct Journal {
    offset: u64,
    live: bool,
}

impl Journal {
    pub(crate) fn capacity(&self) -> usize {
        CAPACITY
    }
}

impl<D: BlockDevice> Volume<D> {
    fn sector(&self) -> usize {
        usize::try_from(self.memory.cache.line_size()).unwrap_or(512).max(1)
    }

    /// The part of a record before the sectors.
    fn head_size(&self, sectors: usize) -> usize {
        let fields = sectors.saturating_mul(PER_SECTOR).saturating_add(HEADER);
        fields.div_ceil(self.sector()).saturating_mul(self.sector())
    }

    fn journal_size(&self) -> usize {
        self.head_size(CAPACITY).saturating_add(CAPACITY.saturating_mul(self.sector()))
    }

    /// Looks for the journal and, after a power cut, completes the commit that it holds.
    pub(crate) async fn open_journal(&self, dirty: bool) -> Result<(), Error> {
        let Some(folder) = self.system_folder().await? else {
            return Ok(());
        };
        let Some(found) = self.find(&folder, JOURNAL).await? else {
            return Ok(());
        };
        let size = self.journal_size();
        let extents = self.extents_of(&found.entry).await?;
        if extents.runs().len() != 1 || found.entry.len() < size as u64 {
            return Ok(());
        }
        let offset = self.cluster_offset(extents.first());
        if dirty && let Some(lines) = self.read_record_of_journal(offset).await? {
            if self.writable().is_err() {
                log::warn!("the last changes before the power cut wait for a writable mount");
                return Ok(());
            }
            self.replay(&lines).await?;
        }
        // Whatever is left there must not be taken for a record later.
        *self.commit.journal.borrow_mut() = Some(Journal { offset, live: true });
        Ok(())
    }

    /// The sectors of the record at `offset`, if it is whole.
    async fn read_record_of_journal(&self, offset: u64) -> Result<Option<Vec<DirtyLine>>, Error> {
        let sector = self.sector();
        let mut data = vec![0; self.journal_size()];
        self.device.read(offset, &mut data).await?;
        let Some((magic, rest)) = data.split_first_chunk::<8>() else {
            return Ok(None);
        };
        let Some((hash, body)) = rest.split_first_chunk::<8>() else {
            return Ok(None);
        };
        let Some((count, fields)) = body.split_first_chunk::<4>() else {
            return Ok(None);
        };
        let count = u32::from_le_bytes(*count) as usize;
        if *magic != MAGIC || count > CAPACITY {
            return Ok(None);
        }
        let size = self.head_size(count).saturating_add(count.saturating_mul(sector));
        let size_word = fields.first_chunk::<4>().map(|size| u32::from_le_bytes(*size) as usize);
        let hashed = body.get(..size.saturating_sub(16)).unwrap_or_default();
        if size_word != Some(sector) || hash_bytes(hashed) != u64::from_le_bytes(*hash) {
            return Ok(None);
        }
        let entries = fields.get(4..).unwrap_or_default().chunks_exact(PER_SECTOR).take(count);
        let images = data.get(self.head_size(count)..).unwrap_or_default().chunks_exact(sector);
        let mut lines = Vec::with_capacity(count);
        for (entry, image) in entries.zip(images) {
            let (Some(offset), Some(before)) = (entry.first_chunk(), entry.last_chunk()) else {
                return Ok(None);
            };
            lines.push(DirtyLine {
                offset: u64::from_le_bytes(*offset),
                data: image.into(),
                before: u64::from_le_bytes(*before),
            });
        }
        Ok(Some(lines))
    }

    /// Whether a journal may write there: directories only.
    fn is_directory_sector(&self, offset: u64) -> bool {
        let end = self.geometry.start.saturating_add(self.geometry.size);
        let first = if self.wide() { self.geometry.data_start } else { self.geometry.root_start };
        offset >= first
            && offset.saturating_add(self.memory.cache.line_size()) <= end
            && self.line_of(offset).1 == 0
    }

    async fn replay(&self, lines: &[DirtyLine]) -> Result<(), Error> {
        let mut current = vec![0; self.sector()];
        for line in lines {
            if !self.is_directory_sector(line.offset) {
                log::warn!("the journal names a sector outside the directories and is ignored");
                return Ok(());
            }
            self.device.read(line.offset, &mut current).await?;
            let hash = hash_bytes(&current);
            if hash != line.before && *current != *line.data {
                log::warn!("the volume was changed elsewhere since, its journal is ignored");
                return Ok(());
            }
        }
        for line in lines {
            self.write_through(line.offset, &line.data).await?;
            self.memory.cache.discard(line.offset, self.memory.cache.line_size());
        }
        self.flush().await?;
        self.tree.forget_all();
        log::info!("completed the changes that were interrupted: {} sectors", lines.len());
        Ok(())
    }

    /// Makes the journal, and the system folder, when there is none that can be used: a volume that
    /// another system formatted, or whose journal is in pieces. On a volume that is too small, too
    /// full or too fragmented this does nothing.
    pub async fn keep_journal(&self) -> Result<(), Error> {
        if self.commit.journal.borrow().is_some() || !self.has_room_for_journal() {
            return Ok(());
        }
        let _change = self.change().await?;
        let folder = self.own_folder().await?;
        self.make_journal(&folder).await
    }

    fn has_room_for_journal(&self) -> bool {
        (self.journal_size() as u64).saturating_mul(SHARE) <= self.geometry.size
    }

    /// Makes the journal when there is none that can be used. The lock is held exclusively.
    pub(crate) async fn make_journal(&self, folder: &Directory) -> Result<(), Error> {
        let size = self.journal_size();
        if self.commit.journal.borrow().is_some() || !self.has_room_for_journal() {
            return Ok(());
        }
        let existing = self.find(folder, JOURNAL).await?;
        let old = match &existing {
            Some(found) => self.clusters_to_free(found).await?,
            None => Freed::Runs(Extents::default()),
        };
        let len = u32::try_from(size).map_err(|_| Error::TooLarge)?;
        let clusters = len.div_ceil(self.geometry.cluster_size.max(1));
        let mut new = Extents::default();
        match self.require(clusters).await {
            Err(Error::NoSpace) => return Ok(()),
            required => required?,
        }
        let Some(start) = self.contiguous(clusters).await? else {
            return Ok(());
        };
        let extended = self.extend_near(start.checked_sub(1), clusters, None, &mut new).await;
        if extended.is_err() || new.runs().len() != 1 {
            // Somebody else has claimed part of it.
            self.free_later(new.runs());
            return Ok(());
        }
        let offset = self.cluster_offset(new.first());
        self.write_through(offset, &vec![0; size]).await?;
        let mut entry = match &existing {
            Some(found) => found.entry,
            None => self.new_entry(ATTR_HIDDEN | ATTR_SYSTEM),
        };
        let contiguous = self.attach(None, None, None, &new).await?;
        entry.set_data(new.first(), len.into(), len.into(), contiguous);
        match existing {
            Some(found) => self.write_entry(found.place, &entry).await?,
            None => _ = self.insert(folder, JOURNAL, entry).await?,
        }
        self.free_file(&old);
        // A record is no use before its file is on the disk.
        self.commit().await?;
        *self.commit.journal.borrow_mut() = Some(Journal { offset, live: false });
        Ok(())
    }

    /// The first of `count` free clusters in a row.
    async fn contiguous(&self, count: u32) -> Result<Option<u32>, Error> {
        let end = self.geometry.clusters.saturating_add(2);
        let mut from = 2;
        while let Some(start) = self.first(true, from, end).await? {
            let free = self.free_from(start, count).await?;
            if free >= count {
                return Ok(Some(start));
            }
            from = start.saturating_add(free.max(1));
        }
        Ok(None)
    }

    /// Records the dirty directory sectors, when they are more than one. Returns whether it did.
    pub(crate) async fn write_journal(&self) -> Result<bool, Error> {
        let Some(offset) = self.commit.journal.borrow().as_ref().map(|journal| journal.offset)
        else {
            return Ok(false);
        };
        let lines = self.memory.cache.dirty(Class::Directory, 0, CAPACITY.saturating_add(1));
        if lines.len() < 2 {
            return Ok(false);
        }
        if lines.len() > CAPACITY {
            log::debug!("a commit larger than the journal");
            return Ok(false);
        }
        let count = u32::try_from(lines.len()).unwrap_or(0);
        let size = u32::try_from(self.sector()).unwrap_or(0);
        let mut body = Vec::with_capacity(self.journal_size());
        body.extend_from_slice(&count.to_le_bytes());
        body.extend_from_slice(&size.to_le_bytes());
        for line in &lines {
            body.extend_from_slice(&line.offset.to_le_bytes());
            body.extend_from_slice(&line.before.to_le_bytes());
        }
        body.resize(self.head_size(lines.len()).saturating_sub(16), 0);
        for line in &lines {
            body.extend_from_slice(&line.data);
        }
        let mut record = Vec::with_capacity(body.len().saturating_add(16));
        record.extend_from_slice(&MAGIC);
        record.extend_from_slice(&hash_bytes(&body).to_le_bytes());
        record.append(&mut body);
        self.set_live(true);
        self.write_through(offset, &record).await?;
        Ok(true)
    }

    fn set_live(&self, live: bool) {
        if let Some(journal) = self.commit.journal.borrow_mut().as_mut() {
            journal.live = live;
        }
    }

    /// Wipes the record of the last commit, whose sectors are all in place.
    pub(crate) async fn clear_journal(&self) -> Result<(), Error> {
        let live =
            self.commit.journal.borrow().as_ref().filter(|journal| journal.live).map(|j| j.offset);
        if let Some(offset) = live {
            self.write_through(offset, &vec![0; self.sector()]).await?;
            self.set_live(false);
        }
        Ok(())
    }
}
