//! Directories: listing, looking up, paths, creating, removing, renaming, attributes, the system folder's records.
pub(crate) mod dir;
pub(crate) mod directory;
pub(crate) mod index;
pub(crate) mod lookup;
pub(crate) mod namespace;
pub(crate) mod path;
pub(crate) mod record;
pub(crate) mod rename;
pub(crate) mod slots;
