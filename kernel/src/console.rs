//! Where the log goes: under Xen port 0xe9 and Xen's console, once it is known, and else the first serial
//! port, if there is one, or Solo5's tender. Writing to ports neither allocates nor locks,
//! so that it works in an exception and out of memory.
use crate::cpu::clock;
use crate::cpu::port::Port;
use crate::cpu::{self, Host};
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicBool, Ordering};
use drivers::solo5::Hypercalls;
use log::{LevelFilter, Log, Metadata, Record};
use server::Levels;
use server::logging::{Gate, Line, Printable};
use spin::Mutex;

static HAS_SERIAL: AtomicBool = AtomicBool::new(false);
static XEN: Mutex<Option<drivers::Console>> = Mutex::new(None);
static GATE: Mutex<Gate> = Mutex::new(Gate::new());

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

/// Whether Xen's console is not known yet, and nobody is writing to it.
pub fn lacks_xen() -> bool {
    cpu::host() == Host::Xen && XEN.try_lock().is_some_and(|xen| xen.is_none())
}

/// What is logged from here on.
pub fn set_levels(levels: Levels) {
    log::set_max_level(levels.most());
    GATE.lock().set_levels(levels);
}

/// Last words, which may come before there is memory to allocate and out of an exception.
pub fn print(text: fmt::Arguments<'_>) {
    if let Some(tender) = cpu::tender() {
        let mut line = Printable(Puts { tender, bytes: heapless::Vec::new() });
        let _ = line.write_fmt(text);
        line.0.send();
        return;
    }
    // `write_str` never fails.
    let _ = Printable(Console).write_fmt(text);
    if XEN.try_lock().is_some_and(|xen| xen.is_some()) {
        // Not on the heap, which may be what was interrupted.
        let mut copy = Printable(heapless::String::<1024>::new());
        let _ = copy.write_fmt(text);
        write_xen(&copy.0);
    }
}

fn write_xen(text: &str) {
    // In an exception the console may be in use: the port has the text.
    if let Some(mut xen) = XEN.try_lock()
        && let Some(xen) = xen.as_mut()
    {
        let mut bytes = heapless::Vec::<u8, 512>::new();
        for byte in text.bytes() {
            if bytes.len() + 1 >= bytes.capacity() {
                xen.write(&bytes);
                bytes.clear();
            }
            // There is room.
            if byte == b'\n' {
                let _ = bytes.push(b'\r');
            }
            let _ = bytes.push(byte);
        }
        xen.write(&bytes);
    }
}

/// Text for Solo5's tender: a call for each line, not for each piece.
struct Puts {
    tender: Hypercalls,
    bytes: heapless::Vec<u8, 256>,
}

impl Puts {
    fn send(&mut self) {
        if !self.bytes.is_empty() {
            self.tender.puts(&self.bytes);
            self.bytes.clear();
        }
    }
}

impl Write for Puts {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if self.bytes.is_full() {
                self.send();
            }
            // There is room.
            let _ = self.bytes.push(byte);
            if byte == b'\n' {
                self.send();
            }
        }
        Ok(())
    }
}

struct Console;

impl Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if let Some(tender) = cpu::tender() {
            tender.puts(text.as_bytes());
            return Ok(());
        }
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

impl Log for Console {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let now = clock::since_boot();
        let mut write = |line: &Line| {
            // `write_str` never fails.
            let _ = Console.write_str(line.as_str());
            write_xen(line.as_str());
        };
        match GATE.try_lock() {
            Some(mut gate) => gate.pass(now, record, &mut write),
            // In an exception the gate may be in use.
            None => write(&Line::new(now, record.level(), record.target(), *record.args())),
        }
    }

    fn flush(&self) {}
}
