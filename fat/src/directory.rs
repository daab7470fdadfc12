//! Directories: their slots, looking a name up, adding and removing an entry.
use crate::cache::Class;
use crate::entry::{self, ATTR_VOLUME_ID, Entry, Kind, MAX_LONG_SLOTS, SLOT};
use crate::extents::Extents;
use crate::index::Index;
use crate::long_name::LongName;
use crate::{BlockDevice, Error, FatKind, Volume, name, short_name};
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::{Cell, Ref, RefCell};

/// The most slots of a directory: 2 MiB.
const MAX_SLOTS: u32 = 65_536;
/// The bound of all indexes together in bytes. The largest directory's takes a little more than
/// half of it.
const INDEX_BYTES: usize = 1 << 20;
/// Directories remembered, with or without an index.
const DIRECTORIES: usize = 256;

#[derive(Debug)]
pub(crate) struct Directory {
    /// Its first cluster; 0 for the fixed root directory of FAT12 and FAT16.
    pub(crate) id: u32,
    extents: RefCell<Extents>,
    index: RefCell<Option<Index>>,
    pub(crate) removed: Cell<bool>,
    /// The commit that its newest cluster belongs to.
    grown_in: Cell<Option<u64>>,
    used: Cell<u64>,
}

/// An entry that was looked up.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) entry: Entry,
    /// The long name, else the short one.
    pub(crate) name: String,
    pub(crate) slot: u32,
    /// Where its long name starts; `slot` when it has none.
    pub(crate) first_slot: u32,
    /// Where the short entry is on the disk: what identifies it while it is not moved.
    pub(crate) place: u64,
}

impl Found {
    fn short(&self) -> String {
        short_name::decode(&self.entry.name(), 0)
    }

    fn is(&self, name: &str) -> bool {
        name::same(&self.name, name) || name::same(&self.short(), name)
    }
}

impl<D: BlockDevice> Volume<D> {
    pub(crate) fn wide(&self) -> bool {
        self.geometry.kind == FatKind::Fat32
    }

    /// What identifies the root directory.
    pub(crate) fn root_id(&self) -> u32 {
        if self.wide() { self.geometry.root_cluster } else { 0 }
    }

    pub(crate) async fn root(&self) -> Result<Rc<Directory>, Error> {
        self.directory(self.root_id()).await
    }

    pub(crate) async fn directory(&self, id: u32) -> Result<Rc<Directory>, Error> {
        self.clock.set(self.clock.get().wrapping_add(1));
        if let Some(directory) = self.directories.borrow().get(&id) {
            directory.used.set(self.clock.get());
            return Ok(directory.clone());
        }
        let fixed = id == 0 && !self.wide();
        let extents = if fixed { Extents::default() } else { self.chain(id).await? };
        let directory = Rc::new(Directory {
            id,
            extents: RefCell::new(extents),
            index: RefCell::new(None),
            removed: Cell::new(false),
            grown_in: Cell::new(None),
            used: Cell::new(self.clock.get()),
        });
        if !fixed && self.slots(&directory) > MAX_SLOTS {
            return Err(self.damage("a directory larger than 2 MiB"));
        }
        let mut directories = self.directories.borrow_mut();
        Ok(directories.entry(id).or_insert(directory).clone())
    }

    /// The number of slots there is room for.
    pub(crate) fn slots(&self, directory: &Directory) -> u32 {
        if directory.id == 0 {
            return self.geometry.root_entries;
        }
        let clusters = directory.extents.borrow().clusters();
        clusters.saturating_mul(self.geometry.cluster_size / SLOT as u32)
    }

    /// Where a slot is on the disk, and how many bytes of the directory follow there.
    fn place(&self, directory: &Directory, slot: u32) -> Option<(u64, u64)> {
        if slot >= self.slots(directory) {
            return None;
        }
        let byte = u64::from(slot).checked_mul(SLOT as u64)?;
        if directory.id == 0 {
            let size = u64::from(self.geometry.root_entries) * SLOT as u64;
            return Some((self.geometry.root_start.checked_add(byte)?, size.checked_sub(byte)?));
        }
        let cluster_size = u64::from(self.geometry.cluster_size);
        let at = u32::try_from(byte / cluster_size).ok()?;
        let (cluster, left) = directory.extents.borrow().find(at)?;
        let inside = byte % cluster_size;
        let offset = self.cluster_offset(cluster).checked_add(inside)?;
        Some((offset, (u64::from(left) * cluster_size).checked_sub(inside)?))
    }

