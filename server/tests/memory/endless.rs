//! Peers that never stop sending: each gets its share of a turn, and another client is answered.
use crate::call::{DIRECTORY, FILE, file_header};
use crate::rig::*;
use client::{Client, End, Reply, init, pair, request};
use net::Stream;
use qubes::qrexec::{Command, kind};
use server::{Call, Limits, Turn};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// More than any peer's share of a turn.
const TOO_MUCH: usize = 2 << 20;

/// What peers have sent since the turn began.
type Sent = Rc<Cell<usize>>;

/// The server's end of a peer that sends `head`, and then `again` for ever; and the peer's.
fn peer(sent: &Sent, head: Vec<u8>, again: Vec<u8>) -> (End, End) {
    let (ours, theirs) = pair();
    let (mut next, sent) = (head, sent.clone());
    let again = again.repeat(60_000 / again.len());
    let fed = ours.fed(move || {
        sent.set(sent.get() + next.len());
        assert!(sent.get() < TOO_MUCH, "one peer's data is all that a turn does");
        std::mem::replace(&mut next, again.clone())
    });
    (fed, theirs)
}

fn message(kind: u32, body: &[u8]) -> Vec<u8> {
    let header = [kind, body.len() as u32];
    [&header.map(u32::to_le_bytes).concat(), body].concat()
}

fn hello() -> Vec<u8> {
    message(kind::HELLO, &3u32.to_le_bytes())
}

/// Another client logs in and asks for something while the peers send for ever.
fn is_answered(rig: &mut Rig, mut end: End, sent: &Sent, peer: Option<End>) {
    let mut client = Client::new("mirage", &[1; 32]);
    client.send(&init());
    client.send(&request(17, 9, &[b"/mirage.pub"], &[]));
    let mut peer = peer;
    for turn in 0..2000 {
        sent.set(0);
        assert_eq!(rig.turn(), Turn::Moved, "turn {turn}: there is more to do");
        while let Some(peer) = &mut peer
            && let Ok(bytes @ 1..) = peer.fill().map(<[u8]>::len)
        {
            peer.consume(bytes);
        }
        client.step(&mut end).unwrap();
        // The version, and the attributes.
        if client.received().len() > 40 {
            return;
        }
    }
    panic!("no answer");
}

fn service(name: &str) -> Command {
    Command::Service { name: name.into(), argument: String::new(), source: "work".into() }
}

fn call(name: &str, head: &[Vec<u8>], again: Vec<u8>) {
    call_of(name, head, again, true);
}

/// `reads`: whether it takes what it is told.
fn call_of(name: &str, head: &[Vec<u8>], again: Vec<u8>, reads: bool) {
    let sent = Sent::default();
    let head = [&[hello()], head].concat().concat();
    let command = match name {
        "qubes.ConnectTCP" => {
            Command::Service { name: name.into(), argument: "18022".into(), source: "work".into() }
        }
        name => service(name),
    };
    let (ours, theirs) = pair();
    let mut rig = Rig::new(&[("/mirage.pub", &key_line(1, "me"))], vec![ours], LIMITS, &[]);
    let (stream, peer) = peer(&sent, head, again);
    rig.server.call(Call { command, detached: false, stream: Box::new(stream) });
    let (reader, _deaf) = if reads { (Some(peer), None) } else { (None, Some(peer)) };
    is_answered(&mut rig, theirs, &sent, reader);
}

#[test]
fn data_on_the_standard_error_of_any_call() {
    for name in ["qubes.VMShell", "qubes.Filecopy", "mirage.Sftp", "qubes.ConnectTCP"] {
        call(name, &[], message(kind::DATA_STDERR, &[7; 1000]));
        call(name, &[], message(kind::DATA_STDERR, &[]));
    }
}

#[test]
fn data_behind_a_copy_that_was_refused() {
    // Who reads that it was refused is gone at once.
    let refused = message(kind::DATA_STDIN, &file_header("../outside", FILE, 1));
    call_of("qubes.Filecopy", &[refused], message(kind::DATA_STDIN, &[0; 900]), false);
}

#[test]
fn folders_that_are_there_already() {
    let header = file_header("d", DIRECTORY, 0);
    call("qubes.Filecopy", &[], message(kind::DATA_STDIN, &header.repeat(100)));
}

#[test]
fn commands_of_the_shell() {
    for commands in ["df\n", ";\n", "status;users;df;log info\n"] {
        call("qubes.VMShell", &[], message(kind::DATA_STDIN, commands.repeat(40).as_bytes()));
    }
}

#[test]
fn requests_of_sftp_over_a_call() {
    let stat = request(17, 5, &[b"/mirage.pub"], &[]);
    call(
        "mirage.Sftp",
        &[message(kind::DATA_STDIN, &init())],
        message(kind::DATA_STDIN, &stat.repeat(20)),
    );
}

