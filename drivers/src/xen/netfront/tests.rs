//! The frontend against a backend that keeps to the protocol, and against one that does not.
mod netback;
mod tcp;

use super::*;
use crate::xen::fake::random::Random;
use crate::xen::fake::world::World;
use netback::{Frame, Netback, Vices};
use smoltcp::phy::{RxToken, TxToken};
use std::cell::RefCell;
use std::io::Write as _;

const PAGES: Pages = Pages { receive: 256, transmit: 128 };

struct Bench {
    world: World,
    front: Netfront,
    back: RefCell<Netback>,
}

impl Bench {
    fn new(seed: u64) -> Self {
        let world = World::new();
        let front = Netfront::new(world.xen(), world.store.clone(), PAGES);
        let back = RefCell::new(Netback::new(world.xen.clone(), seed));
        Self { world, front, back }
    }

    fn connected() -> Self {
        let mut bench = Self::new(1);
        bench.attach();
        bench
    }

    fn attach(&mut self) {
        self.back.borrow().attach(&mut self.world.stored.borrow_mut());
        self.wait(|bench| bench.front.is_connected());
    }

    fn turn(&mut self) {
        let mut stored = self.world.stored.borrow_mut();
        stored.turn();
        self.world.store.poll();
        self.front.poll();
        self.front.flush();
        self.back.borrow_mut().turn(&mut stored);
    }

    fn wait(&mut self, mut done: impl FnMut(&mut Self) -> bool) {
        for _ in 0..2000 {
            if done(self) {
                return;
            }
            self.turn();
        }
        panic!("it does not come");
    }

    fn send(&mut self, frame: &[u8], segment: Option<u16>) -> bool {
        let Some(mut room) = self.front.transmit(Instant::ZERO) else { return false };
        let mut meta = PacketMeta::default();
        meta.segmentation_offload_size = segment.and_then(|s| s.try_into().ok());
        room.set_meta(meta);
        room.consume(frame.len(), |buffer| buffer.copy_from_slice(frame));
        true
    }

    fn receive(&mut self) -> Option<Vec<u8>> {
        let (frame, _) = self.front.receive(Instant::ZERO)?;
        Some(frame.consume(|bytes| bytes.to_vec()))
    }
}

fn bytes(random: &mut Random, n: usize) -> Vec<u8> {
    (0..n).map(|_| random.next() as u8).collect()
}

fn plain(bytes: Vec<u8>) -> Frame {
    Frame { bytes, flags: 0, segment: None }
}

#[test]
fn frames_pass_unchanged_in_both_directions() {
    let mut bench = Bench::connected();
    bench.back.get_mut().keeps = true;
    let mut random = Random::new(2);
    let (mut sent, mut given) = (Vec::new(), Vec::new());
    let (mut came, mut arrived) = (Vec::new(), Vec::new());
    while arrived.len() < 3000 || came.len() < 3000 {
        // Of one slot, of two, and of many.
        let size = [14 + random.below(1500), 4090 + random.below(12), random.below(61_000) + 14];
        let size = size[random.below(3) as usize] as usize;
        let frame = bytes(&mut random, size);
        if sent.len() < 3000 && bench.send(&frame, None) {
            sent.push(frame.clone());
        }
        if given.len() < 3000 {
            given.push(frame.clone());
            let segment = (frame.len() > 1514).then_some(1460);
            bench.back.get_mut().to_guest.push_back(Frame { bytes: frame, flags: 0, segment });
        }
        bench.turn();
        while let Some(frame) = bench.receive() {
            came.push(frame);
        }
        arrived.extend(bench.back.get_mut().from_guest.drain(..).map(|frame| frame.bytes));
    }
    assert!(arrived == sent, "from the guest");
    assert!(came == given, "to the guest");
    assert!(bench.back.get_mut().most_slots > 15);
}

