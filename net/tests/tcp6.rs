//! What IPv6 has of its own: neighbour discovery (RFC 4861), what routers say, headers before TCP's, and two
//! families at once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tcp_wire;

use net::tcp::{Address, Own};
use net::{Closed, Listener as _, Stream as _};
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, Icmpv6Message, Icmpv6Packet, IpProtocol, Ipv6Address,
    Ipv6Packet, TcpControl,
};
use tcp_wire::*;

const SOLICITED_NODE: [u8; 6] = [0x33, 0x33, 0xff, 0, 0, 2];
const CLIENT: u16 = 9;

fn local(host: u16) -> Ipv6Address {
    Ipv6Address::new(0xfe80, 0, 0, 0, 0, 0, 0, host)
}

/// Ours: made of the hardware address.
fn our_local() -> Ipv6Address {
    Ipv6Address::new(0xfe80, 0, 0, 0, 0x0216, 0x3eff, 0xfe5e, 0x6c00)
}

/// A message of neighbour discovery: of a solicitation and an advertisement the flags and the target.
struct Said {
    from: Ipv6Address,
    to: Ipv6Address,
    mac: [u8; 6],
    hops: u8,
    kind: u8,
    flags: u8,
    target: Ipv6Address,
    options: Vec<u8>,
}

impl Said {
    fn solicitation(target: Ipv6Address) -> Self {
        let to = Ipv6Address::new(0xff02, 0, 0, 0, 0, 1, 0xff00, 2);
        let from = host6(CLIENT);
        Self {
            from,
            to,
            mac: SOLICITED_NODE,
            hops: 255,
            kind: 135,
            flags: 0,
            target,
            options: vec![],
        }
    }

    fn frame(&self) -> Vec<u8> {
        let length = 24 + self.options.len();
        let what = (IpProtocol::Icmpv6, self.hops);
        let mut frame = hop_frame(self.from.into(), self.to.into(), what, length, |payload| {
            payload[0] = self.kind;
            payload[4] = self.flags;
            payload[8..24].copy_from_slice(&self.target.octets());
            payload[24..].copy_from_slice(&self.options);
            Icmpv6Packet::new_unchecked(payload).fill_checksum(&self.from, &self.to);
        });
        frame[..6].copy_from_slice(&self.mac);
        frame
    }
}

/// What the server sends to one frame: to which hardware address, from and to whom, and the message.
fn answer(net: &mut Net, frame: Vec<u8>) -> Option<([u8; 6], Ipv6Address, Ipv6Address, Vec<u8>)> {
    net.settle_server();
    while net.client.port.take().is_some() {}
    net.client.port.send(frame);
    net.settle_server();
    let reply = net.client.port.take()?;
    assert_eq!(net.client.port.take(), None, "a second answer");
    let frame = EthernetFrame::new_checked(&reply).unwrap();
    assert_eq!(frame.src_addr(), EthernetAddress(SERVER_MAC));
    let ip = Ipv6Packet::new_checked(frame.payload()).unwrap();
    let message = Icmpv6Packet::new_checked(ip.payload()).unwrap();
    assert!(message.verify_checksum(&ip.src_addr(), &ip.dst_addr()));
    assert!(ip.hop_limit() == 255 || message.msg_type() == Icmpv6Message::EchoReply);
    Some((frame.dst_addr().0, ip.src_addr(), ip.dst_addr(), ip.payload().to_vec()))
}

#[test]
fn who_asks_for_us_is_told() {
    for address in [lan6(), qube6()] {
        let mut net = Net::new(address, config(2, 1));
        for ours in [address.v6.unwrap().ip, our_local()] {
            for from in [host6(CLIENT), local(CLIENT)] {
                let asked = Said { from, ..Said::solicitation(ours) };
                let (mac, src, dst, message) = answer(&mut net, asked.frame()).expect("an answer");
                // It stays known to those who have lost it.
                assert_eq!((mac, src, dst), (CLIENT_MAC, ours, from));
                assert_eq!((message[0], message[4]), (136, 0x60));
                assert_eq!(message[8..24], ours.octets());
                assert_eq!(message[24..], [&[2, 1][..], &SERVER_MAC].concat());
                // Asked directly, too, as one who has not heard of us for a while does.
                let again = Said { to: ours, mac: SERVER_MAC, ..asked };
                assert_eq!(answer(&mut net, again.frame()).unwrap().3, message);
            }
        }
    }
}

