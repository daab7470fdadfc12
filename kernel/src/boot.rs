//! How the machine comes up: the loader's entry and what it tells, memory, exceptions.
#[cfg(freestanding)]
mod entry;
#[cfg(freestanding)]
pub mod heap;
#[cfg(freestanding)]
pub mod memory;
#[cfg(freestanding)]
pub mod paging;
pub mod pvh;
#[cfg(freestanding)]
pub mod traps;
