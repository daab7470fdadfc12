//! TCP against clients that do not keep to the protocol, and against damaged frames.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tcp_wire;

use net::{Closed, Listener as _, Stream as _};
use smoltcp::socket::tcp::State;
use smoltcp::wire::{Ipv4Address, TcpControl};
use tcp_wire::*;

/// SYN packets that nobody stands behind take nobody's place.
#[test]
fn a_flood_of_syn_packets_is_bounded() {
    let mut net = Net::new(lan(), config(16, 8));
    // So that the flood's addresses are not looked up.
    let mut random = Random(5);
    let mut accepted = 0;
    for round in 0..200 {
        for _ in 0..20 {
            let host = Stranger::new(250, random.next() as u16 | 1);
            net.client.port.send(host.syn(&net));
        }
        net.settle();
        net.run(6);
        if round % 20 == 0 {
            let handle = net.client.connect();
            net.run(6);
            if let Some((stream, _)) = net.listener.accept() {
                accepted += 1;
                drop(stream);
            }
            net.client.socket(handle).abort();
            net.run(1);
            net.client.set.remove(handle);
        }
    }
    assert!(accepted >= 8, "{accepted} of 10 clients came in during the flood");
    net.run(60_000);
    connected(&mut net);
}

/// A client that sends much more than the window before anything is acknowledged, forwards and
/// backwards, gets what fits taken and no more.
#[test]
fn a_first_flight_beyond_the_window_does_no_harm() {
    for kib in [1, 16, 63, 64, 65, 100, 128, 256, 512] {
        for backwards in [false, true] {
            let config = net::tcp::Config { receive_buffer: kib * 1024, ..config(4, 2) };
            let mut net = Net::new(qube(), config);
            let host = Stranger::new(250, 4000);
            let syn = host.syn(&net);
            let answers = host.ask(&mut net, syn);
            let (first, theirs) = (host.next + 1, answers[0].number + 1);
            let data = bytes(1, 1 << 20);
            let mut frames: Vec<_> =
                (0..).map(|n| first + n * 1400).zip(data.chunks(1400)).collect();
            if backwards {
                frames[1..].reverse();
            }
            for (number, data) in frames {
                let frame = host.segment(&net, TcpControl::None, number, Some(theirs), data);
                net.client.port.send(frame);
            }
            let mut received = Vec::new();
            let (mut stream, _) = loop {
                net.server.poll(0);
                if let Some(stream) = net.listener.accept() {
                    break stream;
                }
            };
            while net.server.poll(0) || !stream.fill().unwrap().is_empty() {
                let came = stream.fill().unwrap();
                let n = came.len();
                received.extend_from_slice(came);
                stream.consume(n);
            }
            assert!(!received.is_empty() && data.starts_with(&received));
        }
    }
}

/// Frames of random bytes, and real ones with bytes changed, do no harm.
#[test]
fn damaged_frames_do_no_harm() {
    let mut net = Net::new(qube(), config(8, 4));
    let (handle, mut stream) = connected(&mut net);
    let mut random = Random(11);
    let real = Stranger::new(250, 4000).syn(&net);
    for _ in 0..50_000 {
        let mut frame = real.clone();
        for _ in 0..=random.below(6) {
            let at = random.below(frame.len() as u64) as usize;
            frame[at] = random.next() as u8;
        }
        frame.truncate(random.below(80) as usize);
        net.client.port.send(frame);
        if random.below(64) == 0 {
            net.server.poll(net.now.get());
            while net.client.port.take().is_some() {}
        }
    }
    net.run(10_000);
    let (at_server, _) = exchange(&mut net, handle, &mut stream, b"still here", b"");
    assert_eq!(at_server, b"still here");
}

/// Segments with wrong numbers, flags, options and lengths, in every state of a connection: there
/// are no checksums here to keep them away.
#[test]
fn damaged_segments_do_no_harm() {
    for seed in 0..100 {
        let mut net = Net::with(qube(), config(8, 4), (seed % 2 == 0).then_some(60_000));
        net.weather.set(Weather { lost: seed % 30, late: 100, delay: 1 });
        net.server.device().random = Random(seed + 99);
        net.client.port.random = Random(seed + 999);
        let damaged = net.server.device().damaged.clone();
        damaged.set(300);
        let data = bytes(seed, 200_000);
        for _ in 0..20 {
            let handle = net.client.connect();
            let mut streams = Vec::new();
            for step in 0..40 {
                streams.extend(net.listener.accept());
                streams.retain_mut(|(stream, _)| {
                    let n = match stream.fill() {
                        Ok(came) => came.len(),
                        Err(Closed) => return false,
                    };
                    stream.consume(n);
                    stream.write(&data).is_ok()
                });
                let socket = net.client.socket(handle);
                if socket.may_send() {
                    socket.send_slice(&data).unwrap();
                }
                while socket.can_recv() {
                    socket.recv(|b| (b.len(), ())).unwrap();
                }
                if step == 30 {
                    socket.close();
                }
                net.run(20);
            }
            net.client.socket(handle).abort();
            net.run(1);
            net.client.set.remove(handle);
        }
        damaged.set(0);
        net.weather.set(FINE);
        net.run(400_000);
        while net.listener.accept().is_some() {}
        net.run(100_000);
        let (handle, mut stream) = connected(&mut net);
        let (at_server, _) = exchange(&mut net, handle, &mut stream, b"still here", b"");
        assert_eq!(at_server, b"still here");
    }
}

