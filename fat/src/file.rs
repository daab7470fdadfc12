//! Open files: reading, writing, and what waits in memory on its way to the disk or back.
pub(crate) mod attributes;
pub(crate) mod behind;
pub(crate) mod data;
pub(crate) mod flight;
pub(crate) mod io;
pub(crate) mod node;
pub(crate) mod read_ahead;
pub(crate) mod sequence;
pub(crate) mod write_back;
