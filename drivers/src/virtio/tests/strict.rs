//! A device that takes no access but the standard's own, as Firecracker and cloud-hypervisor do: each
//! register in its own width (4.1.3.1, 4.2.2.2), and the status one step at a time (3.1.1).
use super::host::Host;
use crate::virtio::device::Device;
use crate::virtio::registers::Registers;
use crate::virtio::transport::{Pci, Transport};
use crate::virtio::{DeviceType, VirtioDisk, VirtioNet};
use alloc::rc::Rc;
use core::cell::RefCell;
use fat::BlockDevice;
use virtio_drivers::transport::{self, DeviceStatus};

/// What of the device these registers are.
#[derive(Clone, Copy, PartialEq)]
enum Part {
    Common,
    Notify,
    Config,
    Mmio,
}

#[derive(Default)]
struct State {
    wrong: Vec<String>,
    select: [u32; 2],
    features: [u32; 2],
    queue: u16,
    size: u32,
    addresses: [u32; 6],
}

#[derive(Clone)]
struct Strict {
    host: Host,
    part: Part,
    state: Rc<RefCell<State>>,
}

const NOTIFY_EVERY: u32 = 4;

impl Strict {
    fn new(kind: DeviceType, features: u64, config: &[u8], part: Part) -> Self {
        Self { host: Host::new(kind, features, config), part, state: Rc::default() }
    }

    fn part(&self, part: Part) -> Self {
        Self { part, ..self.clone() }
    }

    fn transport(&self, kind: DeviceType) -> Transport<Self> {
        match self.part {
            Part::Mmio => Transport::mmio(self.clone()).unwrap(),
            _ => Transport::pci(
                kind,
                Pci::new(
                    self.part(Part::Common),
                    self.part(Part::Notify),
                    NOTIFY_EVERY,
                    Some(self.part(Part::Config)),
                ),
            ),
        }
    }

    fn wrong(&self, what: String) {
        self.state.borrow_mut().wrong.push(what);
    }

    /// What was not the standard's.
    fn wrongs(&self) -> Vec<String> {
        self.state.borrow().wrong.clone()
    }

    /// A register's number among both layouts, as PCI's common structure has it, and its width.
    fn register(&self, at: usize, width: usize) -> Option<usize> {
        let (register, own) = match (self.part, at) {
            (Part::Config, _) => (1000 + at, width),
            (Part::Notify, _) => (2000 + at, 2),
            (Part::Common, 0 | 4 | 8 | 12 | 32..56) => (at, 4),
            (Part::Common, 20 | 21) => (at, 1),
            (Part::Common, 16..32) => (at, 2),
            (Part::Mmio, 0x100..) => (1000 + at - 0x100, width),
            (Part::Mmio, _) => (
                match at {
                    0x00 => 3000,
                    0x04 => 3001,
                    0x08 => 3002,
                    0x10 => 4,
                    0x14 => 0,
                    0x20 => 12,
                    0x24 => 8,
                    0x30 => 22,
                    0x34 => 3003,
                    0x38 => 24,
                    0x44 => 28,
                    0x50 => 2000,
                    0x70 => 20,
                    0x80 | 0x84 => at - 0x80 + 32,
                    0x90 | 0x94 => at - 0x90 + 40,
                    0xa0 | 0xa4 => at - 0xa0 + 48,
                    0xfc => 21,
                    _ => {
                        self.wrong(format!("no register at {at:#x}"));
                        return None;
                    }
                },
                4,
            ),
            _ => (9999, width),
        };
        if own != width || !at.is_multiple_of(width) {
            self.wrong(format!("{width} bytes at {at:#x}"));
            return None;
        }
        Some(register)
    }

    fn read(&self, at: usize, width: usize) -> u32 {
        let Some(register) = self.register(at, width) else {
            return 0;
        };
        let mut host = self.host.clone();
        let host: &mut dyn FnMut(Ask) -> u64 = &mut |ask| ask.of(&mut host);
        let state = self.state.borrow();
        match register {
            4 => (host(Ask::Features) >> (32 * state.select[0])) as u32,
            20 => host(Ask::Status) as u32,
            21 | 18 => 0,
            22 => state.queue.into(),
            24 | 3003 => 256,
            28 => host(Ask::Used(state.queue)) as u32,
            30 => state.queue.into(),
            1000..2000 => host(Ask::Config(register - 1000, width)) as u32,
            3000 => 0x7472_6976,
            3001 => 2,
            3002 => host(Ask::Kind) as u32,
            _ => 0,
        }
    }

