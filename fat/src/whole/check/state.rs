//! What a check holds while it goes through a volume.
use super::problem::Problem;
use super::table::{Owned, Table};
use crate::Geometry;
use alloc::string::String;
use alloc::vec::Vec;

/// What a check counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Files, hidden ones included.
    pub files: u32,
    /// Of them, symbolic links, and others of which more than FAT can is kept.
    pub links: u32,
    pub modes: u32,
    /// Directories, the root not among them.
    pub directories: u32,
    pub clusters: u32,
    /// Clusters that the table has in use, leaked ones included.
    pub used: u32,
    pub free: u32,
    /// Clusters marked as bad.
    pub bad: u32,
    pub problems: u32,
}

pub(super) struct Check<'a, D> {
    pub device: &'a D,
    pub geometry: Geometry,
    pub table: Table<'a, D>,
    pub owned: Owned,
    /// Every directory met, for the paths; the first is the root.
    pub folders: Vec<Folder>,
    /// Clusters that chains have led to and that the table has in use.
    pub followed: u32,
    pub summary: Summary,
    pub report: &'a mut dyn FnMut(&Problem),
    pub progress: &'a mut dyn FnMut(u64, u64),
}

/// A directory that was met.
pub(super) struct Folder {
    pub name: String,
    /// Where its parent is in the list; the root is its own.
    pub parent: usize,
    /// Its first cluster; 0 for the fixed root.
    pub first: u32,
    /// How many clusters it has that are its own and that a directory may have.
    pub clusters: u32,
}

impl<D> Check<'_, D> {
    pub fn problem(&mut self, problem: Problem) {
        self.summary.problems = self.summary.problems.saturating_add(1);
        (self.report)(&problem);
    }

    /// The table is one half of the work, the chains are the other.
    pub fn progress(&mut self, scanned: u32) {
        let (half, used) = (u64::from(self.summary.clusters), u64::from(self.summary.used));
        let followed = half.saturating_mul(u64::from(self.followed)).checked_div(used).unwrap_or(0);
        let done = u64::from(scanned).saturating_add(followed.min(half));
        (self.progress)(done, half.saturating_mul(2));
    }
}
