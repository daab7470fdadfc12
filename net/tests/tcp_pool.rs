//! Who has a place in the pool of sockets, and for how long; and frames that are dropped before they reach it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tcp_wire;

use net::{Closed, Listener as _, Stream as _};
use smoltcp::phy::Checksum;
use smoltcp::wire::{ArpOperation, ArpPacket, Ipv4Packet, TcpControl, TcpPacket};
use tcp_wire::*;

fn host(number: u8) -> Stranger {
    Stranger::new(number, 4000)
}

/// The first half of a handshake; the host is ready to complete it.
fn begin(net: &mut Net, number: u8) -> Stranger {
    let mut host = host(number);
    let syn = host.syn(net);
    let answers = host.ask(net, syn);
    assert!(answers.len() == 1 && answers[0].syn, "{answers:?}");
    host.next += 1;
    host.theirs = answers[0].number + 1;
    host
}

fn complete(net: &mut Net, host: &Stranger) {
    net.client.port.send(host.says(net, TcpControl::None, &[]));
    net.settle_server();
}

fn accepted(net: &mut Net) -> Vec<String> {
    std::iter::from_fn(|| net.listener.accept()).map(|(_, peer)| peer).collect()
}

/// Lets time pass, and says when this host is told that its connection is over.
fn reset_at(net: &mut Net, host: &Stranger, until: u64) -> Option<u64> {
    let until = net.now.get() + until;
    loop {
        net.settle_server();
        if host.answers(net).iter().any(|answer| answer.rst) {
            return Some(net.now.get());
        }
        if !net.wait(until) {
            return None;
        }
    }
}

#[test]
fn the_connection_that_has_waited_longest_is_taken_first() {
    let mut net = Net::new(lan(), config(3, 3));
    let hosts = [40, 41, 42].map(|number| begin(&mut net, number));
    for index in [1, 2, 0] {
        complete(&mut net, &hosts[index]);
    }
    assert_eq!(accepted(&mut net), ["10.0.0.41:4000", "10.0.0.42:4000", "10.0.0.40:4000"]);
}

#[test]
fn two_that_come_at_once_are_both_answered_at_once() {
    let mut net = Net::new(lan(), config(2, 2));
    net.settle_server();
    for number in [40, 41] {
        net.client.port.send(host(number).syn(&net));
    }
    net.server.poll(net.now.get());
    let frames: Vec<_> = std::iter::from_fn(|| net.client.port.take()).collect();
    for number in [40, 41] {
        let answers = frames.iter().filter_map(|frame| Answer::of(frame, &host(number)));
        assert_eq!(answers.filter(|answer| answer.syn).count(), 1, "{number}");
    }
}

/// Where all sockets have a handshake that is not complete, the next SYN takes the oldest one's place, and what
/// is no SYN for us nobody's.
#[test]
fn one_that_comes_takes_one_place() {
    let mut net = Net::new(lan(), config(3, 3));
    let hosts = [40, 41, 42].map(|number| begin(&mut net, number));
    let other = host(50);
    let with_flags = |net: &Net, flags: u8| {
        let mut frame = other.says(net, TcpControl::None, &[]);
        frame[47] = flags;
        summed_again(frame)
    };
    let mut stray = [0, 2 | 4, 2 | 16, 16].map(|flags| with_flags(&net, flags)).to_vec();
    let mut elsewhere = other.syn(&net);
    elsewhere[36] ^= 1;
    stray.push(summed_again(elsewhere));
    for frame in stray {
        net.client.port.send(frame);
        net.settle_server();
    }
    let answers = other.answers(&mut net);
    assert!(!answers.is_empty() && answers.iter().all(|answer| answer.rst), "{answers:?}");
    let late = begin(&mut net, 51);
    for host in hosts.iter().chain([&late]) {
        complete(&mut net, host);
    }
    assert_eq!(accepted(&mut net), ["10.0.0.41:4000", "10.0.0.42:4000", "10.0.0.51:4000"]);
}

