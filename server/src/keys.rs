//! Keys, the options in front of them, and what a session with one may do.
pub(crate) mod access;
pub(crate) mod authorized_key;
pub(crate) mod certificate;
pub(crate) mod key;
pub(crate) mod key_options;
pub(crate) mod pattern;
