//! exFAT's sets of entries: looking names up, adding and rewriting sets.
use crate::layout::dirent::Dirent;
use crate::layout::entry::{Entry, SLOT};
use crate::layout::exfat::set::{self, Kind, Named, Set, Spot, kind};
use crate::layout::name;
use crate::tree::directory::Directory;
use crate::tree::index::Index;
use crate::tree::lookup::Found;
use crate::{BlockDevice, Error, Volume};
use alloc::vec::Vec;

/// The most names of an index. Those of a larger directory are looked for on the disk.
const MOST_NAMES: usize = 60_000;
/// The most slots that it knows to be free or not. Behind them none is used again.
const MOST_SLOTS: u32 = 1 << 21;

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

    /// The file or directory whose set is in this place of a directory.
    pub(crate) async fn set_at_place(
        &self,
        directory: &Directory,
        place: u64,
    ) -> Result<Option<Found>, Error> {
        match directory.slot_of(self.cluster_at(place), self.geometry.cluster_size) {
            Some(first) => {
                let before = place.saturating_sub(self.cluster_offset(self.cluster_at(place)));
                let slot = u32::try_from(before / SLOT as u64).unwrap_or(0);
                self.set_at(directory, first.saturating_add(slot)).await
            }
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
        let mut spot = Spot { first: place, ..Spot::default() };
        let (mut expected, mut next) = (place, spot.next.iter_mut());
        for at in slot..=slot.saturating_add(more.into()) {
            let Some((entry, place)) = self.slot(directory, at).await? else {
                break;
            };
            if self.is_cluster_start(place)
                && at > slot
                && let Some(next) = next.next()
            {
                *next = self.cluster_at(place);
                expected = place;
            }
            if place != expected {
                return Ok(None);
            }
            expected = place.saturating_add(SLOT as u64);
            entries.push(entry.0);
        }
        let Ok(Named { mut set, units, .. }) = Named::read(&entries) else {
            return Ok(None);
        };
        set.spot = spot;
        let name = name::decode(&units);
        let entry = Dirent::ExFat(set);
        Ok(name.map(|name| Found { entry, name, slot, first_slot: slot, place }))
    }

    /// Reads a directory once.
    pub(crate) async fn build_index_of_sets(&self, directory: &Directory) -> Result<Index, Error> {
        let mut index = Index::new(0);
        let mut keys = Vec::new();
        let mut slot = 0;
        while let Some((entry, place)) = self.slot(directory, slot).await? {
            let kind = kind(&entry.0);
            if kind == Kind::End {
                break;
            }
            if index.is_whole && kind != Kind::Free {
                index.set_used(slot, true);
            }
            if let Kind::File(more) = kind
                && index.is_whole
                && let Some(found) = self.set(directory, slot, place, more).await?
            {
                keys.push((self.tree.case().hash(&found.name), slot));
            }
            if keys.len() > MOST_NAMES || slot > MOST_SLOTS {
                // What comes is put at the end.
                index.forget_names();
                keys = Vec::new();
            }
            slot = slot.saturating_add(1);
        }
        index.end = slot;
        index.fill(keys);
        Ok(index)
    }

    fn cluster_at(&self, place: u64) -> u32 {
        let before = place.saturating_sub(self.geometry.data_start);
        let before = before / u64::from(self.geometry.cluster_size.max(1));
        u32::try_from(before).unwrap_or(u32::MAX - 2).saturating_add(2)
    }

    fn is_cluster_start(&self, place: u64) -> bool {
        let before = place.saturating_sub(self.geometry.data_start);
        before.is_multiple_of(self.geometry.cluster_size.into())
    }

    /// Where the first `count` entries of a set are.
    fn places(&self, spot: &Spot, count: usize) -> Vec<u64> {
        let (mut at, mut next) = (spot.first, spot.next.iter());
        let mut places = Vec::with_capacity(count);
        while places.len() < count {
            places.push(at);
            at = at.saturating_add(SLOT as u64);
            if self.is_cluster_start(at) {
                at = self.cluster_offset(next.next().copied().unwrap_or(0));
            }
        }
        places
    }

    /// The first `count` entries of a set.
    async fn entries_of(&self, spot: &Spot, count: usize) -> Result<Vec<[u8; SLOT]>, Error> {
        let mut entries = Vec::with_capacity(count);
        for place in self.places(spot, count) {
            entries.push(self.read_entry(place).await?.0);
        }
        Ok(entries)
    }

    /// The set that is there.
    pub(super) async fn read_set(&self, spot: Spot) -> Result<Set, Error> {
        let first = self.read_entry(spot.first).await?;
        let Kind::File(more) = kind(&first.0) else {
            return Err(self.damage("a directory without its entry"));
        };
        let entries = self.entries_of(&spot, usize::from(more).saturating_add(1)).await?;
        let mut named = Named::read(&entries).map_err(|why| self.damage(why))?;
        named.set.spot = spot;
        Ok(named.set)
    }

    /// What a set has behind its name.
    async fn others(&self, set: &Set) -> Result<Vec<[u8; SLOT]>, Error> {
        if set.spot.first == 0 || set.count() <= set.known() {
            return Ok(Vec::new());
        }
        let mut entries = self.entries_of(&set.spot, set.count()).await?;
        Ok(entries.split_off(set.known().min(entries.len())))
    }

    /// Whether an entry has more than exFAT itself asks for.
    pub(super) fn has_others(entry: &Dirent) -> bool {
        matches!(entry, Dirent::ExFat(set) if set.count() > set.known())
    }

    /// Gives back what the entries behind a name have for themselves.
    pub(super) async fn free_others(&self, entry: &Dirent) -> Result<(), Error> {
        let Dirent::ExFat(set) = entry else { return Ok(()) };
        for other in self.others(set).await? {
            if let Some((first, len, contiguous)) = set::allocation(&other) {
                let extents = self.extents(first, len, contiguous).await?;
                self.free_later(extents.runs());
            }
        }
        Ok(())
    }

    /// Writes the set of a file or directory, whose name and number of entries stay, where it is.
    pub(super) async fn write_set(&self, set: &Set) -> Result<(), Error> {
        let before = self.entries_of(&set.spot, set.count()).await?;
        let mut entries = before.clone();
        let mut others = entries.split_off(set.known().min(entries.len()));
        set.renew_others(&mut others);
        entries.append(&mut others);
        if entries.len() != before.len() {
            return Err(self.damage("a set of entries that changed by itself"));
        }
        set.renew(&mut entries);
        let places = self.places(&set.spot, entries.len());
        for ((entry, before), place) in entries.iter().zip(&before).zip(places) {
            if entry != before {
                self.write_slot(place, &Entry(*entry)).await?;
            }
        }
        Ok(())
    }

    /// Writes the set of a file that gets or loses an entry behind its name. Without a free place behind it
    /// moves, but never to the front, where a listing may have passed already.
    pub(super) async fn resize_set(
        &self,
        directory: &Directory,
        found: &Found,
        mut set: Set,
    ) -> Result<Found, Error> {
        let mut entries = self.entries_of(&set.spot, set.count()).await?;
        let before = entries.len();
        let mut others = entries.split_off(set.known().min(before));
        set.renew_others(&mut others);
        entries.append(&mut others);
        set.set_count(entries.len());
        set.renew(&mut entries);
        let end = found.slots().end;
        let parts: Vec<Entry> = entries.into_iter().map(Entry).collect();
        self.indexed(directory).await?;
        let fits = parts.len() <= before
            || directory.index.borrow().as_ref().is_some_and(|index| index.is_free(end));
        if !fits {
            let slot = self.fill_slots(directory, &parts, end).await?;
            self.erase(directory, found).await?;
            let new = self.set_again(directory, slot).await?;
            self.note_names(directory, &new);
            return Ok(new);
        }
        let (there, new) = parts.split_at(parts.len().min(before));
        if !new.is_empty() {
            self.fill_from(directory, end, new).await?;
        }
        for (part, place) in there.iter().zip(self.places(&set.spot, before)) {
            self.write_slot(place, part).await?;
        }
        let kept = found.slot.saturating_add(u32::try_from(parts.len()).unwrap_or(u32::MAX));
        self.free_slots(directory, kept..end).await?;
        self.set_again(directory, found.slot).await
    }

    /// The set that was just written.
    async fn set_again(&self, directory: &Directory, slot: u32) -> Result<Found, Error> {
        let found = self.set_at(directory, slot).await?;
        found.ok_or_else(|| self.damage("a set of entries cannot be read again"))
    }

    /// Adds a set under a name that is not there, with what it has behind its name where it is now.
    pub(super) async fn insert_set(
        &self,
        directory: &Directory,
        name: &str,
        units: &[u16],
        mut set: Set,
    ) -> Result<Found, Error> {
        let others = self.others(&set).await?;
        let hash = self.tree.case().stored_hash(units).ok_or(Error::ReadOnly)?;
        let entries: Vec<Entry> = set.entries(units, hash, others).into_iter().map(Entry).collect();
        let slot = self.fill_slots(directory, &entries, 0).await?;
        let found = Found { name: name.into(), ..self.set_again(directory, slot).await? };
        self.note_names(directory, &found);
        Ok(found)
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
