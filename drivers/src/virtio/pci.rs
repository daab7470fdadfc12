//! Devices on a PCI bus (4.1). Each sends one message for all that happens (MSI-X), written to the
//! local interrupt controller.
use super::device::Device;
use super::registers::{Mapped, Registers};
use super::transport::{Pci, Transport};
use alloc::vec;
use alloc::vec::Vec;
use virtio_drivers::transport::DeviceType;
use virtio_drivers::transport::pci::bus::{Command, HeaderType, PciRoot};
use virtio_drivers::transport::pci::virtio_device_type;

pub use virtio_drivers::transport::pci::bus::{ConfigurationAccess, DeviceFunction};

/// Capabilities (PCI 3.0, appendix H).
const VENDOR: u8 = 0x09;
const MSIX: u8 = 0x11;

/// MSI-X's message control, in the upper half of its first word (PCI 3.0, 6.8.2.3).
const ENABLE: u32 = 1 << 31;
const MASK_ALL: u32 = 1 << 30;

/// The types of virtio's structures (4.1.4).
const COMMON: u8 = 1;
const NOTIFY: u8 = 2;
const CONFIG: u8 = 4;
/// The least that the common one may be.
const COMMON_LEN: usize = 56;

/// Buses whose numbers bridges tell; more there cannot be.
const BUSES: usize = 256;

/// What an interrupt is: data, and the address that they are written to.
#[derive(Clone, Copy, Debug)]
pub struct Message {
    pub address: u64,
    pub data: u32,
}

/// What there is on the buses.
#[derive(Default)]
pub struct Found {
    pub devices: Vec<Device>,
    /// Every device's vendor and number, virtio's included.
    pub numbers: Vec<(u16, u16)>,
}

/// Looks for virtio devices and lets them send `message`. `map` maps device memory to itself, by
/// address and size, and says whether it could.
///
/// # Safety
/// `access` is the machine's only one, its buses were set up by firmware or host, and nothing else
/// uses the devices.
pub unsafe fn find<C: ConfigurationAccess + Copy>(
    access: C,
    message: Message,
    map: &mut dyn FnMut(u64, u64) -> bool,
) -> Found {
    let mut found = Found::default();
    let mut root = PciRoot::new(access);
    let mut buses = vec![0u8];
    let mut next = 0;
    while let Some(&bus) = buses.get(next) {
        next = next.saturating_add(1);
        for (place, info) in root.enumerate_bus(bus) {
            found.numbers.push((info.vendor_id, info.device_id));
            if info.header_type == HeaderType::PciPciBridge {
                // Primary, secondary and subordinate bus number.
                let [_, secondary, ..] = access.read_word(place, 0x18).to_le_bytes();
                if !buses.contains(&secondary) && buses.len() < BUSES {
                    buses.push(secondary);
                }
            }
            if let Some(kind) = virtio_device_type(&info) {
                match open(&mut root, access, kind, place, message, map) {
                    Ok(device) => found.devices.push(device),
                    Err(e) => log::warn!("PCI device {place}: {e}"),
                }
            }
        }
    }
    found
}

fn open<C: ConfigurationAccess + Copy>(
    root: &mut PciRoot<C>,
    access: C,
    kind: DeviceType,
    place: DeviceFunction,
    message: Message,
    map: &mut dyn FnMut(u64, u64) -> bool,
) -> Result<Device, &'static str> {
    root.set_command(place, Command::INTERRUPT_DISABLE);
    let bars = bars(access, place);
    for Bar { address, size } in bars.iter().flatten() {
        if !map(*address, *size) {
            return Err("its memory cannot be mapped");
        }
    }
    if bars.iter().all(Option::is_none) {
        return Err("the host did not say where its memory is");
    }
    root.set_command(
        place,
        Command::MEMORY_SPACE | Command::BUS_MASTER | Command::INTERRUPT_DISABLE,
    );
    let device = structures(root, access, place, &bars).ok_or("no modern virtio device")?;
    message_interrupts(root, access, place, message, &bars)
        .ok_or("it cannot send interrupts as messages (MSI-X)")?;
    Ok(Device::new(Transport::pci(kind, device), true))
}

/// Memory of a device's.
#[derive(Clone, Copy)]
struct Bar {
    address: u64,
    size: u64,
}