    fn write(&mut self, at: usize, width: usize, value: u32) {
        use transport::Transport as _;
        let Some(register) = self.register(at, width) else {
            return;
        };
        let mut state = self.state.borrow_mut();
        match register {
            0 => state.select[0] = value,
            8 => state.select[1] = value,
            12 => {
                let half = state.select[1] as usize;
                state.features[half] = value;
                let [low, high] = state.features.map(u64::from);
                self.host.write_driver_features(high << 32 | low);
            }
            20 => {
                let before = self.host.get_status().bits();
                let steps = (value & !before).count_ones();
                if value != 0 && (steps > 1 || before & !value != 0) {
                    state.wrong.push(format!("status {before:#x}, then {value:#x}"));
                }
                // As Firecracker does: a step that is none is not taken.
                if value == 0 || steps == 1 && before & !value == 0 {
                    self.host.set_status(DeviceStatus::from_bits_retain(value));
                }
            }
            22 => state.queue = value as u16,
            24 => state.size = value,
            26 => assert_eq!(value, 0, "the only message"),
            28 => {
                let address = |i: usize| {
                    u64::from(state.addresses[2 * i + 1]) << 32 | u64::from(state.addresses[2 * i])
                };
                let [d, a, u] = [0, 1, 2].map(address);
                self.host.queue_set(state.queue, state.size, d, a, u);
            }
            32..56 => state.addresses[(register - 32) / 4] = value,
            2000.. if self.part == Part::Mmio => self.host.notify(value as u16),
            2000.. => {
                assert_eq!(register - 2000, value as usize * NOTIFY_EVERY as usize);
                self.host.notify(value as u16);
            }
            _ => state.wrong.push(format!("a write to {at:#x}")),
        }
    }
}

/// What the host is asked for by a read.
enum Ask {
    Features,
    Status,
    Used(u16),
    Config(usize, usize),
    Kind,
}

impl Ask {
    fn of(self, host: &mut Host) -> u64 {
        use transport::Transport as _;
        match self {
            Self::Features => host.read_device_features(),
            Self::Status => host.get_status().bits().into(),
            Self::Used(queue) => host.queue_used(queue).into(),
            Self::Config(at, width) => (0..width).rev().fold(0, |all, i| {
                all << 8 | u64::from(host.read_config_space::<u8>(at + i).unwrap_or(0))
            }),
            Self::Kind => host.device_type() as u64,
        }
    }
}

impl Registers for Strict {
    fn byte(&self, at: usize) -> u8 {
        self.read(at, 1) as u8
    }

    fn half(&self, at: usize) -> u16 {
        self.read(at, 2) as u16
    }

    fn word(&self, at: usize) -> u32 {
        self.read(at, 4)
    }

    fn set_byte(&mut self, at: usize, value: u8) {
        self.write(at, 1, value.into());
    }

    fn set_half(&mut self, at: usize, value: u16) {
        self.write(at, 2, value.into());
    }

    fn set_word(&mut self, at: usize, value: u32) {
        self.write(at, 4, value);
    }

    fn size(&self) -> usize {
        0x200
    }
}

const BOTH: [Part; 2] = [Part::Common, Part::Mmio];

#[test]
fn a_disk_of_a_strict_monitor_starts() {
    const FLUSH: u64 = 1 << 9;
    let mut config = [0; 24];
    config[..8].copy_from_slice(&0x1_0000_0008u64.to_le_bytes());
    for part in BOTH {
        let strict = Strict::new(DeviceType::Block, FLUSH, &config, part);
        let device = Device::new(strict.transport(DeviceType::Block), part != Part::Mmio);
        let disk = VirtioDisk::start("vda", device);
        assert_eq!(strict.wrongs(), [""; 0]);
        assert_eq!(disk.unwrap().size(), 0x1_0000_0008 * 512);
        assert_eq!(strict.host.accepted(), FLUSH | 1 << 32);
        use transport::Transport as _;
        assert_eq!(strict.host.get_status().bits(), 1 | 2 | 8 | 4);
    }
}

#[test]
fn an_interface_of_a_strict_monitor_starts_and_is_notified() {
    const MAC: u64 = 1 << 5;
    let config = [0x52, 0x54, 0, 1, 2, 3, 1, 0, 1, 0, 0x28, 0x23];
    for part in BOTH {
        let strict = Strict::new(DeviceType::Network, MAC, &config, part);
        let device = Device::new(strict.transport(DeviceType::Network), part != Part::Mmio);
        let mut net = VirtioNet::start(device, [0; 6], 1 << 20).unwrap();
        net.flush();
        assert_eq!(strict.wrongs(), [""; 0]);
        assert_eq!(net.mac(), [0x52, 0x54, 0, 1, 2, 3]);
        assert_eq!(strict.host.notified(0), 1, "of the buffers to receive into");
        assert_eq!(strict.host.requests(0).len(), 128);
    }
}

bitflags::bitflags! {
    #[derive(Debug)]
    struct Version: u64 {
        const ONE = 1 << 32;
    }
}

/// The steps at once, as many drivers take them: what the strict device is for.
#[test]
fn two_steps_at_once_are_noticed() {
    use transport::Transport as _;
    for part in BOTH {
        let strict = Strict::new(DeviceType::Block, 0, &[0; 24], part);
        let mut transport = strict.transport(DeviceType::Block);
        transport.begin_init(Version::ONE);
        assert!(!strict.wrongs().is_empty());
        assert!(!transport.get_status().contains(DeviceStatus::FEATURES_OK));
    }
}