/// An IPv4 frame with a TCP packet, its checksum right.
fn tcp_frame(data: usize) -> Vec<u8> {
    use smoltcp::wire::*;
    let checksum = smoltcp::phy::ChecksumCapabilities::default();
    let (from, to) = (Ipv4Address::new(10, 0, 0, 1), Ipv4Address::new(10, 0, 0, 2));
    let data: Vec<u8> = (0..data).map(|n| n as u8).collect();
    let tcp = TcpRepr {
        src_port: 1,
        dst_port: 2,
        control: TcpControl::None,
        seq_number: TcpSeqNumber(3),
        ack_number: Some(TcpSeqNumber(4)),
        window_len: 5,
        window_scale: None,
        max_seg_size: None,
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload: &data,
    };
    let ip = Ipv4Repr {
        src_addr: from,
        dst_addr: to,
        next_header: IpProtocol::Tcp,
        payload_len: tcp.buffer_len(),
        hop_limit: 64,
    };
    let mut bytes = vec![0; 34 + tcp.buffer_len()];
    let mut frame = EthernetFrame::new_unchecked(&mut bytes);
    frame.set_ethertype(EthernetProtocol::Ipv4);
    let mut packet = Ipv4Packet::new_unchecked(frame.payload_mut());
    ip.emit(&mut packet, &checksum);
    let mut packet = TcpPacket::new_unchecked(packet.payload_mut());
    tcp.emit(&mut packet, &from.into(), &to.into(), &checksum);
    bytes
}

#[test]
fn a_checksum_is_verified_unless_the_backend_vouches_for_it() {
    let mut bench = Bench::connected();
    let good = tcp_frame(100);
    let mut bad = good.clone();
    bad[50] ^= 1;
    for (flags, bytes, passes) in
        [(0, &good, true), (0, &bad, false), (1, &bad, true), (2, &bad, true), (3, &bad, true)]
    {
        let frame = Frame { bytes: bytes.clone(), flags, segment: None };
        bench.back.get_mut().to_guest.push_back(frame);
        bench.turn();
        assert_eq!(bench.receive().is_some(), passes, "flags {flags}");
    }
}

/// What the backend is to complete starts with the pseudo-header's sum (RFC 9293 3.1): adding up
/// the packet from there must give the right checksum.
#[test]
fn the_backend_completes_checksums_of_what_is_sent() {
    let mut bench = Bench::connected();
    for (size, segment) in [(99, None), (20_000, Some(1460))] {
        let right = tcp_frame(size);
        assert!(bench.send(&right, segment));
        bench.turn();
        let mut sent = bench.back.get_mut().from_guest.pop_front().unwrap();
        assert_eq!((sent.flags, sent.segment), (3, segment));
        let mut words: Vec<_> = sent.bytes[34..].chunks(2).collect();
        let odd = [*words.last().unwrap().first().unwrap(), 0];
        if words.last().unwrap().len() == 1 {
            *words.last_mut().unwrap() = &odd;
        }
        let sum: u64 = words.iter().map(|w| u64::from(w[0]) << 8 | u64::from(w[1])).sum();
        let sum = (sum & 0xffff) + (sum >> 16);
        let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
        sent.bytes[50..52].copy_from_slice(&sum.to_be_bytes());
        assert_eq!(sent.bytes, right);
    }
}

#[test]
fn a_full_ring_says_so_and_an_event_ends_the_wait() {
    let mut bench = Bench::connected();
    bench.front.poll();
    let mut sent = 0;
    while bench.send(&[1; 1000], None) {
        sent += 1;
    }
    assert!(sent > 100, "{sent}");
    assert!(!bench.front.arm());
    assert!(!bench.world.xen.any_pending());
    bench.front.flush();
    let events = bench.back.get_mut().events;
    bench.back.get_mut().turn(&mut bench.world.stored.borrow_mut());
    assert_eq!(bench.back.get_mut().events, events + 1, "one event for many frames");
    assert!(bench.world.xen.any_pending());
    assert!(bench.front.poll());
    assert!(bench.send(&[1; 1000], None));
}

#[test]
fn an_armed_interface_is_woken_by_a_frame() {
    let mut bench = Bench::connected();
    bench.wait(|bench| !bench.front.poll() && !bench.front.arm() && bench.turns_quietly());
    assert!(!bench.front.arm());
    bench.back.get_mut().to_guest.push_back(plain(vec![7; 60]));
    bench.back.get_mut().turn(&mut bench.world.stored.borrow_mut());
    assert!(bench.world.xen.any_pending());
    // Arming now says that there is something already.
    assert!(bench.front.arm());
    assert_eq!(bench.receive(), Some(vec![7; 60]));
}