/// Also when the device has no room at that time.
#[test]
fn a_handshake_has_ten_seconds() {
    for room in [1024, 0] {
        let mut net = Net::new(lan(), config(1, 1));
        let host = begin(&mut net, 40);
        if room == 0 {
            // In steps that are no pause of the machine.
            for now in [3_000, 6_000, 9_000] {
                net.now.set(now);
                net.settle_server();
            }
            host.answers(&mut net);
            net.server_room.set(0);
            for now in [10_000, 10_500, 11_000] {
                net.now.set(now);
                net.settle_server();
            }
            net.server_room.set(1024);
        }
        let at = reset_at(&mut net, &host, 20_000).expect("an RST");
        assert!((10_000..=11_000).contains(&at), "{at}");
        assert!(room == 0 || at <= 10_010, "{at}");
        begin(&mut net, 41);
    }
}

/// A connection that the server has closed and its client keeps half open ends after a minute.
#[test]
fn a_client_that_does_not_close_has_a_minute() {
    let mut net = Net::new(lan(), config(1, 1));
    let mut host = host(40);
    host.connect(&mut net);
    drop(net.listener.accept().unwrap());
    let since = net.now.get();
    net.settle_server();
    net.now.set(since + 500);
    host.theirs += 1;
    complete(&mut net, &host);
    let at = reset_at(&mut net, &host, 100_000).expect("an RST") - since;
    assert!((60_000..=60_010).contains(&at), "{at}");
}

/// The only socket is left to another at once when there is nothing more to say: after both have closed, and when
/// the client has all and does not close. With something left it waits for two seconds, if somebody is there.
#[test]
fn who_comes_gets_the_place_of_one_that_was_closed() {
    for (acknowledges, closes, waits) in [(true, true, 0), (true, false, 0), (false, false, 2_000)]
    {
        let mut net = Net::new(lan(), config(1, 1));
        let mut old = host(40);
        old.connect(&mut net);
        let (mut stream, _) = net.listener.accept().unwrap();
        stream.write(b"bye").unwrap();
        drop(stream);
        let since = net.now.get();
        net.settle_server();
        if acknowledges {
            old.theirs += 4;
            let control = if closes { TcpControl::Fin } else { TcpControl::None };
            net.client.port.send(old.says(&net, control, &[]));
            net.settle_server();
        }
        old.answers(&mut net);
        let answers_at = |net: &mut Net, at: u64| {
            net.now.set(since + at);
            let syn = host(41).syn(net);
            host(41).ask(net, syn)
        };
        if waits > 0 {
            assert_eq!(answers_at(&mut net, waits - 1), []);
        }
        let answers = answers_at(&mut net, waits);
        assert!(answers.len() == 1 && answers[0].syn, "{answers:?} after {waits}");
    }
}

/// A connection is followed from its SYN on, also when it takes the only socket.
#[test]
fn an_rst_must_be_exact_for_the_only_connection() {
    let buffer = 256 * 1024;
    let config = net::tcp::Config { receive_buffer: buffer, ..config(1, 1) };
    let mut net = Net::new(lan(), config);
    let mut host = host(40);
    host.connect(&mut net);
    let (mut stream, _) = net.listener.accept().unwrap();
    let ahead =
        |net: &Net, offset| host.segment(net, TcpControl::Rst, host.next + offset, None, &[]);
    let frame = ahead(&net, 1);
    assert_eq!(host.ask(&mut net, frame).len(), 1);
    // Its window is told in units, and larger than 64 KiB.
    let frame = host.says(&net, TcpControl::Psh, b"hello");
    host.ask(&mut net, frame);
    net.run(1_100);
    host.answers(&mut net);
    let ahead =
        |net: &Net, offset| host.segment(net, TcpControl::Rst, host.next + offset, None, &[]);
    for (offset, answers) in [(200_000, 1), (300_000, 0)] {
        net.now.set(net.now.get() + 2_000);
        let frame = ahead(&net, offset);
        assert_eq!(host.ask(&mut net, frame).len(), answers, "{offset}");
    }
    assert_eq!(stream.fill(), Ok(&b"hello"[..]));
}

