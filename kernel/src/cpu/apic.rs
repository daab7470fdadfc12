//! The interrupt controllers (Intel SDM 3A, 11; 82093AA I/O APIC): a timer for the watchdog and, on machines
//! where the CPU sleeps until a device or the timer wakes it, that sleep. Devices' interrupts are let in while
//! it lasts alone, and do nothing but end it.
use crate::cpu::port::Port;
use crate::cpu::{clock, watchdog};
use core::arch::asm;
use core::arch::x86_64::__cpuid;
use core::fmt;
use core::ptr::{NonNull, with_exposed_provenance_mut};
use core::sync::atomic::Ordering;
use core::time::Duration;
use drivers::virtio::pci::Message;
use safe_mmio::UniqueMmioPointer;
use safe_mmio::fields::ReadPureWrite;

/// The vectors of interrupts, after those of exceptions: a device's, what the local APIC makes of one that went
/// away, and the timer's, of a class of its own.
pub const WAKE: u8 = 32;
pub const SPURIOUS: u8 = 33;
pub const TIME: u8 = 48;

/// The priority that keeps devices out, and lets the timer in (Intel SDM 3A, 11.8.3.1).
const TIMER_ALONE: u32 = WAKE as u32;

/// Where every PC has them; the second I/O APIC is where QEMU's microvm puts one.
const LOCAL: usize = 0xfee0_0000;
const IO: [usize; 2] = [0xfec0_0000, 0xfec1_0000];
/// Interrupt lines of one I/O APIC.
const LINES: u32 = 24;

type Registers<const N: usize> = UniqueMmioPointer<'static, [ReadPureWrite<u32>; N]>;

/// Registers of the local APIC, in words.
const ID: usize = 0x20 / 4;
const PRIORITY: usize = 0x80 / 4;
const SPURIOUS_VECTOR: usize = 0xf0 / 4;
const TIMER: usize = 0x320 / 4;
const TIMER_INITIAL: usize = 0x380 / 4;
const TIMER_CURRENT: usize = 0x390 / 4;
const TIMER_DIVIDE: usize = 0x3e0 / 4;

const ENABLED: u32 = 1 << 8;
const MASKED: u32 = 1 << 16;
const DIVIDE_BY_16: u32 = 3;

/// Registers of an I/O APIC, in words: a register's number, and its value.
const SELECT: usize = 0;
const WINDOW: usize = 4;
/// Numbers of registers: its version, and the first of the table's.
const VERSION: u32 = 1;
const TABLE: u32 = 16;

/// Why there is no timer.
#[derive(Debug)]
pub enum NoTimer {
    NoApic,
    Stands,
}

impl fmt::Display for NoTimer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoApic => "the CPU has no local interrupt controller (APIC)",
            Self::Stands => "the timer of the local interrupt controller does not run",
        })
    }
}

pub struct Apic {
    local: Registers<1024>,
    io: [Registers<8>; 2],
    /// Counts of the timer in a second.
    rate: u64,
}

impl Apic {
    /// Switches the controllers on, measures the timer by the clock, and lets it interrupt: after so many
    /// seconds, and some more, without a turn the machine ends; never with 0.
    ///
    /// # Safety
    /// Once, with the low 4 GiB mapped to themselves and the handlers of interrupts in force. Under Xen `route`
    /// and `sleep` must not be called.
    pub unsafe fn start(watch: u64) -> Result<Self, NoTimer> {
        const HAS_APIC: u32 = 1 << 9;
        if __cpuid(1).edx & HAS_APIC == 0 {
            return Err(NoTimer::NoApic);
        }
        // What firmware left on.
        for mask in [Port::Pic1Mask, Port::Pic2Mask] {
            // All are masked where there is no such controller.
            if mask.read() != 0xff {
                mask.write(0xff);
            }
        }
        // SAFETY: the addresses are mapped, aligned and never RAM on a PC; by the caller's promise
        // nobody else has them. Where no controller is, writes are ignored.
        let (local, io) = unsafe {
            let io = IO.map(|address| UniqueMmioPointer::new(pointer(address)));
            (UniqueMmioPointer::new(pointer(LOCAL)), io)
        };
        let mut apic = Self { local, io, rate: 0 };
        apic.write(PRIORITY, TIMER_ALONE);
        apic.write(SPURIOUS_VECTOR, ENABLED | u32::from(SPURIOUS));
        apic.write(TIMER_DIVIDE, DIVIDE_BY_16);
        apic.rate = apic.measure().ok_or(NoTimer::Stands)?;
        apic.write(TIMER, TIME.into());
        let interval = apic.counts(Duration::from_secs(watch)) / watchdog::STEPS as u32;
        watchdog::INTERVAL.store(if watch == 0 { 0 } else { interval }, Ordering::Relaxed);
        apic.write(TIMER_INITIAL, watchdog::INTERVAL.load(Ordering::Relaxed));
        // SAFETY: by the caller's promise there are handlers. That of TIME changes nothing but the controller and
        // the watchdog's count; the others' interrupts are kept out by the priority.
        unsafe { asm!("sti") }
        Ok(apic)
    }

