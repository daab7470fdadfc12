//! How a device is told of queues and asked for its configuration: by PCI's structures (4.1.4) or by
//! registers in memory (4.2.2, 4.2.4). The queues themselves are those of the crate virtio-drivers, whose
//! own transports access some registers in widths that not every monitor takes.
use super::registers::{Mapped, Registers};
use alloc::vec::Vec;
use virtio_drivers::transport::{self, DeviceStatus, DeviceType, InterruptStatus};
use virtio_drivers::{Error, PhysAddr};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// A device's registers, by PCI or in memory.
pub struct Transport<R: Registers = Mapped> {
    kind: DeviceType,
    layout: Layout<R>,
}

enum Layout<R> {
    Mmio {
        all: R,
        /// As before version 1 of the standard.
        legacy: bool,
    },
    Pci(Pci<R>),
}

/// The structures of a device on a PCI bus.
pub struct Pci<R> {
    pub common: R,
    pub notify: R,
    /// Between the places where two queues are notified of.
    pub multiplier: u32,
    pub config: Option<R>,
    /// Where in `notify`, by queue.
    doorbells: Vec<usize>,
}

impl<R> Pci<R> {
    pub fn new(common: R, notify: R, multiplier: u32, config: Option<R>) -> Self {
        Self { common, notify, multiplier, config, doorbells: Vec::new() }
    }
}

/// virtio_pci_common_cfg.
mod pci {
    pub const DEVICE_SELECT: usize = 0;
    pub const DEVICE_FEATURES: usize = 4;
    pub const DRIVER_SELECT: usize = 8;
    pub const DRIVER_FEATURES: usize = 12;
    pub const STATUS: usize = 20;
    pub const GENERATION: usize = 21;
    pub const QUEUE_SELECT: usize = 22;
    pub const QUEUE_SIZE: usize = 24;
    pub const QUEUE_VECTOR: usize = 26;
    pub const QUEUE_ENABLE: usize = 28;
    pub const QUEUE_NOTIFY: usize = 30;
    pub const QUEUE_ADDRESSES: [usize; 3] = [32, 40, 48];
}

mod mmio {
    pub const MAGIC: usize = 0;
    pub const VERSION: usize = 4;
    pub const DEVICE: usize = 8;
    pub const DEVICE_FEATURES: usize = 0x10;
    pub const DEVICE_SELECT: usize = 0x14;
    pub const DRIVER_FEATURES: usize = 0x20;
    pub const DRIVER_SELECT: usize = 0x24;
    pub const GUEST_PAGE_SIZE: usize = 0x28;
    pub const QUEUE_SELECT: usize = 0x30;
    pub const QUEUE_MAX: usize = 0x34;
    pub const QUEUE_SIZE: usize = 0x38;
    pub const QUEUE_ALIGN: usize = 0x3c;
    pub const QUEUE_PAGE: usize = 0x40;
    pub const QUEUE_READY: usize = 0x44;
    pub const QUEUE_NOTIFY: usize = 0x50;
    pub const INTERRUPT: usize = 0x60;
    pub const ACKNOWLEDGE: usize = 0x64;
    pub const STATUS: usize = 0x70;
    pub const QUEUE_ADDRESSES: [usize; 3] = [0x80, 0x90, 0xa0];
    pub const GENERATION: usize = 0xfc;
    pub const CONFIG: usize = 0x100;
}

const PAGE: u32 = 4096;

impl<R: Registers> Transport<R> {
    pub fn pci(kind: DeviceType, pci: Pci<R>) -> Self {
        Self { kind, layout: Layout::Pci(pci) }
    }

    /// The device whose registers in memory these are.
    pub fn mmio(all: R) -> Result<Self, &'static str> {
        /// "virt".
        const MAGIC: u32 = 0x7472_6976;
        if all.word(mmio::MAGIC) != MAGIC {
            return Err("no virtio device");
        }
        let legacy = match all.word(mmio::VERSION) {
            1 => true,
            2 => false,
            _ => return Err("a virtio device of an unknown version"),
        };
        let kind = match all.word(mmio::DEVICE) {
            0 => return Err("nothing is there"),
            kind => DeviceType::try_from(kind).map_err(|_| "a virtio device of an unknown type")?,
        };
        Ok(Self { kind, layout: Layout::Mmio { all, legacy } })
    }

    /// Whether it interrupts by messages, which need no answer.
    pub fn sends_messages(&self) -> bool {
        matches!(self.layout, Layout::Pci(_))
    }

    /// The registers of the device's own, and where they begin.
    fn config(&self) -> Option<(&R, usize)> {
        match &self.layout {
            Layout::Mmio { all, .. } => Some((all, mmio::CONFIG)),
            Layout::Pci(pci) => Some((pci.config.as_ref()?, 0)),
        }
    }
}

