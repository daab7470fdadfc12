//! The I/O ports that the kernel uses. The list is closed, so that reading and writing them is
//! safe: none of these devices can be told to touch memory.
use core::arch::asm;

#[derive(Clone, Copy, Debug)]
#[repr(u16)]
pub enum Port {
    /// The masks of the two old interrupt controllers (Intel 8259).
    Pic1Mask = 0x21,
    Pic2Mask = 0xa1,
    /// The interval timer (Intel 8254).
    TimerChannel0 = 0x40,
    TimerCommand = 0x43,
    /// The clock that has a battery (Motorola MC146818): a register's number, and its value.
    ClockIndex = 0x70,
    ClockData = 0x71,
    /// The keyboard controller (Intel 8042).
    KeyboardData = 0x60,
    KeyboardStatus = 0x64,
    /// Xen's debug log.
    DebugConsole = 0xe9,
    /// QEMU's isa-debug-exit, as tests/kernel/boot.py sets it up.
    DebugExit = 0xf4,
    /// The first serial port (16550).
    Com1Data = 0x3f8,
    Com1InterruptEnable = 0x3f9,
    Com1FifoControl = 0x3fa,
    Com1LineControl = 0x3fb,
    Com1ModemControl = 0x3fc,
    Com1LineStatus = 0x3fd,
    /// ACPI's PM1a registers where QEMU's firmware puts them (ACPI 4.8.3): status, enable, control.
    Pm1aStatus = 0x600,
    Pm1aEnable = 0x602,
    Pm1aControl = 0x604,
}

impl Port {
    pub fn read(self) -> u8 {
        let value;
        // SAFETY: the devices of `Port` touch no memory; a port without a device reads as 0xff.
        unsafe {
            asm!("in al, dx", out("al") value, in("dx") self as u16,
                options(nomem, nostack, preserves_flags));
        }
        value
    }

    pub fn write(self, value: u8) {
        // SAFETY: the devices of `Port` touch no memory; a port without a device ignores writes.
        unsafe {
            asm!("out dx, al", in("al") value, in("dx") self as u16,
                options(nomem, nostack, preserves_flags));
        }
    }

    pub fn read_word(self) -> u16 {
        let value;
        // SAFETY: as for `read`.
        unsafe {
            asm!("in ax, dx", out("ax") value, in("dx") self as u16,
                options(nomem, nostack, preserves_flags));
        }
        value
    }

    pub fn write_word(self, value: u16) {
        // SAFETY: as for `write`.
        unsafe {
            asm!("out dx, ax", in("ax") value, in("dx") self as u16,
                options(nomem, nostack, preserves_flags));
        }
    }
}
