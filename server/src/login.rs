//! Who may log in, with what, and what a session may then do.
pub(crate) mod access;
pub(crate) mod authorized_key;
pub(crate) mod host_key;
pub(crate) mod key;
pub(crate) mod key_file;
pub(crate) mod key_options;
pub(crate) mod limits;
pub(crate) mod pattern;
pub(crate) mod users;
