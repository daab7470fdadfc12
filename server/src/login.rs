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
    use client::ready;
    let ram = client::Ram::zeros(4 << 20);
    ready(fat::format(&ram, &Default::default(), &mut |_, _| ())).unwrap().unwrap();
    let volume = ready(fat::Volume::mount(ram, &Default::default())).unwrap().unwrap();
    let new = fat::OpenOptions { write: true, create: true, ..Default::default() };
    let file = ready(volume.open(path, &new)).unwrap().unwrap();
    ready(volume.write(&file, 0, text)).unwrap().unwrap();
    volume
}
