//! Modes, owners and links on exFAT: only on volumes that were made for it, since old systems lose what has
//! such entries. The mark is a record, which every system keeps as the file that it is.
use crate::layout::dirent::Dirent;
use crate::layout::posix::Posix;
use crate::tree::directory::Directory;
use crate::tree::lookup::Found;
use crate::{BlockDevice, Error, Volume};
use alloc::vec;
use alloc::vec::Vec;

/// What is to be changed of a file or directory; what is absent stays.
#[derive(Clone, Copy, Debug, Default)]
pub struct Change {
    /// Unix seconds.
    pub modified: Option<u64>,
    pub accessed: Option<u64>,
    pub read_only: Option<bool>,
    /// Permission bits and owners of a file, and what a file has for which nothing is kept; on a volume that
    /// keeps them. Of a link only the owner is set, of a folder nothing.
    pub posix: Option<SetPosix>,
}

/// Permission bits, user and group, and what a file has for which nothing is kept.
pub type SetPosix = (Option<u32>, Option<(u32, u32)>, Posix);

impl Change {
    /// Of times alone.
    pub fn times(modified: Option<u64>, accessed: Option<u64>) -> Self {
        Self { modified, accessed, ..Self::default() }
    }

    /// Of permission bits and owners.
    pub fn posix(permissions: Option<u32>, owner: Option<(u32, u32)>, plain: Posix) -> Self {
        Self { posix: Some((permissions, owner, plain)), ..Self::default() }
    }

    /// Whether it changes nothing.
    pub fn is_none(&self) -> bool {
        let times = self.modified.or(self.accessed);
        times.is_none() && self.read_only.is_none() && self.posix.is_none()
    }

    fn apply(&self, entry: &mut Dirent) {
        if let Some(modified) = self.modified {
            entry.set_modified(modified);
        }
        if let Some(accessed) = self.accessed {
            entry.set_accessed(accessed);
        }
        if let Some(read_only) = self.read_only {
            entry.set_read_only(read_only);
        }
        if let Some((permissions, owner, plain)) = self.posix {
            change(entry, permissions, owner, plain);
        }
    }
}

/// What becomes of an entry.
#[derive(Clone, Copy)]
pub(crate) enum Edit {
    Change(Change),
    /// What is kept for POSIX goes.
    Plain,
}

impl Edit {
    pub(crate) fn apply(&self, entry: &mut Dirent) {
        match self {
            Self::Change(change) => change.apply(entry),
            Self::Plain => entry.set_posix(None),
        }
    }
}

/// The record that marks a volume.
const POSIX: &str = "posix";
/// What it says: the version of the entries.
const VERSION: &[u8] = b"1\n";

impl<D: BlockDevice> Volume<D> {
    /// Whether it keeps modes, owners and symbolic links.
    pub fn keeps_posix(&self) -> bool {
        self.tree.posix.get()
    }

    /// Fails when it does not.
    pub(crate) fn must_keep_posix(&self) -> Result<(), Error> {
        if self.keeps_posix() { Ok(()) } else { Err(Error::NoLinks) }
    }

    /// Looks for the mark.
    pub(crate) async fn learn_posix(&self) -> Result<(), Error> {
        let marked = self.is_exfat()
            && self.read_record(POSIX).await?.is_some_and(|version| version == VERSION);
        self.tree.posix.set(marked);
        Ok(())
    }

    /// Marks the volume, which keeps modes, owners and symbolic links from now on. To be called before
    /// anything is open.
    ///
    /// # Errors
    /// `NoLinks` for a volume of FAT.
    pub async fn mark_posix(&self) -> Result<(), Error> {
        if !self.is_exfat() {
            return Err(Error::NoLinks);
        }
        self.write_record(POSIX, VERSION).await?;
        self.tree.posix.set(true);
        Ok(())
    }

    /// Takes the mark off, and all entries that say modes, owners and what is a link. Links become the
    /// small files that they are. Returns how many entries there were. What a power cut interrupts can be
    /// done again. To be called before anything is open.
    pub async fn unmark_posix(&self) -> Result<u64, Error> {
        let mut taken = 0u64;
        if !self.is_exfat() {
            return Ok(taken);
        }
        let root = {
            let _lock = self.memory.lock.shared().await;
            self.root().await?
        };
        let mut stack = vec![(root, 0)];
        while let Some((directory, slot)) = stack.last_mut() {
            let change = self.change().await?;
            let Some(found) = self.next_entry(directory, slot).await? else {
                stack.pop();
                continue;
            };
            if found.entry.is_dir() {
                let ancestors: Vec<u32> = stack.iter().map(|(above, _)| above.id).collect();
                stack.push((self.enter(&found, &ancestors).await?, 0));
            } else if found.entry.has_posix() {
                self.edit_found(directory, &found, Edit::Plain).await?;
                taken = taken.saturating_add(1);
            }
            drop(change);
        }
        let _change = self.change().await?;
        if let Some(folder) = self.system_folder().await?
            && let Some(found) = self.find(&folder, POSIX).await?
        {
            self.remove_found(&folder, &found).await?;
        }
        self.tree.posix.set(false);
        self.commit().await?;
        Ok(taken)
    }

    /// Writes an entry that may have got or lost what it says of modes and owners.
    pub(crate) async fn rewrite(
        &self,
        directory: &Directory,
        found: &Found,
        entry: Dirent,
    ) -> Result<Found, Error> {
        match entry {
            Dirent::ExFat(set) if entry.has_posix() != found.entry.has_posix() => {
                self.resize_set(directory, found, set).await
            }
            _ => {
                self.write_entry(found.place, &entry).await?;
                Ok(Found { entry, ..found.clone() })
            }
        }
    }
}

/// What a file has; `plain` is what one without an entry of its own has.
pub(crate) fn effective(entry: &Dirent, plain: Posix) -> Posix {
    let read_only = entry.is_read_only();
    let plain = if read_only { plain.not_to_be_written() } else { plain };
    entry.posix().unwrap_or(plain)
}

/// Sets permission bits and owners; the entry stays as small as it can be. A folder keeps none.
pub(crate) fn change(
    entry: &mut Dirent,
    permissions: Option<u32>,
    owner: Option<(u32, u32)>,
    plain: Posix,
) {
    if entry.is_dir() {
        return;
    }
    let mut posix = effective(entry, plain);
    if let Some(permissions) = permissions
        && !posix.is_link()
    {
        posix = posix.with_permissions(permissions);
        entry.set_read_only(posix.is_read_only());
    }
    if let Some((uid, gid)) = owner {
        (posix.uid, posix.gid) = (uid, gid);
    }
    entry.set_posix(None);
    if posix != effective(entry, plain) {
        entry.set_posix(Some(posix));
    }
}
