//! The new numbers of clusters, in tables and directories.
use crate::layout::entry::{Entry, Kind, SLOT};
use crate::whole::check::table::Link;
use crate::{FatKind, Geometry};
use alloc::vec::Vec;

/// The first `moved` clusters come behind the last one; all others are that much lower.
#[derive(Clone, Copy)]
pub(super) struct Renumber {
    kind: FatKind,
    clusters: u32,
    moved: u32,
}

impl Renumber {
    pub fn new(geometry: &Geometry, moved: u32) -> Self {
        Self { kind: geometry.kind, clusters: geometry.clusters, moved }
    }

    /// The new number of a cluster of the old volume; what is none stays as it is.
    pub fn new_number(self, old: u32) -> u32 {
        match old.checked_sub(2) {
            Some(at) if at < self.moved => {
                old.saturating_add(self.clusters).saturating_sub(self.moved)
            }
            Some(at) if at < self.clusters => old.saturating_sub(self.moved),
            _ => old,
        }
    }

    /// The cluster of the old volume that has this number now; nothing for new ones.
    pub fn old(self, new: u32) -> Option<u32> {
        let at = new.checked_sub(2).filter(|at| *at < self.clusters)?;
        let kept = self.clusters.saturating_sub(self.moved);
        Some(if at < kept { new.saturating_add(self.moved) } else { new.saturating_sub(kept) })
    }

    /// The value in the new table for a link of the old one.
    pub fn link(self, link: Link) -> u32 {
        match link {
            Link::Free => 0,
            Link::Next(next) => self.new_number(next),
            Link::Bad => 0x0FFF_FFF7,
            // A chain that leaves the volume is nobody's: the walk has seen all that are somebody's.
            Link::End | Link::Outside(_) => 0x0FFF_FFFF,
        }
    }

    /// Changes the entries of part of a directory. The directories among them, but not `.` and `..`,
    /// are added to `found` by their old number. Returns whether more may follow.
    pub fn directory(self, bytes: &mut [u8], found: &mut Vec<u32>) -> bool {
        let wide = self.kind == FatKind::Fat32;
        for slot in bytes.as_chunks_mut::<SLOT>().0 {
            let mut entry = Entry(*slot);
            match entry.kind() {
                Kind::End => return false,
                Kind::Short => {}
                Kind::Free | Kind::Long | Kind::Label => continue,
            }
            let old = entry.cluster(wide);
            if entry.is_dir() && entry.name()[0] != b'.' {
                found.push(old);
            }
            if old != 0 {
                entry.set_cluster(self.new_number(old));
                *slot = entry.0;
            }
        }
        true
    }
}

/// Entries of a table as bytes; an even number of them.
pub(super) fn encode(kind: FatKind, values: &[u32]) -> Vec<u8> {
    match kind {
        FatKind::Fat12 => {
            let pairs = values.chunks_exact(2).flat_map(|pair| match pair {
                [low, high] => {
                    let both = low & 0xFFF | (high & 0xFFF) << 12;
                    both.to_le_bytes().into_iter().take(3)
                }
                _ => [0; 4].into_iter().take(3),
            });
            pairs.collect()
        }
        FatKind::Fat16 => values.iter().flat_map(|value| (*value as u16).to_le_bytes()).collect(),
        FatKind::Fat32 | FatKind::ExFat => {
            values.iter().flat_map(|value| value.to_le_bytes()).collect()
        }
    }
}
