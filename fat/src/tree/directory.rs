//! Directories: where their slots are, their growth, and which of them are remembered.
use crate::bytes::put;
use crate::layout::dirent::Dirent;
use crate::layout::entry::SLOT;
use crate::layout::exfat::set::Spot;
use crate::space::extents::Extents;
use crate::tree::index::Index;
use crate::{BlockDevice, Error, FatKind, Volume};
use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::{Cell, Ref, RefCell};

/// The most slots of a directory: 2 MiB.
const MAX_SLOTS: u32 = 65_536;
/// On exFAT: 256 MiB.
const MAX_SLOTS_OF_EXFAT: u32 = 8 << 20;
/// The bound of all indexes together in bytes. The largest directory's takes about three quarters
/// of it.
const INDEX_BYTES: usize = 768 << 10;
/// Directories remembered, with or without an index.
const DIRECTORIES: usize = 256;

#[derive(Debug)]
pub(crate) struct Directory {
    /// Its first cluster; 0 for the fixed root directory of FAT12 and FAT16.
    pub(crate) id: u32,
    extents: RefCell<Extents>,
    pub(crate) index: RefCell<Option<Index>>,
    pub(crate) removed: Cell<bool>,
    /// The clusters are neighbours, and the table says nothing of them.
    contiguous: Cell<bool>,
    /// Where the entry is that led here; the root directory has none.
    pub(crate) spot: Cell<Option<Spot>>,
    /// The commit that its newest cluster belongs to.
    grown_in: Cell<Option<u64>>,
    used: Cell<u64>,
}

impl Directory {
    pub(crate) fn has_grown_in(&self, epoch: u64) -> bool {
        self.grown_in.get() == Some(epoch)
    }

    /// The first slot that is in one of its clusters.
    pub(crate) fn slot_of(&self, cluster: u32, cluster_size: u32) -> Option<u32> {
        let extents = self.extents.borrow();
        let mut runs = extents.runs().iter().filter_map(|run| {
            let inside = cluster.checked_sub(run.cluster).filter(|inside| *inside < run.count)?;
            run.at.checked_add(inside)
        });
        runs.next()?.checked_mul(cluster_size / SLOT as u32)
    }

    /// How many runs its clusters lie in.
    pub(crate) fn runs(&self) -> usize {
        self.extents.borrow().runs().len()
    }
}

impl<D: BlockDevice> Volume<D> {
    pub(crate) fn wide(&self) -> bool {
        matches!(self.geometry.kind, FatKind::Fat32 | FatKind::ExFat)
    }

    pub(crate) fn is_exfat(&self) -> bool {
        self.geometry.kind == FatKind::ExFat
    }

    /// The most slots of a directory.
    fn most_slots(&self) -> u32 {
        if self.is_exfat() { MAX_SLOTS_OF_EXFAT } else { MAX_SLOTS }
    }

    /// What identifies the root directory.
    pub(crate) fn root_id(&self) -> u32 {
        if self.wide() { self.geometry.root_cluster } else { 0 }
    }

    pub(crate) async fn root(&self) -> Result<Rc<Directory>, Error> {
        self.directory(self.root_id()).await
    }

    pub(crate) async fn directory(&self, id: u32) -> Result<Rc<Directory>, Error> {
        self.directory_with(id, None).await
    }

    /// The directory that starts at cluster `id`, which an entry says of itself.
    pub(crate) async fn directory_of(
        &self,
        id: u32,
        entry: &Dirent,
    ) -> Result<Rc<Directory>, Error> {
        self.directory_with(id, Some(entry).filter(|_| self.is_exfat())).await
    }

