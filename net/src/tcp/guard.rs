//! What stands between smoltcp and the device: frames are judged here, addressed, and cut.
//!
//! Everything that we send answers something. So an answer goes to the hardware address that the
//! other side's frames come from, and nothing depends on ARP: some network VMs do not answer it, a
//! gateway may lie outside of our network (Qubes gives A/32), and whoever else speaks on the link
//! cannot push a connection's peer out of a table. smoltcp is told A/31, and that everybody is behind
//! the other address of that pair.
use super::address::Address;
use super::flows::{Flows, Verdict};
use super::paths::{Paths, TooLong};
use super::segment::{self, Segment};
use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;
use core::net::Ipv4Addr;
use smoltcp::phy::{ChecksumCapabilities, PacketMeta};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, IpProtocol,
    Ipv4Cidr, Ipv4Packet, Ipv4Repr, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber,
};

/// An Ethernet frame with an ARP packet (RFC 826): 14 + 28 bytes.
pub const ARP_FRAME: usize = 42;

/// The hardware address that smoltcp puts into frames, and that stays in those which answer nobody.
const NOBODY: EthernetAddress = EthernetAddress([0xfe, 0xff, 0xff, 0xff, 0xff, 0xff]);

/// smoltcp forgets a neighbour after a minute.
const REMIND: Duration = Duration::from_secs(30);

/// A frame, and its segmentation by the device.
pub type Ready = (Vec<u8>, PacketMeta);

