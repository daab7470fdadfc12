//! One peer's share of a turn: who feeds a loop for ever must not keep it going for ever.
use core::cell::Cell;

/// Bytes a turn, of which each step has some for itself, so that small ones end, too.
pub const SHARE: usize = 64 << 10;
const STEP: usize = 64;

pub struct Share {
    left: Cell<usize>,
    more: Cell<bool>,
}

impl Default for Share {
    fn default() -> Self {
        Self { left: Cell::new(SHARE), more: Cell::default() }
    }
}

impl Share {
    pub fn begin_turn(&self) {
        self.left.set(SHARE);
        self.more.set(false);
    }

    /// Whether a step may be taken for what is there; when not, it waits for the next turn.
    pub fn is_left(&self) -> bool {
        let left = self.left.get() > 0;
        self.more.update(|more| more || !left);
        left
    }

    pub fn take(&self, bytes: usize) {
        self.left.update(|left| left.saturating_sub(bytes.saturating_add(STEP)));
    }

    /// Whether something waits for the next turn, which has to begin at once.
    pub fn has_more(&self) -> bool {
        self.more.get()
    }
}
