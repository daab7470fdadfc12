//! What stands between smoltcp and the device: frames are judged here, addressed, and cut.
//!
//! Everything that we send answers something. So an answer goes to the hardware address that the
//! other side's frames come from, and nothing depends on ARP: some network VMs do not answer it, a
//! gateway may lie outside of our network (Qubes gives A/32), and whoever else speaks on the link
//! cannot push a connection's peer out of a table. smoltcp is told A/31, and that everybody is behind
//! the other address of that pair; of IPv6 A/127, which is the same.
use super::address::Address;
use super::flows::{Flows, Verdict};
use super::neighbours::{self, News, arp_reply, ip_frame, told};
use super::paths::{Paths, TooLong};
use super::segment::{self, Segment};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use smoltcp::phy::{ChecksumCapabilities, PacketMeta};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, Icmpv6Message, IpProtocol, IpRepr,
    Ipv4Packet, Ipv6Packet, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber,
};

/// The hardware address that smoltcp puts into frames, and that stays in those which answer nobody.
const NOBODY: EthernetAddress = EthernetAddress([0xfe, 0xff, 0xff, 0xff, 0xff, 0xff]);

/// smoltcp forgets a neighbour after a minute.
const REMIND: Duration = Duration::from_secs(30);

/// A frame, and its segmentation by the device.
pub type Ready = (Vec<u8>, PacketMeta);

pub struct Guard {
    pub address: Option<Address>,
    port: u16,
    /// The longest IP packet that we send.
    pub mtu: u16,
    /// Whom the last frame came from.
    from: (IpAddr, EthernetAddress),
    /// When smoltcp is to be told again of its neighbours, IPv4's and IPv6's.
    tell: [Instant; 2],
    pub flows: Flows,
    paths: Paths,
    /// No socket listens: a SYN waits here until one does.
    pub is_full: bool,
    pub waiting: Option<Vec<u8>>,
    /// What is to be sent before smoltcp sends more.
    pub ready: VecDeque<Ready>,
}

/// How a large frame is to be sent.
pub enum Way {
    Whole,
    /// In pieces with at most `size` bytes of data, but for a probe, which comes first and has more.
    Cut {
        segment: Segment,
        probe: Option<usize>,
        size: usize,
    },
}

impl Guard {
    pub fn new(port: u16, sockets: usize) -> Self {
        Self {
            address: None,
            port,
            mtu: 0,
            from: (Ipv4Addr::UNSPECIFIED.into(), NOBODY),
            tell: [Instant::ZERO; 2],
            flows: Flows::new(sockets),
            paths: Paths::new(sockets),
            is_full: false,
            waiting: None,
            ready: VecDeque::new(),
        }
    }

    /// smoltcp starts anew, with this address.
    pub fn restart(&mut self, address: Option<Address>, mtu: u16) {
        if self.address != address {
            self.paths.clear();
        }
        self.address = address;
        self.mtu = mtu;
        self.tell = [Instant::ZERO; 2];
        self.ready.clear();
    }

    /// An answer of its neighbour's for smoltcp, when it is time for one.
    pub fn news(&mut self, now: Instant) -> Option<Vec<u8>> {
        let Address { mac, v4, v6 } = self.address?;
        let (mac, [tell4, tell6]) = (EthernetAddress(mac), &mut self.tell);
        if let Some(own) = v4.filter(|_| now >= *tell4) {
            *tell4 = now + REMIND;
            return Some(arp_reply((NOBODY, other_of_pair(own.ip)), (mac, own.ip)));
        }
        let own = v6.filter(|_| now >= *tell6)?;
        *tell6 = now + REMIND;
        Some(told((NOBODY, other_of_pair6(own.ip)), (mac, own.ip)))
    }

    /// Whether smoltcp may see a frame that has come. `sums`: TCP's checksums are still to be checked.
    pub fn incoming(&mut self, bytes: &[u8], sums: bool, now: u64) -> bool {
        let Ok(frame) = EthernetFrame::new_checked(bytes) else { return false };
        let Some(address) = self.address else { return false };
        let mac = frame.src_addr();
        let to_us = frame.dst_addr() == EthernetAddress(address.mac);
        match frame.ethertype() {
            EthernetProtocol::Arp => {
                self.learn(neighbours::arp(&address, frame.payload()));
                false
            }
            EthernetProtocol::Ipv4 => {
                to_us
                    && mac.is_unicast()
                    && Ipv4Packet::new_checked(frame.payload()).is_ok_and(|packet| {
                        self.packet4(&address, (bytes, &packet), mac, sums, now)
                    })
            }
            EthernetProtocol::Ipv6 => {
                mac.is_unicast()
                    && Ipv6Packet::new_checked(frame.payload()).is_ok_and(|packet| {
                        self.packet6(&address, (bytes, &packet), (mac, to_us), sums, now)
                    })
            }
            _ => false,
        }
    }

