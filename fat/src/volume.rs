//! A mounted volume: what all its operations share.
use crate::commit::journal::Journal;
use crate::file::behind::Held;
use crate::file::node::Node;
use crate::file::read_ahead::Reading;
use crate::memory::blocks::Blocks;
use crate::memory::cache::{Cache, Class};
use crate::memory::lock::{Guard, Lock};
use crate::space::claims::Claim;
use crate::space::pending::Pending;
use crate::tree::directory::Directory;
use crate::whole::grow;
use crate::{BlockDevice, DeviceError, Error, Geometry, MountError};
use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

/// How to mount.
#[derive(Clone, Debug)]
pub struct MountOptions {
    /// Refuse every change, whatever the device allows.
    pub read_only: bool,
    /// The bound of the cache of table and directory sectors. The indexes of directories come on top,
    /// at most about 768 KiB.
    pub cache_bytes: usize,
    /// The bound of where the pieces of open files and of directories lie, 12 bytes each. What is in
    /// more pieces than fit cannot be opened.
    pub extent_bytes: usize,
    /// The bound of file data in memory: what was written and is not on the disk yet, and what was
    /// read ahead.
    pub data_bytes: usize,
    /// For a repair at mount and for growing the volume: one bit for each cluster. A volume with more
    /// is not repaired and not grown.
    pub walk_bytes: usize,
}

impl Default for MountOptions {
    fn default() -> Self {
        Self {
            read_only: false,
            cache_bytes: 1 << 20,
            extent_bytes: 8 << 20,
            data_bytes: 2 << 20,
            // The most clusters of a FAT32 volume.
            walk_bytes: 32 << 20,
        }
    }
}

/// One FAT volume. Every method takes `&self`, so that many operations can be under way at once in
/// one thread: a structural change (allocation, directories, a commit) holds `lock` exclusively, a
/// look-up shares it, and reads and writes of file data hold the lock of their file only. No borrow
/// of a cell lasts over an `.await`.
#[derive(Debug)]
pub struct Volume<D> {
    pub(crate) device: D,
    pub(crate) geometry: Geometry,
    pub(crate) cache: Cache,
    pub(crate) lock: Lock,
    pub(crate) directories: RefCell<BTreeMap<u32, Rc<Directory>>>,
    /// Files that are open or not settled yet, by the place of their entry on the disk.
    pub(crate) nodes: RefCell<BTreeMap<u64, Rc<Node>>>,
    /// Files that were removed while open.
    pub(crate) orphans: RefCell<Vec<Rc<Node>>>,
    pub(crate) pending: RefCell<Pending>,
    pub(crate) claims: RefCell<Vec<Claim>>,
    pub(crate) free: Cell<u32>,
    /// Whether `free` was counted, or is what the FSInfo sector says.
    pub(crate) counted: Cell<bool>,
    pub(crate) next_free: Cell<u32>,
    now: Cell<u64>,
    pub(crate) clock: Cell<u64>,
    pub(crate) changed_since: Cell<Option<u64>>,
    /// Whether the dirty bits on the disk say that the volume is in use.
    pub(crate) marked: Cell<bool>,
    /// Counts beginnings and ends of writes, and how far the last flush came.
    pub(crate) writes: Cell<u64>,
    pub(crate) flushed: Cell<u64>,
    /// Bytes of files that were written since.
    pub(crate) unflushed_bytes: Cell<u64>,
    /// Held by the one sync that is under way.
    pub(crate) syncing: Lock,
    /// Counts commits.
    pub(crate) epoch: Cell<u64>,
    /// Commits begun, and the last of them that succeeded.
    pub(crate) commits: Cell<u64>,
    pub(crate) committed: Cell<u64>,
    pub(crate) data_bytes: usize,
    pub(crate) extent_bytes: usize,
    pub(crate) walk_bytes: usize,
    /// Of chains that are being read.
    pub(crate) runs_read: Cell<usize>,
    pub(crate) blocks: Blocks,
    pub(crate) reading: RefCell<Vec<Rc<Reading>>>,
    pub(crate) held: Rc<Held>,
    /// Held shared by what is in flight from memory to the disk.
    pub(crate) flying: Lock,
    /// Something that was accepted could not be written.
    pub(crate) lost: Cell<Option<DeviceError>>,
    pub(crate) journal: RefCell<Option<Journal>>,
    pub(crate) damaged: Cell<bool>,
    read_only: Cell<Option<&'static str>>,
    label: RefCell<[u8; 11]>,
}