/// Another host that is given our address learns that it is in use (RFC 4862, 5.4).
#[test]
fn who_looks_whether_our_address_is_free_is_told_and_all_with_him() {
    let mut net = Net::new(lan6(), config(2, 1));
    let asked = Said { from: Ipv6Address::UNSPECIFIED, ..Said::solicitation(host6(2)) };
    let (mac, src, dst, message) = answer(&mut net, asked.frame()).expect("an answer");
    assert_eq!((mac, src), ([0x33, 0x33, 0, 0, 0, 1], host6(2)));
    assert_eq!(dst, Ipv6Address::new(0xff02, 0, 0, 0, 0, 0, 0, 1));
    assert_eq!((message[0], message[4]), (136, 0x20));
}

#[test]
fn what_is_no_question_about_us_has_no_answer() {
    let mut net = Net::new(lan6(), config(2, 1));
    let asked = || Said::solicitation(host6(2));
    let mut bad = vec![
        // From behind a router, of somebody else, from nobody's address.
        Said { hops: 254, ..asked() }.frame(),
        Said { target: host6(3), ..asked() }.frame(),
        Said { from: Ipv6Address::new(0xff02, 0, 0, 0, 0, 0, 0, 9), ..asked() }.frame(),
        Said { from: host6(2), ..asked() }.frame(),
        // From outside of the network, where there is no gateway.
        Said { from: Ipv6Address::new(0xfd00, 0, 0, 8, 0, 0, 0, 9), ..asked() }.frame(),
    ];
    let good = asked().frame();
    for length in 14..good.len() {
        let mut short = good[..length].to_vec();
        if length > 57 {
            short[18..20].copy_from_slice(&((length - 54) as u16).to_be_bytes());
            short = summed_again(short);
        }
        bad.push(short);
    }
    let mut damaged = good.clone();
    damaged[60] ^= 1;
    bad.push(damaged);
    for frame in bad {
        assert_eq!(answer(&mut net, frame.clone()), None, "{frame:?}");
    }
    assert!(answer(&mut net, good).is_some());
}

/// A thousand that ask at once are answered as far as there is room: nothing is kept of them.
#[test]
fn a_flood_of_questions_leaves_nothing() {
    let mut net = Net::new(lan6(), config(4, 2));
    let (handle, mut stream) = connected(&mut net);
    for round in 0..1000 {
        let asked = Said { from: host6(1000 + round), ..Said::solicitation(host6(2)) };
        net.client.port.send(asked.frame());
    }
    let from = net.now.get();
    let (at_server, at_client) = exchange(&mut net, handle, &mut stream, b"hello", b"again");
    assert_eq!((&at_server[..], &at_client[..]), (&b"hello"[..], &b"again"[..]));
    assert!(net.now.get() - from < 100);
}

/// A client that moves to another interface says so.
#[test]
fn a_client_may_move() {
    let mut net = Net::new(lan6(), config(4, 2));
    let (_, mut stream) = connected(&mut net);
    let std::net::IpAddr::V6(client) = net.client.ip() else { panic!("IPv6") };
    let moved = Said {
        from: client,
        to: host6(2),
        mac: SERVER_MAC,
        kind: 136,
        flags: 0x20,
        ..Said::solicitation(client)
    };
    for (hops, expected) in [(254, CLIENT_MAC), (255, [2, 0, 0, 1, 0, 7])] {
        let mut frame = Said { hops, target: client, options: vec![], ..moved }.frame();
        frame[6..12].copy_from_slice(&[2, 0, 0, 1, 0, 7]);
        net.client.port.send(frame);
        net.settle_server();
        stream.write(b"hello").unwrap();
        net.settle_server();
        let frame = std::iter::from_fn(|| net.client.port.take()).last().unwrap();
        assert_eq!(frame[..6], expected);
    }
}