pub struct Guard {
    address: Option<Address>,
    port: u16,
    /// The longest IP packet that we send.
    pub mtu: u16,
    /// Whom the last frame came from.
    from: (Ipv4Addr, EthernetAddress),
    /// When smoltcp is to be told again of its neighbour.
    tell: Instant,
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
            from: (Ipv4Addr::UNSPECIFIED, NOBODY),
            tell: Instant::ZERO,
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
        self.tell = Instant::ZERO;
        self.ready.clear();
    }

    /// An ARP reply for smoltcp, when it is time for one.
    pub fn news(&mut self, now: Instant) -> Option<[u8; ARP_FRAME]> {
        let address = self.address.as_ref().filter(|_| now >= self.tell)?;
        self.tell = now + REMIND;
        let ours = (EthernetAddress(address.mac), address.ip);
        Some(arp_reply((NOBODY, other_of_pair(address.ip)), ours))
    }

    /// Whether smoltcp may see a frame that has come. `sums`: TCP's checksums are still to be checked.
    pub fn incoming(&mut self, bytes: &[u8], sums: bool, now: u64) -> bool {
        let Ok(frame) = EthernetFrame::new_checked(bytes) else { return false };
        let Some(address) = self.address else { return false };
        match frame.ethertype() {
            EthernetProtocol::Arp => {
                self.arp(&address, frame.payload());
                false
            }
            EthernetProtocol::Ipv4 => {
                let ours = frame.dst_addr() == EthernetAddress(address.mac);
                ours && frame.src_addr().is_unicast()
                    && Ipv4Packet::new_checked(frame.payload()).is_ok_and(|packet| {
                        self.packet(&address, (bytes, &packet), frame.src_addr(), sums, now)
                    })
            }
            _ => false,
        }
    }

    /// Answers who asks for us, and learns who has moved to another interface.
    fn arp(&mut self, ours: &Address, packet: &[u8]) {
        let packet = ArpPacket::new_checked(packet);
        let Ok(ArpRepr::EthernetIpv4 {
            operation,
            source_hardware_addr: mac,
            source_protocol_addr: ip,
            target_protocol_addr: wanted,
            ..
        }) = packet.and_then(|packet| ArpRepr::parse(&packet))
        else {
            return;
        };
        if !mac.is_unicast() {
            return;
        }
        if reaches(ours, ip) {
            self.flows.moved(ip, mac);
        }
        if operation == ArpOperation::Request && wanted == ours.ip {
            let reply = arp_reply((EthernetAddress(ours.mac), ours.ip), (mac, ip));
            self.answer(reply.to_vec());
        }
    }

    fn packet(
        &mut self,
        ours: &Address,
        (bytes, packet): (&[u8], &Ipv4Packet<&[u8]>),
        mac: EthernetAddress,
        sums: bool,
        now: u64,
    ) -> bool {
        let from = packet.src_addr();
        // smoltcp takes fragments for whole packets when it is built without reassembly.
        let whole = !packet.more_frags() && packet.frag_offset() == 0;
        if !whole
            || packet.dst_addr() != ours.ip
            || !reaches(ours, from)
            || !packet.verify_checksum()
        {
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
            IpProtocol::Tcp => Segment::of(bytes).is_some_and(|segment| {
                let pass =
                    segment.to.1 != self.port || self.segment(&segment, (packet, sums), mac, now);
                let waits = pass && self.is_full && self.flows.begins(&segment);
                if waits {
                    self.waiting = Some(bytes.to_vec());
                }
                pass && !waits
            }),
            _ => true,
        }
    }

    fn segment(
        &mut self,
        segment: &Segment,
        (packet, sums): (&Ipv4Packet<&[u8]>, bool),
        mac: EthernetAddress,
        now: u64,
    ) -> bool {
        // What is answered here smoltcp does not check.
        if sums && (segment.syn || segment.rst) {
            let (from, to) = (packet.src_addr().into(), packet.dst_addr().into());
            let tcp = TcpPacket::new_checked(packet.payload());
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
        let true_to_us = told.from == (ours.ip, self.port)
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
        let ip = Ipv4Repr {
            src_addr: to.to.0,
            dst_addr: to.from.0,
            next_header: IpProtocol::Tcp,
            payload_len: tcp.buffer_len(),
            hop_limit: 64,
        };
        let headers = EthernetFrame::<&[u8]>::header_len();
        let mut bytes = vec![0; [headers, ip.buffer_len(), ip.payload_len].iter().sum()];
        let mut frame = EthernetFrame::new_unchecked(&mut bytes[..]);
        frame.set_dst_addr(mac);
        frame.set_ethertype(EthernetProtocol::Ipv4);
        if let Some(ours) = self.address {
            frame.set_src_addr(EthernetAddress(ours.mac));
        }
        let sums = ChecksumCapabilities::default();
        let mut packet = Ipv4Packet::new_unchecked(frame.payload_mut());
        ip.emit(&mut packet, &sums);
        let mut packet = TcpPacket::new_unchecked(packet.payload_mut());
        tcp.emit(&mut packet, &to.to.0.into(), &to.from.0.into(), &sums);
        self.answer(bytes);
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
        if frame.ethertype() != EthernetProtocol::Ipv4 {
            // smoltcp asks for its neighbour.
            self.tell = Instant::ZERO;
            return false;
        }
        let to = Ipv4Packet::new_checked(frame.payload_mut()).map(|packet| packet.dst_addr());
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

/// Whether there are answers for a host: without a gateway, only for those of our network.
fn reaches(ours: &Address, host: Ipv4Addr) -> bool {
    let network = Ipv4Cidr::new(ours.ip, ours.prefix);
    let one = host != ours.ip && !(host.is_unspecified() || host.is_multicast());
    one && !host.is_broadcast()
        && Some(host) != network.broadcast()
        && (ours.gateway.is_some() || ours.prefix == 32 || network.contains_addr(&host))
}

/// The other of the two addresses of a /31 network (RFC 3021).
pub fn other_of_pair(address: Ipv4Addr) -> Ipv4Addr {
    Ipv4Addr::from_bits(address.to_bits() ^ 1)
}

fn arp_reply(
    from: (EthernetAddress, Ipv4Addr),
    to: (EthernetAddress, Ipv4Addr),
) -> [u8; ARP_FRAME] {
    let mut bytes = [0; ARP_FRAME];
    let mut frame = EthernetFrame::new_unchecked(&mut bytes[..]);
    frame.set_src_addr(from.0);
    frame.set_dst_addr(to.0);
    frame.set_ethertype(EthernetProtocol::Arp);
    let repr = ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Reply,
        source_hardware_addr: from.0,
        source_protocol_addr: from.1,
        target_hardware_addr: to.0,
        target_protocol_addr: to.1,
    };
    repr.emit(&mut ArpPacket::new_unchecked(frame.payload_mut()));
    bytes
}
