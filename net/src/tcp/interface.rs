//! The interface: device, address and sockets, and the poll that moves packets between them.
use super::address::{Address, BadAddress};
use super::clock::{Clock, instant, millis};
use super::guard::{Guard, other_of_pair, other_of_pair6};
use super::link::Link;
use super::paths::FLOOR6;
use super::sockets::{Config, Sockets};
use super::stream::Listener;
use alloc::rc::Rc;
use core::cell::RefCell;
use log::{info, warn};
use smoltcp::iface::{self, PollIngressSingleResult, PollResult};
use smoltcp::phy::{Device, DeviceCapabilities};
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, EthernetFrame, IpCidr, Ipv4Cidr, Ipv6Cidr};

/// Packets that one poll takes in, and rounds of one packet for each socket that it sends.
const INGRESS: usize = 256;
const EGRESS: usize = 64;

/// Milliseconds to wait where smoltcp says "now" and cannot go on: the device has no room, or is
/// not there. Its event ends the wait earlier.
const STUCK: u64 = 1_000;

pub struct Interface<D> {
    device: D,
    /// The device's capabilities as smoltcp knows them: it reads them once.
    capabilities: DeviceCapabilities,
    iface: iface::Interface,
    address: Option<Address>,
    guard: RefCell<Guard>,
    mtu: Option<u16>,
    sockets: Rc<RefCell<Sockets>>,
    clock: Clock,
    seed: u64,
    /// The device can take no packet.
    blocked: bool,
    /// When smoltcp wants to be polled next.
    due: Option<u64>,
}

impl<D: Device> Interface<D> {
    /// An interface without an address: it drops what comes.
    pub fn new(mut device: D, config: &Config) -> Self {
        let capabilities = device.capabilities();
        let guard = RefCell::new(Guard::new(config.port, config.sockets));
        guard.borrow_mut().restart(None, ip_mtu(&capabilities, config.mtu));
        let iface = start(&mut device, &guard, None, config.seed);
        Self {
            device,
            capabilities,
            iface,
            address: None,
            guard,
            mtu: config.mtu,
            sockets: Rc::new(RefCell::new(Sockets::new(config))),
            clock: Clock::default(),
            seed: config.seed,
            blocked: false,
            due: Some(0),
        }
    }

    pub fn listener(&self) -> Listener {
        Listener { sockets: self.sockets.clone() }
    }

    pub fn device(&mut self) -> &mut D {
        &mut self.device
    }

    /// What it answers to: of the address that was set, what the device can do.
    pub fn address(&self) -> Option<Address> {
        self.guard.borrow().address
    }

    /// Takes another address, or none. Connections to the old one end.
    pub fn set_address(&mut self, address: Option<Address>) -> Result<(), BadAddress> {
        if let Some(address) = &address {
            address.check()?;
        }
        if self.address != address {
            self.address = address;
            self.restart();
        }
        Ok(())
    }

    /// smoltcp learns address and capabilities when it starts; the sockets live on.
    fn restart(&mut self) {
        // Sequence numbers must not repeat.
        self.seed =
            self.seed.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        self.capabilities = self.device.capabilities();
        let mtu = ip_mtu(&self.capabilities, self.mtu);
        let mut address = self.address;
        if let Some(Address { v6: v6 @ Some(_), .. }) = &mut address
            && mtu < FLOOR6
        {
            warn!("no IPv6 with an MTU of {mtu}: it needs {FLOOR6}");
            *v6 = None;
        }
        self.guard.get_mut().restart(address, mtu);
        self.iface = start(&mut self.device, &self.guard, address.as_ref(), self.seed);
        self.due = Some(0);
        let Some(address) = &address else { return };
        // Who is really on our network the guard knows.
        let v4 = address.v4.map(|own| IpCidr::Ipv4(Ipv4Cidr::new(own.ip, 31)));
        let v6 = address.v6.map(|own| IpCidr::Ipv6(Ipv6Cidr::new(own.ip, 127)));
        let local = v6.map(|_| IpCidr::Ipv6(Ipv6Cidr::new(address.link_local(), 128)));
        self.iface.update_ip_addrs(|list| {
            let own = [v4, v6, local].into_iter().flatten();
            if own.map(|one| list.push(one)).any(|pushed| pushed.is_err()) {
                warn!("no room for an address");
            }
        });
        let routes = self.iface.routes_mut();
        if let Some(own) = address.v4 {
            let gateway = other_of_pair(own.ip);
            if routes.add_default_ipv4_route(gateway).is_err() {
                warn!("no room for a route");
            }
            info!("address {}/{}", own.ip, own.prefix);
        }
        if let Some(own) = address.v6 {
            let gateway = other_of_pair6(own.ip);
            if routes.add_default_ipv6_route(gateway).is_err() {
                warn!("no room for a route");
            }
            info!("address {}/{}, on this link also {}", own.ip, own.prefix, address.link_local());
        }
    }

