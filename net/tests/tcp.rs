//! TCP between the interface and a client on smoltcp, over an Ethernet that loses and delays.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tcp_wire;

use net::tcp::{Address, Own};
use net::{Closed, Listener as _, Stream as _};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::socket::tcp::State;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, Icmpv4Packet, Icmpv4Repr,
    IpProtocol, Ipv4Address, Ipv4Packet,
};
use std::net::IpAddr;
use std::time::Instant;
use tcp_wire::*;

const MIB: usize = 1024 * 1024;

#[test]
fn bytes_arrive_unchanged_both_ways() {
    for address in [lan(), qube(), lan6(), qube6()] {
        let mut net = Net::new(address, config(4, 2));
        let (handle, mut stream) = connected(&mut net);
        let (up, down) = (bytes(3, MIB), bytes(4, MIB));
        let (at_server, at_client) = exchange(&mut net, handle, &mut stream, &up, &down);
        assert!(at_server == up && at_client == down);
    }
}

#[test]
fn bytes_arrive_unchanged_over_a_bad_network() {
    for (seed, address) in (1..=6).zip([qube(), qube6()].into_iter().cycle()) {
        let mut net = Net::new(address, config(4, 2));
        net.weather.set(Weather { lost: 20, late: 50, delay: 1 + seed });
        let (handle, mut stream) = connected(&mut net);
        let (up, down) = (bytes(seed, MIB), bytes(seed + 9, MIB));
        let (at_server, at_client) = exchange(&mut net, handle, &mut stream, &up, &down);
        assert!(at_server == up && at_client == down);
        println!("{} KiB each way with 2 % lost: {} ms", MIB >> 10, net.now.get());
    }
}

/// Only informs.
#[test]
fn throughput_in_memory() {
    for (name, segmented) in [("single frames", None), ("large frames", Some(60 * 1024))] {
        let mut net = Net::with(lan(), config(4, 2), segmented);
        let (handle, mut stream) = connected(&mut net);
        let data = bytes(1, 64 * MIB);
        for (way, up, down) in [("up", &data[..], &[][..]), ("down", &[][..], &data[..])] {
            let (start, from) = (Instant::now(), net.now.get());
            exchange(&mut net, handle, &mut stream, up, down);
            println!(
                "64 MiB {way} in {name}: {:.0} MiB/s here, both ends; {} ms of virtual time",
                64.0 / start.elapsed().as_secs_f64(),
                net.now.get() - from
            );
        }
    }
}

#[test]
fn large_frames_carry_the_same_bytes() {
    // Of IPv6 smoltcp makes none.
    for (address, most) in [(qube(), 500), (qube6(), 1500)] {
        let mut net = Net::with(address, config(4, 2), Some(60 * 1024));
        let (handle, mut stream) = connected(&mut net);
        let down = bytes(4, MIB);
        let before = net.server_sent.get();
        let (_, at_client) = exchange(&mut net, handle, &mut stream, &[], &down);
        assert!(at_client == down);
        let frames = net.server_sent.get() - before;
        assert!(frames < most, "{frames} frames for 1 MiB");
    }
}

#[test]
fn fifty_clients_connect_at_once() {
    let mut net = Net::new(qube(), config(60, 8));
    let handles: Vec<_> = (0..50).map(|_| net.client.connect()).collect();
    net.run(5_000);
    let mut streams = Vec::new();
    while let Some((mut stream, peer)) = net.listener.accept() {
        assert!(peer.starts_with(&net.client.ip().to_string()), "{peer}");
        assert_eq!(stream.write(peer.as_bytes()), Ok(peer.len()));
        streams.push(stream);
    }
    assert_eq!(streams.len(), 50);
    net.run(1_000);
    for handle in handles {
        let socket = net.client.socket(handle);
        assert_eq!(socket.state(), State::Established);
        assert!(socket.can_recv());
    }
}

