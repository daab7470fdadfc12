//! Where the clusters of one file or directory lie, as runs.
use alloc::vec::Vec;

/// By how many there is room for more at a time when there are many: memory is short then.
const STEP: usize = 4096;

/// `count` clusters from `cluster` on, the first of which is cluster `at` of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) at: u32,
    pub(crate) cluster: u32,
    pub(crate) count: u32,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Extents(Vec<Run>);

impl Extents {
    pub(crate) fn clusters(&self) -> u32 {
        self.0.last().map_or(0, |run| run.at.saturating_add(run.count))
    }

    /// The first cluster, 0 when there is none.
    pub(crate) fn first(&self) -> u32 {
        self.0.first().map_or(0, |run| run.cluster)
    }

    pub(crate) fn last(&self) -> Option<u32> {
        let run = self.0.last()?;
        Some(run.cluster.saturating_add(run.count.saturating_sub(1)))
    }

    /// Adds clusters at the end, `count` at least 1.
    pub(crate) fn push(&mut self, cluster: u32, count: u32) {
        let at = self.clusters();
        if let Some(run) = self.0.last_mut()
            && run.cluster.checked_add(run.count) == Some(cluster)
        {
            run.count = run.count.saturating_add(count);
        } else {
            if self.0.len() == self.0.capacity() && self.0.len() >= STEP {
                self.0.reserve_exact(STEP);
            }
            self.0.push(Run { at, cluster, count });
        }
    }

    /// The clusters `from..to` alone, renumbered from 0.
    pub(crate) fn slice(&self, from: u32, to: u32) -> Self {
        let mut slice = Self::default();
        let mut at = from;
        while at < to
            && let Some((cluster, left)) = self.find(at)
        {
            let count = left.min(to - at);
            slice.push(cluster, count);
            at += count;
        }
        slice
    }

    /// The cluster that holds cluster `at` of the file, and how many follow it on the disk
    /// including itself.
    pub(crate) fn find(&self, at: u32) -> Option<(u32, u32)> {
        let after = self.0.partition_point(|run| run.at <= at);
        let run = self.0.get(after.checked_sub(1)?)?;
        let skip = at.checked_sub(run.at)?;
        let left = run.count.checked_sub(skip).filter(|left| *left > 0)?;
        Some((run.cluster.checked_add(skip)?, left))
    }

    /// Keeps the first `keep` clusters and returns the runs of the rest.
    pub(crate) fn truncate(&mut self, keep: u32) -> Vec<Run> {
        let split = self.0.partition_point(|run| run.at.saturating_add(run.count) <= keep);
        let mut rest: Vec<Run> = self.0.drain(split..).collect();
        if let Some(run) = rest.first_mut()
            && let Some(kept) = keep.checked_sub(run.at).filter(|kept| *kept > 0)
        {
            self.0.push(Run { count: kept, ..*run });
            run.at = keep;
            run.cluster = run.cluster.saturating_add(kept);
            run.count = run.count.saturating_sub(kept);
        }
        rest
    }

    pub(crate) fn runs(&self) -> &[Run] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_merge_split_and_are_found() {
        let mut extents = Extents::default();
        for (cluster, count) in [(10, 2), (12, 3), (40, 1), (5, 4)] {
            extents.push(cluster, count);
        }
        assert_eq!(extents.runs().len(), 3);
        assert_eq!(extents.clusters(), 10);
        assert_eq!(extents.find(0), Some((10, 5)));
        assert_eq!(extents.find(4), Some((14, 1)));
        assert_eq!(extents.find(5), Some((40, 1)));
        assert_eq!(extents.find(9), Some((8, 1)));
        assert_eq!(extents.find(10), None);
        let slice = extents.slice(4, 8);
        assert_eq!(slice.find(0), Some((14, 1)));
        assert_eq!(slice.find(3), Some((6, 1)));
        assert_eq!(slice.clusters(), 4);
        let rest = extents.truncate(3);
        assert_eq!(rest.first(), Some(&Run { at: 3, cluster: 13, count: 2 }));
        assert_eq!(rest.iter().map(|run| run.count).sum::<u32>(), 7);
        assert_eq!((extents.clusters(), extents.last()), (3, Some(12)));
        assert_eq!(extents.truncate(0).len(), 1);
        assert_eq!(extents.first(), 0);
    }
}
