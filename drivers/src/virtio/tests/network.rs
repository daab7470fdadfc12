use super::host::Host;
use crate::virtio::{DeviceType, VirtioNet};
use core::num::NonZeroU16;
use smoltcp::phy::{Device, PacketMeta, RxToken, TxToken};
use smoltcp::time::Instant;

const CHECKSUM: u64 = 1 << 0;
const MTU: u64 = 1 << 3;
const MAC: u64 = 1 << 5;
const HOST_TSO4: u64 = 1 << 11;
const LOCAL: [u8; 6] = [2, 0, 0, 0, 0, 9];
const RECEIVE: usize = 0;
const TRANSMIT: usize = 1;
const HEADER: usize = 12;

fn start(features: u64) -> (Host, VirtioNet<Host>) {
    let config = [0x52, 0x54, 0, 1, 2, 3, 1, 0, 1, 0, 0x28, 0x23];
    let host = Host::new(DeviceType::Network, features, &config);
    let net = VirtioNet::start(host.device(), LOCAL, 1 << 20).unwrap();
    (host, net)
}

fn send(net: &mut VirtioNet<Host>, frame: &[u8], segment: Option<u16>) -> bool {
    let Some(mut token) = net.transmit(Instant::ZERO) else {
        return false;
    };
    let mut meta = PacketMeta::default();
    meta.segmentation_offload_size = segment.and_then(NonZeroU16::new);
    token.set_meta(meta);
    token.consume(frame.len(), |buffer| buffer.copy_from_slice(frame));
    true
}

/// A TCP packet of so many bytes of data over IPv4 over Ethernet, without checksums.
fn tcp(data: usize) -> Vec<u8> {
    let mut frame = vec![0; 54 + data];
    frame[12..14].copy_from_slice(&[8, 0]);
    frame[14] = 0x45;
    frame[16..18].copy_from_slice(&((40 + data) as u16).to_be_bytes());
    frame[23] = 6;
    frame[26..34].copy_from_slice(&[10, 0, 0, 1, 10, 0, 0, 2]);
    frame[46] = 0x50;
    frame
}

#[test]
fn addresses_are_the_hosts_or_given() {
    assert_eq!(start(MAC).1.mac(), [0x52, 0x54, 0, 1, 2, 3]);
    assert_eq!(start(0).1.mac(), LOCAL);
    assert_eq!(start(0).1.capabilities().max_transmission_unit, 1514);
    assert_eq!(start(MTU).1.capabilities().max_transmission_unit, 9014);
}

#[test]
fn frames_come() {
    let (host, mut net) = start(MAC);
    assert!(net.receive(Instant::ZERO).is_none());
    let requests = host.requests(RECEIVE);
    assert_eq!(requests.len(), 128);
    for (i, request) in requests.iter().enumerate() {
        let frame = vec![i as u8; 60 + i];
        let written = request.fill(&[vec![0; HEADER], frame].concat());
        host.done(RECEIVE, request.head.into(), written);
    }
    for i in 0..128 {
        let (frame, _) = net.receive(Instant::ZERO).unwrap();
        frame.consume(|frame| assert_eq!(frame, vec![i as u8; 60 + i]));
    }
    assert!(net.receive(Instant::ZERO).is_none());
    net.flush();
    assert_eq!(host.requests(RECEIVE).len(), 128, "the buffers are the host's again");
}

#[test]
fn frames_go_until_there_is_no_room() {
    let (host, mut net) = start(MAC);
    for i in 0..128 {
        assert!(send(&mut net, &[i; 100], None));
    }
    assert!(!send(&mut net, &[0; 100], None));
    net.flush();
    assert_eq!(host.notified(TRANSMIT), 1);
    assert!(!net.arm());
    for (i, request) in host.requests(TRANSMIT).iter().enumerate() {
        assert_eq!(request.bytes(), [vec![0; HEADER], vec![i as u8; 100]].concat());
        host.done(TRANSMIT, request.head.into(), 0);
    }
    assert!(net.arm(), "there is room again");
    assert!(net.poll());
    assert!(send(&mut net, &[0; 100], None));
}