#[test]
fn connections_beyond_the_pool_are_refused_and_come_in_later() {
    let mut net = Net::new(lan(), config(4, 2));
    let handles: Vec<_> = (0..6).map(|_| net.client.connect()).collect();
    net.run(5_000);
    let states: Vec<_> = handles.iter().map(|h| net.client.socket(*h).state()).collect();
    assert_eq!(states.iter().filter(|s| **s == State::Established).count(), 4, "{states:?}");
    assert_eq!(states.iter().filter(|s| **s == State::Closed).count(), 2, "{states:?}");
    // One leaves, and another comes.
    for handle in &handles {
        net.client.socket(*handle).close();
    }
    while let Some((stream, _)) = net.listener.accept() {
        drop(stream);
    }
    net.run(100);
    let (late, _stream) = connected(&mut net);
    assert_eq!(net.client.socket(late).state(), State::Established);
}

/// A thousand connections one after the other leave the pool as it was.
#[test]
fn sockets_are_used_again() {
    let mut net = Net::new(qube(), config(6, 2));
    for n in 0..1000 {
        let (handle, stream) = connected(&mut net);
        if n % 3 == 0 {
            net.client.socket(handle).abort();
        } else {
            net.client.socket(handle).close();
        }
        net.run(5);
        drop(stream);
        net.run(5);
        net.client.set.remove(handle);
    }
}

#[test]
fn a_client_that_vanishes_is_gone_after_minutes() {
    let mut net = Net::new(lan(), config(4, 2));
    let (_, mut stream) = connected(&mut net);
    net.weather.set(Weather { lost: 1000, late: 0, delay: 0 });
    net.run(120_000);
    assert_eq!(stream.fill(), Ok(&[][..]));
    net.run(120_000);
    assert_eq!(stream.fill(), Err(Closed));
    assert_eq!(stream.write(b"x"), Err(Closed));
}

#[test]
fn a_client_that_is_only_silent_stays() {
    let mut net = Net::new(qube(), config(4, 2));
    let (handle, mut stream) = connected(&mut net);
    net.run(24 * 3600 * 1000);
    let (at_server, _) = exchange(&mut net, handle, &mut stream, b"still here", b"");
    assert_eq!(at_server, b"still here");
}

/// A qube that the user pauses for an hour keeps its connections when the client does.
#[test]
fn a_pause_of_the_machine_ends_no_connection() {
    let mut net = Net::new(qube(), config(4, 2));
    let (handle, mut stream) = connected(&mut net);
    net.run(1000);
    net.now.set(net.now.get() + 3_600_000);
    net.run(1000);
    assert_eq!(stream.fill(), Ok(&[][..]));
    let (at_server, at_client) = exchange(&mut net, handle, &mut stream, b"hello", b"again");
    assert_eq!((&at_server[..], &at_client[..]), (&b"hello"[..], &b"again"[..]));
}

#[test]
fn an_abort_of_the_client_closes_the_stream() {
    let mut net = Net::new(lan(), config(4, 2));
    let (handle, mut stream) = connected(&mut net);
    net.client.socket(handle).abort();
    net.run(10);
    assert_eq!(stream.fill(), Err(Closed));
    assert_eq!(stream.write(b"x"), Err(Closed));
}

/// What was received before the FIN is still read.
#[test]
fn a_close_of_the_client_comes_after_its_data() {
    let mut net = Net::new(lan(), config(4, 2));
    let (handle, mut stream) = connected(&mut net);
    net.client.socket(handle).send_slice(b"the end").unwrap();
    net.client.socket(handle).close();
    net.run(100);
    assert_eq!(stream.fill(), Ok(&b"the end"[..]));
    stream.consume(4);
    assert_eq!(stream.fill(), Ok(&b"end"[..]));
    stream.consume(3);
    assert_eq!(stream.fill(), Err(Closed));
}

#[test]
fn what_was_written_before_the_drop_is_sent() {
    let mut net = Net::new(lan(), config(4, 2));
    let (handle, mut stream) = connected(&mut net);
    let data = bytes(1, 60_000);
    assert_eq!(stream.write(&data), Ok(data.len()));
    drop(stream);
    net.run(1000);
    let mut received = Vec::new();
    net.client.socket(handle).recv(|b| (b.len(), received.extend_from_slice(b))).unwrap();
    assert!(received == data);
    assert_eq!(net.client.socket(handle).state(), State::CloseWait);
}

