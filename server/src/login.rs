//! Which keys a user has, from every place that has some, and the server's own key.
pub(crate) mod host_key;
pub(crate) mod key_file;
pub(crate) mod keyring;
pub(crate) mod revoked;
pub(crate) mod starts;
pub(crate) mod users;

/// A volume in memory that has this file.
#[cfg(test)]
fn volume_with(path: &str, text: &[u8]) -> fat::Volume<client::Ram> {
    let ram = client::Ram::formatted(4 << 20);
    let volume = client::ready(fat::Volume::mount(ram, &Default::default())).unwrap().unwrap();
    add(&volume, path, text);
    volume
}

#[cfg(test)]
fn add(volume: &fat::Volume<client::Ram>, path: &str, text: &[u8]) {
    let new = fat::OpenOptions { write: true, create: true, ..Default::default() };
    let file = client::ready(volume.open(path, &new)).unwrap().unwrap();
    client::ready(volume.write(&file, 0, text)).unwrap().unwrap();
}
