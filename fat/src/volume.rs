//! A mounted volume: one field for each room, and mounting. The operations are in the rooms.
use crate::commit::Commit;
use crate::file::Files;
use crate::memory::Memory;
use crate::space::Clusters;
use crate::tree::Tree;
use crate::whole::grow;
use crate::{BlockDevice, Error, FatKind, Geometry, MountError, Place};
use alloc::string::{String, ToString};

/// How to mount.
#[derive(Clone, Debug)]
pub struct MountOptions {
    /// Refuse every change, whatever the device allows.
    pub read_only: bool,
    /// Which part of the disk is the volume.
    pub place: Place,
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
    /// How many minutes FAT's time stamps are ahead of UTC. exFAT's say it themselves.
    pub time_offset: i16,
}

impl Default for MountOptions {
    fn default() -> Self {
        Self {
            read_only: false,
            place: Place::Found,
            cache_bytes: 1 << 20,
            extent_bytes: 8 << 20,
            data_bytes: 2 << 20,
            // The most clusters of a FAT32 volume.
            walk_bytes: 32 << 20,
            time_offset: 0,
        }
    }
}

/// One FAT or exFAT volume. Every method takes `&self`, so that many operations can be under way at once in
/// one thread: a structural change (allocation, directories, a commit) holds `memory.lock` exclusively, a
/// look-up shares it, and reads and writes of file data hold the lock of their file only. No borrow
/// of a cell lasts over an `.await`.
#[derive(Debug)]
pub struct Volume<D> {
    pub(crate) device: D,
    pub(crate) geometry: Geometry,
    pub(crate) memory: Memory,
    pub(crate) space: Clusters,
    pub(crate) tree: Tree,
    pub(crate) files: Files,
    pub(crate) commit: Commit,
}

impl<D: BlockDevice> Volume<D> {
    /// Reads the boot sector, completes a growth or a commit that a power cut interrupted, gives back the
    /// clusters that it leaked, and finds out how many are free. Writes nothing else.
    pub async fn mount(device: D, options: &MountOptions) -> Result<Self, MountError> {
        let writable = !device.read_only() && !options.read_only;
        let geometry = match Geometry::read_at(&device, options.place).await {
            Err(MountError::Growing(start)) if writable => {
                grow::finish(&device, start).await?;
                Geometry::read_at(&device, options.place).await?
            }
            read => read?,
        };
        let read_only = if device.read_only() {
            Some("the disk is read-only")
        } else if options.read_only {
            Some("mounted read-only")
        } else {
            geometry.read_only
        };
        let ahead = match geometry.kind {
            FatKind::ExFat => 0,
            _ => i64::from(options.time_offset).saturating_mul(60),
        };
        let memory =
            Memory::new(geometry.bytes_per_sector, options.cache_bytes, options.walk_bytes);
        let volume = Self {
            memory,
            space: Clusters::new(options.extent_bytes),
            tree: Tree::new(label_text(geometry.label)),
            files: Files::new(options.data_bytes),
            commit: Commit::new(read_only, ahead),
            device,
            geometry,
        };
        if volume.is_exfat() {
            volume.learn_root().await?;
        }
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
        self.learn_posix().await?;
        let root = self.root().await?;
        if let Some(label) = self.indexed(&root).await?.and_then(|index| index.label) {
            self.tree.set_label(label_text(label));
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
        self.tree.label()
    }
}

/// FAT's label without its padding.
fn label_text(label: [u8; 11]) -> String {
    let text: String =
        label.iter().map(|byte| if byte.is_ascii() { char::from(*byte) } else { '_' }).collect();
    match text.trim_end_matches([' ', '\0']) {
        "NO NAME" => String::new(),
        text => text.to_string(),
    }
}
