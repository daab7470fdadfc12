//! The client of QubesDB, the database that dom0 keeps for each qube (qubesdb-client's qdb_hdr).
//!
//! A connection begins with one MULTIREAD, which gives all entries; dom0's daemon ends over a second
//! one. From then on dom0 tells of every change, and each is answered. Nothing is ever written.
mod network;

pub use network::Network;

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Bound;

/// `struct qdb_hdr`: u8 type, the path in 64 bytes with a NUL, 3 bytes of padding, u32 length.
pub const HEADER: usize = 72;
const PATH: core::ops::Range<usize> = 1..65;
const LENGTH: core::ops::Range<usize> = 68..72;

/// `QDB_MAX_DATA`: a value is shorter.
const MAX_DATA: usize = 3072;

/// What is kept. Entries beyond that are dropped, and the log says so.
const MOST_ENTRIES: usize = 1024;
const MOST_BYTES: usize = 256 << 10;

/// Answers that wait for room in the ring before no further message is taken.
const ANSWERS: usize = 16 * HEADER;

const WRITE: u8 = 1;
const MULTIREAD: u8 = 2;
const RM: u8 = 4;
const RESP_OK: u8 = 7;
const RESP_MULTIREAD: u8 = 11;

/// What dom0 must not send: the connection begins anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadMessage {
    /// A type that is not for a qube.
    Type(u8),
    /// A path without an end or with characters that no path has.
    Path,
    Length(u32),
}

impl fmt::Display for BadMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Type(kind) => write!(f, "a QubesDB message of type {kind}"),
            Self::Path => f.write_str("a QubesDB message with a bad path"),
            Self::Length(length) => write!(f, "a QubesDB value of {length} bytes"),
        }
    }
}

impl core::error::Error for BadMessage {}

/// One connection: bytes in, bytes out, and the entries.
pub struct Client {
    /// At most one message.
    incoming: Vec<u8>,
    outgoing: Vec<u8>,
    entries: BTreeMap<String, Vec<u8>>,
    bytes: usize,
    complete: bool,
    changes: u64,
}

impl Default for Client {
    fn default() -> Self {
        Self::new()
    }
}

impl Client {
    pub fn new() -> Self {
        Self {
            incoming: Vec::new(),
            outgoing: message(MULTIREAD, ""),
            entries: BTreeMap::new(),
            bytes: 0,
            complete: false,
            changes: 0,
        }
    }

    /// What is to be sent; `sent` takes it away.
    pub fn output(&self) -> &[u8] {
        &self.outgoing
    }

    pub fn sent(&mut self, n: usize) {
        self.outgoing.drain(..n.min(self.outgoing.len()));
    }

    /// Takes bytes that came and says how many: fewer than all while answers wait to be sent.
    pub fn push(&mut self, bytes: &[u8]) -> Result<usize, BadMessage> {
        let mut rest = bytes;
        while !rest.is_empty() && self.outgoing.len() < ANSWERS {
            let wanted = HEADER.saturating_add(self.value_length()?.unwrap_or(0));
            let missing = wanted.saturating_sub(self.incoming.len());
            let (taken, after) = rest.split_at(missing.min(rest.len()));
            self.incoming.extend(taken);
            rest = after;
            if self.value_length()?.is_some_and(|l| self.incoming.len() == HEADER.saturating_add(l))
            {
                let message = core::mem::take(&mut self.incoming);
                self.take(&message)?;
            }
        }
        Ok(bytes.len().saturating_sub(rest.len()))
    }

    /// The length of the value, once the header is there.
    fn value_length(&self) -> Result<Option<usize>, BadMessage> {
        let Some(header) = self.incoming.first_chunk::<HEADER>() else {
            return Ok(None);
        };
        let length = header.get(LENGTH).and_then(|l| l.try_into().ok()).map(u32::from_le_bytes);
        let length = length.unwrap_or(u32::MAX);
        match usize::try_from(length) {
            Ok(n) if n < MAX_DATA => Ok(Some(n)),
            _ => Err(BadMessage::Length(length)),
        }
    }

