//! TCP's checksum where the backend and smoltcp leave it to the driver.
use smoltcp::wire::{
    EthernetFrame, EthernetProtocol, IpAddress, IpProtocol, Ipv4Packet, Ipv6Packet, TcpPacket,
};

/// Ethernet's header, and IP's without options.
const ETHERNET: usize = 14;
const IPV4: usize = 20;
const IPV6: usize = 40;

/// Who completes the checksums of what is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offload {
    /// Of TCP over IPv4, and over IPv6.
    pub v4: bool,
    pub v6: bool,
}

/// What was done for a frame that is about to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prepared {
    /// It is complete.
    Whole,
    /// The checksum holds the sum of the pseudo-header (`CHECKSUM_PARTIAL` in Linux).
    Partial { v6: bool },
}

impl Prepared {
    /// Where TCP's header begins, if another one completes the checksum, and whether that is behind IPv6's.
    pub fn tcp_start(self) -> Option<(usize, bool)> {
        match self {
            Self::Whole => None,
            Self::Partial { v6: false } => Some((ETHERNET + IPV4, false)),
            Self::Partial { v6: true } => Some((ETHERNET + IPV6, true)),
        }
    }
}

/// A frame's TCP packet over IPv4 or IPv6, and its addresses.
struct Tcp {
    /// Where it is in the frame.
    start: usize,
    end: usize,
    from: IpAddress,
    to: IpAddress,
}

fn tcp(frame: &[u8]) -> Option<Tcp> {
    let frame = EthernetFrame::new_checked(frame).ok()?;
    let (protocol, header, length, from, to) = match frame.ethertype() {
        EthernetProtocol::Ipv4 => {
            let ip = Ipv4Packet::new_checked(frame.payload()).ok()?;
            let (from, to) = (ip.src_addr().into(), ip.dst_addr().into());
            (ip.next_header(), usize::from(ip.header_len()), ip.payload().len(), from, to)
        }
        EthernetProtocol::Ipv6 => {
            let ip = Ipv6Packet::new_checked(frame.payload()).ok()?;
            let (from, to) = (ip.src_addr().into(), ip.dst_addr().into());
            (ip.next_header(), IPV6, ip.payload().len(), from, to)
        }
        _ => return None,
    };
    let start = ETHERNET.saturating_add(header);
    let end = start.saturating_add(length);
    (protocol == IpProtocol::Tcp).then_some(Tcp { start, end, from, to })
}

/// Whether a frame is not TCP, or its TCP checksum is right. smoltcp itself checks the IPv4 header and
/// ICMP.
pub fn is_right(frame: &[u8]) -> bool {
    let Some(Tcp { start, end, from, to }) = tcp(frame) else {
        return true;
    };
    let packet = TcpPacket::new_checked(frame.get(start..end).unwrap_or_default());
    packet.is_ok_and(|packet| packet.verify_checksum(&from, &to))
}

/// Makes a frame ready that smoltcp has left without TCP's checksum: where another one completes it, puts
/// the sum of the pseudo-header there, and else the checksum.
pub fn prepare_tcp(frame: &mut [u8], offload: Offload) -> Prepared {
    let Some(Tcp { start, end, from, to }) = tcp(frame) else {
        return Prepared::Whole;
    };
    let packet = frame.get_mut(start..end).unwrap_or_default();
    let length = u32::try_from(packet.len()).unwrap_or_default();
    let Ok(mut packet) = TcpPacket::new_checked(packet) else {
        return Prepared::Whole;
    };
    let v6 = matches!(from, IpAddress::Ipv6(_));
    if !(if v6 { offload.v6 } else { offload.v4 }) {
        packet.fill_checksum(&from, &to);
        return Prepared::Whole;
    }
    let first = u32::from(u8::from(IpProtocol::Tcp)).wrapping_add(length);
    let sum = addresses_sum(from).wrapping_add(addresses_sum(to)).wrapping_add(first);
    let sum = (sum & 0xffff).wrapping_add(sum >> 16);
    packet.set_checksum((sum & 0xffff).wrapping_add(sum >> 16) as u16);
    Prepared::Partial { v6 }
}

