//! More clients than there are places: those that the server lets go make room for others, whatever they say to it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tcp_wire;

use net::tcp::Stream;
use net::{Listener as _, Stream as _};
use smoltcp::socket::tcp::State;
use std::collections::VecDeque;
use tcp_wire::*;

/// A server with 16 places, of whose clients the oldest goes when another comes; 4 more sockets, as in a guest.
struct Served(VecDeque<Stream>);

impl Served {
    fn turn(&mut self, net: &mut Net) {
        while let Some((stream, _)) = net.listener.accept() {
            self.0.push_back(stream);
            if self.0.len() > 16 {
                let mut gone = self.0.pop_front().unwrap();
                let _ = gone.write(b"Exceeded MaxStartups\r\n");
            }
        }
    }

    /// Serves for so many milliseconds.
    fn run(&mut self, net: &mut Net, ms: u64) {
        for _ in 0..ms / 2 {
            net.run(2);
            self.turn(net);
        }
    }

    /// Milliseconds until an honest client has its connection.
    fn connect(&mut self, net: &mut Net) -> u64 {
        let (handle, since) = (net.client.connect(), net.now.get());
        while net.client.socket(handle).state() == State::SynSent {
            self.run(net, 2);
        }
        assert_eq!(net.client.socket(handle).state(), State::Established, "refused");
        let took = net.now.get() - since;
        net.client.socket(handle).abort();
        self.run(net, 2);
        net.client.set.remove(handle);
        took
    }
}

/// 16 a second that say nothing, keep their connection, and read what they are told.
#[test]
fn clients_that_are_let_go_make_room_at_once() {
    let mut net = Net::new(lan(), config(20, 4));
    net.weather.set(Weather { delay: 20, ..FINE });
    let mut served = Served(VecDeque::new());
    for n in 0..400 {
        net.client.connect();
        served.run(&mut net, 62);
        if n % 10 == 9 {
            let took = served.connect(&mut net);
            assert!(took < 200, "{took} ms beside {n} others");
        }
    }
}

/// As many that acknowledge nothing from then on.
#[test]
fn clients_that_acknowledge_nothing_keep_nobody_out_for_long() {
    for hosts in [1, 100] {
        let mut net = Net::new(lan(), config(20, 4));
        let mut served = Served(VecDeque::new());
        let mut worst = 0;
        for n in 0..400u16 {
            let host = Stranger::new(100 + (n % hosts) as u8, 4000 + n);
            let mut silent = host;
            let syn = silent.syn(&net);
            if let [answer] = silent.ask(&mut net, syn)[..]
                && answer.syn
            {
                silent.next += 1;
                silent.theirs = answer.number + 1;
                net.client.port.send(silent.says(&net, smoltcp::wire::TcpControl::None, &[]));
                net.settle_server();
            }
            served.run(&mut net, 62);
            if n % 10 == 9 {
                worst = worst.max(served.connect(&mut net));
            }
        }
        assert!(worst < if hosts == 1 { 200 } else { 4_000 }, "{worst} ms, {hosts} hosts");
    }
}
