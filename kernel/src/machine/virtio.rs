//! The machine as a guest of QEMU, KVM, Firecracker or cloud-hypervisor: virtio devices, and a CPU that
//! sleeps until one of them interrupts it.
use crate::boot::acpi::{Kind, Sleep};
use crate::boot::paging;
use crate::boot::pvh::BootInfo;
use crate::budget::{Budget, PAGE};
use crate::console;
use crate::cpu::apic::Apic;
use crate::cpu::clock;
use crate::cpu::keyboard::Keyboard;
use crate::cpu::pci::Configuration;
use crate::cpu::port::Port;
use crate::cpu::power::{self, Switch};
use crate::cpu::watchdog;
use crate::machine::{self, Machine, Server, Wanted, random};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;
use drivers::task;
use drivers::virtio::mmio::{self, Place};
use drivers::virtio::{Device, DeviceType, Mapped, Registers, Transport};
use drivers::virtio::{VirtioDisk, VirtioNet, pci};
use drivers::{AnyDisk, AnyNet};
use log::{error, info, warn};
use server::{Now, Options, ToldKeys};

/// What the machine's user is told who wants to end it: the key that a terminal sends for Ctrl-C.
const CTRL_C: u8 = 3;

/// How often somebody looks whether the machine is to end, awake or asleep.
const LOOK: Duration = Duration::from_secs(1);

type Disk = VirtioDisk<Transport>;

/// What the command line tells of the machine's devices, in Linux' words.
#[derive(Default)]
pub struct Told {
    places: Vec<Place>,
    /// There are no PCI buses: Firecracker's `pci=off`.
    no_pci: bool,
}

impl Told {
    /// Takes a word; None when it is about something else. An error has what is wrong with it.
    pub fn take(&mut self, word: &str) -> Option<Result<(), &'static str>> {
        if word == "pci=off" {
            self.no_pci = true;
            return Some(Ok(()));
        }
        Some(mmio::parse(word)?.map(|place| self.places.push(place)))
    }
}

/// What the machine has.
#[derive(Default)]
struct Devices {
    disks: Vec<Device>,
    nets: Vec<Device>,
    button: Button,
}

/// Where the machine tells of its power button.
#[derive(Default)]
enum Button {
    #[default]
    None,
    /// QEMU's power management.
    Pm1a,
    Events(Mapped, Kind),
}

impl Button {
    /// Whether it was pressed since somebody looked.
    fn pressed(&self) -> bool {
        const PM1A: u16 = 1 << 8;
        const QEMU: u32 = 1 << 1;
        const CLOUD_HYPERVISOR: u8 = 1 << 3;
        match self {
            Self::None => false,
            Self::Pm1a => Port::Pm1aStatus.read_word() & PM1A != 0,
            Self::Events(register, Kind::Qemu) => register.word(0) & QEMU != 0,
            Self::Events(register, Kind::CloudHypervisor) => {
                register.byte(0) & CLOUD_HYPERVISOR != 0
            }
        }
    }
}

struct Vm {
    apic: Apic,
    button: Button,
    keyboard: Keyboard,
    /// When somebody looks next whether the machine is to end.
    look: Duration,
    asked: bool,
}

/// Serves until the machine is told to end. `told` is what the command line tells of.
///
/// # Safety
/// Once, on a machine other than Xen's, with the low 4 GiB mapped to themselves.
pub unsafe fn run(info: &BootInfo, told: &Told, options: Options, heap: u64) -> Result<(), String> {
    // SAFETY: the caller's promise.
    let (apic, devices) = unsafe {
        let mut apic = Apic::start(options.watchdog()).map_err(|e| format!("{e}"))?;
        let devices = find(info, told, &mut apic);
        (apic, devices)
    };
    let mut devices = devices;
    let button = core::mem::take(&mut devices.button);
    if let Button::Pm1a = button {
        const BUTTON: u16 = 1 << 8;
        Port::Pm1aEnable.write_word(BUTTON);
        Port::Pm1aStatus.write_word(BUTTON);
    }
    let keyboard = Keyboard::default();
    let mut vm = Vm { apic, button, keyboard, look: Duration::ZERO, asked: false };
    let ended = vm.serve(devices, options, heap);
    if let Err(reason) = ended {
        error!("{reason}");
    }
    info!("the machine ends");
    Ok(())
}