/// Advertisements, redirects and what else routers say: addresses, routes and the MTU stay as they were given.
#[test]
fn routers_change_nothing() {
    let mut net = Net::new(qube6(), config(4, 2));
    let (handle, mut stream) = connected(&mut net);
    let router = [2, 0, 0, 0, 0, 77];
    // An MTU of 1280, a prefix that makes addresses, the router's hardware address.
    let prefix = [&[3, 4, 64, 0xc0][..], &[0xff; 8], &[0; 4], &host6(0).octets()].concat();
    let options = [&[5, 1, 0, 0, 0, 0, 5, 0][..], &prefix, &[1, 1], &router].concat();
    for (kind, target) in [(134, local(1)), (137, local(77)), (133, local(1))] {
        for to in [qube6().v6.unwrap().ip, Ipv6Address::new(0xff02, 0, 0, 0, 0, 0, 0, 1)] {
            let to_us = to != Ipv6Address::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
            let mac = if to_us { SERVER_MAC } else { [0x33, 0x33, 0, 0, 0, 1] };
            let said = Said {
                from: local(77),
                to,
                mac,
                hops: 255,
                kind,
                flags: 64,
                target,
                options: options.clone(),
            };
            assert_eq!(answer(&mut net, said.frame()), None);
        }
    }
    let down = bytes(4, 1 << 20);
    let (_, at_client) = exchange(&mut net, handle, &mut stream, &[], &down);
    assert!(at_client == down);
    assert_eq!((net.longest.get(), net.server.address()), (1500, Some(qube6())));
    // The prefix has given us no address.
    let made = Ipv6Address::new(0xfd00, 0, 0, 7, 0x0216, 0x3eff, 0xfe5e, 0x6c00);
    assert_eq!(answer(&mut net, Said::solicitation(made).frame()), None);
}

#[test]
fn pings_are_answered() {
    for address in [lan6(), qube6()] {
        for ours in [address.v6.unwrap().ip, our_local()] {
            let mut net = Net::new(address, config(2, 1));
            let from = if ours == our_local() { local(CLIENT) } else { host6(CLIENT) };
            let ping = ip_frame(from.into(), ours.into(), IpProtocol::Icmpv6, 13, |payload| {
                payload.copy_from_slice(&[128, 0, 0, 0, 0, 1, 0, 2, 1, 2, 3, 4, 5]);
                Icmpv6Packet::new_unchecked(payload).fill_checksum(&from, &ours);
            });
            let (mac, src, dst, message) = answer(&mut net, ping.clone()).expect("an answer");
            assert_eq!((mac, src, dst), (CLIENT_MAC, ours, from));
            assert_eq!((message[0], &message[4..]), (129, &[0, 1, 0, 2, 1, 2, 3, 4, 5][..]));
        }
    }
}

/// Also on a link where nobody has given other addresses.
#[test]
fn a_client_with_a_link_local_address() {
    let mut net = Net::new(lan6(), config(4, 2));
    net.client.server = our_local().into();
    let mut host = Stranger { ip: local(CLIENT).into(), ..Stranger::new(9, 4000) };
    host.connect(&mut net);
    let (mut stream, peer) = net.listener.accept().expect("a connection");
    assert_eq!(peer, "[fe80::9]:4000");
    assert_eq!(stream.peer_address(), Some(local(CLIENT).into()));
    stream.write(b"hello").unwrap();
    net.settle_server();
    assert_eq!(host.answers(&mut net).last().map(|answer| answer.data), Some(5));
}

