//! Writing the slots of a directory: adding, changing and removing entries.
use crate::layout::dirent::Dirent;
use crate::layout::entry::{self, Entry, SLOT};
use crate::layout::exfat::set;
use crate::layout::name;
use crate::layout::short_name;
use crate::memory::cache::Class;
use crate::tree::directory::Directory;
use crate::tree::lookup::Found;
use crate::{BlockDevice, Error, Volume};
use alloc::vec::Vec;
use core::ops::Range;

impl<D: BlockDevice> Volume<D> {
    /// A slot and its place; nothing past the last.
    pub(crate) async fn slot(
        &self,
        dir: &Directory,
        slot: u32,
    ) -> Result<Option<(Entry, u64)>, Error> {
        let Some((place, left)) = self.place(dir, slot) else {
            return Ok(None);
        };
        let (base, at) = self.line_of(place);
        let ahead = left.saturating_add(at as u64);
        Ok(Some((self.line(base, ahead, |line| copy_slot(line, at)).await?, place)))
    }

    pub(crate) async fn read_entry(&self, place: u64) -> Result<Entry, Error> {
        let (base, at) = self.line_of(place);
        self.line(base, 0, |line| copy_slot(line, at)).await
    }

    /// Writes the entry of a file or directory.
    pub(crate) async fn write_entry(&self, place: u64, entry: &Dirent) -> Result<(), Error> {
        match entry {
            Dirent::Fat(entry) => self.write_slot(place, entry).await,
            Dirent::ExFat(set) => self.write_set(set).await,
        }
    }

    pub(crate) async fn write_slot(&self, place: u64, entry: &Entry) -> Result<(), Error> {
        let (base, at) = self.line_of(place);
        self.change_line(base, Class::Directory, |line| {
            if let Some(slot) = line.get_mut(at..at.saturating_add(SLOT)) {
                slot.copy_from_slice(&entry.0);
            }
        })
        .await
    }

    /// Sets the time of the last change of a directory that was just entered by its path.
    pub(crate) async fn touch_directory(&self, directory: &Directory) -> Result<(), Error> {
        if !self.may_touch(directory) {
            return Ok(());
        }
        let Some((mut entry, place)) = self.own_entry(directory).await? else {
            return Ok(());
        };
        self.tree.actors.touched_now(place);
        let before = entry.modified();
        entry.set_modified(self.stamp());
        if entry.modified() != before { self.write_entry(place, &entry).await } else { Ok(()) }
    }

    /// The entry of a directory that was just entered by its path, and its place; nothing for the root.
    pub(crate) async fn own_entry(
        &self,
        directory: &Directory,
    ) -> Result<Option<(Dirent, u64)>, Error> {
        let Some(spot) = directory.spot.get() else {
            return Ok(None);
        };
        let entry = match self.is_exfat() {
            true => Dirent::ExFat(self.read_set(spot).await?),
            false => Dirent::Fat(self.read_entry(spot.first).await?),
        };
        Ok(Some((entry, spot.first)))
    }

    /// Adds an entry under `name`, which is not there yet. The lock is held exclusively.
    pub(crate) async fn insert(
        &self,
        directory: &Directory,
        name: &str,
        entry: Dirent,
    ) -> Result<Found, Error> {
        let units = name::encode(name)?;
        let mut entry = match entry {
            Dirent::Fat(entry) => entry,
            Dirent::ExFat(set) => return self.insert_set(directory, name, &units, set).await,
        };
        let (short, case, long) = match short_name::exact(name) {
            Some((short, case)) => (short, case, Vec::new()),
            None => {
                let index = self.indexed(directory).await?;
                let taken = |short: &[u8; 11]| {
                    let hash = name::hash(&short_name::decode(short, 0));
                    index.as_ref().is_some_and(|index| index.has(hash))
                };
                let short = short_name::generate(name, taken).ok_or(Error::FolderFull)?;
                (short, 0, entry::long_slots(&units, short_name::checksum(&short)))
            }
        };
        entry.set_name(short, case);
        let mut parts = long;
        parts.push(entry);
        let first = self.fill_slots(directory, &parts, 0).await?;
        let slot = first.saturating_add(u32::try_from(parts.len()).unwrap_or(1)).saturating_sub(1);
        let (place, _) = self.place(directory, slot).ok_or(Error::NoSpace)?;
        let found =
            Found { entry: Dirent::Fat(entry), name: name.into(), slot, first_slot: first, place };
        self.note_names(directory, &found);
        Ok(found)
    }

