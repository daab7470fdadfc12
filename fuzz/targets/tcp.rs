//! Frames of anybody's at the interface, of IPv4 and IPv6: raw ones, TCP segments near a connection's numbers, ICMP
//! messages that quote what was sent, and neighbour discovery. Each is answered by two frames at most, but for what
//! is cut.
#![no_main]
use libfuzzer_sys::fuzz_target;
use net::tcp::{Address, Config, Interface, Own};
use net::{Listener as _, Stream as _};
use smoltcp::phy::{self, Checksum, DeviceCapabilities, Medium};
use smoltcp::time::Instant;
use std::collections::VecDeque;

const OURS: [u8; 6] = [0, 0x16, 0x3e, 0x5e, 0x6c, 0];
const IP: [u8; 4] = [10, 0, 0, 2];
const PORT: u16 = 22;

#[derive(Default)]
struct Cable {
    come: VecDeque<Vec<u8>>,
    sent: Vec<Vec<u8>>,
    segmentation: bool,
}

struct Frame(Vec<u8>);
struct Room<'a>(&'a mut Vec<Vec<u8>>);

impl phy::RxToken for Frame {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl phy::TxToken for Room<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut frame = vec![0; len];
        let result = f(&mut frame);
        self.0.push(frame);
        result
    }
}

