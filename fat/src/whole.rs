//! Making, checking, growing and repairing a volume.
pub(crate) mod check;
pub(crate) mod format;
pub(crate) mod grow;
pub(crate) mod reclaim;
