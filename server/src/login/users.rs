//! Who may log in. Looked up at each login, so that a new key works without a restart.
use crate::keys::authorized_key::AuthorizedKey;
use crate::logging::cut;
use crate::login::key_file::{and_more, keys_in, keys_of_text};
use crate::options::Options;
use crate::user_name::{USER_NAME_RULE, is_user_name};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::net::IpAddr;
use fat::{BlockDevice, Error, Volume};
use log::{info, warn};

/// Names that are read of the root at once.
const NAMES_AT_ONCE: usize = 64;

const AUTHORIZED_KEYS: &str = "/authorized_keys";

/// Keys that come neither from the command line nor from the volume: by user, the text of a file of
/// keys. In Qubes they are the features `vm-config.key-<user>`.
pub type ToldKeys = BTreeMap<String, String>;

/// The keys of `user`, from the first place that has any: the command line, `told` of the user,
/// `<user>.pub`, `authorized_keys`. Those are left out that a client at `address` may not use now; a
/// place that has no others still hides the next one. Names are the same in any case, as the volume has
/// them: else one written otherwise would find what an earlier place was to hide.
pub async fn keys_of<D: BlockDevice>(
    volume: &Volume<D>,
    options: &Options,
    told: Option<&str>,
    user: &str,
    address: Option<IpAddr>,
) -> Vec<AuthorizedKey> {
    let mut keys = all_keys_of(volume, options, told, user).await;
    let (mut first, mut more) = (None, 0usize);
    keys.retain(|key| match key.allow(address, volume.now()) {
        Ok(()) => true,
        Err(why) => {
            more = more.saturating_add(usize::from(first.is_some()));
            first.get_or_insert_with(|| (key.key.fingerprint(), why));
            false
        }
    });
    if let Some((key, why)) = first {
        info!("{user}: the key {key} is not usable: {why}{}", and_more(more));
    }
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
        return Vec::new();
    }
    if let Some(key) = options.key.as_ref().filter(|_| is_same(&options.user, user)) {
        return vec![key.clone()];
    }
    let keys = told.map(|text| keys_of_text(text, user)).unwrap_or_default();
    if !keys.is_empty() {
        return keys;
    }
    let keys = keys_in(volume, &format!("/{user}.pub"), &|_| true).await;
    if !keys.is_empty() {
        return keys;
    }
    keys_in(volume, AUTHORIZED_KEYS, &|key| is_same(&key.key.comment, user)).await
}

/// Whether two names are one user.
fn is_same(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}

/// What the machine was told of a user, however the name is written there.
pub fn told_of(told: &ToldKeys, user: &str) -> Option<String> {
    let texts = told.iter().filter(|(name, _)| is_same(name, user)).map(|(_, text)| text.as_str());
    let texts: Vec<&str> = texts.collect();
    (!texts.is_empty()).then(|| texts.join("\n"))
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
                if !keys_in(volume, &format!("/{user}.pub"), &|_| true).await.is_empty() {
                    users.push(user);
                }
            }
        }
        Err(e) => warn!("cannot list the volume's root: {e}"),
    }
    let listed = keys_in(volume, AUTHORIZED_KEYS, &|_| true).await;
    let comments = listed.into_iter().map(|listed| listed.key.comment);
    let (named, others): (Vec<_>, Vec<_>) = comments.partition(|comment| is_user_name(comment));
    users.extend(named);
    if let Some((first, more)) = others.split_first() {
        let (first, more) = (cut(first, 40), and_more(more.len()));
        warn!("authorized_keys: the comment \"{first}\" is no user name{more}; {USER_NAME_RULE}");
    }
    users.sort_by_key(|user| user.to_ascii_lowercase());
    users.dedup_by(|one, other| is_same(one, other));
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
        let names = files.filter_map(|e| match e.name.rsplit_once('.') {
            Some((name, end)) if is_same(end, "pub") => Some(String::from(name)),
            _ => None,
        });
        users.extend(names.filter(|name| is_user_name(name)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::login::{add, volume_with};
    use client::ready;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEAEbRK5Dzoo34Fg+VS+n0ZKlZISJYSDei0s9RxkAyLB";

    #[test]
    fn who_has_a_usable_key_anywhere_is_found_once() {
        let listed = format!("{KEY} carol\n{KEY} Bob\n{KEY} no user\n{KEY} -dash\nnonsense dave\n");
        let volume = volume_with("/authorized_keys", listed.as_bytes());
        for (path, text) in [
            ("/bob.PUB", KEY),
            ("/erin.pub", "no key"),
            ("/frank.txt", KEY),
            ("/no user.pub", KEY),
            ("/pub", KEY),
        ] {
            add(&volume, path, text.as_bytes());
        }
        // More than are read at once, before one that counts.
        for number in 0..70 {
            add(&volume, &format!("/{number}.pub"), b"");
        }
        ready(volume.create_dir("/folder.pub")).unwrap().unwrap();
        add(&volume, "/gina.pub", KEY.as_bytes());
        let told = [("alice", KEY), ("heidi", "no key"), ("no user", KEY), ("CAROL", KEY)];
        let told = told.map(|(user, text)| (String::from(user), String::from(text))).into();
        assert_eq!(told_users(&told), ["CAROL", "alice"]);
        let found = |words: &[&str]| {
            let options = Options::parse(words.iter().copied()).0;
            ready(found(&volume, &options, &told)).unwrap()
        };
        assert_eq!(found(&[]), ["alice", "bob", "CAROL", "gina"]);
        let with_key = ["--key", KEY, "--user", "ivan"];
        assert_eq!(found(&with_key), ["alice", "bob", "CAROL", "gina", "ivan"]);
    }

    #[test]
    fn a_place_with_keys_hides_the_next() {
        let listed = format!("{KEY} bob\nfrom=\"10.0.0.0/8\" {KEY} bob\n{KEY} Carol\n");
        let volume = volume_with("/authorized_keys", listed.as_bytes());
        let count = |words: &[&str], told: Option<&str>, user: &str, address: &str| {
            let options = Options::parse(words.iter().copied()).0;
            let address = address.parse().ok();
            ready(keys_of(&volume, &options, told, user, address)).unwrap().len()
        };
        assert_eq!(count(&[], None, "bob", "10.1.2.3"), 2);
        assert_eq!(count(&[], None, "BOB", "192.0.2.1"), 1);
        assert_eq!(count(&[], None, "carol", "192.0.2.1"), 1);
        assert_eq!(count(&[], None, "dave", "192.0.2.1"), 0);
        assert_eq!(count(&[], None, "no user", "192.0.2.1"), 0);
        // What may not be used now still hides what comes after.
        let told = format!("from=\"10.0.0.0/8\" {KEY}");
        assert_eq!(count(&[], Some(&told), "bob", "10.1.2.3"), 1);
        assert_eq!(count(&[], Some(&told), "bob", "192.0.2.1"), 0);
        assert_eq!(count(&[], Some("no key"), "bob", "192.0.2.1"), 1);
        let words = ["--key", KEY, "--user", "bob"];
        assert_eq!(count(&words, Some("no key"), "Bob", "10.1.2.3"), 1);
        assert_eq!(count(&words, None, "carol", "10.1.2.3"), 1);
    }
}
