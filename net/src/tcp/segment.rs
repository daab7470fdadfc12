//! TCP segments in frames: what they say, and how a large one becomes several.
use alloc::vec::Vec;
use core::net::IpAddr;
use smoltcp::wire::{
    EthernetFrame, EthernetProtocol, IpAddress, IpProtocol, Ipv4Packet, Ipv6Packet, TcpOption,
    TcpPacket, TcpSeqNumber,
};

/// Bytes of IPv6's header.
pub const IPV6: usize = 40;

/// A segment of TCP.
#[derive(Clone, Copy, Debug)]
pub struct Segment {
    pub from: (IpAddr, u16),
    pub to: (IpAddr, u16),
    pub number: u32,
    pub ack: Option<u32>,
    pub syn: bool,
    pub fin: bool,
    pub rst: bool,
    pub window: u16,
    /// Of a SYN: by how many bits later windows are shifted.
    pub scale: u8,
    /// Bytes of all headers, Ethernet's included, and of data.
    pub header: usize,
    pub data: usize,
}

impl Segment {
    /// The segment of a frame. Checksums are not looked at.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        let frame = EthernetFrame::new_checked(bytes).ok()?;
        let (header, payload, from, to) = match frame.ethertype() {
            EthernetProtocol::Ipv4 => {
                let ip = Ipv4Packet::new_checked(frame.payload()).ok()?;
                let tcp = ip.next_header() == IpProtocol::Tcp;
                let header = tcp.then(|| usize::from(ip.header_len()))?;
                (header, ip.payload(), IpAddr::from(ip.src_addr()), IpAddr::from(ip.dst_addr()))
            }
            EthernetProtocol::Ipv6 => {
                let ip = Ipv6Packet::new_checked(frame.payload()).ok()?;
                let tcp = ip.next_header() == IpProtocol::Tcp;
                let header = tcp.then(|| ip.header_len())?;
                (header, ip.payload(), ip.src_addr().into(), ip.dst_addr().into())
            }
            _ => return None,
        };
        let tcp = TcpPacket::new_checked(payload).ok()?;
        let headers = EthernetFrame::<&[u8]>::header_len().saturating_add(header);
        Some(Self {
            from: (from, tcp.src_port()),
            to: (to, tcp.dst_port()),
            number: tcp.seq_number().0 as u32,
            ack: tcp.ack().then(|| tcp.ack_number().0 as u32),
            syn: tcp.syn(),
            fin: tcp.fin(),
            rst: tcp.rst(),
            window: tcp.window_len(),
            scale: if tcp.syn() { scale(tcp.options()) } else { 0 },
            header: headers.saturating_add(tcp.header_len().into()),
            data: tcp.payload().len(),
        })
    }

    /// The number behind it: SYN and FIN count, too.
    pub fn end(&self) -> u32 {
        let controls = u32::from(self.syn).wrapping_add(u32::from(self.fin));
        self.number.wrapping_add(self.data as u32).wrapping_add(controls)
    }

    /// Whether it does nothing but acknowledge.
    pub fn is_bare(&self) -> bool {
        self.data == 0 && !self.syn && !self.fin && !self.rst
    }
}

fn scale(mut options: &[u8]) -> u8 {
    while let Ok((rest, option)) = TcpOption::parse(options) {
        match option {
            TcpOption::WindowScale(scale) => return scale.min(14),
            TcpOption::EndOfList => break,
            _ => options = rest,
        }
    }
    0
}

/// Whether the number `a` comes before `b` (RFC 9293, 3.4).
pub fn is_before(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) < 0
}

