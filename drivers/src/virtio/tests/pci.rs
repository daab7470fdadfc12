//! A device on a PCI bus whose memory moves to where its registers say, as cloud-hypervisor's do.
use crate::virtio::DeviceType;
use crate::virtio::pci::{ConfigurationAccess, DeviceFunction, Message, find};
use core::cell::RefCell;

const SIZE: u32 = 1 << 12;

/// The first device of the first bus: 64 registers, and what was done that should not be.
struct State {
    registers: [u32; 64],
    memory: u64,
    wrong: Vec<String>,
}

#[derive(Clone, Copy)]
struct Bus(&'static RefCell<State>);

#[repr(align(4096))]
struct Memory([u8; SIZE as usize]);

impl Bus {
    /// A disk with all of its structures and its table of messages in one memory.
    fn new(wide: bool, placed: bool) -> Self {
        let memory = Box::leak(Box::new(Memory([0; SIZE as usize]))).0.as_ptr() as u64;
        let mut registers = [0; 64];
        registers[0] = 0x1042_1af4;
        registers[1] = 1 << 20 | 2;
        registers[13] = 0x40;
        if placed {
            registers[4] = memory as u32;
            registers[5] = (memory >> 32) as u32;
        }
        registers[4] |= if wide { 4 } else { 0 };
        // Common, notify and the device's own structure; then the messages.
        for (number, kind) in [1, 2, 4].into_iter().enumerate() {
            let next = [0x54, 0x68, 0x7c][number];
            let at = [0x40, 0x54, 0x68][number] / 4;
            registers[at] = kind << 24 | 20 << 16 | next << 8 | 9;
            registers[at + 2] = 0x400 * number as u32;
            registers[at + 3] = 0x100;
            registers[at + 4] = 4;
        }
        registers[0x7c / 4] = 1 << 16 | 0x11;
        registers[0x7c / 4 + 1] = 0xc00;
        Self(Box::leak(Box::new(RefCell::new(State { registers, memory, wrong: Vec::new() }))))
    }

    fn find(self) -> (Vec<DeviceType>, Vec<(u64, u64)>) {
        let mut mapped = Vec::new();
        let mut map = |address, size| {
            mapped.push((address, size));
            true
        };
        // SAFETY: the device's memory is the test's own.
        let found = unsafe { find(self, Message { address: 0xfee0_0000, data: 32 }, &mut map) };
        (found.devices.iter().map(|device| device.kind()).collect(), mapped)
    }
}

impl ConfigurationAccess for Bus {
    fn read_word(&self, place: DeviceFunction, register: u8) -> u32 {
        match (place.bus, place.device, place.function) {
            (0, 0, 0) => self.0.borrow().registers[usize::from(register / 4)],
            _ => u32::MAX,
        }
    }

    fn write_word(&mut self, _: DeviceFunction, register: u8, value: u32) {
        let state = &mut *self.0.borrow_mut();
        let wide = state.registers[4] & 4 != 0;
        let value = match register {
            // The upper half is what happened.
            0x04 => state.registers[1] & 0xffff_0000 | value & 0xffff,
            0x10 => value & !(SIZE - 1) | state.registers[4] & 0xf,
            0x14 if wide => value,
            0x14..0x28 => 0,
            _ => value,
        };
        let at = usize::from(register / 4);
        state.registers[at] = value;
        let asked = value >= !(SIZE - 1);
        if matches!(register, 0x10 | 0x14) {
            if state.registers[1] & 2 != 0 {
                state.wrong.push("the device answers while its place is asked for".into());
            }
            let address =
                u64::from(state.registers[5]) << 32 | u64::from(state.registers[4] & !0xf);
            if !asked && (!wide || register == 0x14) && address != state.memory {
                state.wrong.push(format!("it moves to {address:#x}"));
            }
        }
    }

    unsafe fn unsafe_clone(&self) -> Self {
        *self
    }
}

#[test]
fn a_device_is_found_and_stays_where_it_is() {
    let bus = Bus::new(true, true);
    let (devices, mapped) = bus.find();
    let state = bus.0.borrow();
    assert_eq!(state.wrong, [""; 0]);
    assert_eq!(devices, [DeviceType::Block]);
    assert_eq!(mapped, [(state.memory, SIZE.into())]);
    // It answers, masters the bus, and its messages are on.
    assert_eq!(state.registers[1] & 0x406, 0x406);
    assert_eq!(state.registers[0x7c / 4] >> 30, 2);
}

#[test]
fn a_device_without_a_place_is_not_touched() {
    for wide in [false, true] {
        let bus = Bus::new(wide, false);
        let (devices, mapped) = bus.find();
        assert_eq!((devices, mapped), (Vec::new(), Vec::new()));
        assert_eq!(bus.0.borrow().registers[1] & 6, 0, "no memory, no bus");
    }
}