    fn learn(&mut self, news: Option<News>) {
        match news {
            Some(News::Moved(host, mac)) => self.flows.moved(host, mac),
            Some(News::Answer(host, mac, reply)) => {
                if let Some(host) = host {
                    self.flows.moved(host, mac);
                }
                self.answer(reply);
            }
            None => (),
        }
    }

    fn packet4(
        &mut self,
        ours: &Address,
        (bytes, packet): (&[u8], &Ipv4Packet<&[u8]>),
        mac: EthernetAddress,
        sums: bool,
        now: u64,
    ) -> bool {
        let (from, to) = (packet.src_addr().into(), packet.dst_addr().into());
        // smoltcp takes fragments for whole packets when it is built without reassembly.
        let whole = !packet.more_frags() && packet.frag_offset() == 0;
        if !whole || !ours.has(to) || !ours.reaches(from) || !packet.verify_checksum() {
            return false;
        }
        self.from = (from, mac);
        match packet.next_header() {
            IpProtocol::Icmp => match TooLong::of(packet.payload()) {
                Some(told) => {
                    self.too_long(ours, &told, now);
                    false
                }
                None => true,
            },
            IpProtocol::Tcp => self.tcp(bytes, packet.payload(), mac, sums, now),
            _ => true,
        }
    }

    fn packet6(
        &mut self,
        ours: &Address,
        (bytes, packet): (&[u8], &Ipv6Packet<&[u8]>),
        (mac, to_us): (EthernetAddress, bool),
        sums: bool,
        now: u64,
    ) -> bool {
        let kind = packet.payload().first().copied().map(Icmpv6Message::from);
        let kind = kind.filter(|_| packet.next_header() == IpProtocol::Icmpv6);
        if let Some(Icmpv6Message::NeighborSolicit | Icmpv6Message::NeighborAdvert) = kind {
            // Also one that went to many.
            self.learn(neighbours::discovery(ours, packet, mac));
            return false;
        }
        let (from, to) = (packet.src_addr().into(), packet.dst_addr().into());
        if !to_us || !ours.has(to) || !ours.reaches(from) {
            return false;
        }
        self.from = (from, mac);
        match (kind, packet.next_header()) {
            (Some(Icmpv6Message::PktTooBig), _) => {
                if let Some(told) = TooLong::of6(packet) {
                    self.too_long(ours, &told, now);
                }
                false
            }
            (Some(Icmpv6Message::EchoRequest), _) => true,
            (_, IpProtocol::Tcp) => self.tcp(bytes, packet.payload(), mac, sums, now),
            // What routers advertise, and headers before TCP's, those of fragments among them.
            _ => false,
        }
    }

    fn tcp(
        &mut self,
        bytes: &[u8],
        packet: &[u8],
        mac: EthernetAddress,
        sums: bool,
        now: u64,
    ) -> bool {
        Segment::of(bytes).is_some_and(|segment| {
            let pass =
                segment.to.1 != self.port || self.segment(&segment, (packet, sums), mac, now);
            let waits = pass && self.is_full && self.flows.begins(&segment);
            if waits {
                self.waiting = Some(bytes.to_vec());
            }
            pass && !waits
        })
    }

    fn segment(
        &mut self,
        segment: &Segment,
        (packet, sums): (&[u8], bool),
        mac: EthernetAddress,
        now: u64,
    ) -> bool {
        // What is answered here smoltcp does not check.
        if sums && (segment.syn || segment.rst) {
            let (from, to) = (segment.from.0.into(), segment.to.0.into());
            let tcp = TcpPacket::new_checked(packet);
            if !tcp.is_ok_and(|tcp| tcp.verify_checksum(&from, &to)) {
                return false;
            }
        }
        let verdict = self.flows.incoming(segment, mac, now);
        if let Some(flow) = self.flows.find(segment.from) {
            self.paths.arrived(segment.from, flow.unacknowledged());
        }
        if verdict == Verdict::Challenge {
            self.challenge(segment, mac);
        }
        verdict == Verdict::Pass
    }

    fn too_long(&mut self, ours: &Address, told: &TooLong, now: u64) {
        let true_to_us = ours.has(told.from.0)
            && told.from.1 == self.port
            && self.flows.find(told.peer).is_some_and(|flow| flow.is_in_flight(told.number));
        if true_to_us {
            self.paths.too_long(told, self.mtu, now, &self.flows);
        }
    }

