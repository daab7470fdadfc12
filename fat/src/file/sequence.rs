//! Whether an open file is read in turn, and how far ahead that is worth.
use core::ops::Range;

/// Reads that go on so near to the end of the last one are sequential: clients that have several in
/// flight may send them in any order.
const NEAR: u64 = 128 * 1024;

/// How an open file is read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sequence {
    /// The end of the last read.
    next: u64,
    /// How much the last request to the disk read at once; 0 when reads are random.
    window: usize,
}

impl Sequence {
    /// Notes a read. Returns whether it goes on where the last one ended.
    pub(crate) fn note(&mut self, range: &Range<u64>) -> bool {
        let goes_on = range.start.abs_diff(self.next) <= NEAR;
        *self = match goes_on {
            true => Self { next: self.next.max(range.end), ..*self },
            false => Self { next: range.end, window: 0 },
        };
        goes_on
    }

    /// How much to read at once where `len` bytes are missing.
    pub(crate) fn widen(&mut self, len: usize, most: usize) -> usize {
        self.window = self.window.max(len).saturating_mul(2).min(most);
        self.window.max(len)
    }
}
