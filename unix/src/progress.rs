//! A progress line on a terminal, for what takes longer than a second.
use std::io::{IsTerminal, Write, stderr};
use std::time::{Duration, Instant};

/// Shown first after this long, and then this often.
const FIRST: Duration = Duration::from_secs(1);
const AGAIN: Duration = Duration::from_millis(200);

/// One line that is written over; it goes away with the value.
pub struct Progress {
    what: &'static str,
    next: Instant,
    shown: bool,
}

impl Progress {
    pub fn new(what: &'static str) -> Self {
        Self { what, next: Instant::now() + FIRST, shown: false }
    }

    /// `done` of `all`, in any unit.
    pub fn show(&mut self, done: u64, all: u64) {
        let now = Instant::now();
        if now < self.next || !stderr().is_terminal() {
            return;
        }
        self.next = now + AGAIN;
        self.shown = true;
        let percent = done.saturating_mul(100).checked_div(all).unwrap_or(100);
        // A terminal that went away is no reason to stop.
        let _ = write!(stderr(), "\r{} {percent:3} %", self.what);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown {
            let _ = write!(stderr(), "\r\x1b[K");
        }
    }
}
