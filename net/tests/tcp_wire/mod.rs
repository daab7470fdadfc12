//! An Ethernet in memory with virtual time, and a client on smoltcp alone.
#![allow(dead_code, unused_imports)] // Each test file uses its part.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod cable;
mod stranger;

pub use cable::*;
pub use stranger::{Answer, Stranger};

use net::tcp::{Address, Config, Interface, Listener, Own, Stream};
use net::{Listener as _, Stream as _};
use smoltcp::iface::{self, SocketHandle, SocketSet};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::socket::tcp;
use smoltcp::time::Instant;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol,
    Icmpv4Packet, Icmpv6Packet, IpCidr, IpProtocol, IpRepr, Ipv4Address, Ipv4Packet, Ipv6Address,
    Ipv6Packet, TcpPacket,
};
use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;

pub const PORT: u16 = 18022;
pub const SERVER_MAC: [u8; 6] = [0, 0x16, 0x3e, 0x5e, 0x6c, 0];
pub const CLIENT_MAC: [u8; 6] = [2, 0, 0, 0, 0, 9];

/// A generator whose numbers are the same in every run (xorshift64*).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

/// A server and a client on one cable.
pub struct Net {
    pub now: Rc<Cell<u64>>,
    pub server: Interface<Port>,
    pub listener: Listener,
    pub client: Client,
    pub weather: Rc<Cell<Weather>>,
    pub server_room: Rc<Cell<usize>>,
    pub server_sent: Rc<Cell<u64>>,
    /// The way from the server to the client, and the longest IP packet that was sent there.
    pub path: Rc<Cell<Path>>,
    pub longest: Rc<Cell<usize>>,
    last: Rc<RefCell<Vec<u8>>>,
}

pub struct Client {
    pub port: Port,
    iface: iface::Interface,
    pub set: SocketSet<'static>,
    next_port: u16,
    pub server: IpAddr,
}

pub fn config(sockets: usize, listening: usize) -> Config {
    let buffer = 64 * 1024;
    Config {
        port: PORT,
        sockets,
        listening,
        receive_buffer: buffer,
        send_buffer: buffer,
        mtu: None,
        seed: 7,
    }
}

/// On one network, as on a bridge.
pub fn lan() -> Address {
    let own = Own { ip: Ipv4Address::new(10, 0, 0, 2), prefix: 24, gateway: None };
    Address { mac: SERVER_MAC, v4: Some(own), v6: None }
}

/// As Qubes has it: the client is behind the gateway, which is not in our network.
pub fn qube() -> Address {
    let ip = Ipv4Address::new(10, 137, 0, 20);
    let gateway = Some(Ipv4Address::new(10, 138, 3, 7));
    Address { mac: SERVER_MAC, v4: Some(Own { ip, prefix: 32, gateway }), v6: None }
}

/// As `lan`, by IPv6.
pub fn lan6() -> Address {
    let own = Own { ip: host6(2), prefix: 64, gateway: None };
    Address { mac: SERVER_MAC, v4: None, v6: Some(own) }
}

/// As `qube`, by IPv6: the gateway has a link-local address.
pub fn qube6() -> Address {
    let ip = Ipv6Address::new(0xfd09, 0x24ef, 0x4179, 0, 0, 0, 0xa89, 20);
    let gateway = Some(Ipv6Address::new(0xfe80, 0, 0, 0, 0xfcff, 0xffff, 0xfeff, 0xffff));
    Address { mac: SERVER_MAC, v4: None, v6: Some(Own { ip, prefix: 128, gateway }) }
}

/// A host of `lan6`'s network.
pub fn host6(number: u16) -> Ipv6Address {
    Ipv6Address::new(0xfd00, 0, 0, 7, 0, 0, 0, number)
}

/// The address that a client connects to.
pub fn ip_of(address: &Address) -> IpAddr {
    let v6 = address.v6.map(|own| IpAddr::V6(own.ip));
    address.v4.map(|own| IpAddr::V4(own.ip)).or(v6).unwrap()
}

impl Net {
    pub fn new(address: Address, config: Config) -> Self {
        Self::with(address, config, None)
    }

