//! The cable, with its devices and the routers on its way.
use super::{Random, ip_frame, transport};
use smoltcp::phy::{Checksum, Device, DeviceCapabilities, Medium, PacketMeta, RxToken, TxToken};
use smoltcp::time::Instant;
use smoltcp::wire::{
    Icmpv4Packet, Icmpv6Packet, IpProtocol, Ipv4Address, Ipv4Packet, Ipv6Address, Ipv6Packet,
};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

type Queue = Rc<RefCell<VecDeque<(u64, Vec<u8>)>>>;

/// What happens to frames on their way.
#[derive(Clone, Copy)]
pub struct Weather {
    /// Of a thousand frames.
    pub lost: u64,
    pub late: u64,
    /// Milliseconds.
    pub delay: u64,
}

pub const FINE: Weather = Weather { lost: 0, late: 0, delay: 0 };

/// What routers do with frames from the server to the client: the longest IP packet that gets
/// through, and whether ICMP says so of one that does not.
#[derive(Clone, Copy)]
pub struct Path {
    pub mtu: usize,
    pub icmp: bool,
}

/// One end of the cable.
pub struct Port {
    incoming: Queue,
    outgoing: Queue,
    pub weather: Rc<Cell<Weather>>,
    pub random: Random,
    pub now: Rc<Cell<u64>>,
    /// Frames that may wait in the cable; with none the device can send nothing.
    pub room: Rc<Cell<usize>>,
    pub sent: Rc<Cell<u64>>,
    /// Of a thousand frames that come here so many are changed behind Ethernet's header.
    pub damaged: Rc<Cell<u64>>,
    /// The largest frame whose segmentation the device takes over.
    segmented: Option<usize>,
    /// Whose work TCP's checksums are: of both ends nobody's, as between guests on the same host.
    pub sums: Checksum,
    /// Only from the server to the client.
    pub path: Option<Rc<Cell<Path>>>,
    /// The longest IP packet that was sent, also when it got lost, and the last frame with data.
    pub longest: Rc<Cell<usize>>,
    pub last: Rc<RefCell<Vec<u8>>>,
}

pub fn cable(now: &Rc<Cell<u64>>, segmented: Option<usize>) -> (Port, Port) {
    let (a, b) = (Queue::default(), Queue::default());
    let weather = Rc::new(Cell::new(FINE));
    let port = |incoming: &Queue, outgoing: &Queue, seed, segmented| Port {
        incoming: incoming.clone(),
        outgoing: outgoing.clone(),
        weather: weather.clone(),
        random: Random(seed),
        now: now.clone(),
        room: Rc::new(Cell::new(1024)),
        sent: Rc::default(),
        damaged: Rc::default(),
        segmented,
        sums: Checksum::None,
        path: None,
        longest: Rc::default(),
        last: Rc::default(),
    };
    let (mut server, client) = (port(&a, &b, 1, segmented), port(&b, &a, 2, None));
    server.path = Some(Rc::new(Cell::new(Path { mtu: usize::MAX, icmp: true })));
    (server, client)
}

impl Port {
    /// Puts a frame on the cable.
    pub fn send(&mut self, frame: Vec<u8>) {
        self.sent.set(self.sent.get() + 1);
        self.longest.set(self.longest.get().max(frame.len().saturating_sub(14)));
        if frame.len() > 100 {
            self.last.replace(frame.clone());
        }
        if let Some(path) = self.path.as_ref().map(|path| path.get())
            && frame.len() > path.mtu.saturating_add(14)
        {
            if path.icmp {
                let told = too_big(&frame, path.mtu as u16);
                self.incoming.borrow_mut().push_back((self.now.get(), told));
            }
            return;
        }
        let weather = self.weather.get();
        if self.random.below(1000) < weather.lost {
            return;
        }
        let late = if self.random.below(1000) < weather.late { 3 } else { 0 };
        let due = self.now.get() + weather.delay + late;
        let mut queue = self.outgoing.borrow_mut();
        let at = queue.iter().position(|(other, _)| *other > due).unwrap_or(queue.len());
        queue.insert(at, (due, frame));
    }

    pub fn take(&mut self) -> Option<Vec<u8>> {
        let mut queue = self.incoming.borrow_mut();
        let (due, _) = queue.front()?;
        (*due <= self.now.get()).then(|| queue.pop_front().unwrap().1)
    }

    /// Changes some bytes, mostly of TCP's header, and leaves the IPv4 checksum right.
    fn damage(&mut self, frame: &mut Vec<u8>) {
        for _ in 0..=self.random.below(4) {
            let end = if self.random.below(3) == 0 { frame.len() } else { frame.len().min(70) };
            let start = if self.random.below(3) == 0 { 14 } else { 34 };
            let at = start + self.random.below((end - start) as u64) as usize;
            frame[at] = match self.random.below(4) {
                0 => 0,
                1 => 0xff,
                _ => self.random.next() as u8,
            };
        }
        if self.random.below(8) == 0 {
            frame.truncate(14 + self.random.below(80) as usize);
        }
        if let Ok(mut ip) = Ipv4Packet::new_checked(&mut frame[14..]) {
            ip.fill_checksum();
        }
    }

