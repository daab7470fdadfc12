//! Downloads over paths whose MTU is smaller than ours.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tcp_wire;

use net::tcp::Stream;
use net::{Listener as _, Stream as _};
use smoltcp::iface::SocketHandle;
use smoltcp::wire::TcpControl;
use tcp_wire::*;

const MIB: usize = 1024 * 1024;
const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;

/// Devices that cut frames into segments, and ones that do not.
const DEVICES: [Option<usize>; 2] = [None, Some(60 * 1024)];

/// Downloads 2 MiB and says how many milliseconds that took.
fn download(net: &mut Net, handle: SocketHandle, stream: &mut Stream) -> u64 {
    let (from, down) = (net.now.get(), bytes(4, 2 * MIB));
    let (_, at_client) = exchange(net, handle, stream, &[], &down);
    assert!(at_client == down);
    net.now.get() - from
}

/// Lets the client take what was sent before.
fn drain(net: &mut Net, handle: SocketHandle) {
    net.run(5 * SECOND);
    while net.client.socket(handle).can_recv() {
        net.client.socket(handle).recv(|b| (b.len(), ())).unwrap();
    }
}

/// Of the connection's first packet too large for the path a router tells; what is sent again gets through.
#[test]
fn a_download_follows_what_routers_say_of_their_mtu() {
    for segmented in DEVICES {
        for (mtu, address) in
            [(1420, qube()), (1280, lan()), (576, qube()), (1420, qube6()), (1280, lan6())]
        {
            let mut net = Net::with(address, config(4, 2), segmented);
            let (handle, mut stream) = connected(&mut net);
            net.path.set(Path { mtu, icmp: true });
            let first = download(&mut net, handle, &mut stream);
            assert!(first < 3 * SECOND, "{mtu}: {first} ms");
            // It is known now, also to another connection.
            let second = download(&mut net, handle, &mut stream);
            assert!(second < SECOND, "{mtu}: {second} ms");
            let (handle, mut stream) = connected(&mut net);
            let third = download(&mut net, handle, &mut stream);
            assert!(third < SECOND, "{mtu}: {third} ms");
        }
    }
}

/// What a segment was cut into waits for the device's room, which comes frame by frame.
#[test]
fn a_device_with_little_room_gets_the_pieces_one_by_one() {
    for segmented in DEVICES {
        for room in [1, 2, 3] {
            let mut net = Net::with(qube(), config(4, 2), segmented);
            let (handle, mut stream) = connected(&mut net);
            net.path.set(Path { mtu: 1280, icmp: true });
            net.server_room.set(room);
            download(&mut net, handle, &mut stream);
        }
    }
}

/// A router that does not say how large a packet may be (RFC 1191, 5).
#[test]
fn a_router_of_old_does_not_say_its_mtu() {
    let mut net = Net::new(qube(), config(4, 2));
    let (handle, mut stream) = connected(&mut net);
    net.path.set(Path { mtu: 1400, icmp: false });
    stream.write(&bytes(1, 1460)).unwrap();
    let told = too_big(&net.sent_data(), 0);
    net.client.port.send(told);
    net.run(5 * SECOND);
    assert_eq!(net.client.socket(handle).recv_queue(), 1460);
}

#[test]
fn a_black_hole_is_found_by_what_gets_lost() {
    for segmented in DEVICES {
        let v4 = [(1420, 4), (1280, 4), (600, 8), (576, 8)].map(|path| (qube(), path));
        let v6 = [(1420, 4), (1280, 4)].map(|path| (qube6(), path));
        for (address, (mtu, bound)) in v4.into_iter().chain(v6) {
            let mut net = Net::with(address, config(4, 2), segmented);
            let (handle, mut stream) = connected(&mut net);
            net.path.set(Path { mtu, icmp: false });
            let first = download(&mut net, handle, &mut stream);
            assert!(first < bound * SECOND, "{mtu}: {first} ms");
            let second = download(&mut net, handle, &mut stream);
            assert!(second < SECOND, "{mtu}: {second} ms");
        }
    }
}

/// Ten minutes later one larger packet asks whether the path is better now. While it is not, that
/// costs no more than the packet; when it is, packets are as long as before.
#[test]
fn a_path_that_has_become_better_is_used() {
    for segmented in DEVICES {
        for (icmp, address) in [(true, qube()), (false, qube()), (true, qube6())] {
            let mut net = Net::with(address, config(4, 2), segmented);
            let (handle, mut stream) = connected(&mut net);
            net.path.set(Path { mtu: 1280, icmp });
            download(&mut net, handle, &mut stream);
            net.run(11 * MINUTE);
            let again = download(&mut net, handle, &mut stream);
            assert!(again < SECOND, "{again} ms");
            let again = download(&mut net, handle, &mut stream);
            assert!(again < SECOND, "{again} ms");
            // Before the time nothing is tried.
            net.longest.set(0);
            net.path.set(Path { mtu: 1499, icmp });
            net.run(8 * MINUTE);
            download(&mut net, handle, &mut stream);
            assert_eq!(net.longest.get(), 1280);
            net.path.set(Path { mtu: 1500, icmp });
            net.run(4 * MINUTE);
            download(&mut net, handle, &mut stream);
            assert_eq!(net.longest.get(), 1500);
            let frames = net.server_sent.get();
            download(&mut net, handle, &mut stream);
            let frames = net.server_sent.get() - frames;
            assert!(frames < 1600, "{frames} frames for 2 MiB");
        }
    }
}

