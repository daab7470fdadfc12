//! What waits for a commit before the table may say it.
use crate::space::extents::{Extents, Run};
use alloc::vec::Vec;

/// Changes of the table that a commit makes late, because a chain that the disk knows must be whole
/// at every moment. Who holds such a chain in memory keeps it there until then.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    /// `(last cluster of a chain, first of its new ones)`: linked when the new ones are on the disk.
    pub(crate) links: Vec<(u32, u32)>,
    /// Clusters that become the last of their chain, once the size on the disk is that small.
    pub(crate) ends: Vec<u32>,
    /// What no entry will refer to any more.
    pub(crate) frees: Vec<Run>,
    /// Of what no entry will refer to any more, what is in too many pieces for `frees`: the first
    /// cluster of a chain, and of how many the entry told.
    pub(crate) chains: Vec<(u32, u32)>,
    /// What lies behind `ends`: free one commit later.
    pub(crate) cut: Vec<Run>,
}

/// The clusters of a file whose entry goes.
pub(crate) enum Freed {
    Runs(Extents),
    /// As `Pending::chains`.
    Chain(u32, u32),
}

impl Pending {
    /// How many clusters become free.
    pub(crate) fn clusters(&self) -> u32 {
        let runs = self.frees.iter().chain(&self.cut).map(|run| run.count);
        let chains = self.chains.iter().map(|(_, count)| *count);
        runs.chain(chains).fold(0, u32::saturating_add)
    }

    pub(crate) fn len(&self) -> usize {
        let chains = self.links.len() + self.ends.len() + self.chains.len();
        chains + self.frees.len() + self.cut.len()
    }
}