    /// An acknowledgment of what we have (RFC 5961, 3.2 and 4.2).
    fn challenge(&mut self, to: &Segment, mac: EthernetAddress) {
        let Some(flow) = self.flows.find(to.from) else { return };
        let tcp = TcpRepr {
            src_port: to.to.1,
            dst_port: to.from.1,
            control: TcpControl::None,
            seq_number: TcpSeqNumber(flow.next as i32),
            ack_number: Some(TcpSeqNumber(flow.acknowledged as i32)),
            window_len: flow.window,
            window_scale: None,
            max_seg_size: None,
            sack_permitted: false,
            sack_ranges: [None; 3],
            timestamp: None,
            payload: &[],
        };
        let Some(ours) = self.address else { return };
        let (from, peer) = (to.to.0.into(), to.from.0.into());
        let ip = IpRepr::new(from, peer, IpProtocol::Tcp, tcp.buffer_len(), 64);
        let frame = ip_frame(EthernetAddress(ours.mac), mac, &ip, |payload| {
            let mut packet = TcpPacket::new_unchecked(payload);
            tcp.emit(&mut packet, &from, &peer, &ChecksumCapabilities::default());
        });
        self.answer(frame);
    }

    /// Sends a frame of our own, when the device has room.
    fn answer(&mut self, frame: Vec<u8>) {
        if self.ready.is_empty() {
            self.ready.push_back((frame, PacketMeta::default()));
        }
    }

    /// Whether large frames may have to be cut.
    pub fn is_careful(&self) -> bool {
        !self.paths.is_empty() || self.flows.is_losing()
    }

    /// A frame of smoltcp's, which is addressed here; None when it must not be sent.
    pub fn outgoing(&mut self, bytes: &mut [u8], now: u64) -> Option<Way> {
        let Some(segment) = Segment::of(bytes) else {
            return self.address_answer(bytes).then_some(Way::Whole);
        };
        let Some(flow) = self.flows.find(segment.to) else {
            return self.address_answer(bytes).then_some(Way::Whole);
        };
        let again = segment.data > 0 && segment::is_before(segment.number, flow.next);
        let first = segment.number == flow.unacknowledged();
        if !flow.outgoing(&segment) {
            return None;
        }
        EthernetFrame::new_unchecked(bytes).set_dst_addr(flow.mac);
        if again {
            self.paths.sent_again(segment.to, segment.number);
            let length = ip_length(&segment, segment.data);
            if first && self.paths.may_lose(segment.to.0, length, self.mtu) && flow.timed_out() {
                self.paths.is_a_hole(segment.to.0, self.mtu, now, &self.flows);
            }
        }
        Some(self.way(segment, again, now))
    }

    fn way(&mut self, segment: Segment, again: bool, now: u64) -> Way {
        let path = self.paths.mtu(segment.to.0, self.mtu);
        let room = |mtu: u16| usize::from(mtu).saturating_sub(ip_length(&segment, 0));
        let (size, most) = (room(path), room(self.mtu));
        if path >= self.mtu || segment.data <= size {
            return Way::Whole;
        }
        let end = segment.number.wrapping_add(most as u32);
        let probe = !again
            && segment.data >= most
            && self.paths.may_probe(segment.to, (segment.number, end), now);
        Way::Cut { segment, probe: probe.then_some(most), size }
    }

    /// Addresses what is not of a connection: it answers the last frame.
    fn address_answer(&mut self, bytes: &mut [u8]) -> bool {
        let mut frame = EthernetFrame::new_unchecked(bytes);
        let [tell4, tell6] = &mut self.tell;
        let to = match frame.ethertype() {
            EthernetProtocol::Ipv4 => Ipv4Packet::new_checked(frame.payload_mut())
                .map(|packet| IpAddr::from(packet.dst_addr())),
            EthernetProtocol::Ipv6 => Ipv6Packet::new_checked(frame.payload_mut())
                .map(|packet| IpAddr::from(packet.dst_addr())),
            _ => {
                // smoltcp asks for its neighbour.
                *tell4 = Instant::ZERO;
                return false;
            }
        };
        if to.is_ok_and(|to| to.is_ipv6() && to.is_multicast()) {
            *tell6 = Instant::ZERO;
            return false;
        }
        let known = to == Ok(self.from.0);
        if known {
            frame.set_dst_addr(self.from.1);
        }
        known
    }
}

/// The length of the IP packet of a segment with so many bytes of data.
fn ip_length(segment: &Segment, data: usize) -> usize {
    segment.header.saturating_sub(EthernetFrame::<&[u8]>::header_len()).saturating_add(data)
}

/// The other of the two addresses of a /31 network (RFC 3021).
pub fn other_of_pair(address: Ipv4Addr) -> Ipv4Addr {
    Ipv4Addr::from_bits(address.to_bits() ^ 1)
}

/// That of a /127 network (RFC 6164).
pub fn other_of_pair6(address: Ipv6Addr) -> Ipv6Addr {
    Ipv6Addr::from_bits(address.to_bits() ^ 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_of_a_pair_is_the_others_other() {
        let [a, b] = [2, 3].map(|n| Ipv4Addr::new(10, 0, 0, n));
        assert_eq!((other_of_pair(a), other_of_pair(b)), (b, a));
        let [a, b] = [2, 3].map(|n| Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, n));
        assert_eq!((other_of_pair6(a), other_of_pair6(b)), (b, a));
    }
}
