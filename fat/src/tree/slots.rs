//! Writing the slots of a directory: adding, changing and removing entries.
use crate::layout::dirent::Dirent;
use crate::layout::entry::{self, Entry, SLOT};
use crate::layout::name;
use crate::layout::short_name;
use crate::memory::cache::Class;
use crate::tree::directory::Directory;
use crate::tree::lookup::Found;
use crate::{BlockDevice, Error, Volume};
use alloc::vec::Vec;

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
            Dirent::ExFat(_) => Err(Error::ReadOnly),
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
        let place = directory.entry_place.get();
        if place == 0 {
            return Ok(());
        }
        let mut entry = self.read_entry(place).await?;
        let before = entry.0;
        entry.set_modified(self.stamp());
        if entry.0 != before {
            self.write_slot(place, &entry).await?;
        }
        Ok(())
    }

    /// Adds an entry under `name`, which is not there yet. The lock is held exclusively.
    pub(crate) async fn insert(
        &self,
        directory: &Directory,
        name: &str,
        entry: Dirent,
    ) -> Result<Found, Error> {
        let Dirent::Fat(mut entry) = entry else {
            return Err(Error::ReadOnly);
        };
        let units = name::encode(name)?;
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
        let count = u32::try_from(long.len()).unwrap_or(u32::MAX).saturating_add(1);
        self.indexed(directory).await?;
        let (first, end) = match directory.index.borrow_mut().as_mut() {
            Some(index) => (index.free_slots(count), index.end),
            None => return Err(Error::NoSpace),
        };
        let after = first.saturating_add(count);
        self.make_slots(directory, after).await?;
        if after > end
            && let Some((place, _)) = self.place(directory, after)
        {
            self.write_slot(place, &Entry([0; SLOT])).await?;
        }
        for (part, slot) in long.iter().chain([&entry]).zip(first..after) {
            let (place, _) = self.place(directory, slot).ok_or(Error::NoSpace)?;
            self.write_slot(place, part).await?;
        }
        let slot = after.saturating_sub(1);
        let (place, _) = self.place(directory, slot).ok_or(Error::NoSpace)?;
        let found =
            Found { entry: Dirent::Fat(entry), name: name.into(), slot, first_slot: first, place };
        if let Some(index) = directory.index.borrow_mut().as_mut() {
            for slot in first..after {
                index.set_used(slot, true);
            }
            index.end = end.max(after);
            index.add(name::hash(name), slot);
            index.add(name::hash(&found.short()), slot);
        }
        Ok(found)
    }

    /// Marks the slots of an entry as free. The lock is held exclusively.
    pub(crate) async fn erase(&self, directory: &Directory, found: &Found) -> Result<(), Error> {
        for slot in (found.first_slot..=found.slot).rev() {
            let Some((place, _)) = self.place(directory, slot) else {
                continue;
            };
            let (base, at) = self.line_of(place);
            self.change_line(base, Class::Directory, |line| {
                entry::mark_free(line.get_mut(at..).unwrap_or_default());
            })
            .await?;
        }
        if let Some(index) = directory.index.borrow_mut().as_mut() {
            for slot in found.first_slot..=found.slot {
                index.set_used(slot, false);
            }
            index.remove(name::hash(&found.name), found.slot);
            index.remove(name::hash(&found.short()), found.slot);
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
