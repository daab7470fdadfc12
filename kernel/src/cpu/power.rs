//! How the machine ends: switched off when all went well, reset when the kernel failed.
use crate::cpu::port::Port;
use crate::cpu::{self, clock};
use core::hint::spin_loop;
use core::time::Duration;

/// Switches the machine off. The clock runs.
pub fn off() -> ! {
    if cpu::xen_leaves().is_some() {
        cpu::halt();
    }
    /// cloud-hypervisor's only register for sleeping: SLP_EN with its sleep type of S5, 5 (ACPI 4.8.3.7).
    /// On QEMU it clears bits of the power button's register.
    const SLEEP_CONTROL: u8 = 1 << 5 | 5 << 2;
    // ACPI 16.1.6: SLP_EN with the sleep type of S5, which is 0 in QEMU's tables.
    Port::Pm1aControl.write_word(0x2000);
    Port::Pm1aStatus.write(SLEEP_CONTROL);
    // QEMU goes on with the next instructions before it stops.
    let deadline = clock::since_boot() + Duration::from_secs(1);
    while clock::since_boot() < deadline {
        spin_loop();
    }
    // A machine without ACPI ports, such as microvm.
    Port::DebugExit.write(0);
    cpu::triple_fault()
}

/// Ends the machine after an error that was printed. Under Xen the domain has crashed; QEMU's
/// isa-debug-exit makes it exit with 3, and without it the machine is reset.
pub fn fail() -> ! {
    if cpu::xen_leaves().is_some() {
        // SAFETY: this is ring 0, and the low 4 GiB have been mapped to themselves since boot.s.
        unsafe { drivers::Hypervisor::crash() }
    }
    Port::DebugExit.write(1);
    cpu::triple_fault()
}
