//! The receiver of `qubes.Filecopy`, which `qvm-copy` calls (qubes-rpc's libqubes-rpc-filecopy.h):
//! bytes in, files, directories and links out, and the result for the sender.
mod names;
mod refused;

pub use refused::{Refused, errno};

use alloc::string::String;
use alloc::vec::Vec;
use crc::{Crc, Digest};

/// `struct file_header`: u32 length of the name with its NUL, u32 mode, u64 length of the data, u32
/// accessed and its nanoseconds, u32 modified and its nanoseconds.
const HEADER: usize = 32;

/// The longest name, its NUL included (`MAX_PATH_LENGTH` - 1).
const MAX_NAME: usize = 16383;

/// The longest target of a link, as Linux has it and volumes keep it (`PATH_MAX` - 1).
const MAX_TARGET: u64 = 4095;

/// CRC-32 as zlib has it.
static CRC: Crc<u32> = Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);

const S_IFMT: u32 = 0o170_000;
const S_IFDIR: u32 = 0o040_000;
const S_IFREG: u32 = 0o100_000;
const S_IFLNK: u32 = 0o120_000;
const PERMISSIONS: u32 = 0o7777;

/// Why a link is refused, and what the sender's user can do.
const NO_LINKS: &str =
    "the volume keeps no symbolic links; `qvm-copy --ignore-symlinks` copies the rest";

const TARGET_TOO_LONG: Refused =
    Refused { errno: errno::ENAMETOOLONG, why: "where it leads is too long" };

/// What has come. Paths have components that are neither empty, `.` nor `..`, without control
/// characters, and `/` between them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A directory: made when there is none. It comes again after what is in it, and its times are those of then.
    Directory { path: String, accessed: u32, modified: u32 },
    /// A new file of `length` bytes; `data` shows them. Times are in seconds since 1970, and `mode` is
    /// the permission bits.
    File { path: String, length: u64, mode: u32, accessed: u32, modified: u32 },
    /// A new symbolic link, in a directory that was sent and not leading out of the outermost one.
    Link { path: String, target: String },
    /// All bytes of the file have come.
    FileEnd,
    /// Everything has come: `result` says so to the sender.
    End,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Header,
    /// The name, after a header.
    Name,
    /// The target of a link, after its name: so many bytes.
    Target(usize),
    /// So many bytes of a file.
    Data(u64),
    Ended,
}

/// One copy. Holds no more than one header, name and target.
pub struct Receiver {
    state: State,
    /// Whether links are taken.
    links: bool,
    /// The header, the name and the target that are being read.
    record: Vec<u8>,
    crc: Digest<'static, u32>,
    last_name: String,
}

impl Receiver {
    /// One for a place that keeps symbolic links, or for one that does not.
    pub fn new(links: bool) -> Self {
        let (record, last_name) = Default::default();
        Self { state: State::Header, links, record, crc: CRC.digest(), last_name }
    }

