//! Who may log in. Looked up at each login, so that a new key works without a restart.
use crate::login::authorized_key::AuthorizedKey;
use crate::options::{Options, USER_NAME_RULE, is_user_name};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::net::IpAddr;
use fat::{BlockDevice, Error, OpenOptions, Volume};
use log::{info, warn};

/// The most that is read of a file of keys.
const MOST_BYTES: u64 = 64 * 1024;

/// Names that are read of the root at once.
const NAMES_AT_ONCE: usize = 64;

const AUTHORIZED_KEYS: &str = "/authorized_keys";

/// Keys that come neither from the command line nor from the volume: by user, the text of a file of
/// keys. In Qubes they are the features `vm-config.key-<user>`.
pub type ToldKeys = BTreeMap<String, String>;

/// The keys of `user`, from the first place that has any: the command line, `told` of the user,
/// `<user>.pub`, `authorized_keys`. Those are left out that a client at `address` may not use now; a
/// place that has no others still hides the next one.
pub async fn keys_of<D: BlockDevice>(
    volume: &Volume<D>,
    options: &Options,
    told: Option<&str>,
    user: &str,
    address: Option<IpAddr>,
) -> Vec<AuthorizedKey> {
    let mut keys = all_keys_of(volume, options, told, user).await;
    keys.retain(|key| match key.allow(address, volume.now()) {
        Ok(()) => true,
        Err(why) => {
            info!("{user}: the key {} is not usable: {why}", key.key.fingerprint());
            false
        }
    });
    for root in keys.iter().map(|key| key.access().root).filter(|root| !root.is_empty()) {
        if !volume.metadata(&root).await.is_ok_and(|metadata| metadata.is_dir) {
            warn!("{user}: there is no folder {root}, which is the root of a key");
        }
    }
    keys
}

async fn all_keys_of<D: BlockDevice>(
    volume: &Volume<D>,
    options: &Options,
    told: Option<&str>,
    user: &str,
) -> Vec<AuthorizedKey> {
    if !is_user_name(user) {
        info!("login refused for {user:?}: {USER_NAME_RULE}");
        return Vec::new();
    }
    if let Some(key) = options.key.as_ref().filter(|_| options.user == user) {
        return vec![key.clone()];
    }
    let keys = told.map(|text| keys_of_text(text, user)).unwrap_or_default();
    if !keys.is_empty() {
        return keys;
    }
    let keys = keys_in(volume, &format!("/{user}.pub")).await;
    if !keys.is_empty() {
        return keys;
    }
    let mut keys = keys_in(volume, AUTHORIZED_KEYS).await;
    keys.retain(|key| key.key.comment == user);
    keys
}

/// The users that the volume and the command line know, for the log.
pub async fn found<D: BlockDevice>(
    volume: &Volume<D>,
    options: &Options,
    told: &ToldKeys,
) -> Vec<String> {
    let mut users = told_users(told);
    if options.key.is_some() {
        users.push(options.user.clone());
    }
    match pub_files(volume).await {
        Ok(names) => {
            for user in names {
                if !keys_in(volume, &format!("/{user}.pub")).await.is_empty() {
                    users.push(user);
                }
            }
        }
        Err(e) => warn!("cannot list the volume's root: {e}"),
    }
    let listed = keys_in(volume, AUTHORIZED_KEYS).await;
    for comment in listed.into_iter().map(|listed| listed.key.comment) {
        match is_user_name(&comment) {
            true => users.push(comment),
            false => {
                warn!("authorized_keys: the comment {comment:?} names no user; {USER_NAME_RULE}")
            }
        }
    }
    users.sort();
    users.dedup();
    users
}

/// The users that have a usable key among those that the machine was told of.
pub fn told_users(told: &ToldKeys) -> Vec<String> {
    let known = told
        .iter()
        .filter(|(user, text)| is_user_name(user) && !keys_of_text(text, user).is_empty());
    known.map(|(user, _)| user.clone()).collect()
}

/// The user names that the root's `.pub` files stand for.
async fn pub_files<D: BlockDevice>(volume: &Volume<D>) -> Result<Vec<String>, Error> {
    let mut users = Vec::new();
    let root = volume.open_dir("/").await?;
    loop {
        let entries = volume.read_dir(&root, NAMES_AT_ONCE).await?;
        if entries.is_empty() {
            return Ok(users);
        }
        let files = entries.into_iter().filter(|e| !e.metadata.is_dir);
        let names = files.filter_map(|e| e.name.strip_suffix(".pub").map(String::from));
        users.extend(names.filter(|name| is_user_name(name)));
    }
}

/// The usable keys in a file, one a line. What is not usable is named in the log.
async fn keys_in<D: BlockDevice>(volume: &Volume<D>, path: &str) -> Vec<AuthorizedKey> {
    let text = match read(volume, path).await {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(Error::NotFound) => return Vec::new(),
        Err(e) => {
            warn!("cannot read {path}: {e}");
            return Vec::new();
        }
    };
    keys_of_text(&text, path)
}

/// The usable keys of a text that came from `place`.
fn keys_of_text(text: &str, place: &str) -> Vec<AuthorizedKey> {
    let lines = text.lines().map(str::trim).enumerate();
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    lines
        .filter_map(|(number, line)| match AuthorizedKey::parse(line) {
            Ok(key) => Some(key),
            Err(e) => {
                warn!("{place} line {}: {e}; skipped", number.saturating_add(1));
                None
            }
        })
        .collect()
}

async fn read<D: BlockDevice>(volume: &Volume<D>, path: &str) -> Result<Vec<u8>, Error> {
    let file = volume.open(path, &OpenOptions { read: true, ..OpenOptions::default() }).await?;
    let length = volume.file_metadata(&file).len.min(MOST_BYTES);
    let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
    let mut done = 0;
    while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match volume.read(&file, done as u64, rest).await? {
            0 => break,
            n => done = done.saturating_add(n),
        }
    }
    bytes.truncate(done);
    Ok(bytes)
}
