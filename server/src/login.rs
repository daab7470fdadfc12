//! Which keys a user has, from every place that has some, and the server's own key.
pub(crate) mod host_key;
pub(crate) mod key_file;
pub(crate) mod keyring;
pub(crate) mod revoked;
pub(crate) mod starts;
pub(crate) mod users;
