//! Text from anywhere as what may be shown on a terminal.
use alloc::format;
use alloc::string::String;
use core::fmt::{self, Write};
use core::time::Duration;
use log::Level;

/// Bytes of a line with its line end.
pub const LINE: usize = 200;

/// Bytes of a message, without what stands before it and the word that it was cut.
const MESSAGE: usize = 140;

/// Bytes of a source's name.
const SOURCE: usize = 12;

/// The programs themselves say things as long as this to who started them, of nobody else.
const OWN_MESSAGE: usize = 900;
const ROOM: usize = LINE - MESSAGE + OWN_MESSAGE;

/// One line of the log: seconds since the start, level, source, message, line end.
pub struct Line {
    bytes: [u8; ROOM],
    length: usize,
    /// Bytes that the part that is being written may still take.
    left: usize,
    /// Bytes that it did not.
    cut: usize,
}

impl Line {
    /// `target` is a module's path.
    pub fn new(now: Duration, level: Level, target: &str, message: fmt::Arguments<'_>) -> Self {
        let mut line = Self { bytes: [0; ROOM], length: 0, left: LINE, cut: 0 };
        let level = match level {
            Level::Error => "error",
            Level::Warn => "warn",
            Level::Info => "info",
            Level::Debug => "debug",
            Level::Trace => "trace",
        };
        let source = target.split("::").next().unwrap_or_default();
        let (source, most) = match source {
            "mirage_sshfs" | "unix" => ("unix", OWN_MESSAGE),
            "kernel" => (source, OWN_MESSAGE),
            _ => (source, MESSAGE),
        };
        let (seconds, milliseconds) = (now.as_secs() % 1_000_000, now.subsec_millis());
        // Writing to a line never fails.
        let _ = write!(line, "[{seconds:6}.{milliseconds:03}] {level:5} ");
        line.left = SOURCE;
        let _ = line.write_str(source);
        line.left = LINE;
        let _ = line.write_str(": ");
        (line.left, line.cut) = (most, 0);
        let _ = line.write_fmt(message);
        let cut = line.cut;
        (line.left, line.cut) = (LINE, 0);
        if cut > 0 {
            let _ = write!(line, "… {cut} bytes more");
        }
        line.push(b"\n");
        line
    }

    pub fn as_str(&self) -> &str {
        // Whole characters are all that is ever put in.
        core::str::from_utf8(self.bytes.get(..self.length).unwrap_or_default()).unwrap_or_default()
    }

    fn push(&mut self, bytes: &[u8]) -> bool {
        let end = self.length.saturating_add(bytes.len());
        let Some(to) = self.bytes.get_mut(self.length..end) else {
            return false;
        };
        to.copy_from_slice(bytes);
        self.length = end;
        true
    }
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for (at, c) in text.char_indices() {
            let mut shown = Shown::of(c);
            let bytes = shown.bytes();
            // After the first that does not fit nothing else may: it would seem to follow.
            if self.cut > 0 || bytes.len() > self.left || !self.push(bytes) {
                self.left = 0;
                self.cut = self.cut.saturating_add(text.len().saturating_sub(at));
                break;
            }
            self.left = self.left.saturating_sub(bytes.len());
        }
        Ok(())
    }
}

/// A character as it is shown: itself, or `\u{…}` and the like.
struct Shown {
    bytes: [u8; 12],
    length: usize,
}

impl Shown {
    fn of(c: char) -> Self {
        let mut shown = Self { bytes: [0; 12], length: 0 };
        match is_hidden(c) {
            true => c.escape_default().for_each(|c| shown.push(c)),
            false => shown.push(c),
        }
        shown
    }

    fn push(&mut self, c: char) {
        if let Some(room) = self.bytes.get_mut(self.length..).filter(|room| room.len() >= 4) {
            self.length = self.length.saturating_add(c.encode_utf8(room).len());
        }
    }

    fn bytes(&mut self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

/// Control characters, and what changes the order of the text around it, ends a line or shows nothing
/// at all.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// Any text as printable characters and line ends, for what is no line of the log.
pub struct Printable<W: Write>(pub W);

impl<W: Write> Write for Printable<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            match c {
                '\n' => self.0.write_char(c)?,
                c => {
                    let mut shown = Shown::of(c);
                    self.0.write_str(core::str::from_utf8(shown.bytes()).unwrap_or_default())?;
                }
            }
        }
        Ok(())
    }
}

/// A name from outside for a message: printable, and no longer than about `most` bytes.
pub fn cut(name: &str, most: usize) -> String {
    let mut text = String::new();
    for (at, c) in name.char_indices() {
        let mut shown = Shown::of(c);
        if text.len().saturating_add(shown.bytes().len()) > most {
            return format!("{text}… {} bytes more", name.len().saturating_sub(at));
        }
        text.push_str(core::str::from_utf8(shown.bytes()).unwrap_or_default());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(message: fmt::Arguments<'_>) -> String {
        Line::new(Duration::from_millis(1_234_567), Level::Warn, "sunset::x", message)
            .as_str()
            .into()
    }

    #[test]
    fn a_line_looks_as_it_always_did() {
        assert_eq!(line(format_args!("a {:?}", "b\n")), "[  1234.567] warn  sunset: a \"b\\n\"\n");
        let own = Line::new(Duration::ZERO, Level::Info, "mirage_sshfs", format_args!("{:899}", 1));
        assert!(own.as_str().starts_with("[     0.000] info  unix:  ") && own.as_str().len() > 900);
    }

    #[test]
    fn nothing_but_its_own_end_moves_the_cursor() {
        let forged =
            "x\n[     0.000] info  server: forged\r\u{1b}[2J\u{7f}\u{9b}1m\u{202e}\u{2028}\0é✓";
        let line = line(format_args!("{forged}"));
        assert!(line.ends_with("\\u{1b}[2J\\u{7f}\\u{9b}1m\\u{202e}\\u{2028}\\u{0}é✓\n"), "{line}");
        assert_eq!(line.chars().filter(|c| is_hidden(*c)).collect::<String>(), "\n");
    }

    #[test]
    fn a_long_message_says_how_much_of_it_is_missing() {
        for text in ["x".repeat(60_000), "\u{1b}".repeat(20_000), "é".repeat(30_000)] {
            let line = line(format_args!("{text}"));
            assert!(line.len() <= LINE && line.len() > 150, "{}", line.len());
            assert!(line.ends_with(" bytes more\n"), "{line}");
        }
        assert!(line(format_args!("{}{}", "x".repeat(139), "éa")).ends_with("x… 3 bytes more\n"));
        let widest =
            Line::new(Duration::MAX, Level::Error, &"t".repeat(99), format_args!("{:9999}", 1));
        assert!(widest.as_str().len() <= LINE, "{}", widest.as_str());
    }

    #[test]
    fn names_are_cut_and_printable() {
        assert_eq!(cut("mirage", 40), "mirage");
        assert_eq!(cut("a\u{1b}b", 40), "a\\u{1b}b");
        assert_eq!(cut("aaaaab\n", 5), "aaaaa… 2 bytes more");
        let mut text = Printable(String::new());
        write!(text, "a\nb\r\u{1b}").unwrap();
        assert_eq!(text.0, "a\nb\\r\\u{1b}");
    }
}
