//! What a host says and asks on its own link: ARP (RFC 826) and IPv6's neighbour discovery (RFC 4861).
use super::address::Address;
use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol,
    Icmpv6Message, Icmpv6Packet, IpProtocol, IpRepr, Ipv6Packet,
};

/// A hardware address, and whose it is.
pub type Station<A> = (EthernetAddress, A);

/// All hosts of a link (RFC 4291, 2.7.1), and where frames to them go (RFC 2464, 7).
const EVERYBODY: Station<Ipv6Addr> =
    (EthernetAddress([0x33, 0x33, 0, 0, 0, 1]), Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1));

/// The hop limit of what no router has passed on.
const NEAR: u8 = 255;

/// An advertisement without options, and the one option that ours has (RFC 4861, 4.4 and 4.6.1).
const ADVERTISEMENT: usize = 24;
const LINK_LAYER: usize = 8;

/// Flags of an advertisement.
const SOLICITED: u8 = 0x40;
const OVERRIDE: u8 = 0x20;

/// What a packet about neighbours comes to.
pub enum News {
    /// A host of our link has this hardware address.
    Moved(IpAddr, EthernetAddress),
    /// And it is to be sent this.
    Answer(Option<IpAddr>, EthernetAddress, Vec<u8>),
}

/// Reads an ARP packet: answers who asks for us, and learns who has moved to another interface.
pub fn arp(ours: &Address, packet: &[u8]) -> Option<News> {
    let packet = ArpPacket::new_checked(packet);
    let Ok(ArpRepr::EthernetIpv4 {
        operation,
        source_hardware_addr: mac,
        source_protocol_addr: ip,
        target_protocol_addr: wanted,
        ..
    }) = packet.and_then(|packet| ArpRepr::parse(&packet))
    else {
        return None;
    };
    if !mac.is_unicast() {
        return None;
    }
    let host = ours.reaches(ip.into()).then_some(ip.into());
    if operation == ArpOperation::Request && ours.has(wanted.into()) {
        let reply = arp_reply((EthernetAddress(ours.mac), wanted), (mac, ip));
        return Some(News::Answer(host, mac, reply));
    }
    host.map(|host| News::Moved(host, mac))
}

/// Reads a message of neighbour discovery that came in a frame from `mac`. None of another kind is: what
/// routers advertise, and that another one is nearer, changes nothing here.
pub fn discovery(ours: &Address, packet: &Ipv6Packet<&[u8]>, mac: EthernetAddress) -> Option<News> {
    let (from, to) = (packet.src_addr(), packet.dst_addr());
    let message = Icmpv6Packet::new_checked(packet.payload()).ok()?;
    let good = packet.hop_limit() == NEAR
        && packet.payload().len() >= ADVERTISEMENT
        && message.msg_code() == 0
        && message.verify_checksum(&from, &to);
    if !good {
        return None;
    }
    let target = message.target_addr();
    match message.msg_type() {
        Icmpv6Message::NeighborSolicit if ours.has(target.into()) => {
            let own = (EthernetAddress(ours.mac), target);
            if from.is_unspecified() {
                // It looks whether the address is free (RFC 4862, 5.4): all are told that it is not.
                return Some(News::Answer(None, mac, advertisement(own, EVERYBODY, OVERRIDE)));
            }
            let host = IpAddr::from(from);
            ours.reaches(host).then(|| {
                let reply = advertisement(own, (mac, from), SOLICITED | OVERRIDE);
                News::Answer(Some(host), mac, reply)
            })
        }
        Icmpv6Message::NeighborAdvert => {
            let host = IpAddr::from(target);
            ours.reaches(host).then_some(News::Moved(host, mac))
        }
        _ => None,
    }
}

pub fn arp_reply(from: Station<Ipv4Addr>, to: Station<Ipv4Addr>) -> Vec<u8> {
    let repr = ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Reply,
        source_hardware_addr: from.0,
        source_protocol_addr: from.1,
        target_hardware_addr: to.0,
        target_protocol_addr: to.1,
    };
    frame(from.0, to.0, EthernetProtocol::Arp, repr.buffer_len(), |payload| {
        repr.emit(&mut ArpPacket::new_unchecked(payload));
    })
}

pub fn advertisement(from: Station<Ipv6Addr>, to: Station<Ipv6Addr>, flags: u8) -> Vec<u8> {
    const LENGTH: usize = ADVERTISEMENT + LINK_LAYER;
    let repr = IpRepr::new(from.1.into(), to.1.into(), IpProtocol::Icmpv6, LENGTH, NEAR);
    ip_frame(from.0, to.0, &repr, |payload| {
        let (fixed, option) = payload.split_at_mut_checked(ADVERTISEMENT).unwrap_or_default();
        // The target's hardware address, 8 bytes long.
        let bytes = [2, 1].into_iter().chain(from.0.0);
        option.iter_mut().zip(bytes).for_each(|(to, byte)| *to = byte);
        if let Some(byte) = fixed.get_mut(4) {
            *byte = flags;
        }
        let mut message = Icmpv6Packet::new_unchecked(payload);
        message.set_msg_type(Icmpv6Message::NeighborAdvert);
        message.set_target_addr(from.1);
        message.fill_checksum(&from.1, &to.1);
    })
}

/// What tells smoltcp who its neighbour is.
pub fn told(from: Station<Ipv6Addr>, to: Station<Ipv6Addr>) -> Vec<u8> {
    advertisement(from, to, OVERRIDE)
}

/// A frame with an IP packet.
pub fn ip_frame(
    from: EthernetAddress,
    to: EthernetAddress,
    ip: &IpRepr,
    fill: impl FnOnce(&mut [u8]),
) -> Vec<u8> {
    let kind = match ip {
        IpRepr::Ipv4(_) => EthernetProtocol::Ipv4,
        IpRepr::Ipv6(_) => EthernetProtocol::Ipv6,
    };
    frame(from, to, kind, ip.buffer_len(), |mut packet| {
        ip.emit(&mut packet, &ChecksumCapabilities::default());
        fill(packet.get_mut(ip.header_len()..).unwrap_or_default());
    })
}

fn frame(
    from: EthernetAddress,
    to: EthernetAddress,
    kind: EthernetProtocol,
    length: usize,
    fill: impl FnOnce(&mut [u8]),
) -> Vec<u8> {
    let mut bytes = vec![0; EthernetFrame::<&[u8]>::header_len().saturating_add(length)];
    let mut frame = EthernetFrame::new_unchecked(&mut bytes[..]);
    frame.set_src_addr(from);
    frame.set_dst_addr(to);
    frame.set_ethertype(kind);
    fill(frame.payload_mut());
    bytes
}
