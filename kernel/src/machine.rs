//! The server's loop over a disk and a network interface, on whichever machine they are.
use crate::budget::{self, Budget};
pub mod solo5;
pub mod virtio;
pub mod xen;

use crate::boot::heap;
use crate::console;
use crate::cpu::watchdog;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{Ipv4Addr, Ipv6Addr};
use drivers::{AnyDisk, AnyNet};
use log::{error, info, warn};
use net::tcp::{self, Address, Interface, Own};
use server::{Asked, Now, Options, Random, Ready, Turn};

/// How long what runs may take once the machine is to end, in milliseconds: a disk that never
/// answers must not keep it.
const STOP_WAIT: u64 = 30_000;

pub type Server = server::Server<tcp::Listener, AnyDisk>;

/// The addresses that the interface is to have.
#[derive(Clone, Copy)]
pub struct Wanted {
    pub v4: Option<Own<Ipv4Addr>>,
    pub v6: Option<Own<Ipv6Addr>>,
}

impl Wanted {
    /// What the command line tells of.
    fn of(options: &Options) -> Option<Self> {
        let Options { ipv4, ipv4_gateway, ipv6, ipv6_gateway, .. } = *options;
        let v4 = ipv4.map(|(ip, prefix)| Own { ip, prefix, gateway: ipv4_gateway });
        let v6 = ipv6.map(|(ip, prefix)| Own { ip, prefix, gateway: ipv6_gateway });
        (v4.is_some() || v6.is_some()).then_some(Self { v4, v6 })
    }
}

/// Says how an address is given, if none is.
pub fn check_address(options: &Options) {
    if Wanted::of(options).is_none() {
        warn!("no address: give --ipv4 and --ipv4-gateway, or --ipv6 and --ipv6-gateway");
    }
}

/// What a machine has beside its disk and its interface.
pub trait Machine {
    /// Tells the server what is special here, before it serves.
    fn begin(&mut self, _: &Server) {}

    /// Takes what others than the clients say, who may tell of an address; true when something moved.
    fn poll(&mut self, server: &mut Server, wanted: &mut Option<Wanted>) -> bool;

    /// Ends the machine soon, as one of its callers asked.
    fn power_off(&mut self);

    /// Whether the machine is to end.
    fn asked(&mut self) -> bool;

    /// Suspends the machine and goes on, once that was asked for and what was written is on the disk.
    fn suspend(&mut self, _: &mut Server, _: &AnyDisk, _: &mut AnyNet) -> Result<(), String> {
        Ok(())
    }

    fn now(&self) -> Now;

    /// Sleeps until something comes, or until this time of `now`, in milliseconds.
    fn sleep(&mut self, until: Option<u64>);
}

/// Serves until the machine is to end.
pub fn serve(
    machine: &mut dyn Machine,
    budget: &Budget,
    mut options: Options,
    ready: Ready<AnyDisk>,
    disk: &AnyDisk,
    net: AnyNet,
) -> Result<(), String> {
    options.port = budget::port(&options);
    let config = budget.sockets(options.port, options.mtu, u64::from_ne_bytes(random()?));
    let wanted = Wanted::of(&options);
    let mut network = Network { net: Interface::new(net, &config), wanted, up: None };
    let (listener, port, limits) = (network.net.listener(), options.port, budget.server);
    let mut server = Server::new(listener, ready.volume, ready.host_key, options, limits);
    machine.begin(&server);
    let mut peak = 0;
    let mut stop_by = None;
    let served = loop {
        watchdog::turned();
        let mut moved = machine.poll(&mut server, &mut network.wanted);
        for asked in server.asked() {
            match asked {
                Asked::Levels(levels) => console::set_levels(levels),
                Asked::PowerOff => machine.power_off(),
            }
        }
        machine.suspend(&mut server, disk, network.net.device())?;
        let now = machine.now().monotonic;
        if machine.asked() {
            server.stop();
            if now > *stop_by.get_or_insert(now.saturating_add(STOP_WAIT)) {
                break Err("the disk does not answer: ending without it".into());
            }
        }
        peak = peak.max(heap::in_use());
        moved |= network.poll(now, port);
        let turn = server.turn(machine.now());
        moved |= disk.poll();
        moved |= network.net.poll(machine.now().monotonic);
        network.net.device().flush();
        let wait = match turn {
            Turn::Stopped => break Ok(()),
            Turn::Moved => continue,
            Turn::Idle(_) if moved => continue,
            Turn::Idle(wait) => wait,
        };
        if network.net.device().arm() | disk.arm() {
            continue;
        }
        let now = machine.now().monotonic;
        let next = wait.into_iter().chain(network.net.deadline(now));
        let next = next.map(|ms| now.saturating_add(ms)).chain(stop_by).chain(disk.deadline());
        machine.sleep(next.min());
    };
    info!("at most {} of {} KiB of memory were in use", peak >> 10, budget.heap >> 10);
    served
}

struct Network {
    net: Interface<AnyNet>,
    wanted: Option<Wanted>,
    /// Clients can connect to these addresses.
    up: Option<Address>,
}

impl Network {
    /// Follows the interface, and gives it its address once its hardware address is known.
    fn poll(&mut self, now: u64, port: u16) -> bool {
        let net = &mut self.net;
        let mut moved = net.device().poll();
        if let (Some(Wanted { v4, v6 }), Some(mac)) = (self.wanted, net.device().mac()) {
            let address = Address { mac, v4, v6 };
            if let Err(e) = net.set_address(Some(address)) {
                let v4 = v4.map(|own| format!("{}/{}", own.ip, own.prefix));
                let v6 = v6.map(|own| format!("{}/{}", own.ip, own.prefix));
                let shown = v4.into_iter().chain(v6).collect::<Vec<_>>().join(", ");
                error!("{shown}: {e}; nobody can connect");
                self.wanted = None;
            }
            let up = net.device().is_connected().then(|| net.address()).flatten();
            if up != self.up {
                moved = true;
                self.up = up;
                if let Some(own) = up.and_then(|up| up.v4) {
                    info!("listening on {}:{port}", own.ip);
                }
                if let Some(own) = up.and_then(|up| up.v6) {
                    info!("listening on [{}]:{port}", own.ip);
                }
                if up.is_some() {
                    watchdog::stand_if_asked();
                }
            }
        }
        moved | net.poll(now)
    }
}

/// What may have to be made of random bytes.
fn random_bytes() -> Result<Random, String> {
    let mut bytes = Random { volume_id: random()?, state: random()?, ..Random::default() };
    for secret in [&mut bytes.host_key, &mut bytes.ecdsa_key] {
        getrandom::fill(&mut **secret).map_err(|e| format!("no randomness: {e}"))?;
    }
    Ok(bytes)
}

/// Bytes that nobody can foresee.
pub fn random<const N: usize>() -> Result<[u8; N], String> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|e| format!("no randomness: {e}"))?;
    Ok(bytes)
}
