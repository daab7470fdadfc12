//! TCP's checksum where the backend and smoltcp leave it to the driver.
use smoltcp::wire::{EthernetFrame, EthernetProtocol, IpProtocol, Ipv4Packet, TcpPacket};

/// Whether a frame is not TCP over IPv4, or its TCP checksum is right. smoltcp itself checks the
/// IPv4 header and ICMP.
pub fn is_right(frame: &[u8]) -> bool {
    let Some(ip) = EthernetFrame::new_checked(frame).ok().and_then(|frame| ipv4(&frame)) else {
        return true;
    };
    if ip.next_header() != IpProtocol::Tcp {
        return true;
    }
    let (from, to) = (ip.src_addr().into(), ip.dst_addr().into());
    TcpPacket::new_checked(ip.payload()).is_ok_and(|tcp| tcp.verify_checksum(&from, &to))
}

fn ipv4<'a>(frame: &EthernetFrame<&'a [u8]>) -> Option<Ipv4Packet<&'a [u8]>> {
    let is_ip = frame.ethertype() == EthernetProtocol::Ipv4;
    is_ip.then(|| Ipv4Packet::new_checked(frame.payload()).ok()).flatten()
}

/// Puts the sum of the pseudo-header into the checksum of a TCP packet, as a backend expects that
/// is to complete it (`CHECKSUM_PARTIAL` in Linux). False, and nothing changed, when it is not TCP
/// over IPv4.
pub fn prepare_tcp(frame: &mut [u8]) -> bool {
    let Ok(mut frame) = EthernetFrame::new_checked(frame) else {
        return false;
    };
    if frame.ethertype() != EthernetProtocol::Ipv4 {
        return false;
    }
    let Ok(mut ip) = Ipv4Packet::new_checked(frame.payload_mut()) else {
        return false;
    };
    if ip.next_header() != IpProtocol::Tcp {
        return false;
    }
    let (from, to) = (ip.src_addr().octets(), ip.dst_addr().octets());
    let payload = ip.payload_mut();
    let words = [from, to].concat();
    let length = u32::try_from(payload.len()).unwrap_or_default();
    let words = words.chunks(2).map(|pair| pair.iter().fold(0, |sum, &b| sum << 8 | u32::from(b)));
    let sum =
        words.fold(u32::from(u8::from(IpProtocol::Tcp)).wrapping_add(length), u32::wrapping_add);
    let sum = (sum & 0xffff).wrapping_add(sum >> 16);
    let sum = (sum & 0xffff).wrapping_add(sum >> 16) as u16;
    match TcpPacket::new_checked(payload) {
        Ok(mut tcp) => {
            tcp.set_checksum(sum);
            true
        }
        Err(_) => false,
    }
}