    /// What has come and was not taken.
    pub fn waiting(&self) -> Vec<Vec<u8>> {
        self.incoming.borrow().iter().map(|(_, frame)| frame.clone()).collect()
    }

    /// When the next frame arrives here.
    pub fn due(&self) -> Option<u64> {
        self.incoming.borrow().front().map(|(due, _)| *due)
    }
}

impl Device for Port {
    type RxToken<'a> = Frame;
    type TxToken<'a> = Slot<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Frame, Slot<'_>)> {
        let mut frame = self.take()?;
        if self.random.below(1000) < self.damaged.get() {
            self.damage(&mut frame);
        }
        Some((Frame(frame), Slot(self, None)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Slot<'_>> {
        let waiting = self.outgoing.borrow().len();
        (waiting < self.room.get()).then_some(Slot(self, None))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = 1514;
        // The other end takes a large frame as it is, as a guest on the same host does.
        capabilities.segmentation.tcpv4 = self.segmented.and_then(|n| n.try_into().ok());
        capabilities.checksum.tcp = self.sums;
        capabilities
    }
}

pub struct Frame(Vec<u8>);

impl RxToken for Frame {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

/// Room for a frame, which is cut into segments of so many bytes where its way is narrow.
pub struct Slot<'a>(&'a mut Port, Option<u16>);

impl TxToken for Slot<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut frame = vec![0; len];
        let result = f(&mut frame);
        let narrow = self.0.path.as_ref().is_some_and(|path| path.get().mtu <= 1500);
        match self.1.filter(|_| narrow) {
            Some(size) => segments(&frame, size.into()).into_iter().for_each(|s| self.0.send(s)),
            None => self.0.send(frame),
        }
        result
    }

    fn set_meta(&mut self, meta: PacketMeta) {
        self.1 = meta.segmentation_offload_size.map(|size| size.get());
    }
}

/// What a device makes of a large TCP frame.
fn segments(frame: &[u8], size: usize) -> Vec<Vec<u8>> {
    let tcp = transport(frame);
    let start = tcp + usize::from(frame[tcp + 12] >> 4) * 4;
    let number = u32::from_be_bytes(frame[tcp + 4..tcp + 8].try_into().unwrap());
    let count = frame[start..].len().div_ceil(size);
    let cut = |(n, data): (usize, &[u8])| {
        let mut bytes = [&frame[..start], data].concat();
        let number = number.wrapping_add((n * size) as u32);
        bytes[tcp + 4..tcp + 8].copy_from_slice(&number.to_be_bytes());
        if n + 1 < count {
            bytes[tcp + 13] &= !9; // FIN, PSH
        }
        let length = (bytes.len() - 14) as u16;
        if tcp > 34 {
            Ipv6Packet::new_unchecked(&mut bytes[14..]).set_payload_len(length - 40);
            return bytes;
        }
        let mut ip = Ipv4Packet::new_unchecked(&mut bytes[14..]);
        ip.set_total_len(length);
        ip.fill_checksum();
        bytes
    };
    frame[start..].chunks(size).enumerate().map(cut).collect()
}

/// A router's "fragmentation needed" (RFC 1191, 4), or "packet too big" (RFC 4443, 3.2), for a frame of the
/// server's.
pub fn too_big(frame: &[u8], mtu: u16) -> Vec<u8> {
    if transport(frame) > 34 {
        let to = Ipv6Packet::new_checked(&frame[14..]).unwrap().src_addr();
        let router = Ipv6Address::from_bits(to.to_bits() ^ 0x40);
        let mut message = vec![2, 0, 0, 0, 0, 0];
        message.extend(mtu.to_be_bytes());
        // As much as fits into the shortest packet.
        message.extend(frame[14..].iter().take(1280 - 48));
        let length = message.len();
        return ip_frame(router.into(), to.into(), IpProtocol::Icmpv6, length, |payload| {
            payload.copy_from_slice(&message);
            Icmpv6Packet::new_unchecked(payload).fill_checksum(&router, &to);
        });
    }
    let ip = Ipv4Packet::new_checked(&frame[14..]).unwrap();
    let mut message = vec![3, 4, 0, 0, 0, 0];
    message.extend(mtu.to_be_bytes());
    message.extend(&frame[14..42]);
    let router = Ipv4Address::from_bits(ip.src_addr().to_bits() ^ 0x40);
    ip_frame(router.into(), ip.src_addr().into(), IpProtocol::Icmp, message.len(), |payload| {
        payload.copy_from_slice(&message);
        Icmpv4Packet::new_unchecked(payload).fill_checksum();
    })
}