    fn read(&mut self, register: usize) -> u32 {
        self.local.get(register).map_or(0, |register| register.read())
    }

    fn write(&mut self, register: usize, value: u32) {
        if let Some(mut register) = self.local.get(register) {
            register.write(value);
        }
    }

    fn measure(&mut self) -> Option<u64> {
        const LONG: Duration = Duration::from_millis(2);
        self.write(TIMER, MASKED);
        self.write(TIMER_INITIAL, u32::MAX);
        let start = clock::since_boot();
        let mut took = Duration::ZERO;
        while took < LONG {
            took = clock::since_boot().saturating_sub(start);
        }
        let counts = u64::from(u32::MAX - self.read(TIMER_CURRENT));
        self.write(TIMER_INITIAL, 0);
        let rate = u128::from(counts) * 1_000_000_000 / took.as_nanos();
        u64::try_from(rate).ok().filter(|&rate| rate > 0)
    }

    /// The message that wakes this CPU (Intel SDM 3A, 11.11).
    pub fn message(&mut self) -> Message {
        let id = u64::from(self.read(ID) >> 24);
        Message { address: LOCAL as u64 | id << 12, data: WAKE.into() }
    }

    /// Lets a line wake this CPU, when its level rises; false when there is no such line.
    pub fn route(&mut self, line: u32) -> bool {
        let id = self.read(ID) >> 24;
        let Some(io) = self.io.get_mut((line / LINES) as usize) else {
            return false;
        };
        let mut access = |number: u32, value: Option<u32>| {
            io.get(SELECT)?.write(number);
            let mut window = io.get(WINDOW)?;
            if let Some(value) = value {
                window.write(value);
            }
            Some(window.read())
        };
        let last = access(VERSION, None).map_or(0, |version| version >> 16 & 0xff);
        let line = line % LINES;
        if last == 0xff || line > last {
            return false;
        }
        let entry = TABLE + 2 * line;
        access(entry + 1, Some(id << 24));
        access(entry, Some(WAKE.into())) == Some(WAKE.into())
    }

    /// Stops the CPU until an interrupt, but no longer than this. May return for no reason.
    pub fn sleep(&mut self, most: Duration) {
        let counts = self.counts(most);
        watchdog::sleeps();
        // SAFETY: no interrupt is needed before the next block.
        unsafe { asm!("cli") }
        self.write(TIMER_INITIAL, counts);
        // SAFETY: the handlers of WAKE, SPURIOUS and TIME, the only interrupts that are not masked, change
        // nothing but the controller and the watchdog's count. STI lets none in before HLT, so that none is
        // lost between. CR8 is the priority's class (Intel SDM 3A, 11.8.6).
        unsafe {
            asm!("mov cr8, {all}", "sti", "hlt", "mov cr8, {alone}",
                all = in(reg) 0u64, alone = in(reg) u64::from(TIMER_ALONE >> 4));
        }
        watchdog::turned();
    }

    /// What the timer counts in this time, as far as it can.
    fn counts(&self, time: Duration) -> u32 {
        let counts = time.as_nanos().saturating_mul(self.rate.into()) / 1_000_000_000;
        u32::try_from(counts).unwrap_or(u32::MAX).max(1)
    }
}

fn pointer<const N: usize>(address: usize) -> NonNull<[ReadPureWrite<u32>; N]> {
    NonNull::new(with_exposed_provenance_mut(address)).unwrap_or(NonNull::dangling())
}
