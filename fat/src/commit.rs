//! The order in which changes reach the disk, the journal, and what a power cut leaves.
pub(crate) mod journal;
pub(crate) mod order;
pub(crate) mod state;
