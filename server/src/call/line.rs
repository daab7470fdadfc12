//! The stream of a call: standard input one way, output and the exit code the other.
use crate::serve::meter::{Meter, Metered};
use crate::serve::transfer::Channel;
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::future::poll_fn;
use core::task::Poll;
use log::warn;
use net::{Closed, Ended, Stream};
use qubes::qrexec::{Data, exit};

/// Bytes of input that a service takes at once.
const PIECE: usize = 64 << 10;

/// Bytes that a caller's turn shows.
const SHARE: usize = 64 << 10;

pub struct Line {
    stream: Metered<Box<dyn Stream>>,
    meter: Meter,
    data: Data,
    closed: bool,
    /// No input is taken any more.
    stopped: bool,
    /// The message that is to be told before the end.
    last_words: Option<(i32, String)>,
}

impl Line {
    pub fn new(stream: Box<dyn Stream>, detached: bool) -> Self {
        let meter = Meter::new(SHARE);
        let stream = Metered::new(stream, &meter);
        let data = Data::new(detached);
        Self { stream, meter, data, closed: false, stopped: false, last_words: None }
    }

    /// The stream's.
    pub fn meter(&self) -> Meter {
        self.meter.clone()
    }

    /// Looks what came and sends what waits; true when something was sent.
    pub fn poll(&mut self) -> bool {
        if self.input().is_err() {
            return false;
        }
        let sent = self.flush();
        // Before its HELLO the other side is told nothing.
        if let Some((code, text)) = self.last_words.take() {
            match self.data.stderr(text.as_bytes()) {
                n if n == text.len() => self.data.exit(code),
                n => {
                    let rest = text.get(n..).unwrap_or_default();
                    self.last_words = Some((code, rest.into()));
                }
            }
        }
        sent | self.flush()
    }

    fn flush(&mut self) -> bool {
        let mut moved = false;
        while !self.closed && !self.data.output().is_empty() {
            match self.stream.write(self.data.output()) {
                Ok(0) => break,
                Ok(n) => {
                    self.data.sent(n);
                    moved = true;
                }
                Err(Closed) => self.closed = true,
            }
        }
        moved
    }

    /// The input that has come, as far as it lies in one piece.
    pub fn input(&mut self) -> Result<&[u8], Closed> {
        let shown = loop {
            if self.closed {
                return Err(Closed);
            }
            let seen = self.stream.fill().map(|bytes| (bytes.len(), self.data.input(bytes)));
            match seen {
                Ok((0, _)) => break 0,
                Ok((_, Ok((skip, input)))) => {
                    let shown = input.len();
                    self.stream.consume(skip);
                    if shown > 0 {
                        break shown;
                    }
                }
                Ok((_, Err(e))) => {
                    warn!("a call is given up: {e}");
                    self.closed = true;
                }
                Err(Closed) => self.closed = true,
            }
        };
        let bytes = self.stream.fill()?;
        Ok(bytes.get(..shown).unwrap_or_default())
    }

    /// Takes `n` bytes of what `input` showed.
    pub fn consume(&mut self, n: usize) {
        self.data.took(n);
        self.stream.consume(n);
    }

    /// Sends what fits of the standard output and says how much that was.
    pub fn write(&mut self, data: &[u8]) -> Result<usize, Closed> {
        let mut written: usize = 0;
        loop {
            self.flush();
            if self.closed {
                return Err(Closed);
            }
            let n = self.data.stdout(data.get(written..).unwrap_or_default());
            if n == 0 {
                return Ok(written);
            }
            written = written.saturating_add(n);
        }
    }

    /// Ends the call after all that was written.
    pub fn exit(&mut self, code: i32) {
        if self.last_words.is_none() {
            self.data.exit(code);
        }
    }

    /// Ends the call with a line on its standard error.
    pub fn end_with(&mut self, code: i32, why: &str) {
        self.last_words.get_or_insert_with(|| (code, alloc::format!("mirage-sshfs: {why}\n")));
    }

    /// Whether the other side has said HELLO. Nothing is done for it before.
    pub fn is_greeted(&self) -> bool {
        self.data.is_greeted()
    }

