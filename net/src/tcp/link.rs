//! The Ethernet link under smoltcp: drops what is not supported, and makes a gateway outside of
//! our network reachable.
//!
//! A guest with the address A/32 (Qubes, routed Xen networks) has one neighbour on its link: the
//! network's backend, which forwards everything. smoltcp neither asks for nor accepts the hardware
//! address of a gateway outside of the interface's network. So smoltcp is told A/31, with the
//! gateway at the other address of that pair, and this file gives it the hardware address that
//! frames came from: nothing depends on ARP, which some network VMs do not answer.
use alloc::vec;
use core::cell::RefCell;
use core::net::Ipv4Addr;
use smoltcp::phy::{Device, DeviceCapabilities, PacketMeta, RxToken, TxToken};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, Ipv4Packet,
};

/// An Ethernet frame with an ARP packet (RFC 826): 14 + 28 bytes.
pub const ARP_FRAME: usize = 42;

/// What Xen's network backends have, until a frame shows another one.
const BACKEND: EthernetAddress = EthernetAddress([0xfe, 0xff, 0xff, 0xff, 0xff, 0xff]);

/// smoltcp forgets a neighbour after a minute, and then drops the reply for which it asks anew.
const REMIND: Duration = Duration::from_secs(30);

/// A link with one neighbour.
pub struct PointToPoint {
    pub ours: (EthernetAddress, Ipv4Addr),
    /// The address that stands for the neighbour.
    pub gateway: Ipv4Addr,
    neighbour: EthernetAddress,
    /// smoltcp is to be told of the neighbour.
    news: bool,
    told: Instant,
    /// The answer to an ARP request.
    pub reply: Option<[u8; ARP_FRAME]>,
}

impl PointToPoint {
    pub fn new(mac: EthernetAddress, address: Ipv4Addr) -> Self {
        Self {
            ours: (mac, address),
            gateway: other_of_pair(address),
            neighbour: BACKEND,
            news: true,
            told: Instant::ZERO,
            reply: None,
        }
    }

    /// Learns from a frame; false when it is not for smoltcp.
    fn received(&mut self, frame: &EthernetFrame<&[u8]>) -> bool {
        match frame.ethertype() {
            EthernetProtocol::Ipv4 => {
                let source = frame.src_addr();
                if frame.dst_addr() == self.ours.0
                    && source.is_unicast()
                    && self.neighbour != source
                {
                    self.neighbour = source;
                    self.news = true;
                }
                true
            }
            EthernetProtocol::Arp => {
                let packet = ArpPacket::new_checked(frame.payload());
                if let Ok(ArpRepr::EthernetIpv4 {
                    operation: ArpOperation::Request,
                    source_hardware_addr,
                    source_protocol_addr,
                    target_protocol_addr,
                    ..
                }) = packet.and_then(|packet| ArpRepr::parse(&packet))
                    && target_protocol_addr == self.ours.1
                    && source_hardware_addr.is_unicast()
                {
                    let asker = (source_hardware_addr, source_protocol_addr);
                    self.reply = Some(arp_reply(self.ours, asker));
                }
                false
            }
            _ => false,
        }
    }

    /// An ARP reply for smoltcp, when it is time for one.
    fn news(&mut self, now: Instant) -> Option<[u8; ARP_FRAME]> {
        if !self.news && now < self.told + REMIND {
            return None;
        }
        self.news = false;
        self.told = now;
        Some(arp_reply((self.neighbour, self.gateway), self.ours))
    }
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

/// Whether smoltcp may see a frame. It takes fragments for whole packets when it is built without
/// reassembly.
fn is_supported(frame: &EthernetFrame<&[u8]>) -> bool {
    match frame.ethertype() {
        EthernetProtocol::Ipv4 => Ipv4Packet::new_checked(frame.payload())
            .is_ok_and(|packet| !packet.more_frags() && packet.frag_offset() == 0),
        EthernetProtocol::Arp => true,
        _ => false,
    }
}

/// The device as smoltcp sees it.
pub struct Link<'a, D> {
    pub device: &'a mut D,
    pub peer: Option<&'a RefCell<PointToPoint>>,
}

impl<D: Device> Device for Link<'_, D> {
    type RxToken<'t>
        = Received<'t, D::RxToken<'t>>
    where
        Self: 't;
    type TxToken<'t>
        = Sending<'t, D::TxToken<'t>>
    where
        Self: 't;

    fn receive(&mut self, now: Instant) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        let Self { device, peer } = self;
        let peer = *peer;
        if let Some(news) = peer.and_then(|peer| peer.borrow_mut().news(now)) {
            // Nobody answers an ARP reply.
            return Some((Received::News(news), Sending { token: None, peer }));
        }
        let (rx, token) = device.receive(now)?;
        Some((Received::Frame(rx, peer), Sending { token: Some(token), peer }))
    }

    fn transmit(&mut self, now: Instant) -> Option<Self::TxToken<'_>> {
        Some(Sending { token: Some(self.device.transmit(now)?), peer: self.peer })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        self.device.capabilities()
    }
}

pub enum Received<'a, T> {
    Frame(T, Option<&'a RefCell<PointToPoint>>),
    News([u8; ARP_FRAME]),
}

impl<T: RxToken> RxToken for Received<'_, T> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        let (token, peer) = match self {
            Self::Frame(token, peer) => (token, peer),
            Self::News(frame) => return f(&frame),
        };
        token.consume(|bytes| {
            let wanted = EthernetFrame::new_checked(bytes).is_ok_and(|frame| {
                is_supported(&frame) && peer.is_none_or(|peer| peer.borrow_mut().received(&frame))
            });
            // smoltcp ignores an empty frame.
            f(if wanted { bytes } else { &[] })
        })
    }

    fn meta(&self) -> PacketMeta {
        match self {
            Self::Frame(token, _) => token.meta(),
            Self::News(_) => PacketMeta::default(),
        }
    }
}

pub struct Sending<'a, T> {
    /// None when nothing will be sent.
    token: Option<T>,
    peer: Option<&'a RefCell<PointToPoint>>,
}

impl<T: TxToken> Sending<'_, T> {
    fn send(token: Option<T>, frame: &[u8]) {
        if let Some(token) = token {
            token.consume(frame.len(), |buffer| buffer.copy_from_slice(frame));
        }
    }
}

impl<T: TxToken> TxToken for Sending<'_, T> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        match (self.token, self.peer) {
            (token, Some(peer)) if len == ARP_FRAME => {
                let mut bytes = [0; ARP_FRAME];
                let result = f(&mut bytes);
                match EthernetFrame::new_unchecked(&bytes[..]).ethertype() {
                    // Nobody on the link has the gateway's address: the answer is known here.
                    EthernetProtocol::Arp => peer.borrow_mut().news = true,
                    _ => Self::send(token, &bytes),
                }
                result
            }
            (Some(token), _) => token.consume(len, f),
            (None, _) => f(&mut vec![0; len]),
        }
    }

    fn set_meta(&mut self, meta: PacketMeta) {
        if let Some(token) = &mut self.token {
            token.set_meta(meta);
        }
    }
}