/// The device's memory that the host gave a place to, while the device does not answer there (PCI 3.0, 6.2.5.1).
/// Each half of an address is put back before the other is asked for: cloud-hypervisor moves a device to what
/// both of them hold when the upper is written.
fn bars<C: ConfigurationAccess>(mut access: C, place: DeviceFunction) -> [Option<Bar>; 6] {
    const FIRST: u8 = 0x10;
    const PORTS: u32 = 1;
    const WIDE: u32 = 1 << 2;
    const FLAGS: u32 = 0xf;
    let mut half = |number: u8| {
        let register = FIRST.saturating_add(number.saturating_mul(4));
        let value = access.read_word(place, register);
        access.write_word(place, register, u32::MAX);
        let mask = access.read_word(place, register);
        access.write_word(place, register, value);
        (value, mask)
    };
    let mut bars = [None; 6];
    let mut numbers = 0u8..6;
    while let Some(number) = numbers.next() {
        let (value, mask) = half(number);
        let wide = value & (PORTS | WIDE) == WIDE;
        let (top, top_mask) = match wide.then(|| numbers.next()).flatten() {
            Some(next) => half(next),
            None => (0, u32::MAX),
        };
        let wide = |low: u32, high: u32| u64::from(high) << 32 | u64::from(low & !FLAGS);
        let (address, size) = (wide(value, top), wide(mask, top_mask).wrapping_neg());
        let there = value & PORTS == 0 && mask & !FLAGS != 0 && address != 0;
        if let Some(bar) = bars.get_mut(usize::from(number)) {
            *bar = there.then_some(Bar { address, size });
        }
    }
    bars
}

/// The device's structures, whose memory is mapped.
fn structures<C: ConfigurationAccess + Copy>(
    root: &mut PciRoot<C>,
    access: C,
    place: DeviceFunction,
    bars: &[Option<Bar>],
) -> Option<Pci<Mapped>> {
    let capabilities: Vec<_> = root.capabilities(place).filter(|c| c.id == VENDOR).collect();
    // The first of a type that can be used is the one to use (4.1.4.1).
    let find = |wanted: u8| {
        capabilities.iter().find_map(|capability| {
            let [_, kind] = capability.private_header.to_le_bytes();
            let word = |at: u8| Some(access.read_word(place, capability.offset.checked_add(at)?));
            let [bar, ..] = word(4)?.to_le_bytes();
            let (offset, len) = (word(8)?, word(12)?);
            let registers = (kind == wanted).then(|| registers(bars, bar, offset, len))??;
            // The word after the capability of `NOTIFY`.
            Some((registers, word(16).unwrap_or_default()))
        })
    };
    let (common, _) = find(COMMON).filter(|(common, _)| common.size() >= COMMON_LEN)?;
    let (notify, multiplier) = find(NOTIFY)?;
    let config = find(CONFIG).map(|(config, _)| config);
    Some(Pci::new(common, notify, multiplier, config))
}

/// Sets up the device's table of messages. The device's memory is mapped.
fn message_interrupts<C: ConfigurationAccess + Copy>(
    root: &mut PciRoot<C>,
    mut access: C,
    place: DeviceFunction,
    message: Message,
    bars: &[Option<Bar>],
) -> Option<()> {
    /// An entry: address, upper address, data, and the vector's mask.
    const ENTRY: u32 = 16;
    let msix = root.capabilities(place).find(|capability| capability.id == MSIX)?.offset;
    // The low three bits of a table's offset are the number of its BAR.
    let table = access.read_word(place, msix.checked_add(4)?);
    let mut table = registers(bars, table as u8 & 7, table & !7, ENTRY)?;
    let words = [message.address as u32, (message.address >> 32) as u32, message.data, 0];
    (0usize..).step_by(4).zip(words).for_each(|(at, word)| table.set_word(at, word));
    let control = access.read_word(place, msix);
    access.write_word(place, msix, control & !MASK_ALL | ENABLE);
    Some(())
}

/// Registers at an offset in one of the device's BARs, if they lie inside.
fn registers(bars: &[Option<Bar>], bar: u8, offset: u32, len: u32) -> Option<Mapped> {
    let Bar { address, size } = (*bars.get(usize::from(bar))?)?;
    let inside = u64::from(offset).checked_add(len.into())? <= size;
    let start = usize::try_from(address.checked_add(offset.into())?).ok()?;
    // SAFETY: the device says that its registers are there, inside its own memory, which is mapped. No two
    // structures of a device are the same but for reading.
    inside.then(|| unsafe { Mapped::new(start, len as usize) })
}
