//! How the machine comes up: the loader's entry and what it tells, memory, exceptions.
pub mod acpi;
pub mod heap;
pub mod memory;
pub mod paging;
pub mod physical;
pub mod pvh;
pub mod solo5;
pub mod traps;
