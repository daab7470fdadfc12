//! How the machine ends: switched off when all went well, reset when the kernel failed.
use crate::cpu;
use crate::port::Port;

/// Switches the machine off.
pub fn off() -> ! {
    if cpu::xen_leaves().is_some() {
        cpu::halt();
    }
    // ACPI 16.1.6: SLP_EN with the sleep type of S5, which is 0 in QEMU's tables.
    Port::Pm1aControl.write_word(0x2000);
    // A machine without ACPI ports, such as microvm.
    Port::DebugExit.write(0);
    cpu::triple_fault()
}

/// Ends the machine after an error that was printed. QEMU's isa-debug-exit makes it exit with 3;
/// without it the machine is reset, and under Xen the domain has crashed.
pub fn fail() -> ! {
    Port::DebugExit.write(1);
    cpu::triple_fault()
}
