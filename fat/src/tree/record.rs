//! Small files of the server itself, in a hidden folder that no path leads to.
use crate::layout::dirent::Dirent;
use crate::layout::entry::{ATTR_DIRECTORY, ATTR_HIDDEN, ATTR_SYSTEM};
use crate::layout::name;
use crate::space::extents::Extents;
use crate::space::pending::Freed;
use crate::tree::directory::Directory;
use crate::tree::lookup::Found;
use crate::tree::path::SYSTEM_FOLDER;
use crate::{BlockDevice, Error, Volume};
use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;

/// The record that the journal keeps for itself.
pub(crate) const JOURNAL: &str = "journal";

/// The most bytes of a record.
const MAX_RECORD: usize = 64 * 1024;

impl<D: BlockDevice> Volume<D> {
    /// The system folder, when there is one.
    pub(crate) async fn system_folder(&self) -> Result<Option<Rc<Directory>>, Error> {
        let root = self.root().await?;
        match self.find(&root, SYSTEM_FOLDER).await? {
            Some(found) => Ok(Some(self.enter(&found, &[root.id]).await?)),
            None => Ok(None),
        }
    }

    /// The system folder, made when there is none. The lock is held exclusively.
    pub(crate) async fn own_folder(&self) -> Result<Rc<Directory>, Error> {
        if let Some(folder) = self.system_folder().await? {
            return Ok(folder);
        }
        let root = self.root().await?;
        let attributes = ATTR_DIRECTORY | ATTR_HIDDEN | ATTR_SYSTEM;
        let made = self.make_dir(&root, SYSTEM_FOLDER, attributes).await?;
        self.enter(&made, &[root.id]).await
    }

    /// The contents of the record `name`, or nothing when it was never written.
    pub async fn read_record(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        let _lock = self.memory.lock.shared().await;
        let Some(folder) = self.system_folder().await? else {
            return Ok(None);
        };
        let Some(found) = self.find(&folder, name).await? else {
            return Ok(None);
        };
        let len = usize::try_from(found.entry.len()).unwrap_or(usize::MAX);
        if len > MAX_RECORD {
            return Err(Error::TooLarge);
        }
        let mut data = vec![0; len];
        if len > 0 {
            let extents = self.extents_of(&found.entry).await?;
            let valid = usize::try_from(found.entry.valid_len()).unwrap_or(usize::MAX).min(len);
            let valid = data.get_mut(..valid).unwrap_or_default();
            self.read_data(&extents, 0, valid).await?;
        }
        Ok(Some(data))
    }

    /// Writes the record `name`, at most 64 KiB, and returns when it is durable. A power cut leaves
    /// the old contents or the new ones.
    pub async fn write_record(&self, name: &str, data: &[u8]) -> Result<(), Error> {
        if data.len() > MAX_RECORD {
            return Err(Error::TooLarge);
        }
        if name::same(name, JOURNAL) {
            return Err(Error::Reserved);
        }
        let _change = self.change().await?;
        let folder = self.own_folder().await?;
        self.make_journal(&folder).await?;
        let existing = self.find(&folder, name).await?;
        let clusters = match &existing {
            Some(found) => self.clusters_to_free(found).await?,
            None => Freed::Runs(Extents::default()),
        };
        let mut new = Extents::default();
        let entry = match &existing {
            Some(found) => found.entry,
            None => self.new_entry(ATTR_HIDDEN | ATTR_SYSTEM),
        };
        let result = self.store(&folder, name, data, entry, existing, &mut new).await;
        match result {
            Ok(()) => self.free_file(&clusters),
            Err(_) => self.free_later(new.runs()),
        }
        result?;
        self.commit().await
    }

    /// Writes a small file at once: its bytes are on their way before its entry.
    pub(super) async fn store(
        &self,
        folder: &Directory,
        name: &str,
        data: &[u8],
        mut entry: Dirent,
        existing: Option<Found>,
        new: &mut Extents,
    ) -> Result<(), Error> {
        let len = u32::try_from(data.len()).map_err(|_| Error::TooLarge)?;
        self.extend(len.div_ceil(self.geometry.cluster_size.max(1)), new).await?;
        let contiguous = self.attach(None, None, None, new).await?;
        let sector = self.device.sector_size();
        let mut sectors = data.to_vec();
        sectors.resize(data.len().next_multiple_of(sector), 0);
        self.write_data(new, 0, &sectors).await?;
        entry.set_modified(self.stamp());
        entry.set_data(new.first(), len.into(), len.into(), contiguous);
        match existing {
            Some(found) => self.write_entry(found.place, &entry).await,
            None => self.insert(folder, name, entry).await.map(|_| ()),
        }
    }
}
