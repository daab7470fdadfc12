//! PCI's configuration space by the ports 0xcf8 and 0xcfc (PCI 3.0, 3.2.2.3.2).
use core::arch::asm;
use drivers::virtio::pci::{ConfigurationAccess, DeviceFunction};

const ADDRESS: u16 = 0xcf8;
const DATA: u16 = 0xcfc;
const ENABLE: u32 = 1 << 31;

/// The machine's configuration space.
#[derive(Clone, Copy)]
pub struct Configuration(());

impl Configuration {
    /// # Safety
    /// What is written must make no device use memory that is not meant for it.
    pub unsafe fn new() -> Self {
        Self(())
    }

    fn select(self, place: DeviceFunction, register: u8) {
        let [bus, device, function] = [place.bus, place.device, place.function].map(u32::from);
        let register = u32::from(register & !3);
        // SAFETY: the port holds an address and does nothing.
        unsafe { out(ADDRESS, ENABLE | bus << 16 | device << 11 | function << 8 | register) }
    }
}

impl ConfigurationAccess for Configuration {
    fn read_word(&self, place: DeviceFunction, register: u8) -> u32 {
        self.select(place, register);
        let value;
        // SAFETY: reading a device's configuration changes no memory. Without a PCI bus it reads as
        // all ones.
        unsafe {
            asm!("in eax, dx", out("eax") value, in("dx") DATA,
                options(nomem, nostack, preserves_flags));
        }
        value
    }

    fn write_word(&mut self, place: DeviceFunction, register: u8, value: u32) {
        self.select(place, register);
        // SAFETY: the promise made to `new`.
        unsafe { out(DATA, value) }
    }

    unsafe fn unsafe_clone(&self) -> Self {
        *self
    }
}

/// # Safety
/// As for what the port makes of the value.
unsafe fn out(port: u16, value: u32) {
    // SAFETY: the caller's promise.
    unsafe {
        asm!("out dx, eax", in("eax") value, in("dx") port,
            options(nostack, preserves_flags));
    }
}