/// Looks for the devices on the command line, or else in ACPI's tables, and on the PCI buses.
///
/// # Safety
/// Once, with the low 4 GiB mapped to themselves.
unsafe fn find(info: &BootInfo, told: &Told, apic: &mut Apic) -> Devices {
    /// PM of Intel's 82371AB and ICH9, which QEMU's machines with PCI have.
    const WITH_BUTTON: [(u16, u16); 2] = [(0x8086, 0x7113), (0x8086, 0x2918)];
    let mut devices = Devices::default();
    let mut known: Vec<&Place> = Vec::new();
    let (source, places) = match told.places.as_slice() {
        [] => ("ACPI's virtio device", info.acpi.devices.as_slice()),
        told => ("virtio_mmio.device", told),
    };
    for place in places {
        let name = format!("{source} at {:#x}", place.address);
        if !info.is_device(place.address, place.size) || known.iter().any(|k| overlap(k, place)) {
            warn!("{name}: not device memory of its own");
            continue;
        }
        known.push(place);
        // SAFETY: below 4 GiB, where all is mapped, outside all RAM, and not given before.
        match unsafe { mmio::open(place) } {
            Ok(device) if apic.route(place.interrupt) => devices.add(device),
            Ok(_) => warn!("{name}: there is no interrupt {}", place.interrupt),
            Err(e) => warn!("{name}: {e}"),
        }
    }
    power_of(info, &mut devices);
    if told.no_pci {
        return devices;
    }
    let mut map = |address: u64, size| paging::map_device(address, size);
    // SAFETY: this is the only access, and `pci::find` writes what makes devices use the memory that
    // they are given. Hosts set up the buses before they start a PVH kernel.
    let found = unsafe { pci::find(Configuration::new(), apic.message(), &mut map) };
    if found.numbers.iter().any(|number| WITH_BUTTON.contains(number)) {
        devices.button = Button::Pm1a;
        power::set_switch(Switch::Pm1a);
    }
    found.devices.into_iter().for_each(|device| devices.add(device));
    devices
}

/// How a machine with ACPI's newer registers is switched off, and has its button.
fn power_of(info: &BootInfo, devices: &mut Devices) {
    /// cloud-hypervisor's; what is at another port is not known.
    const KNOWN: u64 = Port::Pm1aStatus as u64;
    let register = |address, size| {
        let usable = info.is_free(address, size) && paging::map_device(address, size);
        // SAFETY: mapped, no RAM, and what ACPI has it for: an access changes nothing but the register.
        usable.then(|| unsafe { Mapped::new(address as usize, size as usize) })
    };
    match info.acpi.sleep {
        Some(Sleep::Port(KNOWN)) => power::set_switch(Switch::SleepControl),
        Some(Sleep::Memory(address)) => {
            if let Some(register) = register(address, 1) {
                power::set_sleep_register(register);
            }
        }
        _ => (),
    }
    if let Some(events) = info.acpi.events
        && let Some(register) = register(events.address, 4)
    {
        devices.button = Button::Events(register, events.kind);
    }
}

fn overlap(a: &Place, b: &Place) -> bool {
    a.address < b.address.saturating_add(b.size) && b.address < a.address.saturating_add(a.size)
}

impl Devices {
    fn add(&mut self, device: Device) {
        match device.kind() {
            DeviceType::Block => self.disks.push(device),
            DeviceType::Network => self.nets.push(device),
            kind => info!("a virtio device of the type {kind:?} is not used"),
        }
    }