/// Fragments and other headers before TCP's are not read, and nobody comes in another's form.
#[test]
fn what_is_no_plain_packet_is_dropped() {
    let mut net = Net::new(Address { v4: lan().v4, ..qube6() }, config(4, 2));
    net.client.server = qube6().v6.unwrap().ip.into();
    let host = Stranger { ip: host6(CLIENT).into(), ..Stranger::new(9, 4000) };
    let plain = host.syn(&net);
    let mut frames = Vec::new();
    // Hop-by-hop options, routing, a fragment, options for the destination, and one whose data has no end.
    for (kind, header) in [
        (0, [6, 0, 1, 4, 0, 0, 0, 0]),
        (43, [6, 0, 0, 0, 0, 0, 0, 0]),
        (44, [6, 0, 0, 0, 0, 0, 0, 1]),
        (44, [6, 0, 0, 1, 0, 0, 0, 1]),
        (60, [6, 0, 1, 4, 0, 0, 0, 0]),
        (0, [6, 255, 1, 4, 0, 0, 0, 0]),
    ] {
        let mut frame = [&plain[..54], &header, &plain[54..]].concat();
        frame[20] = kind;
        let length = (frame.len() - 54) as u16;
        frame[18..20].copy_from_slice(&length.to_be_bytes());
        frames.push(frame);
    }
    let v4 = Stranger::new(9, 4000);
    for from in [v4.ip.to_string(), "0.0.0.0".into(), "127.0.0.1".into()] {
        let ip = from.parse::<std::net::Ipv4Addr>().unwrap().to_ipv6_mapped().into();
        frames.push(Stranger { ip, ..host }.syn(&net));
    }
    // To all hosts' hardware address.
    frames.push([&[0x33, 0x33, 0, 0, 0, 1][..], &plain[6..]].concat());
    for ip in ["::1", "::", "ff02::1"] {
        frames.push(Stranger { ip: ip.parse().unwrap(), ..host }.syn(&net));
    }
    for frame in frames {
        net.client.port.send(frame.clone());
        net.settle_server();
        assert!(
            std::iter::from_fn(|| net.client.port.take())
                .all(|answer| answer[47..48] != [6] && answer[20] != 6),
            "{frame:?}"
        );
    }
    assert_eq!(host.ask(&mut net, plain).len(), 1);
}

/// As over IPv4 (tcp_segments.rs): an RST that does not have the very next number, a SYN and an
/// acknowledgment of what was not sent are answered, and end nothing.
#[test]
fn blind_segments_are_challenged() {
    let mut net = Net::new(lan6(), config(4, 2));
    let mut host = Stranger::beside(&net, 40, 4000);
    host.connect(&mut net);
    let (mut stream, _) = net.listener.accept().unwrap();
    for (control, number, ack) in [
        (TcpControl::Rst, host.next + 1, Some(host.theirs)),
        (TcpControl::Syn, host.next + 5, None),
        (TcpControl::None, host.next, Some(host.theirs + 9)),
    ] {
        let frame = host.segment(&net, control, number, ack, &[]);
        let answers = host.ask(&mut net, frame);
        assert_eq!(answers.len(), 1, "{control:?}");
        assert_eq!(
            (answers[0].ack, answers[0].number, answers[0].rst),
            (host.next, host.theirs, false)
        );
        net.run(1000);
    }
    assert_eq!(stream.fill(), Ok(&[][..]));
    let frame = host.says(&net, TcpControl::Rst, &[]);
    host.ask(&mut net, frame);
    assert_eq!(stream.fill(), Err(Closed));
}