/// What never completes its handshake keeps nobody out, neither one host's packets nor those of many.
#[test]
fn handshakes_that_nobody_completes_keep_nobody_out() {
    for address in [lan(), qube()] {
        for hosts in [1, 60] {
            let mut net = Net::new(address, config(20, 4));
            for n in 0..200 {
                let host = Stranger::new(100 + n % hosts, 4000 + u16::from(n));
                net.client.port.send(host.syn(&net));
            }
            let handle = net.client.connect();
            net.run(100);
            assert_eq!(net.client.socket(handle).state(), State::Established, "{hosts} hosts");
            assert!(net.listener.accept().is_some());
        }
    }
}

/// One host's flood, 2,000 packets a second, is not even noticed by others: each of them gets in
/// within two round trips.
#[test]
fn one_hosts_flood_keeps_nobody_out() {
    let mut net = Net::new(lan(), config(20, 4));
    net.weather.set(Weather { delay: 20, ..FINE });
    let mut random = Random(3);
    for client in 0..20 {
        let handle = net.client.connect();
        for _ in 0..80 {
            for _ in 0..4 {
                let host = Stranger::new(100, random.next() as u16);
                net.client.port.send(host.syn(&net));
            }
            net.run(2);
        }
        assert_eq!(net.client.socket(handle).state(), State::Established, "{client}");
        let (stream, _) = net.listener.accept().unwrap();
        drop(stream);
        net.client.socket(handle).abort();
        net.run(1);
        net.client.set.remove(handle);
    }
}

/// Who else speaks on the link does not matter to a connection.
#[test]
fn an_established_connection_stays_reachable_among_many_neighbours() {
    let mut net = Net::new(lan(), config(20, 4));
    let (handle, mut stream) = connected(&mut net);
    for round in 0..3 {
        for host in 3..=254 {
            let ip = Ipv4Address::new(10, 0, 0, host);
            if net.client.ip() != ip {
                net.client.port.send(who_has(
                    ip,
                    [2, 0, 0, 1, 0, host],
                    Ipv4Address::new(10, 0, 0, 2),
                ));
                // And one whom nobody answers.
                let host = Stranger::new(host, 9);
                net.client.port.send(host.says(&net, TcpControl::None, &[]));
            }
        }
        net.settle_server();
        let from = net.now.get();
        let (at_server, at_client) = exchange(&mut net, handle, &mut stream, b"hello", b"again");
        assert_eq!((&at_server[..], &at_client[..]), (&b"hello"[..], &b"again"[..]));
        assert!(net.now.get() - from < 100, "{round}: {} ms", net.now.get() - from);
        net.run(100_000);
    }
}

/// A client whose hardware address changes, as when it moves, is answered at the new one.
#[test]
fn a_client_may_move() {
    let mut net = Net::new(lan(), config(4, 2));
    let (_, mut stream) = connected(&mut net);
    let std::net::IpAddr::V4(ip) = net.client.ip() else { panic!("IPv4") };
    net.client.port.send(who_has(ip, [2, 0, 0, 1, 0, 7], ip));
    net.settle_server();
    stream.write(b"hello").unwrap();
    net.settle_server();
    let frame = std::iter::from_fn(|| net.client.port.take()).last().unwrap();
    assert_eq!(frame[..6], [2, 0, 0, 1, 0, 7]);
}

/// A peer that lets a closed connection linger without a window is answered no more often than it
/// asks, and the loop may sleep.
#[test]
fn a_closed_connection_does_not_acknowledge_without_end() {
    // With a part of the data on its way, and with all of it and the FIN.
    for window in [100, 1000] {
        let mut net = Net::new(qube(), config(4, 2));
        let mut host = Stranger { window, ..Stranger::new(40, 4000) };
        host.connect(&mut net);
        let (mut stream, _) = net.listener.accept().unwrap();
        stream.write(&bytes(1, 200)).unwrap();
        drop(stream);
        net.settle_server();
        let before = net.server_sent.get();
        for taken in [100, 201] {
            let host = Stranger { theirs: host.theirs + taken, window: 0, ..host };
            net.client.port.send(host.says(&net, TcpControl::None, &[]));
            let until = net.now.get() + 20_000;
            while net.now.get() < until {
                net.server.poll(net.now.get());
                net.now.set(net.now.get() + 1);
                host.answers(&mut net);
            }
        }
        let sent = net.server_sent.get() - before;
        assert!(sent < 100, "{sent} packets");
        let wait = net.server.deadline(net.now.get());
        assert!(wait.is_none_or(|ms| ms > 10), "{wait:?}");
    }
}