    /// The disk of this name, as Linux would call it: vda is the first. Without a name the first.
    fn disk(&mut self, name: Option<&str>) -> Result<Disk, String> {
        let names: Vec<String> =
            (b'a'..=b'z').take(self.disks.len()).map(|c| format!("vd{}", c as char)).collect();
        let wanted = name.map(|name| name.strip_prefix("/dev/").unwrap_or(name));
        let number = names.iter().position(|n| wanted.is_none_or(|wanted| wanted == n));
        let Some((number, name)) = number.and_then(|number| Some((number, names.get(number)?)))
        else {
            return Err(match name {
                Some(name) if !names.is_empty() => {
                    format!("no disk {name}: there are {}", names.join(", "))
                }
                _ => "no disk: attach a virtio disk with a FAT volume on it".into(),
            });
        };
        Disk::start(name, self.disks.remove(number)).map_err(|e| format!("disk {name}: {e}"))
    }

    fn net(&mut self, most: usize) -> Result<Option<VirtioNet<Transport>>, String> {
        if self.nets.is_empty() {
            return Ok(None);
        }
        // For a device without an address: a local one, of one host.
        let [_, rest @ ..] = random::<6>()?;
        let [b, c, d, e, f] = rest;
        let net = VirtioNet::start(self.nets.remove(0), [2, b, c, d, e, f], most);
        net.map(Some).map_err(|e| format!("network interface: {e}"))
    }
}

impl Vm {
    fn serve(&mut self, mut devices: Devices, options: Options, heap: u64) -> Result<(), String> {
        let budget = Budget::new(heap);
        let disk = devices.disk(options.disk.as_deref())?;
        let most = budget.network.transmit * PAGE;
        let net = devices.net(most)?.ok_or("no network interface: attach a virtio one")?;
        let random = machine::random_bytes()?;
        let (device, told) = (AnyDisk::Virtio(disk.clone()), ToldKeys::new());
        let (memory, mut progress) = (&budget.volume, |_, _| ());
        let ready =
            server::prepare(device, &options, memory, &told, &random, unix_time(), &mut progress);
        let Some(ready) = self.wait(&disk, ready) else {
            return Ok(());
        };
        let ready = ready.map_err(|e| format!("the disk: {e}"))?;
        machine::check_address(&options);
        let net = AnyNet::Virtio(Box::new(net));
        machine::serve(self, &budget, options, ready, &AnyDisk::Virtio(disk), net)
    }

    /// Runs a future of the disk to its end; None when the machine is to end first.
    fn wait<T>(&mut self, disk: &Disk, future: impl Future<Output = T>) -> Option<T> {
        let ended = task::run(future, || {
            watchdog::turned();
            if self.asked() {
                return Err(());
            }
            if !disk.poll() && !disk.arm() {
                self.sleep_for(None);
            }
            Ok(())
        });
        ended.ok()
    }

    /// Sleeps until a device has something, or so long.
    fn sleep_for(&mut self, most: Option<Duration>) {
        let look = self.look.saturating_sub(clock::since_boot());
        self.apic.sleep(most.map_or(look, |most| most.min(look)));
    }
}

impl Machine for Vm {
    fn poll(&mut self, _: &mut Server, _: &mut Option<Wanted>) -> bool {
        false
    }

    fn power_off(&mut self) {
        self.asked = true;
    }

    /// Whether somebody pressed the power button or Ctrl-Alt-Del, or sent Ctrl-C to the serial port.
    fn asked(&mut self) -> bool {
        let now = clock::since_boot();
        if now >= self.look && !self.asked {
            self.look = now + LOOK;
            let ctrl_c = core::iter::from_fn(console::received).take(64).any(|key| key == CTRL_C);
            let by = match (ctrl_c, self.keyboard.poll(), self.button.pressed()) {
                (true, ..) => "Ctrl-C",
                (_, true, _) => "Ctrl-Alt-Del",
                (.., true) => "the power button",
                _ => return false,
            };
            self.asked = true;
            info!("asked to end by {by}");
        }
        self.asked
    }

    fn now(&self) -> Now {
        Now { monotonic: milliseconds(), unix: unix_time() }
    }

    fn sleep(&mut self, until: Option<u64>) {
        let most = until.map(|ms| Duration::from_millis(ms.saturating_sub(milliseconds())));
        self.sleep_for(most);
    }
}

fn milliseconds() -> u64 {
    clock::since_boot().as_millis() as u64
}

fn unix_time() -> u64 {
    clock::unix_time().unwrap_or_default().as_secs()
}
