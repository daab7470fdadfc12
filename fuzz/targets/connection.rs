//! The whole server, and a client that logs in and then sends anything: SFTP requests, nonsense on
//! their channel, SSH messages of all kinds. Another client is served after it as ever.
#![no_main]
use client::{Client, End, Once, Reply, init, pair, request};
use fat::{MountOptions, Volume};
use fuzz::{check, formatted, requests, wait};
use libfuzzer_sys::arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use server::{HostKey, Limits, Now, Options, Server, Turn};
use std::rc::Rc;

/// The public key of the private key of 32 bytes 1.
const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c";

const LIMITS: Limits =
    Limits { connections: 3, operations: 4, operation_bytes: 1 << 20, handle_bytes: 1 << 20 };

/// Messages of the transport, of logins and of channels (RFC 4250 4.1.2).
const MESSAGES: [u8; 22] =
    [1, 2, 3, 4, 5, 6, 20, 21, 30, 50, 80, 81, 82, 90, 91, 92, 93, 94, 95, 96, 97, 98];

struct Rig {
    server: Server<Once, client::Ram>,
    time: u64,
}

impl Rig {
    fn turn(&mut self) -> Turn {
        self.time += 1;
        self.server.turn(Now { monotonic: self.time, unix: 1_700_000_000 })
    }

    /// Turns until nothing moves; false when the client is no longer connected.
    fn settle(&mut self, client: &mut Client, end: &mut End) -> bool {
        for _ in 0..10_000 {
            let served = self.turn() == Turn::Moved;
            match client.step(end) {
                Ok(moved) if !moved && !served => return true,
                Ok(_) => (),
                Err(_) => return false,
            }
        }
        panic!("it never comes to rest");
    }
}

/// Does one thing as a client that may do anything.
fn act(u: &mut Unstructured<'_>, client: &mut Client) -> Result<bool> {
    match u.int_in_range(0..=9)? {
        0 => client.exchange_keys(),
        1 => client.send(u.bytes(u.len().min(20))?),
        2..=4 => {
            let any = u.ratio(1, 20)?;
            let mut message = vec![if any { u.arbitrary()? } else { *u.choose(&MESSAGES)? }];
            // The number of a channel, where there is one.
            message.extend(u.int_in_range(0u32..=2)?.to_be_bytes());
            let kinds = ["session", "exec", "shell", "subsystem", "env", "pty-req", "signal"];
            if u.arbitrary()? {
                let kind = *u.choose(&kinds)?;
                message.extend((kind.len() as u32).to_be_bytes());
                message.extend(kind.as_bytes());
            }
            let length = u.int_in_range(0..=40)?.min(u.len());
            message.extend(u.bytes(length)?);
            return Ok(client.send_message(&message).is_ok());
        }
        _ => client.send(&requests::arbitrary(u)?),
    }
    Ok(true)
}

fuzz_target!(|bytes: &[u8]| {
    let mut u = Unstructured::new(bytes);
    let ram = formatted();
    let volume = Rc::new(wait(Volume::mount(ram.clone(), &MountOptions::default())).unwrap());
    let (options, problems) = Options::parse(["--key", KEY]);
    assert!(problems.is_empty());
    let ((bad, mut bad_end), (good, mut good_end)) = (pair(), pair());
    let host_key = HostKey::from_text("fuzz");
    let server = Server::new(Once(vec![good, bad]), volume, host_key, options, LIMITS);
    let mut rig = Rig { server, time: 0 };

    let mut client = Client::new("mirage", &[1; 32]);
    client.send(&init());
    assert!(rig.settle(&mut client, &mut bad_end));
    for _ in 0..100 {
        if u.is_empty() || !act(&mut u, &mut client).unwrap_or(false) {
            break;
        }
        if u.ratio(1, 3).unwrap_or(true) && !rig.settle(&mut client, &mut bad_end) {
            break;
        }
        client.received().clear();
    }
    rig.settle(&mut client, &mut bad_end);

    let mut client = Client::new("mirage", &[1; 32]);
    client.send(&init());
    client.send(&request(16, 7, &[b"."], &[]));
    assert!(rig.settle(&mut client, &mut good_end));
    let replies = [Reply::take(client.received()), Reply::take(client.received())];
    assert_eq!(replies.map(|reply| reply.map(|reply| reply.kind)), [Some(2), Some(104)]);
    rig.server.stop();
    assert!((0..1000).any(|_| rig.turn() == Turn::Stopped));
    drop(rig);
    check(&ram);
});
