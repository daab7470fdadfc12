//! Opening, reading, writing and resizing files.
use crate::file::node::{File, Node, OpenOptions, State, clusters};
use crate::give_way::give_way;
use crate::layout::dirent::Dirent;
use crate::layout::entry::{ATTR_ARCHIVE, Entry};
use crate::layout::exfat::set::Set;
use crate::space::extents::Extents;
use crate::tree::actor::By;
use crate::tree::directory::Directory;
use crate::tree::lookup::Found;
use crate::tree::path::Parent;
use crate::tree::posix;
use crate::{BlockDevice, Error, Metadata, Volume};
use alloc::rc::Rc;

/// What one step of filling a hole writes, and the zeros that it writes again and again.
const FILL_STEP: u64 = 64 * 1024;
static ZEROS: [u8; 4096] = [0; 4096];
/// Longer holes of exFAT are none of zeros on the disk: other systems make little of such files.
const MOST_ZEROS: u64 = 64 << 20;
/// The most bytes of a file of FAT.
const MOST_OF_FAT: u64 = u32::MAX as u64;
/// How many closed files are kept that nothing remains to be done for.
pub(crate) const IDLE_NODES: usize = 32;

impl<D: BlockDevice> Volume<D> {
    /// Opens a file, or creates it. Fails for directories, and with `ReadOnlyFile` when a file with
    /// the read-only attribute is to be written.
    pub async fn open(&self, path: &str, options: &OpenOptions) -> Result<File, Error> {
        self.open_by(path, options, None).await
    }

    /// As `open`, on behalf of one who may change less than everything.
    pub async fn open_by(
        &self,
        path: &str,
        options: &OpenOptions,
        by: By<'_>,
    ) -> Result<File, Error> {
        if options.truncate && !options.write {
            return Err(Error::NotOpenForThis);
        }
        self.drop_idle_nodes(IDLE_NODES);
        if options.write {
            self.settle_some().await?;
        }
        let existing = {
            let _lock = self.memory.lock.shared().await;
            self.open_existing(path, options, by).await
        };
        let file = match existing {
            Err(Error::NotFound) if options.create || options.create_new => {
                let _lock = self.change_by(by).await?;
                match self.open_existing(path, options, by).await {
                    Err(Error::NotFound) => self.create(path, options, by).await?,
                    opened => opened?,
                }
            }
            opened => opened?,
        };
        if options.truncate && file.node.state.borrow().len > 0 {
            self.set_len(&file, 0).await?;
        }
        Ok(file)
    }

    async fn open_existing(
        &self,
        path: &str,
        options: &OpenOptions,
        by: By<'_>,
    ) -> Result<File, Error> {
        let Some(Parent { directory, name, .. }) = self.parent(path).await? else {
            return Err(Error::IsADirectory);
        };
        let found = self.visible(&directory, name).await?.ok_or(Error::NotFound)?;
        if options.create_new {
            return Err(Error::AlreadyExists);
        }
        if found.entry.is_dir() {
            return Err(Error::IsADirectory);
        }
        if self.metadata_of(&found).is_link() {
            return Err(Error::IsALink);
        }
        if options.write {
            self.writable()?;
            self.tree.actors.may_change(Some(found.place), by)?;
            if self.metadata_of(&found).read_only {
                return Err(Error::ReadOnlyFile);
            }
        }
        let node = self.node(&directory, &found).await?;
        if options.write {
            self.tree.actors.touched(found.place, by);
        }
        Ok(self.opened(node, options, by))
    }

    fn opened(&self, node: Rc<Node>, options: &OpenOptions, by: By<'_>) -> File {
        File::new(node, options, by, self.files.closing.clone())
    }

    /// Fails when an open file is not for who has it open to change.
    pub(crate) fn may_change_file(&self, file: &File) -> Result<(), Error> {
        let place = file.node.state.borrow().place;
        self.tree.actors.may_change(place, file.by.as_ref())
    }

    async fn create(&self, path: &str, options: &OpenOptions, by: By<'_>) -> Result<File, Error> {
        let Some(Parent { directory, name, .. }) = self.parent(path).await? else {
            return Err(Error::IsADirectory);
        };
        self.claimable(&directory, name).await?;
        let mut entry = self.new_entry(ATTR_ARCHIVE);
        if let Some((posix, plain)) = options.posix.filter(|_| self.keeps_posix()) {
            let owner = (posix.uid, posix.gid);
            posix::change(&mut entry, Some(posix.permissions()), Some(owner), plain);
        }
        let found = self.insert(&directory, name, entry).await?;
        self.touch_directory(&directory).await?;
        Ok(self.opened(self.node(&directory, &found).await?, options, by))
    }

    pub(crate) fn new_entry(&self, attributes: u8) -> Dirent {
        if self.is_exfat() {
            return Dirent::ExFat(Set::new(attributes, self.stamp()));
        }
        let mut entry = Entry::short(*b"           ", attributes);
        entry.set_created(self.stamp());
        entry.set_modified(self.stamp());
        entry.set_accessed(self.stamp());
        Dirent::Fat(entry)
    }

