//! Which clusters are free, how they chain, and what a growing file gets.
pub(crate) mod allocation;
pub(crate) mod claims;
pub(crate) mod extents;
pub(crate) mod pending;
pub(crate) mod runs;
pub(crate) mod table;