/// What it did not hear of it is told again, after a second and not before.
#[test]
fn a_backend_that_missed_an_event_is_told_again() {
    const SECOND: u64 = 1_000_000_000;
    let mut bench = Bench::connected();
    for round in 1..=2 {
        bench.back.get_mut().misses = true;
        assert!(bench.send(&[1; 60], None) && bench.turns_quietly());
        assert!(bench.send(&[2; 60], None));
        bench.world.xen.now.update(|now| now + SECOND - 1);
        bench.turns_quietly();
        assert_eq!(bench.back.get_mut().from_guest.len(), 2 * round - 2);
        bench.world.xen.now.update(|now| now + 1);
        bench.wait(|bench| bench.back.get_mut().from_guest.len() == 2 * round);
    }
    // One that has answered is left alone.
    bench.turns_quietly();
    let events = bench.back.get_mut().events;
    bench.world.xen.now.update(|now| now + 10 * SECOND);
    bench.turns_quietly();
    assert_eq!(bench.back.get_mut().events, events);
}

/// A new connection has a new channel. One that has answered before is only busy.
#[test]
fn a_backend_that_never_hears_is_connected_to_anew() {
    const SECOND: u64 = 1_000_000_000;
    let mut bench = Bench::connected();
    let online = format!("{}/online", bench.back.get_mut().back());
    bench.world.stored.borrow_mut().set(&online, "1");
    bench.back.get_mut().deaf = true;
    for _ in 0..4 {
        assert!(bench.front.is_connected() && bench.back.get_mut().deaf);
        assert!(bench.send(&[1; 60], None));
        bench.turns_quietly();
        bench.world.xen.now.update(|now| now + SECOND);
    }
    bench.wait(|bench| !bench.front.is_connected());
    bench.wait(|bench| bench.front.is_connected());
    assert!(bench.send(&[2; 60], None));
    bench.wait(|bench| bench.back.get_mut().from_guest == [plain(vec![2; 60])]);
    bench.turns_quietly();
    bench.back.get_mut().deaf = true;
    assert!(bench.send(&[3; 60], None));
    for _ in 0..20 {
        bench.turns_quietly();
        bench.world.xen.now.update(|now| now + SECOND);
    }
    assert!(bench.front.is_connected() && bench.back.get_mut().deaf);
}

impl Bench {
    fn turns_quietly(&mut self) -> bool {
        for _ in 0..10 {
            self.turn();
        }
        !self.world.xen.any_pending()
    }
}

#[test]
fn a_backend_without_scatter_gather_gets_single_pages() {
    let mut bench = Bench::new(1);
    bench.back.get_mut().nodes = vec![("feature-rx-copy", "1")];
    bench.back.borrow().attach(&mut bench.world.stored.borrow_mut());
    bench.wait(|bench| bench.front.is_connected());
    let capabilities = bench.front.capabilities();
    assert_eq!(capabilities.segmentation.tcpv4, None);
    assert!(capabilities.checksum.tcp.tx());
    assert!(bench.send(&[1; 5000], None));
    assert!(bench.send(&[2; 1500], None));
    bench.turn();
    assert_eq!(bench.back.get_mut().from_guest, [plain(vec![2; 1500])]);
}

#[test]
fn a_backend_that_does_not_copy_is_refused() {
    let mut bench = Bench::new(1);
    bench.back.get_mut().nodes.clear();
    bench.back.borrow().attach(&mut bench.world.stored.borrow_mut());
    for _ in 0..200 {
        bench.turn();
    }
    assert!(!bench.front.is_connected());
    assert_eq!(bench.world.xen.in_use(), (0, 1));
}

/// The toolstack's way to take an interface away, and to give it another network VM.
#[test]
fn an_interface_comes_late_goes_and_comes_back() {
    let mut bench = Bench::new(1);
    for _ in 0..50 {
        bench.turn();
    }
    assert_eq!(bench.front.mac(), None);
    for (number, domain) in [(0, 3), (0, 4), (1, 9), (0, 3)] {
        bench.back.get_mut().number = number;
        bench.back.get_mut().domain = domain;
        bench.back.borrow().attach(&mut bench.world.stored.borrow_mut());
        bench.wait(|bench| bench.front.is_connected());
        assert_eq!(bench.front.mac(), Some([0, 0x16, 0x3e, 0x5e, 0x6c, 0]));
        assert!(bench.send(&[5; 60], None));
        bench.turn();
        assert_eq!(bench.back.get_mut().from_guest.pop_front(), Some(plain(vec![5; 60])));
        // Detached: the backend goes 5, we answer 6, the directories go.
        bench.back.borrow_mut().close(&mut bench.world.stored.borrow_mut());
        let state = format!("{}/state", bench.back.get_mut().front());
        bench.wait(|bench| bench.world.stored.borrow().number(&state) == Some(6));
        assert!(!bench.front.is_connected());
        assert!(!bench.send(&[5; 60], None));
        bench.turn();
        bench.back.borrow_mut().remove(&mut bench.world.stored.borrow_mut());
        for _ in 0..50 {
            bench.turn();
        }
        assert_eq!(bench.world.xen.in_use(), (0, 1), "grants and ports are given back");
    }
}