    fn take(&mut self, message: &[u8]) -> Result<(), BadMessage> {
        let kind = message.first().copied().unwrap_or(0);
        let path = path(message.get(PATH).unwrap_or_default())?;
        let value = message.get(HEADER..).unwrap_or_default();
        match kind {
            RESP_MULTIREAD if self.complete => return Err(BadMessage::Type(kind)),
            RESP_MULTIREAD if path.is_empty() => {
                self.complete = true;
                self.note_change();
            }
            RESP_MULTIREAD => self.set(path, value),
            WRITE => {
                self.set(path, value);
                self.outgoing.extend(self::message(RESP_OK, path));
            }
            RM => {
                self.remove(path);
                self.outgoing.extend(self::message(RESP_OK, path));
            }
            RESP_OK => (),
            other => return Err(BadMessage::Type(other)),
        }
        Ok(())
    }

    fn note_change(&mut self) {
        self.changes = self.changes.wrapping_add(1);
    }

    fn set(&mut self, path: &str, value: &[u8]) {
        self.forget(path);
        let bytes = path.len().saturating_add(value.len());
        let all = self.bytes.saturating_add(bytes);
        if self.entries.len() >= MOST_ENTRIES || all > MOST_BYTES {
            log::warn!("QubesDB: no room for {path}");
        } else {
            self.bytes = all;
            self.entries.insert(path.to_owned(), value.to_owned());
        }
        self.note_change();
    }

    /// A path that ends with `/` is that of everything below it.
    fn remove(&mut self, path: &str) {
        if path.ends_with('/') {
            let below: Vec<_> = self.below(path).map(|(name, _)| name.to_owned()).collect();
            for name in below {
                self.forget(&[path, &name].concat());
            }
        } else {
            self.forget(path);
        }
        self.note_change();
    }

    fn forget(&mut self, path: &str) {
        if let Some(value) = self.entries.remove(path) {
            self.bytes = self.bytes.saturating_sub(path.len().saturating_add(value.len()));
        }
    }

    /// Whether all entries have come.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// A number that is another one after every change.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// The value of an entry; None when there is none or it is no text.
    pub fn text(&self, path: &str) -> Option<&str> {
        core::str::from_utf8(self.entries.get(path)?).ok()
    }

    /// The entries whose paths start with `prefix`, without it, and their values.
    pub fn below<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        let from = self.entries.range::<str, _>((Bound::Included(prefix), Bound::Unbounded));
        from.map_while(move |(path, value)| Some((path.strip_prefix(prefix)?, value.as_slice())))
    }
}

/// A message without a value.
fn message(kind: u8, path: &str) -> Vec<u8> {
    let mut message = Vec::with_capacity(HEADER);
    message.push(kind);
    message.extend(path.bytes().take(PATH.len().saturating_sub(1)));
    message.resize(HEADER, 0);
    message
}

