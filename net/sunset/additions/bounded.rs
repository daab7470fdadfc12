//! sunset's log lines. They are for who looks for a fault in it: what a client can say in them is escaped and
//! cut, and none is above `debug`, since the server says itself why a connection ended.
use core::fmt::{self, Write};

/// Bytes of a line.
const LINE: usize = 200;

struct Line {
    text: heapless::String<LINE>,
}

impl Write for Line {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        for c in s.chars() {
            match c.is_control() {
                true => write!(self.text, "{}", c.escape_unicode())?,
                false => self.text.push(c).map_err(|_| fmt::Error)?,
            }
        }
        Ok(())
    }
}

pub(crate) fn say(level: log::Level, arguments: fmt::Arguments) {
    let level = level.max(log::Level::Debug);
    if level > log::max_level() {
        return;
    }
    let mut line = Line { text: heapless::String::new() };
    // An error means that the line is full.
    let cut = line.write_fmt(arguments).is_err();
    log::log!(target: "sunset", level, "{}{}", line.text, if cut { "..." } else { "" });
}

macro_rules! error {
    ($($line:tt)*) => { crate::bounded::say(::log::Level::Error, format_args!($($line)*)) };
}
macro_rules! warning {
    ($($line:tt)*) => { crate::bounded::say(::log::Level::Warn, format_args!($($line)*)) };
}
macro_rules! info {
    ($($line:tt)*) => { crate::bounded::say(::log::Level::Info, format_args!($($line)*)) };
}
macro_rules! debug {
    ($($line:tt)*) => { crate::bounded::say(::log::Level::Debug, format_args!($($line)*)) };
}
/// Nobody reads sunset's traces here, and some hold what was decrypted.
macro_rules! trace {
    ($($line:tt)*) => { { let _ = format_args!($($line)*); } };
}
macro_rules! level {
    ($level:expr, $($line:tt)*) => { crate::bounded::say($level, format_args!($($line)*)) };
}
pub(crate) use {debug, error, info, level as log, trace, warning as warn};
