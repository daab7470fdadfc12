//! Devices on a PCI bus (4.1). Each sends one message for all that happens (MSI-X), written to the
//! local interrupt controller.
use super::memory::Memory;
use super::{Device, Transport};
use alloc::vec;
use alloc::vec::Vec;
use core::ptr::{NonNull, with_exposed_provenance_mut};
use safe_mmio::UniqueMmioPointer;
use safe_mmio::fields::ReadPureWrite;
use virtio_drivers::transport::pci::bus::{Command, HeaderType, PciRoot};
use virtio_drivers::transport::pci::{PciTransport, VIRTIO_PCI_CAP_COMMON_CFG, virtio_device_type};

pub use virtio_drivers::transport::pci::bus::{ConfigurationAccess, DeviceFunction};

/// Capabilities (PCI 3.0, appendix H).
const VENDOR: u8 = 0x09;
const MSIX: u8 = 0x11;

/// MSI-X's message control, in the upper half of its first word (PCI 3.0, 6.8.2.3).
const ENABLE: u32 = 1 << 31;
const MASK_ALL: u32 = 1 << 30;

/// queue_select and queue_msix_vector in the common configuration (4.1.4.3), in words of 16 bits.
const COMMON_WORDS: usize = 28;
const QUEUE_SELECT: usize = 11;
const QUEUE_VECTOR: usize = 13;

/// Buses whose numbers bridges tell; more there cannot be.
const BUSES: usize = 256;

/// What an interrupt is: data, and the address that they are written to.
#[derive(Clone, Copy, Debug)]
pub struct Message {
    pub address: u64,
    pub data: u32,
}

/// Where a device is told which message a queue sends.
pub struct Vectors {
    common: UniqueMmioPointer<'static, [ReadPureWrite<u16>; COMMON_WORDS]>,
}

impl Vectors {
    /// Lets this queue send the first message, the only one.
    pub fn assign(&mut self, queue: u16) {
        for (at, value) in [(QUEUE_SELECT, queue), (QUEUE_VECTOR, 0)] {
            if let Some(mut register) = self.common.get(at) {
                register.write(value);
            }
        }
    }
}

/// What there is on the buses.
#[derive(Default)]
pub struct Found {
    pub devices: Vec<Device<Transport>>,
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
            if virtio_device_type(&info).is_some() {
                match open(&mut root, access, place, message, map) {
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
    place: DeviceFunction,
    message: Message,
    map: &mut dyn FnMut(u64, u64) -> bool,
) -> Result<Device<Transport>, &'static str> {
    let bars = root.bars(place).map_err(|_| "its memory cannot be told")?;
    for (address, size) in bars.iter().flatten().filter_map(|bar| bar.memory_address_size()) {
        if address != 0 && !map(address, size) {
            return Err("its memory cannot be mapped");
        }
    }
    root.set_command(
        place,
        Command::MEMORY_SPACE | Command::BUS_MASTER | Command::INTERRUPT_DISABLE,
    );
    let transport = PciTransport::new::<Memory, C>(root, place);
    let transport = transport.map_err(|_| "no modern virtio device")?;
    let vectors = message_interrupts(root, access, place, message)
        .ok_or("it cannot send interrupts as messages (MSI-X)")?;
    Ok(Device::new(Transport::Pci(transport), Some(vectors)))
}

/// Sets up the device's table of messages. The device's memory is mapped.
fn message_interrupts<C: ConfigurationAccess + Copy>(
    root: &mut PciRoot<C>,
    mut access: C,
    place: DeviceFunction,
    message: Message,
) -> Option<Vectors> {
    let msix = root.capabilities(place).find(|capability| capability.id == MSIX)?.offset;
    let common = root.capabilities(place).find(|capability| {
        let [_, kind] = capability.private_header.to_le_bytes();
        capability.id == VENDOR && kind == VIRTIO_PCI_CAP_COMMON_CFG
    })?;
    let common = common.offset;
    // The low three bits of a table's offset are the number of its BAR.
    let table = access.read_word(place, msix.checked_add(4)?);
    let table = registers::<[ReadPureWrite<u32>; 4], C>(root, place, table as u8 & 7, table & !7)?;
    let [bar, ..] = access.read_word(place, common.checked_add(4)?).to_le_bytes();
    let offset = access.read_word(place, common.checked_add(8)?);
    let common = registers(root, place, bar, offset)?;
    // SAFETY: `registers` gave where the device says that they are, inside its own memory. The crate's
    // transport has no use for the table. It has the same common registers for the same thread, but
    // none of their values outlasts a call of either.
    let (mut table, common) =
        unsafe { (UniqueMmioPointer::new(table), UniqueMmioPointer::new(common)) };
    // Address, upper address, data, and the vector's mask.
    let words = [message.address as u32, (message.address >> 32) as u32, message.data, 0];
    for (at, word) in words.into_iter().enumerate() {
        table.get(at)?.write(word);
    }
    let control = access.read_word(place, msix);
    access.write_word(place, msix, control & !MASK_ALL | ENABLE);
    Some(Vectors { common })
}

/// Registers of this type at an offset in one of the device's BARs, if they lie inside.
fn registers<T, C: ConfigurationAccess>(
    root: &mut PciRoot<C>,
    place: DeviceFunction,
    bar: u8,
    offset: u32,
) -> Option<NonNull<T>> {
    let (address, size) =
        root.bars(place).ok()?.get(usize::from(bar))?.as_ref()?.memory_address_size()?;
    let end = u64::from(offset).checked_add(size_of::<T>() as u64)?;
    let at = usize::try_from(address.checked_add(offset.into())?).ok()?;
    let inside = address != 0 && end <= size && at.is_multiple_of(align_of::<T>());
    NonNull::new(with_exposed_provenance_mut(at)).filter(|_| inside)
}