    /// Where a cluster starts on the disk. The number has been checked.
    pub(crate) fn cluster_offset(&self, cluster: u32) -> u64 {
        let before = u64::from(cluster.saturating_sub(2));
        let before = before.saturating_mul(u64::from(self.geometry.cluster_size));
        self.geometry.data_start.saturating_add(before)
    }

    /// A slot and its place; nothing past the last.
    async fn slot(&self, dir: &Directory, slot: u32) -> Result<Option<(Entry, u64)>, Error> {
        let Some((place, left)) = self.place(dir, slot) else { return Ok(None) };
        let (base, at) = self.line_of(place);
        let ahead = left.saturating_add(at as u64);
        Ok(Some((self.line(base, ahead, |line| copy_slot(line, at)).await?, place)))
    }

    pub(crate) async fn read_entry(&self, place: u64) -> Result<Entry, Error> {
        let (base, at) = self.line_of(place);
        self.line(base, 0, |line| copy_slot(line, at)).await
    }

    pub(crate) async fn write_entry(&self, place: u64, entry: &Entry) -> Result<(), Error> {
        let (base, at) = self.line_of(place);
        self.change_line(base, Class::Directory, |line| {
            if let Some(slot) = line.get_mut(at..at.saturating_add(SLOT)) {
                slot.copy_from_slice(&entry.0);
            }
        })
        .await
    }