    /// Fails when no file of this volume may have `len` bytes. Errors: `TooLarge`.
    pub fn fits(&self, len: u64) -> Result<(), Error> {
        let fits = self.is_exfat() || len <= MOST_OF_FAT;
        if fits { Ok(()) } else { Err(Error::TooLarge) }
    }

    /// The node of a file, made when nobody has it open. The lock is held.
    pub(crate) async fn node(
        &self,
        directory: &Rc<Directory>,
        found: &Found,
    ) -> Result<Rc<Node>, Error> {
        if let Some(node) = self.files.at(found.place) {
            return Ok(node);
        }
        let extents = self.extents_of(&found.entry).await?;
        if extents.clusters() < clusters(found.entry.len(), self.geometry.cluster_size) {
            return Err(self.damage("a file longer than its cluster chain"));
        }
        let node = Node::new(found.place, found.entry, extents, self.home(directory));
        // Somebody else may have opened it while the chain was read.
        let node = self.files.nodes.borrow_mut().entry(found.place).or_insert(node).clone();
        if node.is_unsettled(self.geometry.cluster_size) {
            self.files.settling.add(&node);
        }
        Ok(node)
    }

    /// What a file must know of the directory that it is in.
    pub(crate) fn home(&self, directory: &Rc<Directory>) -> Option<Rc<Directory>> {
        self.keeps_posix().then(|| directory.clone())
    }

    /// Forgets closed files that nothing remains to be done for, but for some.
    pub(crate) fn drop_idle_nodes(&self, most: usize) {
        self.files.forget_idle(most, self.geometry.cluster_size, self.epoch());
    }

    /// As `metadata`, of an open file, which may have no name any more.
    pub fn file_metadata(&self, file: &File) -> Metadata {
        self.in_utc(file.node.metadata())
    }

    /// Reads from byte `offset` on and returns how many bytes there were: less than asked for at
    /// the end of the file, 0 behind it.
    pub async fn read(&self, file: &File, offset: u64, buf: &mut [u8]) -> Result<usize, Error> {
        if !file.read {
            return Err(Error::NotOpenForThis);
        }
        let _lock = file.node.lock.shared().await;
        let (len, valid) = {
            let state = file.node.state.borrow();
            (state.len, state.valid)
        };
        let left = usize::try_from(len.saturating_sub(offset)).unwrap_or(usize::MAX);
        let most = buf.len().min(left);
        let Some(buf) = buf.get_mut(..most).filter(|buf| !buf.is_empty()) else {
            return Ok(0);
        };
        let kept = usize::try_from(valid.saturating_sub(offset)).unwrap_or(usize::MAX).min(most);
        let (kept, zeros) = buf.split_at_mut_checked(kept).unwrap_or_default();
        zeros.fill(0);
        if !kept.is_empty() {
            self.read_file(file, offset, kept).await?;
        }
        Ok(most)
    }

    /// Writes all of `data` at byte `offset`, or fails. A hole before it is filled with zeros.
    pub async fn write(&self, file: &File, offset: u64, data: &[u8]) -> Result<(), Error> {
        self.write_at(file, Some(offset), data).await
    }

    /// Writes all of `data` at the end of the file, wherever other writers have moved it.
    pub async fn append(&self, file: &File, data: &[u8]) -> Result<(), Error> {
        self.write_at(file, None, data).await
    }

    async fn write_at(&self, file: &File, at: Option<u64>, data: &[u8]) -> Result<(), Error> {
        if !file.write {
            return Err(Error::NotOpenForThis);
        }
        self.writable()?;
        file.check()?;
        if data.is_empty() {
            return Ok(());
        }
        let node = &file.node;
        let lock = node.lock.exclusive().await;
        self.may_change_file(file)?;
        let (len, valid) = {
            let state = node.state.borrow();
            (state.len, state.valid)
        };
        let offset = at.unwrap_or(len);
        let end = offset.checked_add(data.len() as u64).ok_or(Error::TooLarge)?;
        self.fits(end)?;
        self.mark_shared().await?;
        let by = file.by.as_ref();
        if offset > valid {
            self.require_for(node, end, by).await?;
            self.fill(node, valid, offset, by).await?;
        }
        self.reserve(node, end, by).await?;
        let (now, later) = data.split_at(self.direct(node, offset, data.len()));
        self.make_way(later.len()).await;
        // Somebody else may have moved it meanwhile.
        self.may_change_file(file)?;
        let flight = self.depart(node, offset, now.len()).await;
        self.accept(node, offset.saturating_add(now.len() as u64), later);
        {
            let mut state = node.state.borrow_mut();
            let (len, valid) = (state.len.max(end), state.valid.max(end));
            state.set_len(len, valid);
            self.touch(node, &mut state);
        }
        drop(lock);
        if let Some(flight) = flight {
            self.carry(flight, now).await?;
        }
        self.drain(node, false).await;
        file.check()
    }

