//! How long packets to each peer may be: path MTU discovery (RFC 1191, RFC 8201, RFC 4821).
//!
//! smoltcp knows one MTU, the interface's. Where a path has a smaller one, `Guard` cuts what smoltcp
//! sends, so it is known here, for each peer: from routers' messages, or from segments that get lost
//! again and again. After a while one segment is sent whole, as a probe; what becomes of it tells.
use super::flows::{Flows, Peer};
use super::segment::{IPV6, is_before};
use alloc::vec::Vec;
use core::net::IpAddr;
use log::info;
use smoltcp::wire::{Icmpv6Packet, IpProtocol, Ipv4Packet, Ipv6Packet};

/// The least MTU of a path in bytes. RFC 1191 (3) allows 68, with which anyone who can see a
/// connection would make us send hundreds of packets for one; every host takes 576 (RFC 1122, 3.3.3).
const FLOOR: u16 = 576;

/// That of IPv6 (RFC 8200, 5).
pub const FLOOR6: u16 = 1280;

/// What is tried where nobody says the MTU: Ethernet's; IPv6's least, which tunnels have in common;
/// and the floor.
const STEPS: [u16; 3] = [1500, FLOOR6, FLOOR];

/// Milliseconds after which a larger packet is tried (RFC 1191, 6.3).
const AGE: u64 = 600_000;

struct Path {
    peer: IpAddr,
    mtu: u16,
    /// When the next probe may be sent.
    again: u64,
    probe: Option<Probe>,
}

/// A segment that is longer than the path is known to take.
struct Probe {
    port: u16,
    start: u32,
    end: u32,
}

/// The paths that are narrower than the interface.
pub struct Paths {
    all: Vec<Path>,
    most: usize,
}

impl Paths {
    /// Keeps at most so many, which are no fewer than there are connections.
    pub fn new(most: usize) -> Self {
        Self { all: Vec::new(), most }
    }

    pub fn clear(&mut self) {
        self.all.clear();
    }

    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    fn find(&mut self, peer: IpAddr) -> Option<&mut Path> {
        self.all.iter_mut().find(|path| path.peer == peer)
    }

    /// The MTU to a peer, the interface's being `mtu`.
    pub fn mtu(&self, peer: IpAddr, mtu: u16) -> u16 {
        let known = self.all.iter().find(|path| path.peer == peer);
        known.map_or(mtu, |path| path.mtu.min(mtu))
    }

    /// A router says that a segment of a connection was too long. `told`: what it says fits, 0 if it
    /// does not say.
    pub fn too_long(&mut self, told: &TooLong, mtu: u16, now: u64, flows: &Flows) {
        let current = self.mtu(told.peer.0, mtu);
        let probed = self.find(told.peer.0).is_some_and(|path| {
            path.probe.as_ref().is_some_and(|p| (p.port, p.start) == (told.peer.1, told.number))
        });
        let fits = match told.mtu {
            0 if probed => current,
            0 => below(told.peer.0, current),
            fits => fits.max(floor(told.peer.0)),
        };
        // Only a probe's fate makes an estimate larger.
        if fits < if probed { mtu } else { current } {
            self.set(told.peer.0, fits, now, flows);
        }
    }

    /// Whether it may be for its length that a segment gets lost.
    pub fn may_lose(&self, peer: IpAddr, length: usize, mtu: u16) -> bool {
        let path = self.mtu(peer, mtu);
        length.min(path.into()) > below(peer, path).into()
    }

    /// Such segments get lost again and again.
    pub fn is_a_hole(&mut self, peer: IpAddr, mtu: u16, now: u64, flows: &Flows) {
        self.set(peer, below(peer, self.mtu(peer, mtu)), now, flows);
    }

    fn set(&mut self, peer: IpAddr, mtu: u16, now: u64, flows: &Flows) {
        info!("path MTU to {peer}: {mtu}");
        self.all.retain(|path| path.peer != peer);
        if self.all.len() >= self.most {
            // One without a connection, of which there is one: this peer has a connection.
            let idle = self.all.iter().position(|path| !flows.has_peer(path.peer));
            self.all.remove(idle.unwrap_or(0));
        }
        self.all.push(Path { peer, mtu, again: now.saturating_add(AGE), probe: None });
    }

    /// Whether a segment with these numbers may be longer than the path is known to take.
    pub fn may_probe(&mut self, (peer, port): Peer, (start, end): (u32, u32), now: u64) -> bool {
        let Some(path) = self.find(peer).filter(|path| now >= path.again) else { return false };
        path.again = now.saturating_add(AGE);
        path.probe = Some(Probe { port, start, end });
        true
    }

    /// A connection's segment with this number is sent once more: was it the probe?
    pub fn sent_again(&mut self, (peer, port): Peer, number: u32) {
        if let Some(path) = self.find(peer)
            && path
                .probe
                .as_ref()
                .is_some_and(|probe| probe.port == port && !is_before(probe.start, number))
        {
            path.probe = None;
        }
    }