    /// The next entry from `slot` on, which is moved behind it. Nothing at the end.
    pub(crate) async fn next_entry(
        &self,
        directory: &Directory,
        slot: &mut u32,
    ) -> Result<Option<Found>, Error> {
        let mut long = LongName::default();
        loop {
            let at = *slot;
            let Some((entry, place)) = self.slot(directory, at).await? else { return Ok(None) };
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
        let Some((entry, place)) = self.slot(dir, slot).await? else { return Ok(None) };
        if entry.kind() != Kind::Short {
            return Ok(None);
        }
        let mut parts = Vec::new();
        for before in (slot.saturating_sub(MAX_LONG_SLOTS)..slot).rev() {
            let Some((part, _)) = self.slot(dir, before).await? else { break };
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

    /// The index of a directory, built when it is not there.
    pub(crate) async fn indexed<'a>(
        &self,
        directory: &'a Directory,
    ) -> Result<Option<Ref<'a, Index>>, Error> {
        if directory.index.borrow().is_none() {
            let index = self.build_index(directory).await?;
            self.trim_indexes(index.size());
            *directory.index.borrow_mut() = Some(index);
        }
        Ok(Ref::filter_map(directory.index.borrow(), Option::as_ref).ok())
    }

    async fn build_index(&self, directory: &Directory) -> Result<Index, Error> {
        let mut index = Index::new(self.slots(directory));
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
                    index.add_unsorted(name::hash(&found.name), slot);
                    index.add_unsorted(name::hash(&found.short()), slot);
                }
            }
            index.set_used(slot, entry.kind() != Kind::Free);
            slot = slot.saturating_add(1);
        }
        index.end = slot;
        index.sort();
        Ok(index)
    }

    /// Drops the indexes least recently used until another one of `size` bytes fits.
    fn trim_indexes(&self, size: usize) {
        let mut directories = self.directories.borrow_mut();
        let mut by_use: Vec<(u64, u32, usize)> = directories
            .values()
            .map(|dir| (dir.used.get(), dir.id, dir.index.borrow().as_ref().map_or(0, Index::size)))
            .collect();
        by_use.sort_unstable();
        let mut total = by_use.iter().fold(size, |total, (_, _, size)| total.saturating_add(*size));
        for (_, id, size) in by_use {
            if total <= INDEX_BYTES && directories.len() <= DIRECTORIES {
                break;
            }
            total = total.saturating_sub(size);
            if let Some(directory) = directories.get(&id) {
                directory.index.take();
                // Who holds it must see when it is removed; what it grew by is not linked yet.
                let grown = directory.grown_in.get() == Some(self.epoch.get());
                if Rc::strong_count(directory) == 1 && !grown {
                    directories.remove(&id);
                }
            }
        }
    }

    /// Looks a name up without case, among long and short names. Of names that differ in case only,
    /// as other systems may have left them, the one spelt exactly so is taken.
    pub(crate) async fn find(&self, dir: &Directory, name: &str) -> Result<Option<Found>, Error> {
        let slots = match self.indexed(dir).await? {
            Some(index) => index.slots(name::hash(name)),
            None => return Ok(None),
        };
        let mut best: Option<Found> = None;
        for slot in slots {
            if let Some(found) = self.entry_at(dir, slot).await?
                && found.is(name)
            {
                if found.name == name {
                    return Ok(Some(found));
                }
                // A long name before an alias of another file.
                if best.as_ref().is_none_or(|best| !name::same(&best.name, name)) {
                    best = Some(found);
                }
            }
        }
        Ok(best)
    }

    /// Adds an entry under `name`, which is not there yet. The lock is held exclusively.
    pub(crate) async fn insert(
        &self,
        directory: &Directory,
        name: &str,
        mut entry: Entry,
    ) -> Result<Found, Error> {
        let units = name::encode(name)?;
        let (short, long) = match short_name::exact(name) {
            Some(short) => (short, Vec::new()),
            None => {
                let index = self.indexed(directory).await?;
                let taken = |short: &[u8; 11]| {
                    let hash = name::hash(&short_name::decode(short, 0));
                    index.as_ref().is_some_and(|index| index.has(hash))
                };
                let short = short_name::generate(name, taken).ok_or(Error::NoSpace)?;
                (short, entry::long_slots(&units, short_name::checksum(&short)))
            }
        };
        entry.set_name(short, 0);
        let count = u32::try_from(long.len()).unwrap_or(u32::MAX).saturating_add(1);
        self.indexed(directory).await?;
        let (first, end) = match directory.index.borrow_mut().as_mut() {
            Some(index) => (index.free_slots(count), index.end),
            None => return Err(Error::NoSpace),
        };
        let after = first.saturating_add(count);
        self.grow(directory, after).await?;
        if after > end
            && let Some((place, _)) = self.place(directory, after)
        {
            self.write_entry(place, &Entry([0; SLOT])).await?;
        }
        for (part, slot) in long.iter().chain([&entry]).zip(first..after) {
            let (place, _) = self.place(directory, slot).ok_or(Error::NoSpace)?;
            self.write_entry(place, part).await?;
        }
        let slot = after.saturating_sub(1);
        let (place, _) = self.place(directory, slot).ok_or(Error::NoSpace)?;
        let found = Found { entry, name: name.into(), slot, first_slot: first, place };
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

    /// Makes room for `slots` slots.
    async fn grow(&self, directory: &Directory, slots: u32) -> Result<(), Error> {
        if slots > MAX_SLOTS {
            return Err(Error::NoSpace);
        }
        while self.slots(directory) < slots {
            if directory.id == 0 {
                return Err(Error::NoSpace);
            }
            let mut new = Extents::default();
            self.extend(1, 0, &mut new).await?;
            // Zeros must be on the disk before a link leads to them.
            let zeros = self.empty_cluster();
            if let Err(error) = self.write_through(self.cluster_offset(new.first()), &zeros).await {
                self.free_later(new.runs());
                return Err(error);
            }
            let last = directory.extents.borrow().last();
            if let Some(last) = last {
                self.join_chains(last, directory.grown_in.get(), new.first()).await?;
            }
            directory.extents.borrow_mut().push(new.first(), 1);
            directory.grown_in.set(Some(self.epoch.get()));
        }
        Ok(())
    }

    pub(crate) fn empty_cluster(&self) -> Vec<u8> {
        vec![0; self.geometry.cluster_size as usize]
    }

    /// Marks the slots of an entry as free. The lock is held exclusively.
    pub(crate) async fn erase(&self, directory: &Directory, found: &Found) -> Result<(), Error> {
        for slot in (found.first_slot..=found.slot).rev() {
            let Some((place, _)) = self.place(directory, slot) else { continue };
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

    /// Forgets a directory that was removed and gives its clusters back.
    pub(crate) fn forget(&self, directory: &Directory) {
        directory.removed.set(true);
        directory.index.take();
        self.directories.borrow_mut().remove(&directory.id);
        let runs = directory.extents.take().truncate(0);
        let cluster_size = u64::from(self.geometry.cluster_size);
        for run in &runs {
            let len = u64::from(run.count).saturating_mul(cluster_size);
            self.cache.discard(self.cluster_offset(run.cluster), len);
        }
        self.free_later(&runs);
    }
}

fn copy_slot(line: &[u8], at: usize) -> Entry {
    let mut slot = [0; SLOT];
    if let Some(from) = line.get(at..at.saturating_add(SLOT)) {
        slot.copy_from_slice(from);
    }
    Entry(slot)
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
    Found { entry, name, slot, first_slot, place }
}