/// What is not of a packet on its way changes nothing, nor does less than any path has (RFC 8201, 4).
#[test]
fn forged_words_about_the_path_change_nothing() {
    let mut net = Net::new(qube6(), config(4, 2));
    let (handle, mut stream) = connected(&mut net);
    net.weather.set(Weather { delay: 20, ..FINE });
    stream.write(&bytes(1, 1300)).unwrap();
    let told = too_big(&net.sent_data(), 1280);
    // The quoted packet is told[62..]: its addresses at 70 and 86, ports at 102, the number at 106; version, next header.
    for (at, change) in [
        (85, 1),
        (101, 1),
        (103, 1),
        (105, 1),
        (106, 0x40),
        (108, 0x40),
        (62, 0x20),
        (68, 1),
        (55, 1),
        // 65,536 bytes more.
        (59, 1),
    ] {
        let mut forged = told.clone();
        forged[at] ^= change;
        net.client.port.send(summed_again(forged));
    }
    let less = too_big(&net.sent_data(), 1279);
    net.client.port.send(less);
    let mut damaged = told.clone();
    damaged[60] ^= 1;
    net.client.port.send(damaged);
    for length in 54..110 {
        let mut short = told[..length].to_vec();
        short[18..20].copy_from_slice(&((length - 54) as u16).to_be_bytes());
        if length > 58 {
            short = summed_again(short);
        }
        net.client.port.send(short);
    }
    net.run(1000);
    net.weather.set(FINE);
    net.longest.set(0);
    let down = bytes(4, 1 << 20);
    while net.client.socket(handle).can_recv() {
        net.client.socket(handle).recv(|b| (b.len(), ())).unwrap();
    }
    exchange(&mut net, handle, &mut stream, &[], &down);
    assert_eq!(net.longest.get(), 1500);
}

/// Both at once, and another address of one family is nothing to the other.
#[test]
fn two_families() {
    let both = Address { v6: lan6().v6, ..lan() };
    let mut net = Net::new(both, config(6, 2));
    let (handle, mut stream) = connected(&mut net);
    net.client.server = host6(2).into();
    let mut host = Stranger::beside(&net, 40, 4000);
    host.connect(&mut net);
    let (mut six, _) = net.listener.accept().expect("one of each");
    six.write(b"hello").unwrap();
    net.settle_server();
    assert_eq!(host.answers(&mut net).last().map(|answer| answer.data), Some(5));
    let moved = Own { ip: host6(3), ..lan6().v6.unwrap() };
    net.server.set_address(Some(Address { v6: Some(moved), ..both })).unwrap();
    let (at_server, at_client) = exchange(&mut net, handle, &mut stream, b"hello", b"again");
    assert_eq!((&at_server[..], &at_client[..]), (&b"hello"[..], &b"again"[..]));
    net.client.server = host6(3).into();
    Stranger::beside(&net, 41, 4001).connect(&mut net);
    assert!(net.listener.accept().is_some());
    six.write(b"x").ok();
    net.run(70_000);
    assert_eq!(six.fill(), Err(Closed));
}

/// IPv6 needs 1280 bytes (RFC 8200, 5); IPv4 goes on.
#[test]
fn a_link_with_a_small_mtu_has_no_ipv6() {
    let both = Address { v6: lan6().v6, ..lan() };
    for (mtu, expected) in [(1279, lan()), (1280, both)] {
        let config = net::tcp::Config { mtu: Some(mtu), ..config(4, 2) };
        let mut net = Net::new(both, config);
        assert_eq!(net.server.address(), Some(expected));
        connected(&mut net);
        let answered = answer(&mut net, Said::solicitation(host6(2)).frame()).is_some();
        assert_eq!(answered, mtu == 1280);
    }
}

#[test]
fn addresses_that_no_host_has() {
    let mut net = Net::new(lan6(), config(2, 1));
    let of = |ip: &str, prefix| {
        let own = Own { ip: ip.parse().unwrap(), prefix, gateway: None };
        Some(Address { v6: Some(own), ..lan6() })
    };
    for bad in ["::", "::1", "ff02::1", "fe80::1", "::ffff:10.0.0.2"] {
        assert!(net.server.set_address(of(bad, 64)).is_err(), "{bad}");
    }
    assert!(net.server.set_address(of("fd00::1", 129)).is_err());
    net.server.set_address(of("fd00::1", 128)).unwrap();
}
