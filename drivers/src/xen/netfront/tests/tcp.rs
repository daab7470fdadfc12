//! TCP over the frontend: the interface of net, and a client behind the backend.
use super::netback::Frame;
use super::*;
use net::tcp::Own;
use net::{Listener, Stream};
use smoltcp::iface::{Config, Interface, SocketSet};
use smoltcp::socket::tcp;
use smoltcp::wire::{EthernetAddress, IpAddress, IpCidr, Ipv4Address, Ipv6Address};
use std::collections::VecDeque;

/// A client's TCP on the other side of the backend, as in a guest of the same host: large frames
/// and blank checksums both ways.
struct Peer {
    incoming: VecDeque<Vec<u8>>,
    outgoing: VecDeque<Vec<u8>>,
}

struct Bytes(Vec<u8>);

struct Slot<'a>(&'a mut VecDeque<Vec<u8>>);

impl RxToken for Bytes {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl TxToken for Slot<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut frame = vec![0; len];
        let result = f(&mut frame);
        self.0.push_back(frame);
        result
    }
}

impl Device for Peer {
    type RxToken<'a> = Bytes;
    type TxToken<'a> = Slot<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Bytes, Slot<'_>)> {
        Some((Bytes(self.incoming.pop_front()?), Slot(&mut self.outgoing)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Slot<'_>> {
        (self.outgoing.len() < 64).then_some(Slot(&mut self.outgoing))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.max_transmission_unit = 1514;
        capabilities.checksum.tcp = Checksum::None;
        capabilities.segmentation.tcpv4 = core::num::NonZeroUsize::new(65_000);
        capabilities
    }
}

#[test]
fn tcp_runs_over_it_and_survives_another_network_vm() {
    let ip = Ipv4Address::new(10, 137, 0, 9);
    let own = Own { ip, prefix: 32, gateway: Some(Ipv4Address::new(10, 138, 0, 1)) };
    let client = IpCidr::new(Ipv4Address::new(10, 137, 0, 7).into(), 24);
    runs(Bench::connected(), (Some(own), None), client);
}

/// The backend completes checksums of IPv6, too. smoltcp makes no large frames of it.
#[test]
fn tcp_over_ipv6_runs_over_it() {
    let ip = Ipv6Address::new(0xfd09, 0, 0, 0, 0, 0, 0, 9);
    let own = Own { ip, prefix: 128, gateway: Some(Ipv6Address::new(0xfe80, 0, 0, 0, 0, 0, 0, 1)) };
    let client = IpCidr::new(Ipv6Address::new(0xfd09, 0, 0, 0, 0, 0, 0, 7).into(), 64);
    let mut bench = Bench::new(1);
    let back = bench.back.get_mut();
    back.nodes.push(("feature-ipv6-csum-offload", "1"));
    bench.attach();
    runs(bench, (None, Some(own)), client);
}

fn runs(bench: Bench, (v4, v6): (Option<Own<Ipv4Address>>, Option<Own<Ipv6Address>>), at: IpCidr) {
    const WINDOW: usize = 256 * 1024;
    let mac = bench.front.mac().unwrap();
    let Bench { world, front, mut back } = bench;
    let config = net::tcp::Config {
        port: 22,
        sockets: 4,
        listening: 2,
        receive_buffer: WINDOW,
        send_buffer: WINDOW,
        mtu: None,
        seed: 1,
    };
    let mut server = net::tcp::Interface::new(front, &config);
    server.set_address(Some(net::tcp::Address { mac, v4, v6 })).unwrap();
    let ip: IpAddress = v4.map(|own| own.ip.into()).or(v6.map(|own| own.ip.into())).unwrap();
    let mut listener = server.listener();

    let mut peer = Peer { incoming: VecDeque::new(), outgoing: VecDeque::new() };
    let address = EthernetAddress([0xfe, 0xff, 0xff, 0xff, 0xff, 0xff]);
    let mut client = Interface::new(Config::new(address.into()), &mut peer, Instant::ZERO);
    client.update_ip_addrs(|list| list.push(at).unwrap());
    let mut set = SocketSet::new(Vec::new());
    let buffer = || tcp::SocketBuffer::new(vec![0; WINDOW]);
    let handle = set.add(tcp::Socket::new(buffer(), buffer()));
    let socket = set.get_mut::<tcp::Socket>(handle);
    socket.connect(client.context(), (ip, 22), 40_000).unwrap();

    let mut random = Random::new(3);
    let data = bytes(&mut random, 8 << 20);
    let mut stream = None;
    let (mut up, mut down, mut came, mut arrived) = (0, 0, Vec::new(), Vec::new());
    let start = std::time::Instant::now();
    let mut replaced = false;
    for now in 0..200_000u64 {
        world.stored.borrow_mut().turn();
        world.store.poll();
        server.device().poll();
        server.poll(now / 10);
        server.device().flush();
        back.get_mut().turn(&mut world.stored.borrow_mut());
        let back = back.get_mut();
        peer.incoming.extend(back.from_guest.drain(..).map(|frame| frame.bytes));
        client.poll(Instant::from_millis(now as i64 / 10), &mut peer, &mut set);
        for bytes in peer.outgoing.drain(..) {
            let segment = (bytes.len() > 1514).then_some(1460);
            back.to_guest.push_back(Frame { bytes, flags: 3, segment });
        }
        let socket = set.get_mut::<tcp::Socket>(handle);
        if socket.may_send() {
            up += socket.send_slice(&data[up..]).unwrap();
        }
        while socket.can_recv() {
            socket.recv(|b| (b.len(), came.extend_from_slice(b))).unwrap();
        }
        if stream.is_none() {
            stream = listener.accept();
        }
        if let Some((stream, _)) = &mut stream {
            let n = stream.fill().unwrap().len();
            arrived.extend_from_slice(&stream.fill().unwrap()[..n]);
            stream.consume(n);
            down += stream.write(&data[down..]).unwrap();
        }
        if arrived.len() > 4 << 20 && !replaced {
            replaced = true;
            back.remove(&mut world.stored.borrow_mut());
            back.domain += 1;
            back.to_guest.clear();
            back.attach(&mut world.stored.borrow_mut());
        }
        if came.len() == data.len() && arrived.len() == data.len() {
            break;
        }
    }
    assert!(came == data && arrived == data, "{} down, {} up", came.len(), arrived.len());
    let back = back.get_mut();
    println!(
        "netfront: 8 MiB both ways at once at {:.0} MiB/s; frames of up to {} bytes out, {} slots in",
        16.0 / start.elapsed().as_secs_f64(),
        back.largest,
        back.most_slots
    );
    assert!(replaced && (v6.is_some() || back.largest > 50_000 && back.most_slots > 15));
}