    /// Writes entries that belong together to free slots, none before slot `from`, and tells the first.
    pub(super) async fn fill_slots(
        &self,
        dir: &Directory,
        parts: &[Entry],
        from: u32,
    ) -> Result<u32, Error> {
        let count = u32::try_from(parts.len()).unwrap_or(u32::MAX);
        self.indexed(dir).await?;
        let first = match dir.index.borrow_mut().as_mut() {
            Some(index) => index.free_slots(count, from),
            None => return Err(Error::NoSpace),
        };
        self.fill_from(dir, first, parts).await?;
        Ok(first)
    }

    /// Writes entries to these slots, which are free.
    pub(super) async fn fill_from(
        &self,
        dir: &Directory,
        first: u32,
        parts: &[Entry],
    ) -> Result<(), Error> {
        let count = u32::try_from(parts.len()).unwrap_or(u32::MAX);
        let end = dir.index.borrow().as_ref().map_or(0, |index| index.end);
        let after = first.saturating_add(count);
        self.make_slots(dir, after).await?;
        // Read with what follows, which the next entries go to.
        if after > end
            && let Some((next, place)) = self.slot(dir, after).await?
            && next.0 != [0; SLOT]
        {
            self.write_slot(place, &Entry([0; SLOT])).await?;
        }
        for (part, slot) in parts.iter().zip(first..after) {
            let (_, place) = self.slot(dir, slot).await?.ok_or(Error::NoSpace)?;
            self.write_slot(place, part).await?;
        }
        if let Some(index) = dir.index.borrow_mut().as_mut() {
            for slot in first..after {
                index.set_used(slot, true);
            }
            index.end = end.max(after);
        }
        Ok(())
    }

    /// The index finds an entry that was added by its names from now on.
    pub(super) fn note_names(&self, directory: &Directory, found: &Found) {
        self.tree.actors.made(found.place);
        let case = self.tree.case();
        if let Some(index) = directory.index.borrow_mut().as_mut() {
            index.add(case.hash(&found.name), found.slot);
            index.add(case.hash(&found.short()), found.slot);
            if self.is_exfat() && index.is_too_large() {
                index.forget_names();
            }
        }
    }

    /// Marks the slots of an entry as free. The lock is held exclusively.
    pub(crate) async fn erase(&self, directory: &Directory, found: &Found) -> Result<(), Error> {
        self.tree.actors.gone(found.place);
        self.free_slots(directory, found.slots()).await?;
        if let Some(index) = directory.index.borrow_mut().as_mut() {
            let case = self.tree.case();
            index.remove(case.hash(&found.name), found.slot);
            index.remove(case.hash(&found.short()), found.slot);
        }
        Ok(())
    }

    /// Marks slots as free, the last one first.
    pub(super) async fn free_slots(
        &self,
        directory: &Directory,
        slots: Range<u32>,
    ) -> Result<(), Error> {
        for slot in slots.clone().rev() {
            let Some((place, _)) = self.place(directory, slot) else {
                continue;
            };
            let (base, at) = self.line_of(place);
            self.change_line(base, Class::Directory, |line| {
                let slot = line.get_mut(at..).unwrap_or_default();
                if self.is_exfat() { set::mark_free(slot) } else { entry::mark_free(slot) }
            })
            .await?;
        }
        if let Some(index) = directory.index.borrow_mut().as_mut() {
            slots.for_each(|slot| index.set_used(slot, false));
        }
        Ok(())
    }
}

fn copy_slot(line: &[u8], at: usize) -> Entry {
    let mut slot = [0; SLOT];
    if let Some(from) = line.get(at..at.saturating_add(SLOT)) {
        slot.copy_from_slice(from);
    }
    Entry(slot)
}
