//! The device, requests that are joined, partitions, and what a foreign or blank disk is. Knows nothing else here.
pub(crate) mod blank;
pub(crate) mod device;
pub(crate) mod foreign;
pub(crate) mod join;
pub(crate) mod partition;
