//! File data in memory as it is on the disk: what was read ahead, and small reads.
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::cell::RefCell;

/// Blocks of whole sectors by their offset on the disk. They do not overlap, and never differ from
/// the disk: who writes file data discards what lies there first.
#[derive(Debug, Default)]
pub(crate) struct Blocks {
    state: RefCell<State>,
}

#[derive(Debug, Default)]
struct State {
    blocks: BTreeMap<u64, Block>,
    /// Offsets of blocks by the moment when they came.
    order: BTreeMap<u64, u64>,
    clock: u64,
    bytes: usize,
}

#[derive(Debug)]
struct Block {
    data: Vec<u8>,
    came: u64,
}

impl State {
    fn remove(&mut self, offset: u64) {
        if let Some(block) = self.blocks.remove(&offset) {
            self.order.remove(&block.came);
            self.bytes = self.bytes.saturating_sub(block.data.len());
        }
    }

    fn discard(&mut self, offset: u64, len: u64) {
        let end = offset.saturating_add(len);
        while let Some((at, block)) = self.blocks.range(..end).next_back()
            && at.saturating_add(block.data.len() as u64) > offset
        {
            let at = *at;
            self.remove(at);
        }
    }
}

impl Blocks {
    /// Copies what there is from `offset` on, up to the end of a block, and returns how much.
    pub(crate) fn copy(&self, offset: u64, buf: &mut [u8]) -> usize {
        let state = self.state.borrow();
        let Some((at, block)) = state.blocks.range(..=offset).next_back() else {
            return 0;
        };
        let inside = usize::try_from(offset.saturating_sub(*at)).unwrap_or(usize::MAX);
        let there = block.data.get(inside..).unwrap_or_default();
        let len = there.len().min(buf.len());
        if let (Some(to), Some(from)) = (buf.get_mut(..len), there.get(..len)) {
            to.copy_from_slice(from);
        }
        len
    }

    /// Drops the oldest blocks until all take at most `most` bytes.
    pub(crate) fn shrink(&self, most: usize) {
        let mut state = self.state.borrow_mut();
        while state.bytes > most
            && let Some((_, oldest)) = state.order.pop_first()
        {
            state.remove(oldest);
        }
    }

    /// Adds what was read at `offset`, if it fits in `most` bytes, for which the oldest blocks go.
    pub(crate) fn insert(&self, offset: u64, data: Vec<u8>, most: usize) {
        let Some(others) = most.checked_sub(data.len()) else {
            return;
        };
        self.discard(offset, data.len() as u64);
        self.shrink(others);
        let mut state = self.state.borrow_mut();
        state.clock = state.clock.wrapping_add(1);
        let came = state.clock;
        state.bytes = state.bytes.saturating_add(data.len());
        state.order.insert(came, offset);
        state.blocks.insert(offset, Block { data, came });
    }

    /// Forgets the blocks that a range of the disk touches.
    pub(crate) fn discard(&self, offset: u64, len: u64) {
        self.state.borrow_mut().discard(offset, len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    fn has(blocks: &Blocks, offset: u64) -> Option<u8> {
        let mut buf = [0; 1];
        (blocks.copy(offset, &mut buf) == 1).then_some(buf[0])
    }

    #[test]
    fn the_oldest_goes_and_what_is_written_goes() {
        let blocks = Blocks::default();
        for block in 0..4u8 {
            blocks.insert(u64::from(block) * 1024, vec![block; 1024], 3072);
        }
        assert_eq!([0, 1024, 3072].map(|at| has(&blocks, at)), [None, Some(1), Some(3)]);
        let mut buf = [9; 2048];
        assert_eq!(blocks.copy(1536, &mut buf), 512);
        assert_eq!((buf[511], buf[512]), (1, 9));
        blocks.discard(2048 + 512, 512);
        assert_eq!([1024, 2048, 3072].map(|at| has(&blocks, at)), [Some(1), None, Some(3)]);
        blocks.discard(0, u64::MAX);
        assert_eq!([1024, 3072].map(|at| has(&blocks, at)), [None, None]);
        assert_eq!(blocks.state.borrow().bytes, 0);
    }

    #[test]
    fn a_block_takes_the_place_of_those_it_overlaps() {
        let blocks = Blocks::default();
        blocks.insert(0, vec![1; 1024], 4096);
        blocks.insert(1024, vec![2; 1024], 4096);
        blocks.insert(512, vec![3; 1024], 4096);
        assert_eq!([0, 512, 1024, 1536].map(|at| has(&blocks, at)), [None, Some(3), Some(3), None]);
    }
}