impl<D: BlockDevice> Volume<D> {
    /// Reads the boot sector, completes a growth or a commit that a power cut interrupted, gives back the
    /// clusters that it leaked, and finds out how many are free. Writes nothing else.
    pub async fn mount(device: D, options: &MountOptions) -> Result<Self, MountError> {
        let writable = !device.read_only() && !options.read_only;
        let geometry = match Geometry::read(&device).await {
            Err(MountError::Growing(start)) if writable => {
                grow::finish(&device, start).await?;
                Geometry::read(&device).await?
            }
            read => read?,
        };
        let read_only = if device.read_only() {
            Some("the disk is read-only")
        } else if options.read_only {
            Some("mounted read-only")
        } else {
            None
        };
        let volume = Self {
            cache: Cache::new(geometry.bytes_per_sector, options.cache_bytes),
            lock: Lock::default(),
            directories: RefCell::default(),
            nodes: RefCell::default(),
            orphans: RefCell::default(),
            pending: RefCell::default(),
            claims: RefCell::default(),
            free: Cell::new(0),
            counted: Cell::new(false),
            next_free: Cell::new(2),
            now: Cell::new(0),
            clock: Cell::new(0),
            changed_since: Cell::new(None),
            marked: Cell::new(false),
            writes: Cell::new(0),
            flushed: Cell::new(0),
            unflushed_bytes: Cell::new(0),
            syncing: Lock::default(),
            epoch: Cell::new(1),
            commits: Cell::new(0),
            committed: Cell::new(0),
            data_bytes: options.data_bytes,
            extent_bytes: options.extent_bytes,
            walk_bytes: options.walk_bytes,
            runs_read: Cell::new(0),
            blocks: Blocks::default(),
            reading: RefCell::default(),
            held: Rc::default(),
            flying: Lock::default(),
            lost: Cell::new(None),
            journal: RefCell::new(None),
            damaged: Cell::new(false),
            read_only: Cell::new(read_only),
            label: RefCell::new(geometry.label),
            device,
            geometry,
        };
        match volume.start().await {
            Ok(()) => Ok(volume),
            Err(Error::Device(error)) => Err(MountError::Device(error)),
            // What can be read is served.
            Err(_) => {
                volume.damage("the root directory or the system folder cannot be read");
                Ok(volume)
            }
        }
    }

    async fn start(&self) -> Result<(), Error> {
        let dirty = self.found_dirty().await?;
        if dirty {
            log::warn!("the volume was not unmounted cleanly");
        }
        self.open_journal(dirty).await?;
        if dirty && self.writable().is_ok() {
            self.reclaim().await?;
        }
        self.load_free_count(!dirty).await?;
        let root = self.root().await?;
        if let Some(label) = self.indexed(&root).await?.and_then(|index| index.label) {
            *self.label.borrow_mut() = label;
        }
        Ok(())
    }

    /// Where everything is on the disk.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// The volume label without its padding: that of the root directory, else that of the boot
    /// sector. Empty when there is none.
    pub fn label(&self) -> String {
        let label = *self.label.borrow();
        let text: String = label
            .iter()
            .map(|byte| if byte.is_ascii() { char::from(*byte) } else { '_' })
            .collect();
        match text.trim_end_matches([' ', '\0']) {
            "NO NAME" => String::new(),
            text => text.to_string(),
        }
    }

    /// Why the volume cannot be written, if it cannot.
    pub fn read_only(&self) -> Option<&'static str> {
        self.read_only.get()
    }

    /// Sets the clock that all time stamps come from, in Unix seconds.
    pub fn set_time(&self, unix_seconds: u64) {
        self.now.set(unix_seconds);
    }

    /// The clock, in Unix seconds.
    pub fn now(&self) -> u64 {
        self.now.get()
    }

    /// The time of the oldest change that a power cut would lose, in Unix seconds.
    pub fn unsynced_since(&self) -> Option<u64> {
        let closed =
            || {
                self.orphans.borrow().iter().any(|node| node.is_closed())
                    || self.nodes.borrow().values().any(|node| {
                        node.is_closed() && node.needs_settling(self.geometry.cluster_size)
                    })
            };
        let now = || (self.marked.get() && closed()).then(|| self.now());
        self.changed_since.get().or_else(now)
    }

    /// From now on nothing is changed any more.
    pub(crate) fn stop_writing(&self, why: &'static str) {
        self.read_only.set(Some(why));
    }

    pub(crate) fn note_change(&self) {
        if self.changed_since.get().is_none() {
            self.changed_since.set(Some(self.now()));
        }
    }

    pub(crate) fn writable(&self) -> Result<(), Error> {
        if self.read_only.get().is_some() { Err(Error::ReadOnly) } else { Ok(()) }
    }

    /// Notes that the disk contradicts itself: from now on nothing is changed any more.
    pub(crate) fn damage(&self, what: &'static str) -> Error {
        self.damaged.set(true);
        if self.read_only.get().is_none() {
            log::error!("the volume is damaged and is read-only from now on: {what}");
            self.read_only.set(Some(what));
        }
        Error::Damaged(what)
    }

    /// Begins a structural change: the only change until the guard is dropped.
    pub(crate) async fn change(&self) -> Result<Guard<'_>, Error> {
        self.writable()?;
        let guard = self.lock.exclusive().await;
        self.writable()?;
        self.mark().await?;
        self.make_room().await?;
        self.note_change();
        Ok(guard)
    }

    /// Keeps what waits for a commit within its bounds. The lock is held exclusively.
    async fn make_room(&self) -> Result<(), Error> {
        /// More nodes than this are settled at once.
        const NODES: usize = 64;
        /// Directory sectors that one operation may change.
        const ONE_OPERATION: usize = 24;
        let directory = self.cache.dirty_count(Class::Directory);
        let journal = self.journal.borrow().as_ref().map(Journal::capacity);
        let most = journal.unwrap_or(usize::MAX).min((self.cache.capacity() / 4).max(64));
        if self.nodes.borrow().len() > NODES {
            self.settle().await?;
        }
        let open = self.nodes.borrow().len();
        let pieces = self.pending.borrow().len();
        // Each open file may add the sector of its entry.
        if directory.saturating_add(open.min(most / 2)).saturating_add(ONE_OPERATION) > most
            || pieces > 10_000
        {
            self.commit().await?;
        }
        self.relieve().await
    }
}