    /// As if its input had ended.
    pub fn stop_input(&mut self) {
        self.stopped = true;
    }

    /// The other side is gone, or as good as that.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    pub fn close(&mut self) {
        self.closed = true;
    }

    /// Whether all input was taken and none will come.
    pub fn is_at_end(&mut self) -> bool {
        self.stopped || self.data.is_eof() && self.input().is_ok_and(<[u8]>::is_empty)
    }

    /// Whether its exit code is said.
    pub fn has_ended(&self) -> bool {
        self.last_words.is_some() || self.data.has_ended()
    }

    /// Whether the other side has read all, its exit code last. To go before that would look to it like a call
    /// that failed.
    pub fn is_over(&mut self) -> bool {
        self.data.is_over() && self.stream.is_read()
    }
}

/// The input of a service that is a future: the next piece, or None at its end.
pub async fn read(line: &RefCell<Line>) -> Option<Vec<u8>> {
    poll_fn(|_| {
        let mut line = line.borrow_mut();
        if line.stopped {
            return Poll::Ready(None);
        }
        let piece = match line.input() {
            Ok(input) => Vec::from(input.get(..PIECE).unwrap_or(input)),
            Err(Closed) => return Poll::Ready(None),
        };
        line.consume(piece.len());
        match piece.is_empty() {
            false => Poll::Ready(Some(piece)),
            true if line.is_at_end() => Poll::Ready(None),
            true => Poll::Pending,
        }
    })
    .await
}

/// Writes all of it, or nothing more when the other side is gone.
pub async fn write(line: &RefCell<Line>, data: &[u8]) {
    let mut rest = data;
    poll_fn(|_| match line.borrow_mut().write(rest) {
        Ok(n) => {
            rest = rest.get(n..).unwrap_or_default();
            if rest.is_empty() { Poll::Ready(()) } else { Poll::Pending }
        }
        Err(Closed) => Poll::Ready(()),
    })
    .await
}

/// A call that is a connection. When it is dropped the line is given back, for its end to be told.
pub struct LineStream {
    /// There until the drop.
    line: Option<Line>,
    meter: Meter,
    ended: Rc<RefCell<Vec<Line>>>,
}

impl LineStream {
    pub fn new(line: Line, ended: Rc<RefCell<Vec<Line>>>) -> Self {
        let meter = line.meter();
        Self { line: Some(line), meter, ended }
    }

    /// The stream's.
    pub fn meter(&self) -> Meter {
        self.meter.clone()
    }
}

impl Stream for LineStream {
    fn fill(&mut self) -> Result<&[u8], Closed> {
        let line = self.line.as_mut().ok_or(Closed)?;
        line.flush();
        if line.is_at_end() {
            return Err(Closed);
        }
        line.input()
    }

    fn consume(&mut self, n: usize) {
        if let Some(line) = &mut self.line {
            line.consume(n);
        }
    }

    fn write(&mut self, data: &[u8]) -> Result<usize, Closed> {
        self.line.as_mut().ok_or(Closed)?.write(data)
    }
}

impl Drop for LineStream {
    fn drop(&mut self) {
        if let Some(mut line) = self.line.take() {
            line.exit(exit::OK);
            self.ended.borrow_mut().push(line);
        }
    }
}

impl Channel for Line {
    fn peek(&mut self) -> Result<&[u8], Ended> {
        self.input().map_err(|Closed| Ended::Closed)
    }

    fn take(&mut self, n: usize) -> Result<(), Ended> {
        self.consume(n);
        Ok(())
    }

    fn send(&mut self, pieces: &[&[u8]]) -> Result<usize, Ended> {
        let mut sent: usize = 0;
        for piece in pieces {
            let written = self.write(piece).map_err(|Closed| Ended::Closed)?;
            sent = sent.saturating_add(written);
            if written < piece.len() {
                break;
            }
        }
        Ok(sent)
    }

    fn finish(&mut self, status: u32) {
        self.exit(i32::try_from(status).unwrap_or(exit::FAILURE));
    }
}

/// What services share a line by.
pub type SharedLine = Rc<RefCell<Line>>;