impl phy::Device for Cable {
    type RxToken<'a> = Frame;
    type TxToken<'a> = Room<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Frame, Room<'_>)> {
        Some((Frame(self.come.pop_front()?), Room(&mut self.sent)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Room<'_>> {
        Some(Room(&mut self.sent))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = 1514;
        capabilities.checksum.tcp = Checksum::None;
        if self.segmentation {
            capabilities.segmentation.tcpv4 = std::num::NonZeroUsize::new(60 << 10);
        }
        capabilities
    }
}

fn sum(bytes: &[u8]) -> [u8; 2] {
    let pairs = bytes.chunks(2).map(|p| u32::from(p[0]) << 8 | u32::from(*p.get(1).unwrap_or(&0)));
    let sum = pairs.sum::<u32>();
    let sum = (sum & 0xffff) + (sum >> 16);
    (!((sum & 0xffff) + (sum >> 16)) as u16).to_be_bytes()
}

fn packet(from: u8, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut ip = vec![0x45, 0];
    ip.extend(((payload.len() + 20) as u16).to_be_bytes());
    ip.extend([0, 0, 0x40, 0, 64, protocol, 0, 0, 10, 0, 0, from]);
    ip.extend(IP);
    let check = sum(&ip);
    ip[10..12].copy_from_slice(&check);
    [&OURS, &[2, 0, 0, 0, 0, from][..], &[8, 0], &ip, payload].concat()
}

const IP6: [u8; 16] = [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];

/// As `packet`, by IPv6, where ICMPv6 and TCP have a sum of the addresses too.
fn packet6(from: u8, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut addresses = [IP6, IP6].concat();
    addresses[15] = from;
    let mut payload = payload.to_vec();
    if protocol == 58 {
        payload[2..4].fill(0);
        let pseudo = [&addresses[..], &(payload.len() as u32).to_be_bytes(), &[0, 0, 0, 58], &payload].concat();
        payload[2..4].copy_from_slice(&sum(&pseudo));
    }
    let mut ip = vec![0x60, 0, 0, 0];
    ip.extend((payload.len() as u16).to_be_bytes());
    ip.extend([protocol, 255]);
    [&OURS, &[2, 0, 0, 0, 0, from][..], &[0x86, 0xdd], &ip, &addresses, &payload].concat()
}

/// What a host knows of its connection: its next number and ours; four of each family.
type Known = [(u32, u32); 8];

type Said = (u8, u8, (i32, i32), (u8, u16), Vec<u8>);

fn frame(known: &Known, sent: &[u8], (kind, host, (number, ack), (flags, more), data): &Said) -> Vec<u8> {
    let index = usize::from(host % 8);
    match kind % 6 {
        0 => data.clone(),
        1 if index > 3 => {
            // "Packet too big".
            let mut message = vec![2, 0, 0, 0, 0, flags & 1];
            message.extend(more.to_be_bytes());
            message.extend(sent.iter().skip(14).take(48 + usize::from(*flags)));
            for (at, byte) in data.iter().enumerate().take(4) {
                let at = at * 9 % message.len();
                message[at] ^= byte;
            }
            packet6(9, 58, &message)
        }
        2 => {
            // Neighbour discovery, echo, and what routers say, about one of our addresses or another.
            let mut message = vec![128 + flags % 10, 0, 0, 0, 0x60, 0, 0, 0];
            message.extend(IP6);
            message[23] = if more & 1 == 0 { 2 } else { *host };
            message.extend(data);
            packet6(10 + (index % 4) as u8, 58, &message)
        }
        1 => {
            // "Fragmentation needed" about something that was sent, or nearly.
            let mut message = vec![3, 4, 0, 0, 0, 0];
            message.extend(more.to_be_bytes());
            message.extend(sent.iter().skip(14).take(28 + usize::from(*flags)));
            for (at, byte) in data.iter().enumerate().take(4) {
                let at = at * 9 % message.len();
                message[at] ^= byte;
            }
            message[2..4].fill(0);
            let check = sum(&message);
            message[2..4].copy_from_slice(&check);
            packet(9, 1, &message)
        }
        _ => {
            let (next, theirs) = known[index];
            let mut tcp = (4000 + index as u16).to_be_bytes().to_vec();
            tcp.extend(PORT.to_be_bytes());
            tcp.extend(next.wrapping_add_signed(*number).to_be_bytes());
            tcp.extend(theirs.wrapping_add_signed(*ack).to_be_bytes());
            tcp.extend([0x50, *flags]);
            tcp.extend(more.to_be_bytes());
            tcp.extend([0; 4]);
            tcp.extend(data);
            match index {
                ..4 => packet(10 + index as u8, 6, &tcp),
                _ => packet6(6 + index as u8, 6, &tcp),
            }
        }
    }
}

fuzz_target!(|input: (bool, Vec<(u8, Said)>)| {
    let (segmentation, steps) = input;
    let cable = Cable { segmentation, ..Cable::default() };
    let config = Config {
        port: PORT,
        sockets: 4,
        listening: 2,
        receive_buffer: 16 << 10,
        send_buffer: 16 << 10,
        mtu: None,
        seed: 7,
    };
    let mut interface = Interface::new(cable, &config);
    let v4 = Some(Own { ip: IP.into(), prefix: 24, gateway: None });
    let v6 = Some(Own { ip: IP6.into(), prefix: 64, gateway: None });
    let address = Address { mac: OURS, v4, v6 };
    interface.set_address(Some(address)).unwrap();
    let mut listener = interface.listener();
    let (mut streams, mut known, mut last) = (Vec::new(), Known::default(), Vec::new());
    let mut now = 0;
    for (wait, said) in steps {
        now += u64::from(wait) * u64::from(wait) * 10;
        let frame = frame(&known, &last, &said);
        interface.device().come.push_back(frame);
        for _ in 0..3 {
            interface.poll(now);
            while let Some((mut stream, _)) = listener.accept() {
                stream.write(&[5; 4000]).ok();
                streams.push(stream);
            }
        }
        streams.retain_mut(|stream| {
            let came = stream.fill().map(|came| came.len());
            came.map(|n| stream.consume(n)).is_ok() && said.1 != 77
        });
        let sent = std::mem::take(&mut interface.device().sent);
        // Four windows of 16 KiB in pieces of 536 bytes, and their timers.
        assert!(sent.len() < 200, "{} frames", sent.len());
        for frame in &sent {
            let (tcp, host, first) = match (frame[12], frame[23], frame[20]) {
                (8, 6, _) => (34, frame[33], 0),
                (0x86, _, 6) => (54, frame[53], 4),
                _ => continue,
            };
            let index = first + usize::from(host.wrapping_sub(10) % 4);
            let number = |at: usize| u32::from_be_bytes(frame[tcp + at..tcp + at + 4].try_into().unwrap());
            known[index] = (number(8), number(4).wrapping_add(u32::from(frame[tcp + 13] & 3 > 0)));
            last.clone_from(frame);
        }
        interface.deadline(now);
    }
});