#[test]
fn what_waits_to_be_sent_is_bounded() {
    let (_, mut net) = start(MAC | CHECKSUM | HOST_TSO4);
    let large = tcp(60_000);
    let sent = (0..128).take_while(|_| send(&mut net, &large, Some(1460))).count();
    assert!((10..18).contains(&sent), "{sent}");
}

#[test]
fn the_host_is_told_how_to_cut() {
    let (host, mut net) = start(MAC | CHECKSUM | HOST_TSO4);
    send(&mut net, &tcp(60_000), Some(1460));
    send(&mut net, &tcp(100), Some(1460));
    send(&mut net, &[1; 60], None);
    let requests = host.requests(TRANSMIT);
    let header = |i: usize| requests[i].bytes()[..HEADER].to_vec();
    // NEEDS_CSUM, TCPV4, 54 bytes of headers, 1460 of data; the checksum at 16 from 34 on.
    assert_eq!(header(0), [1, 1, 54, 0, 0xb4, 5, 34, 0, 16, 0, 0, 0]);
    assert_eq!(header(1), [1, 0, 0, 0, 0, 0, 34, 0, 16, 0, 0, 0]);
    assert_eq!(header(2), [0; HEADER]);
    // The sum of 10.0.0.1, 10.0.0.2, protocol 6 and the length 120.
    assert_eq!(requests[1].bytes()[HEADER + 50..][..2], [0x14, 0x81]);
}

/// A TCP frame over IPv6 with so many bytes of data.
fn tcp6(data: usize) -> Vec<u8> {
    let mut frame = vec![0; 74 + data];
    frame[12..14].copy_from_slice(&[0x86, 0xdd]);
    frame[14] = 0x60;
    frame[18..20].copy_from_slice(&((20 + data) as u16).to_be_bytes());
    frame[20] = 6;
    frame[22..24].copy_from_slice(&[0xfd, 0]);
    frame[37] = 1;
    frame[38..40].copy_from_slice(&[0xfd, 0]);
    frame[53] = 2;
    frame[66] = 0x50;
    frame
}

#[test]
fn the_host_completes_checksums_of_ipv6() {
    let (host, mut net) = start(MAC | CHECKSUM | HOST_TSO4);
    assert!(net.capabilities().segmentation.tcpv6.is_none());
    send(&mut net, &tcp6(100), None);
    let requests = host.requests(TRANSMIT);
    // NEEDS_CSUM; the checksum at 16 from 54 on.
    assert_eq!(requests[0].bytes()[..HEADER], [1, 0, 0, 0, 0, 0, 54, 0, 16, 0, 0, 0]);
    // The sum of fd00::1, fd00::2, protocol 6 and the length 120, folded.
    assert_eq!(requests[0].bytes()[HEADER + 70..][..2], [0xfa, 0x82]);
}

#[test]
fn without_the_host_nothing_is_left_to_it() {
    let (host, mut net) = start(MAC | CHECKSUM);
    assert!(net.capabilities().segmentation.tcpv4.is_none());
    send(&mut net, &tcp(100), None);
    assert_eq!(host.requests(TRANSMIT)[0].bytes()[..HEADER], [0; HEADER]);
}

#[test]
fn short_frames_are_dropped_and_their_buffers_used_again() {
    let (host, mut net) = start(MAC);
    for request in host.requests(RECEIVE).iter().take(3) {
        host.done(RECEIVE, request.head.into(), 5);
    }
    assert!(net.receive(Instant::ZERO).is_none());
    assert_eq!(host.requests(RECEIVE).len(), 3);
    assert!(net.is_connected());
}

#[test]
fn a_lie_ends_the_interface_and_nothing_else() {
    for (queue, head, written) in
        [(RECEIVE, 500, 60), (RECEIVE, u32::MAX, 60), (RECEIVE, 0, 60_000), (TRANSMIT, 0, 0)]
    {
        let (host, mut net) = start(MAC);
        host.done(queue, head, written);
        net.poll();
        assert!(net.receive(Instant::ZERO).is_none());
        assert!(!net.is_connected(), "{queue} {head} {written}");
        assert!(!send(&mut net, &[0; 60], None));
        assert!(!net.poll() && !net.arm());
    }
}