/// What is not about a connection and a packet of it that is on its way changes nothing.
#[test]
fn forged_messages_change_nothing() {
    let mut net = Net::new(qube(), config(4, 2));
    let (handle, mut stream) = connected(&mut net);
    net.weather.set(Weather { delay: 20, ..FINE });
    stream.write(&bytes(1, 1000)).unwrap();
    let told = too_big(&net.sent_data(), 600);
    // The quoted packet is told[42..70]: addresses at 54, ports at 62, the number at 66.
    for (at, change) in
        [(42, 0x20), (49, 1), (61, 1), (57, 1), (63, 1), (65, 1), (66, 0x40), (68, 0x40), (51, 1)]
    {
        let mut forged = told.clone();
        forged[at] ^= change;
        net.client.port.send(summed_again(forged));
    }
    // Damaged, cut off, and about what has arrived before.
    let mut damaged = told.clone();
    damaged[40] ^= 1;
    net.client.port.send(damaged);
    for length in 38..told.len() {
        let mut short = told[..length].to_vec();
        let ip_length = (length - 14) as u16;
        short[16..18].copy_from_slice(&ip_length.to_be_bytes());
        net.client.port.send(summed_again(short));
    }
    net.run(SECOND);
    // What was said has arrived: the true message comes too late.
    net.client.port.send(told);
    net.run(SECOND);
    net.weather.set(FINE);
    drain(&mut net, handle);
    download(&mut net, handle, &mut stream);
    net.longest.set(0);
    download(&mut net, handle, &mut stream);
    assert_eq!(net.longest.get(), 1500);
}

/// What was known of the ways from an address says nothing of those from another.
#[test]
fn a_new_address_has_new_paths() {
    let mut net = Net::new(lan(), config(4, 2));
    let (handle, mut stream) = connected(&mut net);
    net.path.set(Path { mtu: 1280, icmp: true });
    download(&mut net, handle, &mut stream);
    net.path.set(Path { mtu: usize::MAX, icmp: true });
    net.longest.set(0);
    download(&mut net, handle, &mut stream);
    assert_eq!(net.longest.get(), 1280);
    let own = lan().v4.map(|own| net::tcp::Own { ip: [10, 0, 0, 4].into(), ..own });
    let other = net::tcp::Address { v4: own, ..lan() };
    net.server.set_address(Some(other)).unwrap();
    net.client.server = ip_of(&other);
    let (handle, mut stream) = connected(&mut net);
    download(&mut net, handle, &mut stream);
    assert_eq!(net.longest.get(), 1500);
}

/// Nobody makes us send in tiny pieces.
#[test]
fn the_smallest_path_has_576_bytes() {
    let mut net = Net::new(qube(), config(4, 2));
    let (handle, mut stream) = connected(&mut net);
    stream.write(&bytes(1, 1460)).unwrap();
    let told = too_big(&net.sent_data(), 68);
    net.client.port.send(told);
    drain(&mut net, handle);
    net.longest.set(0);
    download(&mut net, handle, &mut stream);
    assert_eq!(net.longest.get(), 576);
}

/// One peer's narrow path is nothing to another, and what is kept of many is bounded: who has a
/// connection stays known.
#[test]
fn a_bounded_number_of_paths_is_kept() {
    let mut net = Net::new(lan(), config(4, 2));
    let (handle, mut stream) = connected(&mut net);
    net.path.set(Path { mtu: 1280, icmp: true });
    download(&mut net, handle, &mut stream);
    net.path.set(Path { mtu: 576, icmp: true });
    for host in 10..50 {
        let mut other = Stranger::new(host, 4000);
        other.connect(&mut net);
        let (mut theirs, _) = net.listener.accept().unwrap();
        theirs.write(&bytes(1, 1460)).unwrap();
        let first = net.sent_data().len();
        net.run(3 * SECOND);
        assert_eq!((first, net.sent_data().len()), (1514, 14 + 40 + 1460 - 2 * 536));
        net.client.port.send(other.says(&net, TcpControl::Rst, &[]));
        net.run(10);
    }
    net.path.set(Path { mtu: 1280, icmp: false });
    let again = download(&mut net, handle, &mut stream);
    assert!(again < SECOND, "{again} ms");
}

/// `--mtu` bounds what we send and, by our MSS, what comes.
#[test]
fn a_given_mtu_holds_for_both_directions() {
    for segmented in DEVICES {
        let limited = net::tcp::Config { mtu: Some(1280), ..config(4, 2) };
        let mut net = Net::with(qube(), limited, segmented);
        let (handle, mut stream) = connected(&mut net);
        net.path.set(Path { mtu: 1280, icmp: false });
        let took = download(&mut net, handle, &mut stream);
        assert!(took < SECOND, "{took} ms");
        let up = bytes(3, MIB);
        let (at_server, _) = exchange(&mut net, handle, &mut stream, &up, &[]);
        assert!(at_server == up);
        assert_eq!(net.client.port.longest.get(), 1280);
    }
}