    pub fn with(address: Address, config: Config, segmented: Option<usize>) -> Self {
        let now = Rc::new(Cell::new(0));
        let (server_port, client_port) = cable(&now, segmented);
        let weather = server_port.weather.clone();
        let (server_room, server_sent) = (server_port.room.clone(), server_port.sent.clone());
        let path = server_port.path.clone().unwrap();
        let (longest, last) = (server_port.longest.clone(), server_port.last.clone());
        let mut server = Interface::new(server_port, &config);
        server.set_address(Some(address)).unwrap();
        let listener = server.listener();
        let client = Client::new(client_port, ip_of(&address));
        Self {
            now,
            server,
            listener,
            client,
            weather,
            server_room,
            server_sent,
            path,
            longest,
            last,
        }
    }

    /// Polls both until neither moves.
    pub fn settle(&mut self) {
        for _ in 0..100_000 {
            let now = self.now.get();
            if !(self.server.poll(now) | self.client.poll(now)) {
                return;
            }
        }
        panic!("it never comes to rest");
    }

    /// What the server sends now: its last frame with data.
    pub fn sent_data(&mut self) -> Vec<u8> {
        self.settle_server();
        self.last.borrow().clone()
    }

    /// Polls the server alone until it rests.
    pub fn settle_server(&mut self) {
        while self.server.poll(self.now.get()) {}
    }

    /// Lets time pass until the next thing is due, at most up to `until`; false when that is
    /// reached.
    pub fn wait(&mut self, until: u64) -> bool {
        let now = self.now.get();
        let server = self.server.deadline(now).map(|d| now + d);
        let client = self.client.deadline(now);
        let frames = [self.client.port.due(), self.server.device().due()];
        let next = [server, client].into_iter().chain(frames).flatten().min();
        let next = next.unwrap_or(until).max(now + 1).min(until);
        self.now.set(next);
        next < until
    }

    /// Runs for some virtual time.
    pub fn run(&mut self, ms: u64) {
        let until = self.now.get() + ms;
        loop {
            self.settle();
            if !self.wait(until) {
                self.settle();
                return;
            }
        }
    }
}

impl Client {
    fn new(mut port: Port, server: IpAddr) -> Self {
        let config = iface::Config::new(EthernetAddress(CLIENT_MAC).into());
        let mut iface = iface::Interface::new(config, &mut port, Instant::ZERO);
        iface.update_ip_addrs(|list| {
            let own = match server {
                IpAddr::V4(ip) => {
                    IpCidr::new(Ipv4Address::from_bits(ip.to_bits() ^ 0x7f).into(), 24)
                }
                IpAddr::V6(ip) => {
                    IpCidr::new(Ipv6Address::from_bits(ip.to_bits() ^ 0x7f).into(), 64)
                }
            };
            list.push(own).unwrap();
        });
        let set = SocketSet::new(Vec::new());
        Self { port, iface, set, next_port: 40000, server }
    }

    pub fn connect(&mut self) -> SocketHandle {
        let buffer = || tcp::SocketBuffer::new(vec![0; 64 * 1024]);
        let mut socket = tcp::Socket::new(buffer(), buffer());
        self.next_port += 1;
        socket.connect(self.iface.context(), (self.server, PORT), self.next_port).unwrap();
        self.set.add(socket)
    }

    pub fn socket(&mut self, handle: SocketHandle) -> &mut tcp::Socket<'static> {
        self.set.get_mut(handle)
    }

    pub fn poll(&mut self, now: u64) -> bool {
        let now = Instant::from_millis(now as i64);
        let sent = self.port.sent.get();
        let came = self.port.due().is_some_and(|due| due <= self.port.now.get());
        self.iface.poll(now, &mut self.port, &mut self.set);
        came || self.port.sent.get() != sent
    }

    fn deadline(&mut self, now: u64) -> Option<u64> {
        let at = self.iface.poll_at(Instant::from_millis(now as i64), &self.set);
        at.map(|at| (at.total_millis() as u64).max(now + 1))
    }

    pub fn ip(&self) -> IpAddr {
        self.iface.ip_addrs()[0].address().into()
    }
}

pub fn connected(net: &mut Net) -> (SocketHandle, Stream) {
    let handle = net.client.connect();
    for _ in 0..100 {
        net.run(10);
        if let Some((stream, _)) = net.listener.accept() {
            return (handle, stream);
        }
    }
    panic!("no connection");
}

pub fn bytes(seed: u64, n: usize) -> Vec<u8> {
    let mut random = Random(seed);
    (0..n).map(|_| random.next() as u8).collect()
}

