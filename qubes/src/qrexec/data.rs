//! A data vchan: the standard input of what runs here comes in chunks, its output goes in chunks,
//! and its exit code ends it.
use super::{HEADER, OLDEST, VERSION, kind, message, word};
use alloc::vec::Vec;
use core::fmt;

/// The largest chunk of version 3; version 2 has 4096.
pub const MAX_CHUNK: usize = 65536;
const MAX_CHUNK_2: usize = 4096;

/// The largest chunk that we make of output: it lies in a buffer of ours.
const OUR_CHUNK: usize = 16 << 10;

/// What the other side must not send: the call is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadData {
    Message { kind: u32, length: u32 },
    NoHello(u32),
    Version(u32),
}

impl fmt::Display for BadData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message { kind, length } => {
                write!(f, "a qrexec message of type {kind:#x} with {length} bytes")
            }
            Self::NoHello(kind) => write!(f, "a qrexec message of type {kind:#x} before HELLO"),
            Self::Version(version) => write!(f, "qrexec of version {version}"),
        }
    }
}

impl core::error::Error for BadData {}

/// One call. Input is never kept here; output is kept until it was sent, one chunk and what ends the
/// call at the most.
pub struct Data {
    header: Vec<u8>,
    /// The message that is being read, and what is left of its body.
    kind: u32,
    left: usize,
    chunk: usize,
    greeted: bool,
    eof: bool,
    outgoing: Vec<u8>,
    /// Nobody reads output: only the exit code is told.
    detached: bool,
    /// The exit code, once that is known.
    code: Option<i32>,
}

impl Data {
    pub fn new(detached: bool) -> Self {
        Self {
            detached,
            header: Vec::with_capacity(HEADER),
            kind: 0,
            left: 0,
            chunk: MAX_CHUNK_2,
            greeted: false,
            eof: false,
            outgoing: message(kind::HELLO, &[VERSION]),
            code: None,
        }
    }

