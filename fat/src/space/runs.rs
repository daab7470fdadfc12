//! The bound of the runs of clusters in memory: those of open files and of directories, and of chains
//! that are being read.
use crate::space::extents::Run;
use crate::{BlockDevice, Error, Volume};
use core::cell::Cell;

/// Runs of one chain that are not worth counting.
const FEW: usize = 64;
/// By how many a longer chain's are counted.
const STEP: usize = 1024;

/// The runs of a chain that is being read.
pub(crate) struct Reading<'v> {
    all: &'v Cell<usize>,
    counted: usize,
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        self.all.set(self.all.get().saturating_sub(self.counted));
    }
}

impl<D: BlockDevice> Volume<D> {
    pub(crate) fn begin_reading(&self) -> Reading<'_> {
        Reading { all: &self.space.runs_read, counted: 0 }
    }

    /// To be asked before a chain has more than `runs` of them.
    pub(crate) fn may_read(&self, reading: &mut Reading<'_>, runs: usize) -> Result<(), Error> {
        if runs < FEW.saturating_add(reading.counted) {
            return Ok(());
        }
        self.require_runs(STEP)?;
        reading.counted = reading.counted.saturating_add(STEP);
        reading.all.set(reading.all.get().saturating_add(STEP));
        Ok(())
    }

    /// To be asked before a file of so many runs gets more.
    pub(crate) fn may_grow(&self, runs: usize) -> Result<(), Error> {
        if runs < FEW { Ok(()) } else { self.require_runs(1) }
    }

    /// Fails when there is no room for so many more runs, also not by forgetting what nobody uses.
    fn require_runs(&self, more: usize) -> Result<(), Error> {
        let most = self.space.extent_bytes / size_of::<Run>();
        let fit = || self.runs().saturating_add(more) <= most;
        if fit() {
            return Ok(());
        }
        self.drop_idle_nodes(0);
        self.tree.forget_unused(self.epoch());
        if fit() { Ok(()) } else { Err(Error::TooManyExtents) }
    }

    fn runs(&self) -> usize {
        [self.files.runs(), self.tree.runs(), self.space.pending(), self.space.runs_read.get()]
            .into_iter()
            .fold(0, usize::saturating_add)
    }
}
