//! Files of keys, one a line, read piece by piece: however long a file is, one piece of it is held.
use crate::keys::authorized_key::AuthorizedKey;
use crate::logging::cut;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use fat::{BlockDevice, Error, OpenOptions, Volume};
use log::warn;

/// The most that is read of a file, some ten thousand keys: whoever tries to log in makes us read it.
const MOST_BYTES: u64 = 1 << 20;
const PIECE: usize = 16 * 1024;
/// A longer line is skipped.
const LONGEST_LINE: usize = 16 * 1024;
/// The most keys that one look-up keeps, and the most bytes: of the lines that they come from, and what they are in.
const MOST_KEYS: usize = 1000;
const MOST_HELD: usize = 512 * 1024;

/// The usable keys of a text that came from `place`. What is not usable is named in the log.
pub fn keys_of_text(text: &str, place: &str) -> Vec<AuthorizedKey> {
    let mut lines = Lines::new(place, &|_| true);
    text.lines().for_each(|line| lines.push(line));
    lines.end()
}

/// The usable keys in a file of which `wanted` is true.
pub async fn keys_in<D: BlockDevice>(
    volume: &Volume<D>,
    path: &str,
    wanted: &dyn Fn(&AuthorizedKey) -> bool,
) -> Vec<AuthorizedKey> {
    let mut lines = Lines::new(path, wanted);
    match read(volume, path, &mut |line| lines.push(line.unwrap_or(TOO_LONG))).await {
        Ok(true) | Err(Error::NotFound) => (),
        Ok(false) => warn!("{path} has more than 1 MiB: what comes after that is not read"),
        Err(e) => warn!("cannot read {path}: {e}"),
    }
    lines.end()
}

/// Gives the lines of a file, and none for one that is too long. False when the file is longer than is read.
pub async fn read<D: BlockDevice>(
    volume: &Volume<D>,
    path: &str,
    push: &mut dyn FnMut(Option<&str>),
) -> Result<bool, Error> {
    let file = volume.open(path, &OpenOptions { read: true, ..OpenOptions::default() }).await?;
    let (mut piece, mut line) = (vec![0; PIECE], Vec::new());
    let (mut offset, mut too_long) = (0, false);
    while offset < MOST_BYTES {
        let length = volume.read(&file, offset, &mut piece).await?;
        if length == 0 {
            break;
        }
        for part in piece.get(..length).unwrap_or_default().split_inclusive(|b| *b == b'\n') {
            too_long |= line.len().saturating_add(part.len()) > LONGEST_LINE;
            if !too_long {
                line.extend_from_slice(part);
            }
            if part.ends_with(b"\n") {
                let text = String::from_utf8_lossy(&line);
                push(Some(&*text).filter(|_| !too_long));
                line.clear();
                too_long = false;
            }
        }
        offset = offset.saturating_add(u64::try_from(length).unwrap_or(u64::MAX));
    }
    // What the bound cut in two is no line.
    if offset < MOST_BYTES {
        let text = String::from_utf8_lossy(&line);
        push(Some(&*text).filter(|_| !too_long));
    }
    Ok(volume.file_metadata(&file).len <= MOST_BYTES)
}

/// Stands for a line that is too long to be read, and is no key either.
const TOO_LONG: &str = "a line of more than 16 KiB";

/// The keys of the lines so far.
struct Lines<'a> {
    place: &'a str,
    wanted: &'a dyn Fn(&AuthorizedKey) -> bool,
    number: usize,
    /// The first that is not usable: its number and why; and how many more there are.
    skipped: Option<(usize, String)>,
    more_skipped: usize,
    left_out: usize,
    keys: Vec<AuthorizedKey>,
    /// Bytes of them.
    held: usize,
}

impl<'a> Lines<'a> {
    fn new(place: &'a str, wanted: &'a dyn Fn(&AuthorizedKey) -> bool) -> Self {
        Self {
            place,
            wanted,
            number: 0,
            skipped: None,
            more_skipped: 0,
            left_out: 0,
            keys: Vec::new(),
            held: 0,
        }
    }

    fn push(&mut self, line: &str) {
        self.number = self.number.saturating_add(1);
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            return;
        }
        match AuthorizedKey::parse(line) {
            Ok(key) if !(self.wanted)(&key) => {}
            Ok(key) => self.keep(line, key),
            Err(_) if self.skipped.is_some() => {
                self.more_skipped = self.more_skipped.saturating_add(1);
            }
            Err(e) => self.skipped = Some((self.number, format!("{e}"))),
        }
    }

    /// Keeps a key of this line; after one that has no room, no other.
    fn keep(&mut self, line: &str, key: AuthorizedKey) {
        let held = self.held.saturating_add(line.len()).saturating_add(size_of::<AuthorizedKey>());
        if self.left_out > 0 || self.keys.len() >= MOST_KEYS || held > MOST_HELD {
            self.left_out = self.left_out.saturating_add(1);
        } else {
            self.held = held;
            self.keys.push(key);
        }
    }

    fn end(self) -> Vec<AuthorizedKey> {
        if let Some((number, why)) = &self.skipped {
            let (why, more) = (cut(why, 90), and_more(self.more_skipped));
            warn!("{} line {number}: {why}; skipped{more}", self.place);
        }
        if self.left_out > 0 {
            let (place, out, kept) = (self.place, self.left_out, self.keys.len());
            warn!("{place}: {out} keys beyond the first {kept} left out");
        }
        self.keys
    }
}

/// What a line of the log says of those that it does not name.
pub fn and_more(more: usize) -> String {
    if more > 0 { format!(", and {more} more") } else { String::new() }
}