/// A path: up to 63 of the characters that QubesDB allows, then a NUL.
fn path(field: &[u8]) -> Result<&str, BadMessage> {
    let end = field.iter().position(|&b| b == 0).ok_or(BadMessage::Path)?;
    let path = field.get(..end).unwrap_or_default();
    let allowed = |b: &u8| b.is_ascii_alphanumeric() || b"_/.:@-".contains(b);
    if !path.iter().all(allowed) {
        return Err(BadMessage::Path);
    }
    core::str::from_utf8(path).map_err(|_| BadMessage::Path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{string::ToString, vec};

    fn say(kind: u8, path: &str, value: &[u8]) -> Vec<u8> {
        let mut bytes = message(kind, path);
        bytes[LENGTH].copy_from_slice(&(value.len() as u32).to_le_bytes());
        bytes.extend(value);
        bytes
    }

    fn started() -> Client {
        let mut client = Client::new();
        assert_eq!(client.output(), say(MULTIREAD, "", b""));
        client.sent(HEADER);
        let all = [
            say(RESP_MULTIREAD, "/qubes-ip", b"10.137.0.9"),
            say(RESP_MULTIREAD, "/vm-config/key-bob", b"ssh-ed25519 A"),
            say(RESP_MULTIREAD, "/vm-config/key-alice", b""),
            say(RESP_MULTIREAD, "", b""),
        ];
        for byte in all.concat() {
            assert!(!client.is_complete());
            assert_eq!(client.push(&[byte]), Ok(1));
        }
        assert!(client.is_complete() && client.output().is_empty());
        client
    }

    #[test]
    fn the_first_reading_in_pieces_of_any_size() {
        let client = started();
        assert_eq!(client.text("/qubes-ip"), Some("10.137.0.9"));
        let keys: Vec<_> = client.below("/vm-config/key-").map(|(user, _)| user).collect();
        assert_eq!(keys, ["alice", "bob"]);
    }

    #[test]
    fn changes_are_seen_and_answered() {
        let mut client = started();
        let before = client.changes();
        client.push(&say(WRITE, "/qubes-ip", b"10.137.0.10")).unwrap();
        assert_eq!(client.text("/qubes-ip"), Some("10.137.0.10"));
        assert_eq!(client.output(), say(RESP_OK, "/qubes-ip", b""));
        assert_ne!(client.changes(), before);
        client.sent(HEADER);
        client.push(&say(RM, "/vm-config/", b"")).unwrap();
        assert_eq!(client.below("/vm-config/").count(), 0);
        client.push(&say(RM, "/no-such", b"")).unwrap();
        assert_eq!(client.output().len(), 2 * HEADER);
        client.push(&say(RM, "/qubes-ip", b"")).unwrap();
        assert_eq!((client.text("/qubes-ip"), client.bytes), (None, 0));
    }

    #[test]
    fn what_no_qube_is_told_ends_the_connection() {
        for (bytes, error) in [
            (say(WRITE, "/a b", b""), BadMessage::Path),
            (say(99, "/a", b""), BadMessage::Type(99)),
            (say(RESP_MULTIREAD, "/a", b"x"), BadMessage::Type(RESP_MULTIREAD)),
            (say(MULTIREAD, "", b""), BadMessage::Type(MULTIREAD)),
            ([[WRITE].as_slice(), &[b'a'; 64], &[0; 7]].concat(), BadMessage::Path),
            (
                [message(WRITE, "/a")[..68].to_vec(), vec![255; 4], vec![0]].concat(),
                BadMessage::Length(u32::MAX),
            ),
        ] {
            assert_eq!(started().push(&bytes), Err(error));
        }
    }

    #[test]
    fn neither_entries_nor_answers_grow_without_bound() {
        let mut client = started();
        let mut number = 0;
        while client.entries.len() < MOST_ENTRIES {
            let before = client.entries.len();
            number += 1;
            client.push(&say(WRITE, &std::format!("/x{number}"), &[b'v'; 500])).unwrap();
            client.sent(HEADER);
            if client.entries.len() == before {
                break;
            }
        }
        assert!(client.bytes <= MOST_BYTES);
        let one = say(WRITE, "/qubes-ip", b"");
        let many = one.repeat(100);
        let mut taken = 0;
        for _ in 0..5 {
            taken += client.push(&many[taken..]).unwrap();
        }
        assert_eq!(taken, ANSWERS / HEADER * one.len());
        assert_eq!(client.output().len(), ANSWERS);
    }

    #[test]
    fn the_longest_value_and_the_last_byte_that_fit_are_kept() {
        let mut client = started();
        let longest = MAX_DATA - 1;
        client.push(&say(WRITE, "/longest", &vec![b'v'; longest])).unwrap();
        assert_eq!(client.text("/longest").map(str::len), Some(longest));
        let refused = BadMessage::Length(MAX_DATA as u32);
        assert_eq!(started().push(&say(WRITE, "/longer", &[0; MAX_DATA])), Err(refused));
        assert_eq!(refused.to_string(), "a QubesDB value of 3072 bytes");
        for number in 0.. {
            let path = std::format!("/{number:04}");
            let left = MOST_BYTES - client.bytes - path.len();
            // No remainder that is too short for a path.
            let value =
                vec![b'v'; if left > 2 * longest { longest } else { left.min(longest - 100) }];
            client.push(&say(WRITE, &path, &value)).unwrap();
            client.sent(HEADER);
            assert_eq!(client.text(&path).map(str::len), Some(value.len()), "{number}");
            if client.bytes == MOST_BYTES {
                break;
            }
        }
        client.push(&say(WRITE, "/x", b"")).unwrap();
        assert_eq!(client.text("/x"), None);
    }
}
