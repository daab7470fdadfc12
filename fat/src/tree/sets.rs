//! Looking names up on exFAT: from slots to sets of entries.
use crate::layout::dirent::Dirent;
use crate::layout::entry::SLOT;
use crate::layout::exfat::set::{Kind, Named, kind};
use crate::layout::name;
use crate::tree::directory::Directory;
use crate::tree::index::Index;
use crate::tree::lookup::Found;
use crate::{BlockDevice, Error, Volume};
use alloc::vec::Vec;

/// The most names of an index. Those of a larger directory are looked for on the disk.
const MOST_NAMES: usize = 60_000;

impl<D: BlockDevice> Volume<D> {
    /// The next file or directory from `slot` on, which is moved behind its set. Nothing at the end.
    /// What is not whole is passed over.
    pub(crate) async fn next_set(
        &self,
        directory: &Directory,
        slot: &mut u32,
    ) -> Result<Option<Found>, Error> {
        loop {
            let at = *slot;
            let Some((entry, place)) = self.slot(directory, at).await? else {
                return Ok(None);
            };
            *slot = at.saturating_add(1);
            match kind(&entry.0) {
                Kind::End => return Ok(None),
                Kind::File(more) => {
                    if let Some(found) = self.set(directory, at, place, more).await? {
                        *slot = at.saturating_add(u32::from(more)).saturating_add(1);
                        return Ok(Some(found));
                    }
                }
                _ => {}
            }
        }
    }

    /// The file or directory whose set starts here.
    pub(crate) async fn set_at(&self, dir: &Directory, slot: u32) -> Result<Option<Found>, Error> {
        match self.slot(dir, slot).await? {
            Some((entry, place)) => match kind(&entry.0) {
                Kind::File(more) => self.set(dir, slot, place, more).await,
                _ => Ok(None),
            },
            None => Ok(None),
        }
    }

    /// The set of `more` entries behind the one in this slot, if it is one that can be shown.
    async fn set(
        &self,
        directory: &Directory,
        slot: u32,
        place: u64,
        more: u8,
    ) -> Result<Option<Found>, Error> {
        let mut entries: Vec<[u8; SLOT]> = Vec::with_capacity(usize::from(more).saturating_add(1));
        for at in slot..=slot.saturating_add(more.into()) {
            match self.slot(directory, at).await? {
                Some((entry, _)) => entries.push(entry.0),
                None => break,
            }
        }
        let Ok(Named { set, units, .. }) = Named::read(&entries) else {
            return Ok(None);
        };
        let name = name::decode(&units);
        let entry = Dirent::ExFat(set);
        Ok(name.map(|name| Found { entry, name, slot, first_slot: slot, place }))
    }

    /// Reads a directory once.
    pub(crate) async fn build_index_of_sets(&self, directory: &Directory) -> Result<Index, Error> {
        let mut index = Index::new(0);
        let mut keys = Vec::new();
        let mut slot = 0;
        while let Some(found) = self.next_set(directory, &mut slot).await? {
            if keys.len() >= MOST_NAMES {
                index.is_whole = false;
                return Ok(index);
            }
            keys.push((self.tree.case().hash(&found.name), found.slot));
        }
        index.end = slot;
        index.fill(keys);
        Ok(index)
    }

    /// Looks a name up in a directory that has no whole index.
    pub(crate) async fn search_sets(
        &self,
        directory: &Directory,
        name: &str,
    ) -> Result<Option<Found>, Error> {
        let (mut slot, mut best) = (0, None);
        while let Some(found) = self.next_set(directory, &mut slot).await? {
            if found.name == name {
                return Ok(Some(found));
            }
            if best.is_none() && self.tree.case().same(&found.name, name) {
                best = Some(found);
            }
        }
        Ok(best)
    }
}
