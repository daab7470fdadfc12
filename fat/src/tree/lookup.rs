//! Looking names up: from slots to entries with their long names.
use crate::layout::dirent::Dirent;
use crate::layout::entry::{ATTR_VOLUME_ID, Entry, Kind, MAX_LONG_SLOTS};
use crate::layout::exfat::set::Spot;
use crate::layout::long_name::LongName;
use crate::layout::name;
use crate::layout::short_name;
use crate::tree::directory::Directory;
use crate::tree::index::Index;
use crate::{BlockDevice, Error, Volume};
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

/// An entry that was looked up.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) entry: Dirent,
    /// The long name, else the short one; exFAT has but one.
    pub(crate) name: String,
    /// Where its short entry is, on exFAT the first of its set.
    pub(crate) slot: u32,
    /// Where its long name starts; `slot` when it has none.
    pub(crate) first_slot: u32,
    /// Where that entry is on the disk: what identifies it while it is not moved.
    pub(crate) place: u64,
}

impl Found {
    /// All slots that are its own.
    pub(crate) fn slots(&self) -> Range<u32> {
        let count = match &self.entry {
            Dirent::Fat(_) => self.slot.saturating_sub(self.first_slot).saturating_add(1),
            Dirent::ExFat(set) => u32::try_from(set.count()).unwrap_or(u32::MAX),
        };
        self.first_slot..self.first_slot.saturating_add(count)
    }

    /// Where its entries are.
    pub(crate) fn spot(&self) -> Spot {
        match self.entry {
            Dirent::Fat(_) => Spot { first: self.place, ..Spot::default() },
            Dirent::ExFat(set) => set.spot,
        }
    }

    pub(crate) fn short(&self) -> String {
        match &self.entry {
            Dirent::Fat(entry) => short_name::decode(&entry.name(), 0),
            Dirent::ExFat(_) => self.name.clone(),
        }
    }
}

impl<D: BlockDevice> Volume<D> {
    /// The next entry from `slot` on, which is moved behind it. Nothing at the end.
    pub(crate) async fn next_entry(
        &self,
        directory: &Directory,
        slot: &mut u32,
    ) -> Result<Option<Found>, Error> {
        if self.is_exfat() {
            return self.next_set(directory, slot).await;
        }
        let mut long = LongName::default();
        loop {
            let at = *slot;
            let Some((entry, place)) = self.slot(directory, at).await? else {
                return Ok(None);
            };
            match entry.kind() {
                Kind::End => return Ok(None),
                Kind::Free | Kind::Label => long.clear(),
                Kind::Long => long.push(at, &entry),
                Kind::Short => {
                    *slot = at.saturating_add(1);
                    if !is_dots(&entry) {
                        return Ok(Some(found(entry, at, place, &mut long)));
                    }
                    long.clear();
                    continue;
                }
            }
            *slot = at.saturating_add(1);
        }
    }

    /// The entry whose short slot this is.
    async fn entry_at(&self, dir: &Directory, slot: u32) -> Result<Option<Found>, Error> {
        if self.is_exfat() {
            return self.set_at(dir, slot).await;
        }
        let Some((entry, place)) = self.slot(dir, slot).await? else {
            return Ok(None);
        };
        if entry.kind() != Kind::Short {
            return Ok(None);
        }
        let mut parts = Vec::new();
        for before in (slot.saturating_sub(MAX_LONG_SLOTS)..slot).rev() {
            let Some((part, _)) = self.slot(dir, before).await? else {
                break;
            };
            if part.kind() != Kind::Long {
                break;
            }
            parts.push((before, part));
            if part.long_part().1 {
                break;
            }
        }
        let mut long = LongName::default();
        for (slot, part) in parts.iter().rev() {
            long.push(*slot, part);
        }
        Ok(Some(found(entry, slot, place, &mut long)))
    }

    /// Reads a directory once.
    pub(crate) async fn build_index(&self, directory: &Directory) -> Result<Index, Error> {
        if self.is_exfat() {
            return self.build_index_of_sets(directory).await;
        }
        let mut index = Index::new(self.slots(directory));
        let mut keys = Vec::new();
        let mut long = LongName::default();
        let mut slot = 0;
        while let Some((entry, place)) = self.slot(directory, slot).await? {
            match entry.kind() {
                Kind::End => break,
                Kind::Free => long.clear(),
                Kind::Long => long.push(slot, &entry),
                Kind::Label => {
                    if entry.attributes() & ATTR_VOLUME_ID != 0 && index.label.is_none() {
                        index.label = Some(entry.name());
                    }
                    long.clear();
                }
                Kind::Short if is_dots(&entry) => long.clear(),
                Kind::Short => {
                    let found = found(entry, slot, place, &mut long);
                    keys.extend([&found.name, &found.short()].map(|n| (name::hash(n), slot)));
                }
            }
            index.set_used(slot, entry.kind() != Kind::Free);
            slot = slot.saturating_add(1);
        }
        index.end = slot;
        index.fill(keys);
        Ok(index)
    }

    fn is_named(&self, found: &Found, name: &str) -> bool {
        let case = self.tree.case();
        case.same(&found.name, name) || case.same(&found.short(), name)
    }

    /// Looks a name up without case, among long and short names. Of names that differ in case only,
    /// as other systems may have left them, the one spelt exactly so is taken.
    pub(crate) async fn find(&self, dir: &Directory, name: &str) -> Result<Option<Found>, Error> {
        let slots = match self.indexed(dir).await? {
            Some(index) if index.is_whole => index.slots(self.tree.case().hash(name)),
            Some(_) => return self.search_sets(dir, name).await,
            None => return Ok(None),
        };
        let mut best: Option<Found> = None;
        for slot in slots {
            if let Some(found) = self.entry_at(dir, slot).await?
                && self.is_named(&found, name)
            {
                if found.name == name {
                    return Ok(Some(found));
                }
                // A long name before an alias of another file.
                if best.as_ref().is_none_or(|best| !self.tree.case().same(&best.name, name)) {
                    best = Some(found);
                }
            }
        }
        Ok(best)
    }
}

fn is_dots(entry: &Entry) -> bool {
    matches!(&entry.name(), b".          " | b"..         ")
}

fn found(entry: Entry, slot: u32, place: u64, long: &mut LongName) -> Found {
    let name = entry.name();
    let (name, first_slot) = match long.finish(short_name::checksum(&name)) {
        Some((text, first_slot)) => (text, first_slot),
        None => (short_name::decode(&name, entry.case()), slot),
    };
    Found { entry: Dirent::Fat(entry), name, slot, first_slot, place }
}
