//! What is kept of the disk: sectors of tables and directories, blocks of file data; and who holds what.
pub(crate) mod blocks;
pub(crate) mod cache;
pub(crate) mod lock;
pub(crate) mod sectors;

use blocks::Blocks;
use cache::Cache;
use core::cell::Cell;
use lock::Lock;

/// What a volume keeps of its disk. What must hold: the cache is the truth about tables and
/// directories, since its dirty lines are newer than the disk; the blocks never differ from the disk;
/// every write is counted when it begins and when it ends, so that `flushed` never counts one that a
/// flush may have come too early for.
#[derive(Debug)]
pub(crate) struct Memory {
    pub(crate) cache: Cache,
    pub(crate) blocks: Blocks,
    /// Held exclusively by a structural change, shared by a look-up.
    pub(crate) lock: Lock,
    /// The bound of what a walk through the volume notes: one bit for each cluster.
    pub(crate) walk_bytes: usize,
    /// Counts beginnings and ends of writes, and how far the last flush came.
    writes: Cell<u64>,
    flushed: Cell<u64>,
    /// Bytes of files that were written since.
    unflushed_bytes: Cell<u64>,
}

impl Memory {
    pub(crate) fn new(line_size: u32, cache_bytes: usize, walk_bytes: usize) -> Self {
        Self {
            cache: Cache::new(line_size, cache_bytes),
            blocks: Blocks::default(),
            lock: Lock::default(),
            walk_bytes,
            writes: Cell::new(0),
            flushed: Cell::new(0),
            unflushed_bytes: Cell::new(0),
        }
    }

    /// Bytes of files that were written and that no flush has followed.
    pub(crate) fn unflushed_bytes(&self) -> u64 {
        self.unflushed_bytes.get()
    }

    /// Notes that bytes of a file were written.
    pub(crate) fn note_bytes(&self, bytes: usize) {
        self.unflushed_bytes.set(self.unflushed_bytes.get().saturating_add(bytes as u64));
    }
}
