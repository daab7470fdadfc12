//! Where the log goes: under Xen port 0xe9 and Xen's console, once it is known, and else the first serial
//! port, if there is one. Writing to the ports neither allocates nor locks,
//! so that it works in an exception and out of memory.
use crate::cpu::clock;
use crate::cpu::port::Port;
use crate::cpu::{self, Host};
use alloc::format;
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicBool, Ordering};
use log::{Level, LevelFilter, Log, Metadata, Record};
use server::Levels;
use spin::Mutex;

static HAS_SERIAL: AtomicBool = AtomicBool::new(false);
static XEN: Mutex<Option<drivers::Console>> = Mutex::new(None);
static LEVELS: Mutex<Option<Levels>> = Mutex::new(None);

/// Sets the serial port to 115200 baud, 8N1, when there is one, and makes the consoles the log.
pub fn init() {
    /// Where no port is, all bits are set, which those of errors never are together.
    const NO_PORT: u8 = 0xff;
    if cpu::host() == Host::Pc && Port::Com1LineStatus.read() != NO_PORT {
        Port::Com1InterruptEnable.write(0);
        Port::Com1LineControl.write(0x80); // The next two are the divisor: 1.
        Port::Com1Data.write(1);
        Port::Com1InterruptEnable.write(0);
        Port::Com1LineControl.write(0x03);
        Port::Com1FifoControl.write(0x07);
        Port::Com1ModemControl.write(0x03);
        HAS_SERIAL.store(true, Ordering::Relaxed);
    }
    // Fails only when there is a logger already: this is the only one.
    if log::set_logger(&Console).is_ok() {
        log::set_max_level(LevelFilter::Info);
    }
}

/// The next byte that somebody sent to the serial port, if there is one.
pub fn received() -> Option<u8> {
    const DATA_READY: u8 = 1;
    let ready = HAS_SERIAL.load(Ordering::Relaxed) && Port::Com1LineStatus.read() & DATA_READY != 0;
    ready.then(|| Port::Com1Data.read())
}

/// Takes Xen's console for the log too.
pub fn add_xen(console: drivers::Console) {
    *XEN.lock() = Some(console);
}

/// What is logged from here on.
pub fn set_levels(levels: Levels) {
    log::set_max_level(levels.most());
    *LEVELS.lock() = Some(levels);
}

pub fn print(text: fmt::Arguments<'_>) {
    // `write_str` never fails.
    let _ = Console.write_fmt(text);
    // In an exception the console may be in use: the port has the text.
    if let Some(mut xen) = XEN.try_lock()
        && let Some(xen) = xen.as_mut()
    {
        xen.write(format!("{text}").replace('\n', "\r\n").as_bytes());
    }
}

struct Console;

impl Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if cpu::host() == Host::Xen {
                Port::DebugConsole.write(byte);
            } else if HAS_SERIAL.load(Ordering::Relaxed) {
                if byte == b'\n' {
                    send(b'\r');
                }
                send(byte);
            }
        }
        Ok(())
    }
}

/// Sends a byte by the serial port. A port that never gets ready loses it: nothing may hang here.
fn send(byte: u8) {
    const TRANSMITTER_EMPTY: u8 = 0x20;
    for _ in 0..100_000 {
        if Port::Com1LineStatus.read() & TRANSMITTER_EMPTY != 0 {
            Port::Com1Data.write(byte);
            return;
        }
    }
}

/// A line has the seconds since the start, the level, the crate and the message, as under Unix.
impl Log for Console {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        match LEVELS.try_lock() {
            Some(levels) => levels
                .as_ref()
                .is_none_or(|levels| levels.enabled(metadata.level(), metadata.target())),
            None => true,
        }
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let now = clock::since_boot();
        print(format_args!(
            "[{:6}.{:03}] {:5} {}: {}\n",
            now.as_secs(),
            now.subsec_millis(),
            level_name(record.level()),
            record.target().split("::").next().unwrap_or_default(),
            record.args(),
        ));
    }

    fn flush(&self) {}
}

fn level_name(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warn => "warn",
        Level::Info => "info",
        Level::Debug => "debug",
        Level::Trace => "trace",
    }
}
