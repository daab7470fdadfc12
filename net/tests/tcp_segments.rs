//! Segments that do not belong into a connection's state: RFC 9293 (3.10.7.4) and RFC 5961.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tcp_wire;

use net::{Closed, Listener as _, Stream as _};
use smoltcp::wire::{TcpControl, TcpSeqNumber};
use tcp_wire::*;

/// A host with a connection, and the server's end of it.
fn open(net: &mut Net) -> (Stranger, net::tcp::Stream) {
    let mut host = Stranger::new(40, 4000);
    host.connect(net);
    host.answers(net);
    let (stream, _) = net.listener.accept().unwrap();
    (host, stream)
}

/// An acknowledgment of what there is, and nothing else.
fn challenge(host: &Stranger) -> Vec<Answer> {
    let (number, ack) = (host.theirs, host.next);
    vec![Answer { number, ack, syn: false, fin: false, rst: false, data: 0 }]
}

/// A client that has started anew with the same port gets in: the SYN is challenged, the answer to
/// that ends the old connection, and the next SYN begins another.
#[test]
fn a_client_that_has_forgotten_its_connection_gets_another() {
    for address in [lan(), qube()] {
        let mut net = Net::new(address, config(4, 2));
        let (host, mut old) = open(&mut net);
        let mut again = Stranger { next: host.next + 123_456, ..host };
        let syn = again.syn(&net);
        assert_eq!(again.ask(&mut net, syn.clone()), challenge(&host));
        assert_eq!(old.fill(), Ok(&[][..]));
        let rst = again.segment(&net, TcpControl::Rst, host.next, None, &[]);
        assert_eq!(again.ask(&mut net, rst), []);
        assert_eq!(old.fill(), Err(Closed));
        again.connect(&mut net);
        let (mut new, _) = net.listener.accept().unwrap();
        net.client.port.send(again.says(&net, TcpControl::Psh, b"hello"));
        net.settle_server();
        assert_eq!(new.fill(), Ok(&b"hello"[..]));
    }
}

/// At most one challenge a second and connection, whatever asks for it.
#[test]
fn challenges_are_few() {
    let mut net = Net::new(lan(), config(4, 2));
    let (host, _stream) = open(&mut net);
    let mut answers = 0;
    for n in 0..1000 {
        let syn = host.segment(&net, TcpControl::Syn, host.next + n * 10, None, &[]);
        let rst = host.segment(&net, TcpControl::Rst, host.next + 1 + n * 10, None, &[]);
        let both = host.segment(&net, TcpControl::Syn, host.next, Some(host.theirs), &[]);
        for frame in [syn, rst, both] {
            answers += host.ask(&mut net, frame).len();
        }
        net.now.set(net.now.get() + 5);
    }
    assert_eq!(answers, 5);
}

/// Only the RST that has the very next number ends a connection (RFC 5961, 3.2).
#[test]
fn an_rst_must_be_exact() {
    let mut net = Net::new(qube(), config(4, 2));
    let (mut host, mut stream) = open(&mut net);
    let rst = |net: &Net, number: TcpSeqNumber| {
        Stranger::new(40, 4000).segment(net, TcpControl::Rst, number, None, &[])
    };
    // In the window, and outside of it.
    for (offset, wanted) in [(1, challenge(&host)), (60_000, challenge(&host)), (70_000, vec![])] {
        net.now.set(net.now.get() + 2000);
        let frame = rst(&net, host.next + offset);
        assert_eq!(host.ask(&mut net, frame), wanted, "{offset}");
    }
    net.now.set(net.now.get() + 2000);
    let frame = rst(&net, host.next - 1);
    assert_eq!(host.ask(&mut net, frame), []);
    assert_eq!(stream.fill(), Ok(&[][..]));
    // Behind data that was not acknowledged yet.
    let data = host.says(&net, TcpControl::Psh, b"data");
    host.next += 4;
    net.client.port.send(data);
    net.client.port.send(rst(&net, host.next));
    net.settle_server();
    assert_eq!(stream.fill(), Ok(&b"data"[..]));
    stream.consume(4);
    assert_eq!(stream.fill(), Err(Closed));
    assert_eq!(stream.write(b"x"), Err(Closed));
}

/// An acknowledgment of what was never sent is none (RFC 9293, 3.10.7.4).
#[test]
fn what_was_not_sent_cannot_be_acknowledged() {
    let mut net = Net::new(lan(), config(4, 2));
    let (host, mut stream) = open(&mut net);
    let small = Stranger { window: 100, ..host };
    net.client.port.send(small.says(&net, TcpControl::None, &[]));
    stream.write(&bytes(1, 200)).unwrap();
    net.settle_server();
    net.client.port.take();
    let early = Stranger { theirs: host.theirs + 150, ..host };
    let frame = early.says(&net, TcpControl::None, &[]);
    let sent = Stranger { theirs: host.theirs + 100, ..host };
    assert_eq!(host.ask(&mut net, frame), challenge(&sent));
    let frame = sent.says(&net, TcpControl::None, &[]);
    let answers = host.ask(&mut net, frame);
    assert_eq!((answers[0].number, answers[0].data), (sent.theirs, 100));
}

/// A host that begins a handshake anew gets an answer, and the same SYN again does no harm.
#[test]
fn a_handshake_can_begin_anew() {
    let mut net = Net::new(lan(), config(4, 2));
    let mut host = Stranger::new(40, 4000);
    let syn = host.syn(&net);
    let first = host.ask(&mut net, syn.clone());
    assert!(first[0].syn);
    assert_eq!(host.ask(&mut net, syn), []);
    host.next += 5000;
    let syn = host.syn(&net);
    let answers = host.ask(&mut net, syn);
    assert_eq!((answers.len(), answers[0].syn, answers[0].ack), (1, false, host.next - 4999));
    let rst = host.segment(&net, TcpControl::Rst, answers[0].ack, None, &[]);
    assert_eq!(host.ask(&mut net, rst), []);
    host.connect(&mut net);
    assert!(net.listener.accept().is_some());
}
