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

    /// Writes a register when there is a value for it, else reads it: all ones without a PCI bus.
    fn access(self, place: DeviceFunction, register: u8, value: Option<u32>) -> u32 {
        let [bus, device, function] = [place.bus, place.device, place.function].map(u32::from);
        let register = u32::from(register & !3);
        let address = ENABLE | bus << 16 | device << 11 | function << 8 | register;
        let mut data = value.unwrap_or_default();
        // SAFETY: the first port holds an address and does nothing, reading changes no memory, and of
        // what is written `new` has a promise.
        unsafe {
            asm!("out dx, eax", in("eax") address, in("dx") ADDRESS,
                options(nomem, nostack, preserves_flags));
            match value {
                Some(value) => asm!("out dx, eax", in("eax") value, in("dx") DATA,
                    options(nostack, preserves_flags)),
                None => asm!("in eax, dx", out("eax") data, in("dx") DATA,
                    options(nomem, nostack, preserves_flags)),
            }
        }
        data
    }
}

impl ConfigurationAccess for Configuration {
    fn read_word(&self, place: DeviceFunction, register: u8) -> u32 {
        self.access(place, register, None)
    }

    fn write_word(&mut self, place: DeviceFunction, register: u8, value: u32) {
        self.access(place, register, Some(value));
    }

    unsafe fn unsafe_clone(&self) -> Self {
        *self
    }
}