/// What a client of SSH that has logged in can send for ever.
fn over_ssh(what: impl Fn(&mut Client) + 'static) {
    let ((bad, bad_end), (good, good_end)) = (pair(), pair());
    let (on, sent) = (Rc::new(Cell::new(false)), Sent::default());
    let client = Rc::new(RefCell::new((Client::new("mirage", &[1; 32]), bad_end)));
    let bad = bad.fed({
        let (on, client, sent) = (on.clone(), client.clone(), sent.clone());
        move || {
            if on.get() {
                let (client, end) = &mut *client.borrow_mut();
                what(client);
                client.step(end).unwrap();
                client.received().clear();
                sent.set(sent.get() + 1000);
                assert!(sent.get() < TOO_MUCH, "one peer's packets are all that a turn does");
            }
            Vec::new()
        }
    });
    let mut rig = Rig::new(&[("/mirage.pub", &key_line(1, "me"))], vec![good, bad], LIMITS, &[]);
    {
        let (client, end) = &mut *client.borrow_mut();
        client.send(&init());
        rig.reply(client, end).unwrap().expect("an answer");
    }
    on.set(true);
    is_answered(&mut rig, good_end, &sent, None);
}

#[test]
fn packets_of_ssh_that_are_no_event() {
    over_ssh(|client| {
        for _ in 0..20 {
            client.send_message(&[2, 0, 0, 0, 0]).unwrap();
        }
    });
    over_ssh(|client| {
        // SSH_MSG_DEBUG and a global request, which is answered.
        client.send_message(&[4, 0, 0, 0, 0, 0, 0, 0, 0, 0]).unwrap();
    });
}

#[test]
fn requests_of_sftp_over_ssh() {
    over_ssh(|client| client.send(&request(17, 5, &[b"/mirage.pub"], &[]).repeat(40)));
}

/// A client that asks for another piece of a file as soon as one has come, and how much has come.
struct Download {
    client: RefCell<(Client, End)>,
    handle: RefCell<Vec<u8>>,
    came: Cell<usize>,
}

impl Download {
    const PIECE: usize = 32 << 10;

    fn ask(&self, count: usize) {
        let rest = [&[0; 8], (Self::PIECE as u32).to_be_bytes().as_slice()].concat();
        let reads = request(READ, 7, &[&self.handle.borrow()], &rest).repeat(count);
        self.client.borrow_mut().0.send(&reads);
    }

    /// Takes what the server has just written, where it is one that goes on.
    fn take(&self) {
        if self.handle.borrow().is_empty() {
            return;
        }
        let mut replies = 0;
        {
            let (client, end) = &mut *self.client.borrow_mut();
            client.step(end).unwrap();
            while let Some(reply) = Reply::take(client.received()) {
                assert_eq!(reply.string().len(), Self::PIECE);
                replies += 1;
            }
        }
        self.came.set(self.came.get() + replies * Self::PIECE);
        self.ask(replies);
        let (client, end) = &mut *self.client.borrow_mut();
        client.step(end).unwrap();
    }
}

#[test]
fn a_small_request_waits_for_few_bytes_of_downloads_however_many_there_are() {
    const DOWNLOADS: usize = 8;
    const AHEAD: usize = 64;
    /// What it may wait for, in bytes.
    const FEW: usize = 512 << 10;
    let sent = Sent::default();
    let (mut ends, mut downloads) = (Vec::new(), Vec::new());
    for _ in 0..DOWNLOADS {
        let (ours, theirs) = pair();
        let download = Rc::new(Download {
            client: RefCell::new((Client::new("mirage", &[1; 32]), theirs)),
            handle: RefCell::default(),
            came: Cell::default(),
        });
        downloads.push(download.clone());
        let sent = sent.clone();
        ends.push(ours.telling(move |bytes| {
            sent.set(sent.get() + bytes);
            download.take();
        }));
    }
    let (ours, theirs) = pair();
    ends.push(ours);
    let limits =
        Limits { connections: 16, operations: 64, operation_bytes: 8 << 20, handle_bytes: 1 << 20 };
    let file = "x".repeat(Download::PIECE);
    let files = [("/mirage.pub", key_line(1, "me")), ("/big", file)];
    let mut rig = Rig::new(&files.each_ref().map(|(n, t)| (*n, t.as_str())), ends, limits, &[]);
    let mut user = rig.log_in("mirage", 1, theirs).unwrap();
    for download in &downloads {
        let (client, end) = &mut *download.client.borrow_mut();
        client.send(&init());
        rig.reply(client, end).unwrap().expect("an answer");
        client.send(&request(OPEN, 7, &[b"/big"], &[0, 0, 0, 1, 0, 0, 0, 0]));
        let reply = rig.reply(client, end).unwrap().expect("an answer");
        *download.handle.borrow_mut() = reply.string().to_vec();
    }
    for download in &downloads {
        download.ask(AHEAD);
        let (client, end) = &mut *download.client.borrow_mut();
        client.step(end).unwrap();
    }
    for round in 0..30 {
        // It comes at any time.
        for _ in 0..1 + round % 7 {
            assert_eq!(rig.turn(), Turn::Moved);
        }
        let id = user.send(17, &[b"/big"], &[]);
        user.client.push(&mut user.end).unwrap();
        sent.set(0);
        let reply = rig.reply(&mut user.client, &mut user.end).unwrap().expect("an answer");
        assert_eq!(reply.id, id);
        assert!(sent.get() < FEW, "it waited for {} bytes in round {round}", sent.get());
    }
    let came = downloads.iter().map(|download| download.came.get());
    let (least, most) = (came.clone().min().unwrap(), came.max().unwrap());
    assert!(least > 0 && most < 2 * least, "not even: {least} and {most} bytes");
}