    /// Looks at bytes that came: says how many of them, at the start, carry no input, and shows the
    /// input that follows them. The caller takes the former, as many of the latter as it likes, and
    /// says by `took` how many those were. Without input, all bytes were of the former kind.
    pub fn input<'a>(&mut self, bytes: &'a [u8]) -> Result<(usize, &'a [u8]), BadData> {
        let mut rest = bytes;
        loop {
            let (body, after) = rest.split_at(self.left.min(rest.len()));
            if !body.is_empty() && self.is_input() {
                return Ok((bytes.len().saturating_sub(rest.len()), body));
            }
            self.left = self.left.saturating_sub(body.len());
            rest = after;
            if rest.is_empty() {
                return Ok((bytes.len(), &[]));
            }
            let wanted = if self.greeted { HEADER } else { HEADER.saturating_add(4) };
            let missing = wanted.saturating_sub(self.header.len());
            let (taken, after) = rest.split_at(missing.min(rest.len()));
            self.header.extend(taken);
            rest = after;
            self.begin()?;
        }
    }

    fn is_input(&self) -> bool {
        // libqrexec takes both for the standard input. What has ended reads none of it.
        let input = matches!(self.kind, kind::DATA_STDIN | kind::DATA_STDOUT);
        input && !self.eof && self.code.is_none()
    }

    /// A header is complete: HELLO with its body first, then others.
    fn begin(&mut self) -> Result<(), BadData> {
        let (Some(kind), Some(length)) = (word(&self.header, 0), word(&self.header, 1)) else {
            return Ok(());
        };
        if !self.greeted {
            if kind != kind::HELLO {
                return Err(BadData::NoHello(kind));
            }
            if length != 4 {
                return Err(BadData::Message { kind, length });
            }
            let Some(version) = word(&self.header, 2) else {
                return Ok(());
            };
            if version < OLDEST {
                return Err(BadData::Version(version));
            }
            if version >= VERSION {
                self.chunk = MAX_CHUNK;
            }
            self.greeted = true;
            self.header.clear();
            self.end();
            return Ok(());
        }
        self.header.clear();
        let bad = BadData::Message { kind, length };
        match kind {
            kind::DATA_STDIN | kind::DATA_STDOUT if length == 0 => self.eof = true,
            kind::DATA_STDIN | kind::DATA_STDOUT | kind::DATA_STDERR => (),
            kind::DATA_EXIT_CODE if length == 4 => self.eof = true,
            _ => return Err(bad),
        }
        self.left = usize::try_from(length).ok().filter(|&l| l <= MAX_CHUNK).ok_or(bad)?;
        self.kind = kind;
        Ok(())
    }

    /// `n` bytes of the input that `input` showed were taken.
    pub fn took(&mut self, n: usize) {
        self.left = self.left.saturating_sub(n);
    }

    /// Whether the other side has said HELLO: before that it is told nothing but ours.
    pub fn is_greeted(&self) -> bool {
        self.greeted
    }

    /// Whether no input will come any more.
    pub fn is_eof(&self) -> bool {
        self.eof
    }

    /// What is to be sent; `sent` takes it away.
    pub fn output(&self) -> &[u8] {
        &self.outgoing
    }

    pub fn sent(&mut self, n: usize) {
        self.outgoing.drain(..n.min(self.outgoing.len()));
    }

    /// Takes what fits of the standard output and says how much that was: nothing before all that
    /// was taken is sent, or after the end.
    pub fn stdout(&mut self, data: &[u8]) -> usize {
        self.put(kind::DATA_STDOUT, data)
    }

    pub fn stderr(&mut self, data: &[u8]) -> usize {
        self.put(kind::DATA_STDERR, data)
    }

    fn put(&mut self, kind: u32, data: &[u8]) -> usize {
        if self.detached {
            return data.len();
        }
        if !self.greeted || self.code.is_some() || !self.outgoing.is_empty() {
            return 0;
        }
        let chunk = data.get(..data.len().min(self.chunk).min(OUR_CHUNK)).unwrap_or_default();
        if !chunk.is_empty() {
            self.outgoing.extend(kind.to_le_bytes());
            self.outgoing.extend((chunk.len() as u32).to_le_bytes());
            self.outgoing.extend(chunk);
        }
        chunk.len()
    }

    /// Ends the call, after all output that was taken and after the other side's HELLO. Input is read to
    /// nobody from here on.
    pub fn exit(&mut self, code: i32) {
        if self.code.is_none() {
            self.code = Some(code);
            self.end();
        }
    }

    /// Says the end, once it is known and may be told.
    fn end(&mut self) {
        if let (Some(code), true) = (self.code, self.greeted) {
            if !self.detached {
                self.outgoing.extend(message(kind::DATA_STDOUT, &[]));
                self.outgoing.extend(message(kind::DATA_STDERR, &[]));
            }
            self.outgoing.extend(message(kind::DATA_EXIT_CODE, &[code.cast_unsigned()]));
        }
    }

    pub fn has_ended(&self) -> bool {
        self.code.is_some()
    }

    /// Whether the end was sent.
    pub fn is_over(&self) -> bool {
        self.code.is_some() && self.greeted && self.outgoing.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::{String, ToString};

    fn chunk(kind: u32, data: &[u8]) -> Vec<u8> {
        [&kind.to_le_bytes(), (data.len() as u32).to_le_bytes().as_slice(), data].concat()
    }

    /// All input of these bytes, given and taken in pieces of `size`.
    fn read(data: &mut Data, bytes: &[u8], size: usize) -> Result<Vec<u8>, BadData> {
        let (mut at, mut end, mut all) = (0, 0, Vec::new());
        while at < bytes.len() {
            end = bytes.len().min(end + size);
            let (skip, input) = data.input(&bytes[at..end])?;
            let n = input.len().min(size.div_ceil(2));
            all.extend(&input[..n]);
            data.took(n);
            at += skip + n;
        }
        Ok(all)
    }

    fn greeted(version: u32) -> Data {
        let mut data = Data::new(false);
        assert_eq!(data.output(), message(kind::HELLO, &[3]));
        data.sent(12);
        assert_eq!(read(&mut data, &message(kind::HELLO, &[version]), 100), Ok(Vec::new()));
        data
    }

    #[test]
    fn input_is_the_same_however_it_is_cut() {
        let bytes = [
            message(kind::HELLO, &[4]),
            chunk(kind::DATA_STDIN, b"one "),
            chunk(kind::DATA_STDERR, b"not this"),
            chunk(kind::DATA_STDOUT, b"two"),
            chunk(kind::DATA_STDIN, b""),
            chunk(kind::DATA_STDIN, b"after the end"),
        ]
        .concat();
        for size in 1..bytes.len() + 1 {
            let mut data = Data::new(false);
            let input = read(&mut data, &bytes, size).unwrap();
            assert_eq!(String::from_utf8(input).unwrap(), "one two", "{size}");
            assert!(data.is_eof());
        }
    }

    #[test]
    fn output_waits_for_hello_and_for_what_is_on_its_way() {
        let mut data = Data::new(false);
        data.sent(12);
        assert!(!data.is_greeted());
        assert_eq!(data.stdout(b"early"), 0);
        let mut data = greeted(3);
        assert!(data.is_greeted());
        assert_eq!(data.stdout(b"hello"), 5);
        assert_eq!(data.stderr(b"and"), 0);
        assert_eq!(data.output(), chunk(kind::DATA_STDOUT, b"hello"));
        data.sent(13);
        assert_eq!(data.stderr(&[1; 100_000]), OUR_CHUNK);
        data.sent(usize::MAX);
        let mut old = greeted(2);
        assert_eq!(old.stdout(&[1; 100_000]), MAX_CHUNK_2);
        data.exit(127);
        data.exit(0);
        assert_eq!(data.stdout(b"late"), 0);
        let end = [
            chunk(kind::DATA_STDOUT, b""),
            chunk(kind::DATA_STDERR, b""),
            chunk(kind::DATA_EXIT_CODE, &[127, 0, 0, 0]),
        ];
        assert_eq!(data.output(), end.concat());
        assert!(data.has_ended() && !data.is_over());
        let mut detached = Data::new(true);
        detached.sent(12);
        assert_eq!(detached.stdout(b"nobody reads this"), 17);
        detached.exit(0);
        // qrexec-client looks whether we are there before it says HELLO.
        assert!(detached.output().is_empty() && !detached.is_over());
        assert_eq!(read(&mut detached, &message(kind::HELLO, &[3]), 5), Ok(Vec::new()));
        assert_eq!(detached.output(), chunk(kind::DATA_EXIT_CODE, &[0; 4]));
        data.sent(end.concat().len());
        assert!(data.is_over());
    }

    #[test]
    fn what_has_ended_reads_no_input_but_lets_it_come() {
        let mut data = greeted(3);
        assert_eq!(read(&mut data, &chunk(kind::DATA_STDIN, b"one"), 100), Ok(b"one".to_vec()));
        let half = chunk(kind::DATA_STDIN, b"two");
        assert_eq!(data.input(&half[..9]).map(|(n, input)| (n, input.len())), Ok((8, 1)));
        data.exit(1);
        assert_eq!(read(&mut data, &half[8..], 2), Ok(Vec::new()));
        assert_eq!(read(&mut data, &chunk(kind::DATA_STDIN, b"three"), 100), Ok(Vec::new()));
    }

    #[test]
    fn what_no_call_sends_ends_it() {
        for (bytes, error) in [
            (chunk(kind::DATA_STDIN, b"x"), BadData::NoHello(kind::DATA_STDIN)),
            (message(kind::HELLO, &[1]), BadData::Version(1)),
            (message(kind::HELLO, &[3, 3]), BadData::Message { kind: kind::HELLO, length: 8 }),
        ] {
            assert_eq!(Data::new(false).input(&bytes), Err(error));
        }
        for (bytes, kind, length) in [
            (message(kind::HELLO, &[3]), kind::HELLO, 4),
            (message(0x555, &[]), 0x555, 0),
            (chunk(kind::DATA_EXIT_CODE, b"1"), kind::DATA_EXIT_CODE, 1),
            (
                [kind::DATA_STDIN, 65537].iter().flat_map(|w| w.to_le_bytes()).collect(),
                kind::DATA_STDIN,
                65537,
            ),
        ] {
            let result = greeted(3).input(&bytes).map(|(n, _)| n);
            assert_eq!(result, Err(BadData::Message { kind, length }));
        }
    }

    #[test]
    fn the_other_sides_exit_code_ends_its_input() {
        let mut data = greeted(3);
        let bytes =
            [chunk(kind::DATA_STDIN, b"one"), chunk(kind::DATA_EXIT_CODE, &[0; 4])].concat();
        assert!(!data.is_eof());
        assert_eq!(read(&mut data, &bytes, 5), Ok(b"one".to_vec()));
        assert!(data.is_eof() && !data.has_ended());
        assert_eq!(BadData::NoHello(7).to_string(), "a qrexec message of type 0x7 before HELLO");
    }
}