/// A client that never reads and never closes does not hold its socket for ever.
#[test]
fn a_dropped_stream_does_not_wait_for_its_client_for_ever() {
    let mut net = Net::new(lan(), config(2, 1));
    let mut handles = Vec::new();
    for _ in 0..2 {
        let (handle, mut stream) = connected(&mut net);
        let data = bytes(1, 300_000);
        let mut sent = 0;
        for _ in 0..10 {
            sent += stream.write(&data[sent..]).unwrap();
            net.run(10);
        }
        assert!(sent < data.len());
        drop(stream);
        handles.push(handle);
    }
    net.run(70_000);
    connected(&mut net);
    assert_eq!(net.client.socket(handles[0]).state(), State::Closed);
}

#[test]
fn arp_and_ping_are_answered() {
    for address in [lan(), qube()] {
        let mut net = Net::new(address, config(2, 1));
        let ours = net.client.ip();
        let wanted = address.v4.unwrap().ip;
        let IpAddr::V4(asker) = ours else { panic!("{ours}") };
        net.client.port.send(who_has(asker, CLIENT_MAC, wanted));
        net.server.poll(0);
        let reply = net.client.port.take().expect("an ARP reply");
        let frame = EthernetFrame::new_checked(&reply).unwrap();
        assert_eq!(frame.dst_addr(), EthernetAddress(CLIENT_MAC));
        let arp = ArpRepr::parse(&ArpPacket::new_checked(frame.payload()).unwrap()).unwrap();
        let ArpRepr::EthernetIpv4 { operation, source_hardware_addr, source_protocol_addr, .. } =
            arp
        else {
            panic!("{arp:?}")
        };
        assert_eq!(operation, ArpOperation::Reply);
        assert_eq!(source_hardware_addr, EthernetAddress(SERVER_MAC));
        assert_eq!(source_protocol_addr, wanted);

        let echo = Icmpv4Repr::EchoRequest { ident: 1, seq_no: 2, data: b"hello" };
        let ping = ip_frame(ours, wanted.into(), IpProtocol::Icmp, echo.buffer_len(), |payload| {
            let mut packet = Icmpv4Packet::new_unchecked(payload);
            echo.emit(&mut packet, &ChecksumCapabilities::default());
        });
        // The first may be lost while the client's hardware address is looked up.
        for now in [0, 2000] {
            net.client.port.send(ping.clone());
            net.now.set(now);
            net.server.poll(now);
            net.client.port.take().into_iter().for_each(drop);
            net.server.poll(now);
        }
        net.client.port.send(ping);
        net.settle_server();
        let reply = net.client.port.take().expect("an echo reply");
        let ip = Ipv4Packet::new_checked(&reply[14..]).unwrap();
        assert_eq!(ip.dst_addr(), asker);
        let icmp = Icmpv4Packet::new_checked(ip.payload()).unwrap();
        let repr = Icmpv4Repr::parse(&icmp, &ChecksumCapabilities::default()).unwrap();
        assert_eq!(repr, Icmpv4Repr::EchoReply { ident: 1, seq_no: 2, data: b"hello" });
    }
}

/// The loop may sleep: without a reason, no deadline is now.
#[test]
fn the_deadline_lets_the_machine_sleep() {
    let mut net = Net::new(qube(), config(4, 2));
    net.settle();
    assert_eq!(net.server.deadline(net.now.get()), None);
    let (handle, mut stream) = connected(&mut net);
    net.run(100);
    let idle = net.server.deadline(net.now.get()).unwrap();
    assert!(idle > 30_000, "{idle}");
    stream.write(b"x").unwrap();
    assert_eq!(net.server.deadline(net.now.get()), Some(0));
    net.run(100);
    assert_eq!(stream.fill(), Ok(&[][..]));
    assert!(net.server.deadline(net.now.get()).unwrap() > 30_000);
    // What was read opens the window again.
    net.client.socket(handle).send_slice(b"hello").unwrap();
    net.run(100);
    assert!(net.server.deadline(net.now.get()).unwrap() > 30_000);
    assert_eq!(stream.fill(), Ok(&b"hello"[..]));
    assert_eq!(net.server.deadline(net.now.get()), Some(0));
    // A device without room: its event will come, and asking again at once gives nothing.
    net.server_room.set(0);
    for _ in 0..4 {
        net.server.poll(net.now.get());
    }
    assert!(net.server.deadline(net.now.get()).is_none_or(|d| d >= 100));
    net.server_room.set(100);
    net.run(100);
    assert!(net.server.deadline(net.now.get()).unwrap() > 30_000);
}

