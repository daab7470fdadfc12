//! The drivers against a host in the same memory.
mod disk;
mod host;
mod network;
mod pci;
mod strict;