/// The sum of an address' 16-bit words.
fn addresses_sum(address: IpAddress) -> u32 {
    match address {
        IpAddress::Ipv4(ip) => (ip.to_bits() >> 16).wrapping_add(ip.to_bits() & 0xffff),
        IpAddress::Ipv6(ip) => ip.segments().map(u32::from).iter().sum(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use smoltcp::phy::ChecksumCapabilities;
    use smoltcp::wire::{EthernetAddress, IpRepr, TcpControl, TcpRepr, TcpSeqNumber};

    /// A frame with a TCP packet whose checksum is right.
    fn frame(from: &str, to: &str, data: &[u8]) -> Vec<u8> {
        let (from, to): (IpAddress, IpAddress) = (from.parse().unwrap(), to.parse().unwrap());
        let tcp = TcpRepr {
            src_port: 1,
            dst_port: 2,
            control: TcpControl::None,
            seq_number: TcpSeqNumber(5),
            ack_number: Some(TcpSeqNumber(6)),
            window_len: 7,
            window_scale: None,
            max_seg_size: None,
            sack_permitted: false,
            sack_ranges: [None; 3],
            timestamp: None,
            payload: data,
        };
        let ip = IpRepr::new(from, to, IpProtocol::Tcp, tcp.buffer_len(), 64);
        let mut bytes = vec![0; ETHERNET + ip.buffer_len()];
        let mut frame = EthernetFrame::new_unchecked(&mut bytes[..]);
        frame.set_dst_addr(EthernetAddress([2; 6]));
        frame.set_ethertype(match ip {
            IpRepr::Ipv4(_) => EthernetProtocol::Ipv4,
            IpRepr::Ipv6(_) => EthernetProtocol::Ipv6,
        });
        let all = ChecksumCapabilities::default();
        ip.emit(frame.payload_mut(), &all);
        let packet = &mut frame.payload_mut()[ip.header_len()..];
        tcp.emit(&mut TcpPacket::new_unchecked(packet), &from, &to, &all);
        bytes
    }

    #[test]
    fn each_family_is_left_to_whom_it_is_left() {
        for (from, to, v6) in
            [("10.0.0.1", "10.255.0.2", false), ("fd00:ffff::1", "fe80::ffff:2", true)]
        {
            let right = frame(from, to, b"odd");
            assert!(is_right(&right));
            let mut wrong = right.clone();
            *wrong.last_mut().unwrap() ^= 1;
            assert!(!is_right(&wrong));
            let mut blank = right.clone();
            let at = right.len() - 3 - 4;
            blank[at..at + 2].fill(0);
            let mut whole = blank.clone();
            assert_eq!(prepare_tcp(&mut whole, Offload { v4: v6, v6: !v6 }), Prepared::Whole);
            assert_eq!(whole, right);
            let partial = prepare_tcp(&mut blank, Offload { v4: !v6, v6 });
            assert_eq!(partial, Prepared::Partial { v6 });
            // Summing from there on gives the checksum.
            let (start, _) = partial.tcp_start().unwrap();
            let words = blank[start..].chunks(2);
            let words = words.map(|w| u32::from(w[0]) << 8 | u32::from(*w.get(1).unwrap_or(&0)));
            let sum = words.sum::<u32>();
            let sum = (sum & 0xffff) + (sum >> 16);
            let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
            assert_eq!(sum.to_be_bytes(), right[at..at + 2]);
        }
    }

    #[test]
    fn other_frames_are_as_they_were() {
        let good = frame("fd00::1", "fd00::2", b"data");
        for (at, value) in [(13, 0), (20, 17)] {
            let mut other = good.clone();
            other[at] = value;
            let before = other.clone();
            assert_eq!(prepare_tcp(&mut other, Offload { v4: true, v6: true }), Prepared::Whole);
            assert_eq!((other, is_right(&before)), (before.clone(), true));
        }
        for length in 0..good.len() {
            let mut short = good[..length].to_vec();
            assert_eq!(prepare_tcp(&mut short, Offload::default()), Prepared::Whole);
            assert!(is_right(&short));
        }
    }
}