/// 64 bits are two registers.
fn halves(value: u64) -> [u32; 2] {
    [value as u32, (value >> 32) as u32]
}

fn set_address<R: Registers>(registers: &mut R, at: usize, address: PhysAddr) {
    let [low, high] = halves(address);
    registers.set_word(at, low);
    registers.set_word(at.saturating_add(4), high);
}

impl<R: Registers> transport::Transport for Transport<R> {
    fn device_type(&self) -> DeviceType {
        self.kind
    }

    fn read_device_features(&mut self) -> u64 {
        let (registers, select, features) = match &mut self.layout {
            Layout::Mmio { all, .. } => (all, mmio::DEVICE_SELECT, mmio::DEVICE_FEATURES),
            Layout::Pci(pci) => (&mut pci.common, pci::DEVICE_SELECT, pci::DEVICE_FEATURES),
        };
        [0, 1].into_iter().fold(0, |all, half| {
            registers.set_word(select, half);
            all | u64::from(registers.word(features)) << (32 * half)
        })
    }

    fn write_driver_features(&mut self, driver_features: u64) {
        let (registers, select, features) = match &mut self.layout {
            Layout::Mmio { all, .. } => (all, mmio::DRIVER_SELECT, mmio::DRIVER_FEATURES),
            Layout::Pci(pci) => (&mut pci.common, pci::DRIVER_SELECT, pci::DRIVER_FEATURES),
        };
        for (half, bits) in (0..).zip(halves(driver_features)) {
            registers.set_word(select, half);
            registers.set_word(features, bits);
        }
    }

    fn max_queue_size(&mut self, queue: u16) -> u32 {
        match &mut self.layout {
            Layout::Mmio { all, .. } => {
                all.set_word(mmio::QUEUE_SELECT, queue.into());
                all.word(mmio::QUEUE_MAX)
            }
            Layout::Pci(Pci { common, .. }) => {
                common.set_half(pci::QUEUE_SELECT, queue);
                common.half(pci::QUEUE_SIZE).into()
            }
        }
    }

    fn notify(&mut self, queue: u16) {
        match &mut self.layout {
            Layout::Mmio { all, .. } => all.set_word(mmio::QUEUE_NOTIFY, queue.into()),
            Layout::Pci(Pci { notify, doorbells, .. }) => {
                if let Some(&at) = doorbells.get(usize::from(queue)) {
                    notify.set_half(at, queue);
                }
            }
        }
    }

    fn get_status(&self) -> DeviceStatus {
        DeviceStatus::from_bits_retain(match &self.layout {
            Layout::Mmio { all, .. } => all.word(mmio::STATUS),
            Layout::Pci(pci) => pci.common.byte(pci::STATUS).into(),
        })
    }

    fn set_status(&mut self, status: DeviceStatus) {
        match &mut self.layout {
            Layout::Mmio { all, .. } => all.set_word(mmio::STATUS, status.bits()),
            Layout::Pci(pci) => pci.common.set_byte(pci::STATUS, status.bits() as u8),
        }
    }

    fn set_guest_page_size(&mut self, size: u32) {
        if let Layout::Mmio { all, legacy: true } = &mut self.layout {
            all.set_word(mmio::GUEST_PAGE_SIZE, size);
        }
    }

    fn requires_legacy_layout(&self) -> bool {
        matches!(self.layout, Layout::Mmio { legacy: true, .. })
    }