/// The pieces of a frame that `segment` describes: one with `first` bytes of its data, and then ones
/// with `size`.
pub fn cut(frame: &[u8], segment: &Segment, first: usize, size: usize, sum: bool) -> Vec<Vec<u8>> {
    let (header, data) = frame.split_at_checked(segment.header).unwrap_or_default();
    let (start, rest) = data.split_at_checked(first).unwrap_or((data, &[]));
    let mut number = segment.number;
    let mut pieces = Vec::new();
    let mut parts = [start].into_iter().chain(rest.chunks(size.max(1))).peekable();
    while let Some(part) = parts.next() {
        let mut bytes = [header, part].concat();
        finish(&mut bytes, number, parts.peek().is_none(), sum);
        pieces.push(bytes);
        number = number.wrapping_add(part.len() as u32);
    }
    pieces
}

/// Makes the headers of a piece its own. They were a segment's.
fn finish(bytes: &mut [u8], number: u32, is_last: bool, sum: bool) {
    let mut frame = EthernetFrame::new_unchecked(bytes);
    let kind = frame.ethertype();
    let payload = frame.payload_mut();
    let length = |length: usize| u16::try_from(length).unwrap_or(u16::MAX);
    if kind == EthernetProtocol::Ipv6 {
        let data = length(payload.len().saturating_sub(IPV6));
        let mut ip = Ipv6Packet::new_unchecked(payload);
        ip.set_payload_len(data);
        let addresses = (ip.src_addr().into(), ip.dst_addr().into());
        finish_tcp(ip.payload_mut(), addresses, number, is_last, sum);
    } else {
        let total = length(payload.len());
        let mut ip = Ipv4Packet::new_unchecked(payload);
        ip.set_total_len(total);
        ip.fill_checksum();
        let addresses = (ip.src_addr().into(), ip.dst_addr().into());
        finish_tcp(ip.payload_mut(), addresses, number, is_last, sum);
    }
}

fn finish_tcp(
    packet: &mut [u8],
    (from, to): (IpAddress, IpAddress),
    number: u32,
    is_last: bool,
    sum: bool,
) {
    let mut tcp = TcpPacket::new_unchecked(packet);
    tcp.set_seq_number(TcpSeqNumber(number as i32));
    if !is_last {
        tcp.set_fin(false);
        tcp.set_psh(false);
    }
    if sum {
        tcp.fill_checksum(&from, &to);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shift_of_windows_is_found_among_the_options() {
        for (options, shift) in [
            (&[][..], 0),
            (&[2, 4, 5, 180, 1, 3, 3, 7], 7),
            (&[3, 3, 14], 14),
            // More than 14 counts as 14 (RFC 7323 2.3).
            (&[3, 3, 15], 14),
            (&[0, 3, 3, 7], 0),
            (&[3, 9, 7], 0),
        ] {
            assert_eq!(scale(options), shift, "{options:?}");
        }
    }

    #[test]
    fn only_the_last_piece_ends_the_stream() {
        const FIN_PSH_ACK: u8 = 0x19;
        let mut frame = [[0x02; 6], [0x04; 6]].concat();
        frame.extend([8, 0, 0x45, 0, 0, 50, 0, 0, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        frame.extend([
            0,
            22,
            15,
            160,
            0,
            0,
            3,
            232,
            0,
            0,
            0,
            1,
            0x50,
            FIN_PSH_ACK,
            1,
            0,
            0,
            0,
            0,
            0,
        ]);
        frame.extend(b"0123456789");
        let segment = Segment::of(&frame).unwrap();
        let pieces = cut(&frame, &segment, 4, 3, true);
        let expected = [(1000, "0123", false), (1004, "456", false), (1007, "789", true)];
        assert_eq!(pieces.len(), expected.len());
        for (bytes, (number, data, last)) in pieces.iter().zip(expected) {
            let piece = Segment::of(bytes).unwrap();
            assert_eq!((piece.number, piece.fin), (number, last));
            let ip = Ipv4Packet::new_checked(&bytes[14..]).unwrap();
            let tcp = TcpPacket::new_checked(ip.payload()).unwrap();
            assert_eq!((tcp.payload(), tcp.psh()), (data.as_bytes(), last));
            assert!(ip.verify_checksum());
            assert!(tcp.verify_checksum(&ip.src_addr().into(), &ip.dst_addr().into()));
        }
    }
}
