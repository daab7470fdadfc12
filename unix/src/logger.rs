//! The log on standard error, behind the gate that all lines pass.
use log::{Log, Metadata, Record};
use server::Levels;
use server::logging::Gate;
use std::io::{Write, stderr};
use std::sync::Mutex;
use std::time::Instant;

struct Logger {
    gate: Mutex<Gate>,
    start: Instant,
}

/// Logs what `levels` want from here on.
pub fn start(levels: Levels) {
    log::set_max_level(levels.most());
    let mut gate = Gate::new();
    gate.set_levels(levels);
    let logger = Logger { gate: Mutex::new(gate), start: Instant::now() };
    if log::set_boxed_logger(Box::new(logger)).is_err() {
        log::error!("the log was started twice");
    }
}

impl Log for Logger {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        // A panic with the gate in hand is one in the gate, and the end.
        if let Ok(mut gate) = self.gate.lock() {
            gate.pass(self.start.elapsed(), record, &mut |line| {
                // Nothing can be done about a log that cannot be written.
                let _ = stderr().write_all(line.as_str().as_bytes());
            });
        }
    }

    fn flush(&self) {}
}