    fn queue_set(&mut self, queue: u16, size: u32, d: PhysAddr, a: PhysAddr, u: PhysAddr) {
        match &mut self.layout {
            Layout::Mmio { all, legacy } => {
                all.set_word(mmio::QUEUE_SELECT, queue.into());
                all.set_word(mmio::QUEUE_SIZE, size);
                if *legacy {
                    all.set_word(mmio::QUEUE_ALIGN, PAGE);
                    all.set_word(mmio::QUEUE_PAGE, (d / u64::from(PAGE)) as u32);
                    return;
                }
                for (at, address) in mmio::QUEUE_ADDRESSES.into_iter().zip([d, a, u]) {
                    set_address(all, at, address);
                }
                all.set_word(mmio::QUEUE_READY, 1);
            }
            Layout::Pci(Pci { common, multiplier, doorbells, .. }) => {
                common.set_half(pci::QUEUE_SELECT, queue);
                common.set_half(pci::QUEUE_SIZE, size as u16);
                // The first message is the only one.
                common.set_half(pci::QUEUE_VECTOR, 0);
                for (at, address) in pci::QUEUE_ADDRESSES.into_iter().zip([d, a, u]) {
                    set_address(common, at, address);
                }
                common.set_half(pci::QUEUE_ENABLE, 1);
                let at =
                    u64::from(common.half(pci::QUEUE_NOTIFY)).saturating_mul((*multiplier).into());
                let number = usize::from(queue);
                doorbells.resize(doorbells.len().max(number.saturating_add(1)), usize::MAX);
                if let Some(doorbell) = doorbells.get_mut(number) {
                    *doorbell = usize::try_from(at).unwrap_or(usize::MAX);
                }
            }
        }
    }

    fn queue_unset(&mut self, queue: u16) {
        if let Layout::Mmio { all, legacy } = &mut self.layout {
            all.set_word(mmio::QUEUE_SELECT, queue.into());
            all.set_word(if *legacy { mmio::QUEUE_PAGE } else { mmio::QUEUE_READY }, 0);
        }
    }

    fn queue_used(&mut self, queue: u16) -> bool {
        match &mut self.layout {
            Layout::Mmio { all, legacy } => {
                all.set_word(mmio::QUEUE_SELECT, queue.into());
                all.word(if *legacy { mmio::QUEUE_PAGE } else { mmio::QUEUE_READY }) != 0
            }
            Layout::Pci(Pci { common, .. }) => {
                common.set_half(pci::QUEUE_SELECT, queue);
                common.half(pci::QUEUE_ENABLE) != 0
            }
        }
    }

    fn ack_interrupt(&mut self) -> InterruptStatus {
        match &mut self.layout {
            Layout::Mmio { all, .. } => {
                let pending = all.word(mmio::INTERRUPT);
                if pending != 0 {
                    all.set_word(mmio::ACKNOWLEDGE, pending);
                }
                InterruptStatus::from_bits_retain(pending)
            }
            Layout::Pci(_) => InterruptStatus::empty(),
        }
    }

    fn read_config_generation(&self) -> u32 {
        match &self.layout {
            Layout::Mmio { legacy: true, .. } => 0,
            Layout::Mmio { all, .. } => all.word(mmio::GENERATION),
            Layout::Pci(pci) => pci.common.byte(pci::GENERATION).into(),
        }
    }

    /// A field of 16 or 32 bits, or bytes.
    fn read_config_space<T: FromBytes + IntoBytes>(&self, offset: usize) -> Result<T, Error> {
        let (registers, start) = self.config().ok_or(Error::ConfigSpaceMissing)?;
        let start = start.saturating_add(offset);
        let end = start.saturating_add(size_of::<T>());
        if end > registers.size() {
            return Err(Error::ConfigSpaceTooSmall);
        }
        let places = (start..end).step_by(align_of::<T>());
        let bytes: Vec<u8> = match align_of::<T>() {
            1 => places.map(|at| registers.byte(at)).collect(),
            2 => places.flat_map(|at| registers.half(at).to_le_bytes()).collect(),
            4 => places.flat_map(|at| registers.word(at).to_le_bytes()).collect(),
            _ => return Err(Error::Unsupported),
        };
        T::read_from_bytes(&bytes).map_err(|_| Error::ConfigSpaceTooSmall)
    }

    fn write_config_space<T: IntoBytes + Immutable>(
        &mut self,
        _: usize,
        _: T,
    ) -> Result<(), Error> {
        Err(Error::Unsupported)
    }
}