/// Where the device leaves TCP's checksums to us they are checked and made: also those of what smoltcp never sees.
#[test]
fn sums_are_checked_where_the_device_does_not() {
    for sums in [Checksum::Both, Checksum::Rx, Checksum::Tx] {
        let mut net = Net::new(lan(), config(2, 2));
        // A device may come back with less than it could do before.
        net.settle_server();
        net.server.device().sums = sums;
        let damaged = |mut frame: Vec<u8>| {
            frame[50] ^= 0x55;
            frame
        };
        let checks = sums.rx();
        let mut host = host(40);
        let syn = damaged(host.syn(&net));
        if checks {
            assert_eq!(host.ask(&mut net, syn), []);
        }
        host.connect(&mut net);
        let (mut stream, _) = net.listener.accept().unwrap();
        net.client.port.send(damaged(host.says(&net, TcpControl::Psh, b"bad")));
        net.settle_server();
        let expected = if checks { &b""[..] } else { b"bad" };
        assert_eq!(stream.fill(), Ok(expected));
        while net.client.port.take().is_some() {}
        stream.write(b"sum").unwrap();
        net.settle_server();
        let frame = std::iter::from_fn(|| net.client.port.take()).last().unwrap();
        let ip = Ipv4Packet::new_checked(&frame[14..]).unwrap();
        let tcp = TcpPacket::new_checked(ip.payload()).unwrap();
        let (from, to) = (ip.src_addr().into(), ip.dst_addr().into());
        assert_eq!(tcp.verify_checksum(&from, &to), sums.tx(), "{sums:?}");
        if checks {
            let rst = host.says(&net, TcpControl::Rst, &[]);
            net.client.port.send(damaged(rst.clone()));
            net.settle_server();
            assert_eq!(stream.fill(), Ok(&[][..]));
            net.client.port.send(rst);
            net.settle_server();
            assert_eq!(stream.fill(), Err(Closed));
        }
    }
}

/// Fragments, what is for others or from where no answer goes, and damaged headers.
#[test]
fn what_is_no_plain_packet_for_us_is_dropped() {
    let mut net = Net::new(lan(), config(2, 2));
    let plain = host(40).syn(&net);
    let outside = Stranger { ip: [10, 0, 1, 40].into(), ..host(40) }.syn(&net);
    let mut bad = vec![outside];
    // More fragments, an offset, another host.
    for (at, change) in [(20, 0x20), (21, 1), (33, 1)] {
        let mut frame = plain.clone();
        frame[at] ^= change;
        bad.push(summed_again(frame));
    }
    let mut damaged = plain.clone();
    damaged[24] ^= 1;
    bad.push(damaged);
    bad.push([&[0xff; 6][..], &plain[6..]].concat());
    for frame in bad {
        net.settle_server();
        while net.client.port.take().is_some() {}
        net.client.port.send(frame.clone());
        net.settle_server();
        assert_eq!(net.client.port.waiting(), [] as [Vec<u8>; 0], "{frame:?}");
    }
    assert_eq!(host(40).ask(&mut net, plain).len(), 1);
}

/// Only a question, and only one about us, has an answer.
#[test]
fn arp_is_answered_for_our_address_alone() {
    let mut net = Net::new(lan(), config(2, 1));
    let asker = [10, 0, 0, 9].into();
    let of_other = who_has(asker, CLIENT_MAC, [10, 0, 0, 3].into());
    let ours = who_has(asker, CLIENT_MAC, [10, 0, 0, 2].into());
    let mut reply = ours.clone();
    ArpPacket::new_unchecked(&mut reply[14..]).set_operation(ArpOperation::Reply);
    for (frame, answers) in [(of_other, 0), (reply, 0), (ours, 1)] {
        net.settle_server();
        while net.client.port.take().is_some() {}
        net.client.port.send(frame);
        net.settle_server();
        assert_eq!(net.client.port.waiting().len(), answers);
    }
}