/// The network VM dies: no state, the directories just go.
#[test]
fn a_backend_that_vanishes_is_replaced() {
    let mut bench = Bench::connected();
    bench.back.borrow_mut().remove(&mut bench.world.stored.borrow_mut());
    bench.wait(|bench| !bench.front.is_connected());
    bench.back.get_mut().domain = 7;
    bench.back.borrow().attach(&mut bench.world.stored.borrow_mut());
    bench.wait(|bench| bench.front.is_connected());
    assert_eq!(bench.world.xen.retired(), 0);
}

/// A backend that is late or goes away is no reason to stop for good.
#[test]
fn a_late_backend_loses_nothing() {
    let mut bench = Bench::connected();
    bench.back.get_mut().vices = Vices { late: 2, ..Vices::default() };
    let mut arrived = 0;
    for n in 0..500u32 {
        bench.wait(|bench| bench.send(&[n as u8; 100], None));
        bench.turn();
        for frame in bench.back.get_mut().from_guest.drain(..) {
            assert_eq!(frame.bytes, [arrived as u8; 100]);
            arrived += 1;
        }
    }
    assert!(arrived > 400);
}

/// Wrong in every field: the worst is that the interface fails and connects again.
#[test]
fn a_backend_that_lies_does_no_harm() {
    let rate = 12;
    let vices: [fn(&mut Vices) -> &mut u64; 10] = [
        |v| &mut v.late,
        |v| &mut v.never,
        |v| &mut v.twice,
        |v| &mut v.wrong_id,
        |v| &mut v.wrong_status,
        |v| &mut v.wrong_offset,
        |v| &mut v.wrong_flags,
        |v| &mut v.wrong_index,
        |v| &mut v.scribble,
        |v| &mut v.close,
    ];
    let (mut wrongs, mut came, mut arrived, mut connections) = (0, 0, 0, 0);
    for seed in 0..60 {
        let mut bench = Bench::new(seed);
        bench.back.borrow().attach(&mut bench.world.stored.borrow_mut());
        bench.wait(|bench| bench.front.is_connected());
        let mut random = Random::new(seed);
        let all = seed >= 40;
        for (index, vice) in vices.iter().enumerate() {
            if all || index == seed as usize % vices.len() {
                *vice(&mut bench.back.get_mut().vices) = rate;
            }
        }
        let (mut was_up, mut down) = (true, 0);
        for _ in 0..800 {
            let size = 1 + random.below(9000) as usize;
            let frame = bytes(&mut random, size);
            let segment = random.one_in(3).then_some(1000);
            bench.send(&frame, segment);
            let flags = random.below(4) as u16;
            let back = bench.back.get_mut();
            back.to_guest.push_back(Frame { bytes: frame, flags, segment });
            back.to_guest.truncate(50);
            bench.turn();
            while bench.receive().is_some_and(|frame| frame.len() <= 65_549) {
                came += 1;
            }
            bench.front.arm();
            arrived += bench.back.get_mut().from_guest.drain(..).count();
            let up = bench.front.is_connected();
            connections += usize::from(up && !was_up);
            was_up = up;
            down = if up { 0 } else { down + 1 };
            if down % 200 == 30 {
                // The toolstack takes it away and attaches it again.
                bench.back.borrow_mut().remove(&mut bench.world.stored.borrow_mut());
            } else if down % 200 == 50 {
                bench.back.borrow().attach(&mut bench.world.stored.borrow_mut());
            }
        }
        wrongs += bench.back.get_mut().wrongs;
        // Whatever it did: gone is gone, and all memory is back.
        bench.back.get_mut().vices = Vices::default();
        bench.back.borrow_mut().remove(&mut bench.world.stored.borrow_mut());
        for _ in 0..100 {
            bench.turn();
        }
        assert_eq!(bench.world.xen.in_use(), (0, 1));
    }
    // Past the test runner, which shows only what a failed test prints.
    let _ = writeln!(
        std::io::stderr(),
        "netfront: {wrongs} hostile cases; {came} frames came, {arrived} went, \
         connected again {connections} times"
    );
    assert!(wrongs > 5_000 && came > 1000 && arrived > 1000 && connections > 50);
}
