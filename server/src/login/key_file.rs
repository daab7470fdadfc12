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
    let whole = volume.file_metadata(&file).len <= MOST_BYTES;
    // What the bound cut in two is no line.
    if whole {
        let text = String::from_utf8_lossy(&line);
        push(Some(&*text).filter(|_| !too_long));
    }
    Ok(whole)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::login::volume_with;
    use client::ready;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEAEbRK5Dzoo34Fg+VS+n0ZKlZISJYSDei0s9RxkAyLB ";

    /// Whether all was read, and how long each line is that was given.
    fn lengths(text: &[u8]) -> (bool, Vec<Option<usize>>) {
        let volume = volume_with("/keys", text);
        let mut given = Vec::new();
        let mut push = |line: Option<&str>| given.push(line.map(str::len));
        let whole = ready(read(&volume, "/keys", &mut push)).unwrap().unwrap();
        (whole, given)
    }

    #[test]
    fn lines_are_those_of_the_file() {
        assert_eq!(lengths(b""), (true, vec![Some(0)]));
        assert_eq!(lengths(b"ab\n\ncde"), (true, vec![Some(3), Some(1), Some(3)]));
        // A line may have 16 KiB with its end, wherever the pieces part it.
        let line = |length: usize| [vec![b'x'; length - 1], vec![b'\n']].concat();
        let text = [line(10), line(16_384), line(16_385), line(40_000), line(7)].concat();
        let given = [Some(10), Some(16_384), None, None, Some(7), Some(0)];
        assert_eq!(lengths(&text), (true, given.to_vec()));
        let last = [line(10), vec![b'x'; 16_385]].concat();
        assert_eq!(lengths(&last), (true, vec![Some(10), None]));
    }

    #[test]
    fn a_mebibyte_is_read_and_nothing_behind_it() {
        let text = b"0123456789abcde\n".repeat((1 << 16) + 2);
        let (all, lines) = (1 << 20, vec![Some(16); 1 << 16]);
        let end = |more| [lines.clone(), more].concat();
        // The last line counts whether it has an end or not.
        assert_eq!(lengths(&text[..all]), (true, end(vec![Some(0)])));
        let cut = lengths(&[&text[..all - 16], b"0123456789abcdef"].concat());
        assert_eq!(cut, (true, lines.clone()));
        assert_eq!(lengths(&text[..all + 1]), (false, lines.clone()));
        assert_eq!(lengths(&text), (false, lines.clone()));
        let part = lengths(&[&text[..all - 16], b"0123456789abcdefg\n"].concat());
        assert_eq!(part, (false, lines[1..].to_vec()));
    }

    #[test]
    fn so_many_keys_are_kept_and_no_more() {
        let name = |n: usize| format!("{KEY}u{n}");
        let kept = |lines: &[String]| keys_of_text(&lines.join("\n"), "here");
        let many: Vec<_> = (0..1002).map(name).collect();
        assert_eq!(kept(&many).len(), 1000);
        assert_eq!(kept(&many)[999].key.comment, "u999");
        // Each of these needs 8 KiB, and the 64 of them all that there is.
        let pad = 8192 - size_of::<AuthorizedKey>() - KEY.len();
        let long = format!("{KEY}{}", "x".repeat(pad));
        let fit = vec![long.clone(); 64];
        assert_eq!(kept(&fit).len(), 64);
        let beyond = [fit, vec![long, name(1)]].concat();
        assert_eq!(kept(&beyond).len(), 64);
        // After one that has no room no other is kept, though it would have some.
        let mut first = vec![format!("{KEY}{}", "x".repeat(pad)); 63];
        first.extend([format!("{KEY}{}", "x".repeat(pad + 1)), name(2)]);
        assert_eq!(kept(&first).len(), 63);
    }

    #[test]
    fn what_is_no_key_is_skipped() {
        let text = format!("# a comment\n\n  \nnonsense\n  {KEY}one  \nrubbish too\n{KEY}two\n");
        let comments: Vec<_> =
            keys_of_text(&text, "here").into_iter().map(|key| key.key.comment).collect();
        assert_eq!(comments, ["one", "two"]);
        assert_eq!([0, 1, 12].map(and_more), ["", ", and 1 more", ", and 12 more"]);
    }
}