    /// Bytes of the current file at the start of `bytes`; `took` says that they were taken.
    pub fn data<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        match self.state {
            State::Data(left) => {
                let n = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                bytes.get(..n).unwrap_or_default()
            }
            _ => &[],
        }
    }

    /// These are the bytes of a file that were taken. An event when they were the last.
    pub fn took(&mut self, bytes: &[u8]) -> Option<Event> {
        let State::Data(left) = self.state else {
            return None;
        };
        self.crc.update(bytes);
        let left = left.saturating_sub(bytes.len() as u64);
        self.state = if left == 0 { State::Header } else { State::Data(left) };
        (left == 0).then_some(Event::FileEnd)
    }

    /// Takes bytes that are not of a file, up to what is to be told: says how many.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(usize, Option<Event>), Refused> {
        let mut rest = bytes;
        loop {
            let wanted = match self.state {
                State::Header => HEADER,
                State::Name => HEADER.saturating_add(self.name_length()),
                State::Target(length) => {
                    HEADER.saturating_add(self.name_length()).saturating_add(length)
                }
                State::Data(_) | State::Ended => {
                    return Ok((bytes.len().saturating_sub(rest.len()), None));
                }
            };
            let missing = wanted.saturating_sub(self.record.len());
            let (taken, after) = rest.split_at(missing.min(rest.len()));
            self.record.extend(taken);
            self.crc.update(taken);
            rest = after;
            if self.record.len() < wanted {
                return Ok((bytes.len(), None));
            }
            if let Some(event) = self.complete()? {
                return Ok((bytes.len().saturating_sub(rest.len()), Some(event)));
            }
        }
    }

    fn field(&self, at: usize) -> u32 {
        let bytes = self.record.get(at..at.saturating_add(4)).and_then(|b| b.try_into().ok());
        bytes.map_or(0, u32::from_le_bytes)
    }

    fn name_length(&self) -> usize {
        self.field(0) as usize
    }

    /// A header, a name or a target is complete.
    fn complete(&mut self) -> Result<Option<Event>, Refused> {
        if let State::Header = self.state {
            return match self.name_length() {
                0 => {
                    self.state = State::Ended;
                    Ok(Some(Event::End))
                }
                1..=MAX_NAME => {
                    self.state = State::Name;
                    Ok(None)
                }
                _ => Err(Refused { errno: errno::ENAMETOOLONG, why: "its name is too long" }),
            };
        }
        if let State::Target(length) = self.state {
            let start = self.record.len().saturating_sub(length);
            let target = self.record.get(start..).unwrap_or_default();
            let (path, target) = (self.last_name.clone(), names::target(&self.last_name, target)?);
            self.record.clear();
            self.state = State::Header;
            return Ok(Some(Event::Link { path, target }));
        }
        let name = self.record.get(HEADER..).unwrap_or_default();
        // A refused one is not told back.
        self.last_name.clear();
        let kind = self.field(4) & S_IFMT;
        let path = names::path(name, kind == S_IFDIR)?;
        self.last_name.clone_from(&path);
        let length = u64::from(self.field(12)) << 32 | u64::from(self.field(8));
        let (accessed, modified) = (self.field(16), self.field(24));
        let mode = self.field(4) & PERMISSIONS;
        if kind == S_IFLNK && self.links {
            let length = usize::try_from(length).ok().filter(|_| length <= MAX_TARGET);
            let length = length.ok_or(TARGET_TOO_LONG)?;
            self.state = State::Target(length);
            // One without bytes is complete.
            return if length == 0 { self.complete() } else { Ok(None) };
        }
        self.record.clear();
        match kind {
            S_IFDIR if length == 0 => {
                self.state = State::Header;
                Ok(Some(Event::Directory { path, accessed, modified }))
            }
            S_IFREG => {
                self.state = State::Data(length);
                Ok(Some(Event::File { path, length, mode, accessed, modified }))
            }
            S_IFLNK => Err(Refused { errno: errno::EPERM, why: NO_LINKS }),
            _ => Err(Refused { errno: errno::EINVAL, why: "neither a file nor a directory" }),
        }
    }

    /// A file without data has ended as it began.
    pub fn empty_file(&mut self) -> Option<Event> {
        matches!(self.state, State::Data(0)).then(|| self.took(&[]))?
    }

    /// The name that came last, for messages.
    pub fn last_name(&self) -> &str {
        &self.last_name
    }

    /// What the sender is told: `struct result_header` (u32 errno, u32 0, u64 CRC) and `struct
    /// result_header_ext` (u32 length of the last name, the name). The sender compares the CRC with
    /// its own.
    pub fn result(&self, errno: u32) -> Vec<u8> {
        let mut result = Vec::from(errno.to_le_bytes());
        result.extend([0; 4]);
        result.extend(u64::from(self.crc.clone().finalize()).to_le_bytes());
        result.extend(u32::try_from(self.last_name.len()).unwrap_or(0).to_le_bytes());
        result.extend(self.last_name.as_bytes());
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{string::ToString, vec};

    fn record(name: &[u8], mode: u32, length: u64) -> Vec<u8> {
        let mut bytes = Vec::from((name.len() as u32).to_le_bytes());
        bytes.extend(mode.to_le_bytes());
        bytes.extend(length.to_le_bytes());
        bytes.extend([111u32, 0, 222, 0].iter().flat_map(|n| n.to_le_bytes()));
        bytes.extend(name);
        bytes
    }

    /// Events and contents of what came in pieces of `size`.
    fn receive(bytes: &[u8], size: usize) -> Result<(Vec<Event>, Vec<u8>, Receiver), Refused> {
        let mut receiver = Receiver::new(true);
        let (mut events, mut contents) = (Vec::new(), Vec::new());
        for mut piece in bytes.chunks(size) {
            while !piece.is_empty() {
                let data = receiver.data(piece);
                if !data.is_empty() {
                    contents.extend(data);
                    events.extend(receiver.took(data));
                    piece = &piece[data.len()..];
                    continue;
                }
                let (n, event) = receiver.push(piece)?;
                piece = &piece[n..];
                events.extend(event);
                events.extend(receiver.empty_file());
            }
        }
        Ok((events, contents, receiver))
    }

    #[test]
    fn a_tree_of_files_in_pieces_of_any_size() {
        let bytes = [
            record(b"d\0", S_IFDIR | 0o755, 0),
            record("d/ä\0".as_bytes(), S_IFREG | 0o644, 5),
            b"hello".to_vec(),
            record(b"d/empty\0", S_IFREG | 0o4711, 0),
            record(b"d/link\0", S_IFLNK | 0o777, 4),
            "./ä".into(),
            record(b"d/\0", S_IFDIR | 0o755, 0),
            vec![0; HEADER],
        ]
        .concat();
        let file = |path: &str, length, mode| Event::File {
            path: path.into(),
            length,
            mode,
            accessed: 111,
            modified: 222,
        };
        let (accessed, modified) = (111, 222);
        let directory = || Event::Directory { path: "d".into(), accessed, modified };
        for size in 1..bytes.len() + 1 {
            let (events, contents, receiver) = receive(&bytes, size).unwrap();
            let (first, second) = (file("d/ä", 5, 0o644), file("d/empty", 0, 0o4711));
            let link = Event::Link { path: "d/link".into(), target: "./ä".into() };
            let end = Event::FileEnd;
            let all = [directory(), first, end.clone(), second, end, link, directory(), Event::End];
            assert_eq!(events, all, "{size}");
            assert_eq!(contents, b"hello");
            let result = receiver.result(0);
            assert_eq!(result[..8], [0; 8]);
            let crc = u64::from(CRC.checksum(&bytes));
            assert_eq!(result[8..16], crc.to_le_bytes());
            assert_eq!(result[16..], [1, 0, 0, 0, b'd']);
        }
    }

    #[test]
    fn the_checksum_is_zlibs() {
        assert_eq!(CRC.checksum(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for (name, errno) in [
            (b"../x\0".as_slice(), errno::EILSEQ),
            (b"a/../x\0", errno::EILSEQ),
            (b"/x\0", errno::EILSEQ),
            (b"a//x\0", errno::EILSEQ),
            (b"a/\0", errno::EILSEQ),
            (b".\0", errno::EILSEQ),
            (b"\0", errno::EILSEQ),
            (b"a\nb\0", errno::EILSEQ),
            (b"a\0b\0", errno::EILSEQ),
            (b"\xff\0", errno::EILSEQ),
            (b"ab", errno::EINVAL),
            (&[b"a/".repeat(64), b"b\0".to_vec()].concat(), errno::ENAMETOOLONG),
            (&[b'a'; MAX_NAME + 1], errno::ENAMETOOLONG),
        ] {
            let result = receive(&record(name, S_IFREG, 3), 7).map(|(events, ..)| events);
            assert_eq!(result.unwrap_err().errno, errno, "{name:?}");
        }
    }

    #[test]
    fn as_many_directories_as_may_be() {
        let name = |depth| ["a/".repeat(depth - 1).as_bytes(), b"b\0"].concat();
        let events =
            |depth| receive(&record(&name(depth), S_IFREG, 3), 7).map(|(events, ..)| events.len());
        assert_eq!(events(names::MAX_DEPTH), Ok(1));
        assert_eq!(
            events(names::MAX_DEPTH + 1).map_err(|refused| refused.errno),
            Err(errno::ENAMETOOLONG)
        );
    }

    #[test]
    fn devices_are_refused() {
        for mode in [0o060_000, 0] {
            let result = receive(&record(b"a\0", mode, 3), 100).map(|(events, ..)| events);
            assert_eq!(result.unwrap_err().errno, errno::EINVAL);
        }
    }

    #[test]
    fn links_are_refused_where_none_are_kept() {
        let refused = Receiver::new(false).push(&record(b"d/a\0", S_IFLNK, 3)).unwrap_err();
        assert_eq!((refused.errno, refused.why), (errno::EPERM, NO_LINKS));
    }

    /// What comes of a link.
    fn link(path: &str, target: &[u8]) -> Result<Vec<Event>, u32> {
        let header = record(&[path.as_bytes(), b"\0"].concat(), S_IFLNK, target.len() as u64);
        let result = receive(&[&header, target].concat(), 5);
        result.map(|(events, ..)| events).map_err(|refused| refused.errno)
    }

    #[test]
    fn links_do_not_lead_out_of_the_folder_that_is_copied() {
        for (path, target) in [
            ("d/l", "file"),
            ("d/l", "e/f//g/"),
            ("d/l", "./."),
            ("d/e/l", "../file"),
            ("d/e/l", ".//../e"),
            ("d/e/f/l", "../../x/..y"),
            ("d/l", "..."),
        ] {
            let event = Event::Link { path: path.into(), target: target.into() };
            assert_eq!(link(path, target.as_bytes()), Ok(vec![event]));
        }
        for (path, target) in [
            ("l", "file"),
            ("d/l", ".."),
            ("d/l", "../d/file"),
            ("d/e/l", "../../d"),
            ("d/e/l", "x/../../../y"),
            ("d/e/f/l", "x/.."),
            ("d/e/f/l", "../x/../y"),
            ("d/l", "/etc/passwd"),
            ("d/l", "/"),
        ] {
            assert_eq!(link(path, target.as_bytes()), Err(errno::ENOLINK), "{path}: {target}");
        }
    }

    #[test]
    fn links_lead_somewhere_in_words() {
        assert_eq!(link("d/l", b""), Err(errno::ENOENT));
        for target in [b"a\0b".as_slice(), b"a\0", b"\xff", b"a\nb"] {
            assert_eq!(link("d/l", target), Err(errno::EILSEQ));
        }
        let long = |length| link("d/l", &[b'a'].repeat(length));
        assert!(long(MAX_TARGET as usize).is_ok());
        assert_eq!(long(MAX_TARGET as usize + 1), Err(errno::ENAMETOOLONG));
        let header = record(b"d/l\0", S_IFLNK, u64::MAX);
        assert_eq!(receive(&header, 9).map(|_| ()).unwrap_err().errno, errno::ENAMETOOLONG);
    }

    #[test]
    fn what_is_refused_says_why_and_whose_name_came_last() {
        let refused =
            receive(&record(b"a\0", S_IFDIR, 1), 100).map(|(events, ..)| events).unwrap_err();
        assert_eq!((refused.errno, refused.to_string()), (errno::EINVAL, refused.why.into()));
        assert!(!refused.why.is_empty());
        let mut receiver = Receiver::new(true);
        assert_eq!(receiver.last_name(), "");
        receiver.push(&record(b"a\0", S_IFREG, 3)).unwrap();
        assert_eq!(receiver.last_name(), "a");
    }

    #[test]
    fn a_file_may_be_longer_than_4_gib() {
        let length = (5 << 32) + 7;
        let (_, event) = Receiver::new(true).push(&record(b"a\0", S_IFREG, length)).unwrap();
        let Some(Event::File { length: told, .. }) = event else { panic!("{event:?}") };
        assert_eq!(told, length);
    }
}
