//! TCP against clients that do not keep to the protocol, and against damaged frames.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tcp_wire;

use net::{Closed, Listener as _, Stream as _};
use smoltcp::wire::{TcpControl, TcpPacket};
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
            let frame = syn(&net, random.next() as u16 | 1, random.next() as i32);
            net.client.port.send(frame);
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
            let frame = syn(&net, 4000, 99);
            net.client.port.send(frame);
            net.settle_server();
            let reply = net.client.port.take().expect("SYN and ACK");
            let theirs = TcpPacket::new_checked(&reply[34..]).unwrap().seq_number() + 1;
            let data = bytes(1, 1 << 20);
            let mut frames: Vec<_> = (0..).map(|n| 100 + n * 1400).zip(data.chunks(1400)).collect();
            if backwards {
                frames[1..].reverse();
            }
            for (number, data) in frames {
                let frame = segment(&net, 4000, TcpControl::None, number, Some(theirs), data);
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
    let real = syn(&net, 4000, 1);
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