    /// Notes new data: the time stamp, and the archive bit as every writer of FAT sets it.
    fn touch(&self, node: &Rc<Node>, state: &mut State) {
        state.entry.set_modified(self.stamp());
        let attributes = state.entry.attributes() | ATTR_ARCHIVE;
        state.entry.set_attributes(attributes);
        self.soil(node, state);
        self.note_change();
    }

    /// Notes that the entry in the cache is older than the file.
    pub(crate) fn soil(&self, node: &Rc<Node>, state: &mut State) {
        state.dirty = true;
        self.files.settling.add(node);
    }

    /// Makes the file `len` bytes long; what is added is zeros.
    pub async fn set_len(&self, file: &File, len: u64) -> Result<(), Error> {
        if !file.write {
            return Err(Error::NotOpenForThis);
        }
        self.writable()?;
        self.fits(len)?;
        let node = &file.node;
        let _lock = node.lock.exclusive().await;
        self.may_change_file(file)?;
        let (old, valid) = {
            let state = node.state.borrow();
            (state.len, state.valid)
        };
        if len > old {
            let by = file.by.as_ref();
            self.mark_shared().await?;
            self.require_for(node, len, by).await?;
            let hole = self.is_exfat() && len.saturating_sub(valid) > MOST_ZEROS;
            match hole {
                true => self.reserve(node, len, by).await?,
                false => self.fill(node, valid, len, by).await?,
            }
            self.may_change_file(file)?;
            let mut state = node.state.borrow_mut();
            state.set_len(len, if hole { valid } else { len });
            self.touch(node, &mut state);
        } else {
            let _change = self.change().await?;
            self.may_change_file(file)?;
            let mut state = node.state.borrow_mut();
            state.set_len(len, valid);
            node.behind.cut(len);
            self.cut(&mut state);
            self.touch(node, &mut state);
        }
        Ok(())
    }

    /// Gives back the clusters behind the end of the file. The lock is held exclusively.
    pub(crate) fn cut(&self, state: &mut State) {
        let keep = clusters(state.len, self.geometry.cluster_size);
        if keep < state.extents.clusters() {
            let contiguous = state.contiguous;
            self.cut_later(&mut state.extents, keep, contiguous);
            if keep > 0 {
                state.cut_in = Some(self.epoch());
            }
        }
    }

    /// Fails early when a file of `len` bytes cannot be had: before its zeros are written.
    async fn require_for(&self, node: &Node, len: u64, by: By<'_>) -> Result<(), Error> {
        let missing = self.missing(node, len);
        let keeps = by.map_or(0, |by| by.keeps());
        if missing.saturating_add(keeps) > self.space.free() {
            let _change = self.change_by(by).await?;
            return self.require(missing).await;
        }
        Ok(())
    }

    fn missing(&self, node: &Node, len: u64) -> u32 {
        let needed = clusters(len, self.geometry.cluster_size);
        needed.saturating_sub(node.state.borrow().extents.clusters())
    }

    /// Allocates what a file of `len` bytes needs. The node is locked exclusively.
    async fn reserve(&self, node: &Rc<Node>, len: u64, by: By<'_>) -> Result<(), Error> {
        if self.missing(node, len) == 0 {
            return Ok(());
        }
        let _change = self.change_by(by).await?;
        if node.state.borrow().cut_in == Some(self.epoch()) {
            self.commit().await?;
        }
        let missing = self.missing(node, len);
        self.require(missing).await?;
        let (runs, last, first, since) = {
            let state = node.state.borrow();
            let first = state.contiguous.then(|| state.extents.first());
            (state.extents.runs().len(), state.extents.last(), first, state.grown_in)
        };
        self.may_grow(runs)?;
        let mut new = Extents::default();
        let result = self.extend_near(last, missing, Some(&node.opens), &mut new).await;
        if new.clusters() == 0 {
            return result;
        }
        let contiguous = self.attach(last, first, since, &new).await?;
        let mut state = node.state.borrow_mut();
        state.contiguous = contiguous;
        state.grown_in = Some(self.epoch());
        for run in new.runs() {
            state.extents.push(run.cluster, run.count);
        }
        result
    }

    /// Writes zeros over `from..to`, allocating as it goes.
    async fn fill(&self, node: &Rc<Node>, from: u64, to: u64, by: By<'_>) -> Result<(), Error> {
        let mut at = from;
        while at < to {
            let end = (at / FILL_STEP).saturating_add(1).saturating_mul(FILL_STEP).min(to);
            self.reserve(node, end, by).await?;
            self.make_way(usize::try_from(end.saturating_sub(at)).unwrap_or(0)).await;
            while at < end {
                let left = usize::try_from(end.saturating_sub(at)).unwrap_or(ZEROS.len());
                let zeros = ZEROS.get(..left).unwrap_or(&ZEROS);
                self.accept(node, at, zeros);
                at = at.saturating_add(zeros.len() as u64);
            }
            self.drain(node, false).await;
            // A hole can be long.
            give_way().await;
        }
        Ok(())
    }
}
