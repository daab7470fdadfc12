//! Hostile peers by the hundred thousand frames: for each of theirs we send no more than two, beyond a
//! constant, and an honest transfer beside them goes on.
//!
//!     TCP_FRAMES=10000000 cargo test --release -p net --test tcp_floods
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tcp_wire;

use net::{Closed, Listener as _, Stream as _};
use smoltcp::iface::SocketHandle;
use smoltcp::wire::TcpControl;
use tcp_wire::*;

/// Packets beyond two for each frame: what may be unacknowledged and sent again in the minute after the last one,
/// by 20 sockets.
const CONSTANT: u64 = 2_000;

/// Frames in one run, each of which has its seed.
const RUN: u64 = 25_000;

/// Bytes that an honest client is sent in each millisecond, which are eight hostile frames.
const PACE: usize = 200;

fn frames() -> u64 {
    std::env::var("TCP_FRAMES").map_or(100_000, |frames| frames.parse().unwrap())
}

/// Some hosts that began properly or not, and say whatever comes to their mind.
struct Crowd {
    hosts: Vec<Stranger>,
    random: Random,
}

impl Crowd {
    fn new(seed: u64) -> Self {
        let hosts = (0..64).map(|n| Stranger::new(100 + n % 100, 4000 + u16::from(n))).collect();
        Self { hosts, random: Random(seed) }
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.random.below(from.len() as u64) as usize]
    }

    fn speak(&mut self, net: &mut Net) {
        let all = self.hosts.len() as u64;
        let index = self.random.below(all) as usize;
        let mut host = self.hosts[index];
        host.window = self.pick(&[0, 0, 0, 1, 100, 1500, 65535]);
        let near = [0, 0, 0, 1, 2, 100, 1460, 30_000, 65_535, 70_000, 0x4000_0000];
        let (ahead, more) = (self.pick(&near), self.pick(&near));
        let data = vec![7; self.pick(&[0, 0, 0, 1, 100, 1460])];
        let back = self.random.below(2) == 0;
        let number = if back { host.next - ahead } else { host.next + ahead };
        let ack = host.theirs + self.pick(&[0, 0, 0, 1, 2, 50, 101, 102, more]);
        let frame = match self.random.below(12) {
            // Half of a handshake, or all of it.
            0 => host.segment(net, TcpControl::Syn, number, None, &[]),
            1 => host.segment(net, TcpControl::Syn, host.next, None, &[]),
            2 => host.segment(net, TcpControl::Syn, number, Some(ack), &[]),
            3 => host.segment(net, TcpControl::Rst, number, None, &[]),
            4 => host.segment(net, TcpControl::Fin, number, Some(ack), &data),
            5 => host.segment(net, TcpControl::Fin, host.next, Some(ack), &[]),
            6 => host.segment(net, TcpControl::Psh, number, Some(ack), &data),
            7 => host.segment(net, TcpControl::None, number, None, &data),
            8 => host.segment(net, TcpControl::None, host.next, Some(ack), &data),
            9 => host.segment(net, TcpControl::None, number, Some(ack), &[]),
            _ => host.segment(net, TcpControl::None, host.next, Some(ack), &[]),
        };
        net.client.port.send(frame);
        self.hosts[index] = host;
    }

    /// They know what an observer knows.
    fn listen(&mut self, frame: &[u8]) {
        for host in &mut self.hosts {
            if let Some(answer) = Answer::of(frame, host) {
                if answer.syn {
                    host.theirs = answer.number + 1;
                    host.next = answer.ack;
                } else if !answer.rst && answer.data == 0 {
                    host.next = answer.ack;
                }
            }
        }
    }
}

struct Honest {
    handle: SocketHandle,
    stream: net::tcp::Stream,
    data: Vec<u8>,
    sent: usize,
    got: usize,
}

impl Honest {
    fn step(&mut self, net: &mut Net) {
        // As fast as it lasts for the whole flood.
        let end = self.data.len().min(self.sent + PACE);
        self.sent += self.stream.write(&self.data[self.sent..end]).unwrap();
        let Self { data, got, .. } = self;
        let socket = net.client.socket(self.handle);
        while socket.can_recv() {
            socket
                .recv(|came| {
                    assert!(data[*got..].starts_with(came));
                    *got += came.len();
                    (came.len(), ())
                })
                .unwrap();
        }
    }
}

/// One run; returns how many packets the server sent to hostile hosts.
fn run(seed: u64) -> u64 {
    let mut net = Net::new(lan(), config(20, 4));
    let (handle, stream) = connected(&mut net);
    let data = bytes(seed, PACE * RUN as usize / 8);
    let mut honest = Honest { handle, stream, data, sent: 0, got: 0 };
    let mut crowd = Crowd::new(seed);
    let mut streams = Vec::new();
    let mut answered = 0;
    let mut step = |net: &mut Net, crowd: &mut Crowd, honest: &mut Honest| {
        honest.step(net);
        net.server.poll(net.now.get());
        while let Some((mut stream, _)) = net.listener.accept() {
            // As the server says its version.
            stream.write(&[1; 101]).ok();
            streams.push(stream);
        }
        let mut number = 0;
        streams.retain_mut(|stream| {
            number += 1;
            let n = match stream.fill() {
                Ok(came) => came.len(),
                Err(Closed) => return false,
            };
            stream.consume(n);
            // Some end before their client does.
            !(net.now.get() + number).is_multiple_of(40)
        });
        net.server.poll(net.now.get());
        for frame in net.client.port.waiting() {
            if frame[..6] == CLIENT_MAC && frame[12..14] == [8, 0] {
                let to: [u8; 4] = frame[30..34].try_into().unwrap();
                if net.client.ip().to_string() != to.map(|byte| byte.to_string()).join(".") {
                    answered += 1;
                    crowd.listen(&frame);
                }
            }
        }
        net.client.poll(net.now.get());
    };
    for n in 0..RUN {
        crowd.speak(&mut net);
        if n.is_multiple_of(8) {
            step(&mut net, &mut crowd, &mut honest);
            net.now.set(net.now.get() + 1);
        }
    }
    // It keeps up, but for what is on its way.
    assert!(honest.got + 64 * 1024 > honest.data.len(), "seed {seed}: {} bytes came", honest.got);
    // A minute of silence, as fast as the loop would turn.
    for _ in 0..60_000 {
        step(&mut net, &mut crowd, &mut honest);
        net.now.set(net.now.get() + 1);
    }
    assert_eq!(honest.got, honest.data.len(), "seed {seed}");
    answered
}

#[test]
fn hostile_peers_are_answered_no_more_than_twice() {
    let runs = frames().div_ceil(RUN);
    let mut most = 0;
    for seed in 1..=runs {
        let answered = run(seed);
        most = most.max(answered);
        assert!(answered <= 2 * RUN + CONSTANT, "seed {seed}: {answered} packets for {RUN}");
    }
    println!("{} frames: at most {most} packets for {RUN}", runs * RUN);
}
