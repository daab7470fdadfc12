//! Hosts that say segment by segment what a test wants.
use super::{Net, PORT, host6, ip_frame, transport};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    IpProtocol, Ipv4Address, Ipv4Packet, Ipv6Packet, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber,
};
use std::net::IpAddr;

/// A host that says what a test wants.
#[derive(Clone, Copy)]
pub struct Stranger {
    pub ip: IpAddr,
    pub port: u16,
    /// Its next number, and the server's.
    pub next: TcpSeqNumber,
    pub theirs: TcpSeqNumber,
    pub window: u16,
}

impl Stranger {
    /// A host 10.0.0.N.
    pub fn new(host: u8, port: u16) -> Self {
        let ip = Ipv4Address::new(10, 0, 0, host).into();
        let next = TcpSeqNumber(1000 * i32::from(host));
        Self { ip, port, next, theirs: TcpSeqNumber(0), window: 65535 }
    }

    /// As `new`, a host of the client's kind of network.
    pub fn beside(net: &Net, host: u8, port: u16) -> Self {
        let v6 = net.client.server.is_ipv6().then(|| host6(host.into()).into());
        let plain = Self::new(host, port);
        Self { ip: v6.unwrap_or(plain.ip), ..plain }
    }

    pub fn syn(&self, net: &Net) -> Vec<u8> {
        self.segment(net, TcpControl::Syn, self.next, None, &[])
    }

    /// The usual next segment.
    pub fn says(&self, net: &Net, control: TcpControl, payload: &[u8]) -> Vec<u8> {
        self.segment(net, control, self.next, Some(self.theirs), payload)
    }

    pub fn segment(
        &self,
        net: &Net,
        control: TcpControl,
        seq_number: TcpSeqNumber,
        ack_number: Option<TcpSeqNumber>,
        payload: &[u8],
    ) -> Vec<u8> {
        let is_syn = control == TcpControl::Syn;
        let repr = TcpRepr {
            src_port: self.port,
            dst_port: PORT,
            control,
            seq_number,
            ack_number,
            window_len: self.window,
            window_scale: is_syn.then_some(0),
            max_seg_size: is_syn.then_some(1460),
            sack_permitted: is_syn,
            sack_ranges: [None; 3],
            timestamp: None,
            payload,
        };
        let to = net.client.server;
        ip_frame(self.ip, to, IpProtocol::Tcp, repr.buffer_len(), |payload| {
            let mut packet = TcpPacket::new_unchecked(payload);
            let (from, to) = (self.ip.into(), to.into());
            repr.emit(&mut packet, &from, &to, &ChecksumCapabilities::default());
        })
    }

    /// What the server answers to a frame at once: each segment for this host.
    pub fn ask(&self, net: &mut Net, frame: Vec<u8>) -> Vec<Answer> {
        net.client.port.send(frame);
        net.settle_server();
        self.answers(net)
    }

    pub fn answers(&self, net: &mut Net) -> Vec<Answer> {
        let frames = std::iter::from_fn(|| net.client.port.take());
        frames.filter_map(|frame| Answer::of(&frame, self)).collect()
    }

    /// Connects, and says so to the server.
    pub fn connect(&mut self, net: &mut Net) {
        let syn = self.syn(net);
        let answers = self.ask(net, syn);
        let [answer] = &answers[..] else { panic!("{answers:?}") };
        assert!(answer.syn && answer.ack == self.next + 1, "{answer:?}");
        self.next += 1;
        self.theirs = answer.number + 1;
        net.client.port.send(self.says(net, TcpControl::None, &[]));
        net.settle_server();
    }
}

/// A segment of the server's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    pub number: TcpSeqNumber,
    pub ack: TcpSeqNumber,
    pub syn: bool,
    pub fin: bool,
    pub rst: bool,
    pub data: usize,
}

impl Answer {
    pub fn of(frame: &[u8], to: &Stranger) -> Option<Self> {
        let packet = frame.get(14..)?;
        let (next_header, dst) = if transport(frame) > 34 {
            let ip = Ipv6Packet::new_checked(packet).ok()?;
            (ip.next_header(), IpAddr::from(ip.dst_addr()))
        } else {
            let ip = Ipv4Packet::new_checked(packet).ok()?;
            (ip.next_header(), IpAddr::from(ip.dst_addr()))
        };
        let tcp = TcpPacket::new_checked(&frame[transport(frame)..]).ok()?;
        let ours = next_header == IpProtocol::Tcp && (dst, tcp.dst_port()) == (to.ip, to.port);
        ours.then(|| Self {
            number: tcp.seq_number(),
            ack: tcp.ack_number(),
            syn: tcp.syn(),
            fin: tcp.fin(),
            rst: tcp.rst(),
            data: tcp.payload().len(),
        })
    }
}