/// Sends both ways at once until all has arrived; returns what did: at the server, at the client.
pub fn exchange(
    net: &mut Net,
    handle: SocketHandle,
    stream: &mut Stream,
    up: &[u8],
    down: &[u8],
) -> (Vec<u8>, Vec<u8>) {
    let (mut sent_up, mut sent_down) = (0, 0);
    let (mut at_server, mut at_client) = (Vec::new(), Vec::new());
    let until = net.now.get() + 600_000;
    while at_server.len() < up.len() || at_client.len() < down.len() {
        let socket = net.client.socket(handle);
        assert!(socket.is_active(), "the connection ended");
        sent_up += socket.send_slice(&up[sent_up..]).unwrap();
        while socket.can_recv() {
            socket.recv(|b| (b.len(), at_client.extend_from_slice(b))).unwrap();
        }
        sent_down += stream.write(&down[sent_down..]).unwrap();
        let came = stream.fill().unwrap();
        let n = came.len();
        at_server.extend_from_slice(came);
        stream.consume(n);
        let now = net.now.get();
        if !(net.server.poll(now) | net.client.poll(now)) && n == 0 {
            assert!(net.wait(until), "no end after {} ms", net.now.get());
        }
    }
    (at_server, at_client)
}

/// Where TCP's header, or ICMP's, begins in a frame.
pub fn transport(frame: &[u8]) -> usize {
    if frame[12..14] == [0x86, 0xdd] { 14 + 40 } else { 14 + 20 }
}

/// A frame whose bytes were changed, with the checksums that it would have.
pub fn summed_again(mut frame: Vec<u8>) -> Vec<u8> {
    if transport(&frame) > 34 {
        let mut ip = Ipv6Packet::new_unchecked(&mut frame[14..]);
        let (from, to) = (ip.src_addr(), ip.dst_addr());
        let (is_tcp, payload) = (ip.next_header() == IpProtocol::Tcp, ip.payload_mut());
        match is_tcp {
            true => TcpPacket::new_unchecked(payload).fill_checksum(&from.into(), &to.into()),
            false => Icmpv6Packet::new_unchecked(payload).fill_checksum(&from, &to),
        }
        return frame;
    }
    let mut ip = Ipv4Packet::new_unchecked(&mut frame[14..]);
    ip.fill_checksum();
    let (from, to) = (ip.src_addr().into(), ip.dst_addr().into());
    match ip.next_header() {
        IpProtocol::Tcp => TcpPacket::new_unchecked(ip.payload_mut()).fill_checksum(&from, &to),
        _ => Icmpv4Packet::new_unchecked(ip.payload_mut()).fill_checksum(),
    }
    frame
}

/// An ARP request.
pub fn who_has(from: Ipv4Address, mac: [u8; 6], wanted: Ipv4Address) -> Vec<u8> {
    let asked = ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Request,
        source_hardware_addr: EthernetAddress(mac),
        source_protocol_addr: from,
        target_hardware_addr: EthernetAddress::BROADCAST,
        target_protocol_addr: wanted,
    };
    let mut bytes = vec![0; 42];
    let mut frame = EthernetFrame::new_unchecked(&mut bytes);
    frame.set_src_addr(EthernetAddress(mac));
    frame.set_dst_addr(EthernetAddress::BROADCAST);
    frame.set_ethertype(EthernetProtocol::Arp);
    asked.emit(&mut ArpPacket::new_unchecked(frame.payload_mut()));
    bytes
}

pub fn ip_frame(
    from: IpAddr,
    to: IpAddr,
    next_header: IpProtocol,
    length: usize,
    emit: impl FnOnce(&mut [u8]),
) -> Vec<u8> {
    hop_frame(from, to, (next_header, 64), length, emit)
}

/// As `ip_frame`, with a hop limit.
pub fn hop_frame(
    from: IpAddr,
    to: IpAddr,
    (next_header, hops): (IpProtocol, u8),
    length: usize,
    emit: impl FnOnce(&mut [u8]),
) -> Vec<u8> {
    let ip = IpRepr::new(from.into(), to.into(), next_header, length, hops);
    let mut bytes = vec![0; 14 + ip.buffer_len()];
    let mut frame = EthernetFrame::new_unchecked(&mut bytes);
    frame.set_src_addr(EthernetAddress(CLIENT_MAC));
    frame.set_dst_addr(EthernetAddress(SERVER_MAC));
    frame.set_ethertype(match to {
        IpAddr::V4(_) => EthernetProtocol::Ipv4,
        IpAddr::V6(_) => EthernetProtocol::Ipv6,
    });
    emit(&mut frame.payload_mut()[ip.header_len()..]);
    ip.emit(frame.payload_mut(), &ChecksumCapabilities::default());
    bytes
}