    /// Moves packets, a bounded number of them; true when something moved.
    ///
    /// `now_ms` never goes back. When it jumps far beyond the deadline that was given, the machine
    /// was paused, and time-outs do not count the pause.
    pub fn poll(&mut self, now_ms: u64) -> bool {
        if !same(&self.capabilities, &self.device.capabilities()) {
            self.restart();
        }
        let ms = self.clock.advance(now_ms);
        let now = instant(ms);
        let Self { device, iface, guard, sockets, .. } = self;
        let sockets = &mut *sockets.borrow_mut();
        let mut moved = sockets.settle(ms, &mut guard.borrow_mut().flows);
        iface.poll_maintenance(now);
        let mut link = Link { device, guard, now: ms };
        for _ in 0..INGRESS {
            guard.borrow_mut().is_full = !sockets.is_listening();
            if let PollIngressSingleResult::None =
                iface.poll_ingress_single(now, &mut link, &mut sockets.set)
            {
                break;
            }
            moved = true;
            link.flush(now);
            let guard = &mut *guard.borrow_mut();
            if sockets.must_settle() {
                sockets.settle(ms, &mut guard.flows);
            }
            if guard.waiting.is_some() && !sockets.make_room(&mut guard.flows) {
                guard.waiting = None;
            }
        }
        for _ in 0..EGRESS {
            // What was cut goes before what comes behind it.
            if !link.flush(now) {
                break;
            }
            match iface.poll_egress(now, &mut link, &mut sockets.set) {
                PollResult::None => break,
                PollResult::SocketStateChanged => moved = true,
            }
        }
        link.flush(now);
        moved |= sockets.settle(ms, &mut guard.borrow_mut().flows);
        self.blocked = self.device.transmit(now).is_none();
        let at = iface.poll_at(now, &sockets.set).map(millis);
        self.due = at.into_iter().chain(sockets.deadline()).min();
        let due = if moved { Some(ms) } else { self.due };
        self.clock.set_due(due);
        moved
    }

    /// Milliseconds until `poll` has something to do without an event of the device; 0 when a
    /// stream has changed something since the last poll.
    pub fn deadline(&self, now_ms: u64) -> Option<u64> {
        if self.sockets.borrow().touched {
            return Some(if self.blocked { STUCK } else { 0 });
        }
        let left = self.due?.saturating_sub(self.clock.at(now_ms));
        // What did not get on at once does not get on by trying again at once.
        Some(left.max(if self.blocked { STUCK } else { 1 }))
    }
}

fn start<D: Device>(
    device: &mut D,
    guard: &RefCell<Guard>,
    address: Option<&Address>,
    seed: u64,
) -> iface::Interface {
    // Locally administered, until there is an address.
    let mac = EthernetAddress(address.map_or([2, 0, 0, 0, 0, 0], |address| address.mac));
    let mut config = iface::Config::new(mac.into());
    config.random_seed = seed;
    let mut link = Link { device, guard, now: 0 };
    iface::Interface::new(config, &mut link, Instant::ZERO)
}

/// The longest IP packet of a device, or what is allowed of it.
fn ip_mtu(device: &DeviceCapabilities, most: Option<u16>) -> u16 {
    let mtu = device.max_transmission_unit.saturating_sub(EthernetFrame::<&[u8]>::header_len());
    let mtu = u16::try_from(mtu).unwrap_or(u16::MAX);
    most.map_or(mtu, |most| most.min(mtu))
}

/// Whether smoltcp can go on with the capabilities that it knows.
fn same(a: &DeviceCapabilities, b: &DeviceCapabilities) -> bool {
    a.max_transmission_unit == b.max_transmission_unit
        && a.segmentation.tcpv4 == b.segmentation.tcpv4
        && a.checksum.tcp.tx() == b.checksum.tcp.tx()
        && a.checksum.tcp.rx() == b.checksum.tcp.rx()
}