#[test]
fn a_new_address_ends_connections_and_takes_new_ones() {
    let mut net = Net::new(lan(), config(4, 2));
    let (_, mut stream) = connected(&mut net);
    net.server.set_address(None).unwrap();
    net.run(10);
    stream.write(b"x").ok();
    net.run(70_000);
    assert_eq!(stream.fill(), Err(Closed));
    drop(stream);
    let of = |ip| Address { v4: lan().v4.map(|own| Own { ip, ..own }), ..lan() };
    let other = of(Ipv4Address::new(10, 0, 0, 3));
    net.server.set_address(Some(other)).unwrap();
    net.client.server = ip_of(&other);
    connected(&mut net);
    assert!(net.server.set_address(Some(of(Ipv4Address::BROADCAST))).is_err());
    assert!(net.server.set_address(Some(Address { mac: [1; 6], ..lan() })).is_err());
}

/// The client's socket as its SSH sees it.
struct Socket<'a>(&'a mut smoltcp::socket::tcp::Socket<'static>);

impl net::Stream for Socket<'_> {
    fn fill(&mut self) -> Result<&[u8], Closed> {
        self.0.peek(1 << 16).map_err(|_| Closed)
    }

    fn consume(&mut self, n: usize) {
        self.0.recv(|_| (n, ())).unwrap();
    }

    fn write(&mut self, data: &[u8]) -> Result<usize, Closed> {
        self.0.send_slice(data).map_err(|_| Closed)
    }
}

#[test]
fn an_ssh_session_works_over_a_bad_network() {
    let mut net = Net::new(qube(), config(4, 2));
    let (handle, mut stream) = connected(&mut net);
    net.weather.set(Weather { lost: 10, late: 30, delay: 2 });
    let mut client = client::Client::new("alice", &[1; 32]);
    let pair = ed25519_compact::KeyPair::from_seed(ed25519_compact::Seed::new([1; 32]));
    let part = |bytes: &[u8]| [&(bytes.len() as u32).to_be_bytes(), bytes].concat();
    let key = [part(b"ssh-ed25519"), part(&*pair.pk)].concat();
    let host_key = net::HostKey::from_seed(&[2; 32]);
    let mut session = net::Session::new(Default::default(), Default::default()).unwrap();
    let data = bytes(5, 200_000);
    client.send(&data);
    let (mut echoed, mut waiting) = (0, Vec::new());
    while client.received().len() < data.len() {
        client.step(&mut Socket(net.client.socket(handle))).unwrap();
        loop {
            match session.step(&mut stream, &host_key).unwrap() {
                net::Event::Login(user) => {
                    assert_eq!(user, "alice");
                    session.set_keys(vec![key.clone()]);
                }
                net::Event::Data(channel) => {
                    let came = session.peek(channel).to_vec();
                    session.take(channel, came.len()).unwrap();
                    waiting.extend(came);
                }
                net::Event::Idle => break,
                _ => (),
            }
        }
        if session.is_authenticated() && !waiting.is_empty() {
            let sent = session.send(0, &waiting).unwrap();
            waiting.drain(..sent);
            echoed += sent;
        }
        let now = net.now.get();
        if !(net.server.poll(now) | net.client.poll(now)) {
            assert!(net.wait(600_000), "no end: {echoed} bytes echoed");
        }
    }
    assert!(*client.received() == data);
}
