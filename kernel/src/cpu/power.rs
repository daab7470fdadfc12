//! How the machine ends: switched off when all went well, reset when the kernel failed.
use crate::cpu::port::Port;
use crate::cpu::{self, Host, clock, keyboard};
use core::hint::spin_loop;
use core::sync::atomic::{AtomicU8, Ordering};
use core::time::Duration;
use drivers::virtio::{Mapped, Registers};
use spin::Mutex;

/// How a PC is switched off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Switch {
    /// It is reset, which ends Firecracker, and QEMU with `-no-reboot`.
    None,
    /// QEMU's power management.
    Pm1a,
    /// cloud-hypervisor's register for sleeping.
    SleepControl,
    /// The same in memory, QEMU's microvm's.
    SleepRegister,
}

static SWITCH: AtomicU8 = AtomicU8::new(Switch::None as u8);

/// Tells how this machine is switched off.
pub fn set_switch(switch: Switch) {
    SWITCH.store(switch as u8, Ordering::Relaxed);
}

static SLEEP_REGISTER: Mutex<Option<Mapped>> = Mutex::new(None);

/// Tells that ACPI's register for sleeping is in memory.
pub fn set_sleep_register(register: Mapped) {
    *SLEEP_REGISTER.lock() = Some(register);
    set_switch(Switch::SleepRegister);
}

/// Switches the machine off. The clock runs.
pub fn off() -> ! {
    /// SLP_EN with the sleep type of S5, which is 0 in QEMU's tables (ACPI 16.1.6).
    const SLEEP: u16 = 0x2000;
    /// The same with that of cloud-hypervisor and of QEMU's microvm, 5 (ACPI 4.8.3.7).
    const SLEEP_CONTROL: u8 = 1 << 5 | 5 << 2;
    if let Some(tender) = cpu::tender() {
        tender.halt(0);
    }
    if cpu::host() == Host::Xen {
        cpu::halt();
    }
    match SWITCH.load(Ordering::Relaxed) {
        switch if switch == Switch::Pm1a as u8 => {
            Port::Pm1aControl.write_word(SLEEP);
            wait();
        }
        switch if switch == Switch::SleepControl as u8 => {
            Port::Pm1aStatus.write(SLEEP_CONTROL);
            wait();
        }
        switch if switch == Switch::SleepRegister as u8 => {
            if let Some(register) = SLEEP_REGISTER.lock().as_mut() {
                register.set_byte(0, SLEEP_CONTROL);
            }
            wait();
        }
        _ => (),
    }
    reset(0)
}

/// Ends the machine after an error that was printed. Under Xen the domain has crashed; isa-debug-exit makes
/// QEMU's emulation exit with 3, Solo5's tender exits with 1, and otherwise the machine is reset.
pub fn fail() -> ! {
    if let Some(tender) = cpu::tender() {
        tender.halt(1);
    }
    if cpu::host() == Host::Xen {
        // SAFETY: this is ring 0, and the low 4 GiB have been mapped to themselves since boot.s.
        unsafe { drivers::Hypervisor::crash() }
    }
    reset(1)
}

fn reset(code: u8) -> ! {
    /// What a port without a device reads as.
    const NOTHING: u8 = 0xff;
    // Elsewhere nobody has it, and Firecracker logs each access to a port that is not there, and reads it as 0.
    if cpu::is_emulated() && Port::DebugExit.read() != NOTHING {
        Port::DebugExit.write(code);
    }
    keyboard::reset();
    wait();
    cpu::triple_fault()
}

/// A monitor goes on with the next instructions before it stops. Does not wait while the clock stands.
fn wait() {
    const LONG: Duration = Duration::from_secs(1);
    const TRIES: usize = 1_000_000_000;
    let start = clock::since_boot();
    let over = || clock::since_boot().saturating_sub(start) > LONG || start.is_zero();
    for _ in 0..TRIES {
        if over() {
            return;
        }
        spin_loop();
    }
}