    /// A connection's peer has everything before this number.
    pub fn arrived(&mut self, (peer, port): Peer, number: u32) {
        let probed = |probe: &Probe| probe.port == port && !is_before(number, probe.end);
        let before = self.all.len();
        self.all.retain(|path| path.peer != peer || !path.probe.as_ref().is_some_and(probed));
        if self.all.len() < before {
            info!("path MTU to {peer}: the interface's");
        }
    }
}

/// The next of the steps, or the floor.
fn below(peer: IpAddr, mtu: u16) -> u16 {
    STEPS.into_iter().find(|step| *step < mtu).unwrap_or(FLOOR).max(floor(peer))
}

fn floor(peer: IpAddr) -> u16 {
    if peer.is_ipv6() { FLOOR6 } else { FLOOR }
}

/// ICMP's "fragmentation needed and DF set" (RFC 792, RFC 1191 4), or ICMPv6's "packet too big" (RFC 4443,
/// 3.2), about a TCP segment.
#[derive(Debug, PartialEq, Eq)]
pub struct TooLong {
    /// What the segment says of itself.
    pub from: Peer,
    pub peer: Peer,
    pub number: u32,
    /// The next hop's MTU; 0 where the router does not know that field.
    pub mtu: u16,
}

impl TooLong {
    /// Reads an ICMP message: type, code, checksum, two bytes unused, the MTU; then the packet's IPv4
    /// header and at least 8 bytes of what it carried.
    pub fn of(message: &[u8]) -> Option<Self> {
        if message.get(..2)? != [3, 4] || sum(message) != 0xffff {
            return None;
        }
        let mtu = word(message, 6)?;
        let packet = message.get(8..)?;
        // The quoted packet is cut off, and so says more than its length.
        let ip = Ipv4Packet::new_unchecked(packet.get(..20).map(|_| packet)?);
        let header = usize::from(ip.header_len());
        if ip.version() != 4
            || header < 20
            || ip.next_header() != IpProtocol::Tcp
            || ip.frag_offset() != 0
        {
            return None;
        }
        Self::about(packet.get(header..)?, ip.src_addr().into(), ip.dst_addr().into(), mtu)
    }

    /// Reads the message of an ICMPv6 packet: type, code, checksum, the MTU in four bytes; then the packet
    /// as far as there was room. What tells of less than any path has is not true (RFC 8201, 4).
    pub fn of6(packet: &Ipv6Packet<&[u8]>) -> Option<Self> {
        let message = packet.payload();
        let sum = Icmpv6Packet::new_checked(message).ok()?;
        if message.get(..2)? != [2, 0]
            || !sum.verify_checksum(&packet.src_addr(), &packet.dst_addr())
        {
            return None;
        }
        let mtu = u32::from(word(message, 4)?) << 16 | u32::from(word(message, 6)?);
        let mtu = u16::try_from(mtu).unwrap_or(u16::MAX);
        let quoted = message.get(8..)?;
        let ip = Ipv6Packet::new_unchecked(quoted.get(..IPV6).map(|_| quoted)?);
        if mtu < FLOOR6 || ip.version() != 6 || ip.next_header() != IpProtocol::Tcp {
            return None;
        }
        Self::about(quoted.get(IPV6..)?, ip.src_addr().into(), ip.dst_addr().into(), mtu)
    }

