//! The whole server over a new FAT volume in memory, and a client that reads a file from it.
use super::seed;
use crate::clock;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use base64ct::{Base64, Encoding};
use client::{Client, End, Once, Ram, Reply, init, pair, ready, request};
use ed25519_compact::{KeyPair, Seed};
use fat::{FormatOptions, MountOptions, OpenOptions, Volume};
use server::{HostKey, Limits, Now, Options, Server, Turn, ed25519_blob};

const DISK: usize = 4 << 20;
const PATH: &str = "/a file.bin";
const LENGTH: usize = 100_000;

/// SFTP packet types (draft-ietf-secsh-filexfer-02, 3).
const VERSION: u8 = 2;
const OPEN: u8 = 3;
const READ: u8 = 5;
const HANDLE: u8 = 102;
const DATA: u8 = 103;
/// SSH_FXF_READ, and no attributes.
const FOR_READING: [u8; 8] = [0, 0, 0, 1, 0, 0, 0, 0];

/// A client that has a key on the volume logs in and reads the file in pieces; then the server
/// stops.
pub fn read_a_file() -> Result<String, String> {
    let user_seed = seed()?;
    let user = KeyPair::from_seed(Seed::new(user_seed));
    let content: Vec<u8> = (0..LENGTH).map(|i| (i ^ i >> 8) as u8).collect();
    let volume = ready(make_volume(&user, &content)).ok_or("the disk in memory waits")??;
    let host_key = ready(HostKey::of_volume(&volume, seed()?)).ok_or("the disk in memory waits")?;
    let limits = Limits { connections: 1, operations: 4, operation_bytes: 1 << 20 };
    let (ours, theirs) = pair();
    let listener = Once(vec![ours]);
    let server = Server::new(listener, Rc::new(volume), host_key, Options::default(), limits);
    let mut session = Served { server, client: Client::new("mirage", &user_seed), end: theirs };

    session.ask(VERSION, init())?;
    let opened = session.ask(HANDLE, request(OPEN, 1, &[PATH.as_bytes()], &FOR_READING))?;
    let mut read = Vec::new();
    while read.len() < LENGTH {
        let range =
            [(read.len() as u64).to_be_bytes().as_slice(), &32_768u32.to_be_bytes()].concat();
        let reply = session.ask(DATA, request(READ, 2, &[opened.string()], &range))?;
        if reply.string().is_empty() {
            return Err(format!("the file ends after {} bytes", read.len()));
        }
        read.extend_from_slice(reply.string());
    }
    if read != content {
        return Err("the file came back different".into());
    }
    session.stop()?;
    Ok(format!("{LENGTH} bytes read"))
}

/// A new volume with the file and the user's public key.
async fn make_volume(user: &KeyPair, content: &[u8]) -> Result<Volume<Ram>, String> {
    let device = Ram::zeros(DISK);
    let format = FormatOptions::default();
    fat::format(&device, &format, &mut |_, _| ()).await.map_err(|e| format!("format: {e}"))?;
    let mounted = Volume::mount(device, &MountOptions::default()).await;
    let volume = mounted.map_err(|e| format!("mount: {e}"))?;
    let key =
        format!("ssh-ed25519 {} self-check\n", Base64::encode_string(&ed25519_blob(&user.pk)));
    for (path, data) in [(PATH, content), ("/mirage.pub", key.as_bytes())] {
        let how = OpenOptions { write: true, create: true, ..OpenOptions::default() };
        let file = volume.open(path, &how).await.map_err(|e| format!("create {path}: {e}"))?;
        volume.write(&file, 0, data).await.map_err(|e| format!("write {path}: {e}"))?;
    }
    Ok(volume)
}

struct Served {
    server: Server<Once, Ram>,
    client: Client,
    end: End,
}

impl Served {
    fn turn(&mut self) -> Turn {
        let monotonic = clock::since_boot().as_millis() as u64;
        self.server.turn(Now { monotonic, unix: 0 })
    }

    /// Stops the server, which flushes the volume.
    fn stop(&mut self) -> Result<(), String> {
        self.server.stop();
        loop {
            match self.turn() {
                Turn::Stopped => return Ok(()),
                Turn::Moved => (),
                Turn::Idle(_) => return Err("the server does not stop".into()),
            }
        }
    }

    /// Sends a request and turns both sides until its reply is there, which must be of `kind`.
    fn ask(&mut self, kind: u8, packet: Vec<u8>) -> Result<Reply, String> {
        self.client.send(&packet);
        loop {
            let served = self.turn() == Turn::Moved;
            let moved = self.client.step(&mut self.end).map_err(|e| format!("client: {e:?}"))?;
            match Reply::take(self.client.received()) {
                Some(reply) if reply.kind == kind => return Ok(reply),
                Some(reply) => return Err(format!("no reply of type {kind} but {reply:?}")),
                None if !served && !moved => return Err("both sides wait".into()),
                None => (),
            }
        }
    }
}
