//! One client's connection: its channels, its share of the volume, and the operations that run for it.
pub(crate) mod connection;
pub(crate) mod door;
pub(crate) mod meter;
pub(crate) mod share;
pub(crate) mod tasks;
pub(crate) mod transfer;