    /// Of a segment of which at least the first 8 bytes are there.
    fn about(tcp: &[u8], from: IpAddr, to: IpAddr, mtu: u16) -> Option<Self> {
        let number = u32::from(word(tcp, 4)?) << 16 | u32::from(word(tcp, 6)?);
        Some(Self { from: (from, word(tcp, 0)?), peer: (to, word(tcp, 2)?), number, mtu })
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    let word = bytes.get(at..)?.first_chunk()?;
    Some(u16::from_be_bytes(*word))
}

/// The sum of the Internet's checksum (RFC 1071): 0xffff when it is right.
fn sum(bytes: &[u8]) -> u16 {
    let pair = |pair: &[u8]| match pair {
        [a, b] => u16::from_be_bytes([*a, *b]),
        [a] => u16::from_be_bytes([*a, 0]),
        _ => 0,
    };
    let sum = bytes.chunks(2).map(pair).fold(0u64, |sum, word| sum.wrapping_add(word.into()));
    let sum = (sum & 0xffff).wrapping_add(sum >> 16);
    (sum & 0xffff).wrapping_add(sum >> 16) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    const PEER: IpAddr = IpAddr::V4(core::net::Ipv4Addr::new(192, 0, 2, 1));

    fn told(number: u32, mtu: u16) -> TooLong {
        TooLong { from: (PEER, 22), peer: (PEER, 7), number, mtu }
    }

    #[test]
    fn steps_down_and_what_may_lose_for_its_length() {
        let (mut paths, flows) = (Paths::new(4), Flows::new(4));
        assert!(paths.is_empty());
        let may_lose = |paths: &Paths, length| paths.may_lose(PEER, length, 9000);
        assert_eq!([1500, 1501, 60_000].map(|n| may_lose(&paths, n)), [false, true, true]);
        for (mtu, next) in [(1500, 1280_usize), (1280, 576)] {
            paths.is_a_hole(PEER, 9000, 0, &flows);
            assert_eq!(paths.mtu(PEER, 9000), mtu);
            assert_eq!([next, next + 1].map(|n| may_lose(&paths, n)), [false, true]);
        }
        paths.is_a_hole(PEER, 9000, 0, &flows);
        assert_eq!(paths.mtu(PEER, 9000), 576);
        assert_eq!([576, 577, 9000].map(|n| may_lose(&paths, n)), [false; 3]);
        paths.clear();
        assert!(paths.is_empty() && paths.mtu(PEER, 9000) == 9000);
    }

    #[test]
    fn a_router_makes_a_path_narrower_and_only_a_probe_wider() {
        let flows = Flows::new(4);
        let mut paths = Paths::new(4);
        paths.too_long(&told(5, 1400), 1500, 0, &flows);
        for (mtu, then) in
            [(1400, 1400), (1500, 1400), (1300, 1300), (1350, 1300), (0, 1280), (68, 576)]
        {
            paths.too_long(&told(5, mtu), 1500, 0, &flows);
            assert_eq!(paths.mtu(PEER, 1500), then, "told {mtu}");
        }
        // A probe that does not arrive tells what does.
        for (told_mtu, then) in [(1450, 1450), (0, 576)] {
            let mut paths = Paths::new(4);
            paths.too_long(&told(5, 68), 1500, 0, &flows);
            assert!(!paths.may_probe((PEER, 7), (100, 200), AGE - 1));
            assert!(paths.may_probe((PEER, 7), (100, 200), AGE));
            paths.too_long(&told(99, 1400), 1500, 0, &flows);
            assert_eq!(paths.mtu(PEER, 1500), 576, "of another segment");
            paths.too_long(&told(100, told_mtu), 1500, 0, &flows);
            assert_eq!(paths.mtu(PEER, 1500), then);
        }
    }

    #[test]
    fn a_probe_that_arrives_shows_the_whole_path_and_one_sent_again_shows_nothing() {
        let flows = Flows::new(4);
        let probing = || {
            let mut paths = Paths::new(4);
            paths.too_long(&told(5, 1400), 1500, 0, &flows);
            assert!(paths.may_probe((PEER, 7), (100, 200), AGE));
            paths
        };
        for (again, port, number, open) in [
            (None, 7, 200, true),
            (None, 7, 199, false),
            (None, 8, 200, false),
            (Some((7, 100)), 7, 200, false),
            (Some((7, 50)), 7, 200, false),
            (Some((7, 101)), 7, 200, true),
            (Some((8, 100)), 7, 200, true),
        ] {
            let mut paths = probing();
            if let Some((port, number)) = again {
                paths.sent_again((PEER, port), number);
            }
            paths.arrived((PEER, port), number);
            assert_eq!(paths.is_empty(), open, "{again:?} {port} {number}");
        }
    }

    /// A message of ICMP about a segment of 10.0.0.2:22 to 192.0.2.1:7, changed at some places.
    fn message(header: u8, changes: &[(usize, u8)]) -> Vec<u8> {
        let mut message = vec![3, 4, 0, 0, 0, 0, 5, 0x14];
        let mut ip = vec![0; usize::from(header) * 4];
        ip[0] = 0x40 | header;
        ip[9] = 6;
        ip[12..20].copy_from_slice(&[10, 0, 0, 2, 192, 0, 2, 1]);
        message.extend(ip);
        message.extend([0, 22, 0, 7, 1, 2, 3, 4]);
        changes.iter().for_each(|(at, byte)| message[*at] = *byte);
        let sum = !sum(&message);
        message[2..4].copy_from_slice(&sum.to_be_bytes());
        message
    }

    #[test]
    fn messages_about_segments_of_ours() {
        let from = (IpAddr::from([10, 0, 0, 2]), 22);
        let right = TooLong { from, peer: (PEER, 7), number: 0x0102_0304, mtu: 1300 };
        assert_eq!(TooLong::of(&message(5, &[])), Some(right));
        assert!(TooLong::of(&message(6, &[])).is_some(), "with an option");
        for (what, at, byte) in [
            ("type", 0, 8),
            ("code", 1, 3),
            ("version", 8, 0x65),
            ("header", 8, 0x44),
            ("no TCP", 17, 17),
            ("a later fragment", 15, 1),
        ] {
            assert_eq!(TooLong::of(&message(5, &[(at, byte)])), None, "{what}");
        }
        let mut torn = message(5, &[]);
        torn[30] ^= 1;
        assert_eq!(TooLong::of(&torn), None);
        let right = message(5, &[]);
        assert!((0..right.len()).all(|length| TooLong::of(&right[..length]).is_none()));
    }

    /// The example of RFC 1071 (3), and a byte that is left.
    #[test]
    fn sums() {
        assert_eq!(sum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), 0xddf2);
        assert_eq!(sum(&[0x12]), 0x1200);
        assert_eq!(sum(&[0xff, 0xff, 0, 1, 0xff]), 0xff01);
    }
}
