//! What is kept of the disk: sectors of tables and directories, blocks of file data; and who holds what.
pub(crate) mod blocks;
pub(crate) mod cache;
pub(crate) mod lock;
pub(crate) mod sectors;
