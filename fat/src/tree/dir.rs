//! Listing a directory.
use crate::tree::directory::Directory;
use crate::{BlockDevice, Error, Metadata, Volume};
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::Cell;

/// An open directory and how far it has been listed.
#[derive(Debug)]
pub struct Dir {
    directory: Rc<Directory>,
    next: Cell<u32>,
}

/// A file or directory in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    pub name: String,
    pub metadata: Metadata,
}

impl<D: BlockDevice> Volume<D> {
    /// Opens a directory at its first entry.
    pub async fn open_dir(&self, path: &str) -> Result<Dir, Error> {
        let _lock = self.memory.lock.shared().await;
        let directory = self.directory_at(path).await?;
        Ok(Dir { directory, next: Cell::new(0) })
    }

    /// Up to `most` further entries; none at the end. What exists all the while is listed exactly
    /// once, whatever is added and removed meanwhile. `.` and `..` are left out.
    pub async fn read_dir(&self, dir: &Dir, most: usize) -> Result<Vec<DirEntry>, Error> {
        let _lock = self.memory.lock.shared().await;
        let mut entries = Vec::new();
        let mut next = dir.next.get();
        while entries.len() < most && !dir.directory.removed.get() {
            let Some(found) = self.next_entry(&dir.directory, &mut next).await? else {
                break;
            };
            if !self.is_reserved(&dir.directory, &found.name) {
                let metadata = self.metadata_of(&found);
                entries.push(DirEntry { name: found.name, metadata });
            }
        }
        dir.next.set(next);
        Ok(entries)
    }
}