    async fn directory_with(
        &self,
        id: u32,
        entry: Option<&Dirent>,
    ) -> Result<Rc<Directory>, Error> {
        self.tree.clock.set(self.tree.clock.get().wrapping_add(1));
        if let Some(directory) = self.tree.directories.borrow().get(&id) {
            directory.used.set(self.tree.clock.get());
            return Ok(directory.clone());
        }
        let fixed = id == 0 && !self.wide();
        let extents = match entry {
            Some(entry) => self.extents_of(entry).await?,
            None if fixed => Extents::default(),
            None => self.chain(id).await?,
        };
        let directory = Rc::new(Directory {
            id,
            extents: RefCell::new(extents),
            index: RefCell::new(None),
            removed: Cell::new(false),
            contiguous: Cell::new(entry.is_some_and(Dirent::is_contiguous)),
            spot: Cell::new(None),
            grown_in: Cell::new(None),
            used: Cell::new(self.tree.clock.get()),
        });
        if !fixed && self.slots(&directory) > self.most_slots() {
            return Err(self.damage("a directory larger than its format allows"));
        }
        let mut directories = self.tree.directories.borrow_mut();
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
    pub(crate) fn place(&self, directory: &Directory, slot: u32) -> Option<(u64, u64)> {
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

    /// Drops the indexes least recently used until another one of `size` bytes fits.
    fn trim_indexes(&self, size: usize) {
        let mut directories = self.tree.directories.borrow_mut();
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
                let grown = directory.has_grown_in(self.epoch());
                if Rc::strong_count(directory) == 1 && !grown {
                    directories.remove(&id);
                }
            }
        }
    }

    /// Makes room for `slots` slots.
    pub(crate) async fn make_slots(&self, directory: &Directory, slots: u32) -> Result<(), Error> {
        if slots > self.most_slots() {
            return Err(Error::FolderFull);
        }
        while self.slots(directory) < slots {
            if directory.id == 0 {
                return Err(Error::RootFull);
            }
            let (first, last) = {
                let extents = directory.extents.borrow();
                (directory.contiguous.get().then(|| extents.first()), extents.last())
            };
            let new = self.directory_cluster(last).await?;
            // Zeros must be on the disk before a link leads to them.
            if let Err(error) = self.write_cluster(new.first(), &[]).await {
                self.free_later(new.runs());
                return Err(error);
            }
            let since = directory.grown_in.get();
            directory.contiguous.set(self.attach(last, first, since, &new).await?);
            directory.extents.borrow_mut().push(new.first(), 1);
            directory.grown_in.set(Some(self.epoch()));
            self.note_growth(directory).await?;
        }
        Ok(())
    }

    /// Has the entry of a directory of exFAT say how long it is now.
    async fn note_growth(&self, directory: &Directory) -> Result<(), Error> {
        if let Some((mut entry, place)) = self.own_entry(directory).await?
            && self.is_exfat()
        {
            let size = u64::from(self.slots(directory)).saturating_mul(SLOT as u64);
            entry.set_data(directory.id, size, size, directory.contiguous.get());
            self.write_entry(place, &entry).await?;
        }
        Ok(())
    }

    /// A new cluster for a directory. No size tells where it ends, so that it never ends in an entry of
    /// which a cut may leave half.
    pub(crate) async fn directory_cluster(&self, after: Option<u32>) -> Result<Extents, Error> {
        let (mut split, mut new) = (Extents::default(), Extents::default());
        self.require(1).await?;
        let after = after.filter(|_| self.is_exfat());
        self.extend_near(after, 1, None, &mut split).await?;
        if !self.geometry.is_split(split.first()) {
            return Ok(split);
        }
        // Its neighbours' entries are whole.
        let extended = self.extend(1, &mut new).await;
        self.free_later(split.runs());
        extended.map(|()| new)
    }

    /// Writes a cluster of a directory that begins with `head` and is zeros else. Clusters of exFAT may be
    /// too large to be in memory.
    pub(crate) async fn write_cluster(&self, cluster: u32, head: &[u8]) -> Result<(), Error> {
        const PART: usize = 64 << 10;
        let size = self.geometry.cluster_size as usize;
        let mut data = vec![0; size.min(PART)];
        put(&mut data, 0, head);
        let start = self.cluster_offset(cluster);
        let mut at = 0;
        while at < size {
            let offset = start.saturating_add(at as u64);
            self.write_through(offset, &data).await?;
            self.memory.cache.discard(offset, data.len() as u64);
            if at == 0 {
                self.remember(offset, &data);
                data.fill(0);
            }
            at = at.saturating_add(data.len());
        }
        Ok(())
    }

    /// Forgets a directory that was removed and gives its clusters back.
    pub(crate) fn forget(&self, directory: &Directory) {
        directory.removed.set(true);
        directory.index.take();
        self.tree.directories.borrow_mut().remove(&directory.id);
        let runs = directory.extents.take().truncate(0);
        let cluster_size = u64::from(self.geometry.cluster_size);
        for run in &runs {
            let len = u64::from(run.count).saturating_mul(cluster_size);
            self.memory.cache.discard(self.cluster_offset(run.cluster), len);
        }
        self.free_later(&runs);
    }
}
