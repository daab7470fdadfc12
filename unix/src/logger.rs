//! The log on standard error: seconds since the start, level, source, message.
use log::{Log, Metadata, Record};
use server::Levels;
use std::io::{Write, stderr};
use std::time::Instant;

struct Logger {
    levels: Levels,
    start: Instant,
}

/// Logs what `levels` want from here on.
pub fn start(levels: Levels) {
    log::set_max_level(levels.most());
    if log::set_boxed_logger(Box::new(Logger { levels, start: Instant::now() })).is_err() {
        log::error!("the log was started twice");
    }
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.levels.enabled(metadata.level(), metadata.target())
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let seconds = self.start.elapsed().as_secs_f64();
            let source = record.target().split("::").next().unwrap_or_default();
            let source = if source == "mirage_sshfs" { "unix" } else { source };
            let level = record.level().as_str().to_lowercase();
            // Nothing can be done about a log that cannot be written.
            let _ = writeln!(stderr(), "[{seconds:10.3}] {level:5} {source}: {}", record.args());
        }
    }

    fn flush(&self) {}
}
