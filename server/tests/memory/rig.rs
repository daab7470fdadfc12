//! A server over a disk in memory, and clients that ask it.
use client::{Client, End, Failed, Once, Ram, Reply, init, pair, ready, request};
use fat::{BlockDevice, DeviceError, FatKind, FormatOptions, MountOptions, OpenOptions, Volume};
use server::{HostKey, Limits, Now, Options, Server, Turn, ed25519_blob};
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::net::IpAddr;
use std::ops::Range;
use std::rc::Rc;
use std::task::Poll;

pub const OPEN: u8 = 3;
pub const CLOSE: u8 = 4;
pub const READ: u8 = 5;
pub const WRITE: u8 = 6;
pub const STATUS: u8 = 101;
pub const HANDLE: u8 = 102;
pub const DATA: u8 = 103;

/// SSH_FXF_READ, and WRITE | CREAT | TRUNC.
pub const TO_READ: u32 = 0x01;
pub const TO_WRITE: u32 = 0x1a;

/// Status codes (section 7).
pub const OK: u32 = 0;
pub const NO_SUCH_FILE: u32 = 2;
pub const PERMISSION_DENIED: u32 = 3;

/// Friday, 2023-11-10.
pub const TIME: u64 = 1_699_600_000;

pub const LIMITS: Limits =
    Limits { connections: 4, operations: 16, operation_bytes: 1 << 20, handle_bytes: 1 << 20 };

/// A disk in RAM that does not answer what touches a part of it, until that is let go, or answers
/// so many requests and then no more, or answers with an error, or that to writes of a part alone.
#[derive(Clone)]
pub struct Late {
    pub ram: Ram,
    held: Rc<RefCell<Range<u64>>>,
    answers: Rc<Cell<usize>>,
    fails: Rc<Cell<bool>>,
    refused: Rc<RefCell<Range<u64>>>,
    writes: Rc<Cell<usize>>,
}

impl Late {
    pub fn new(ram: Ram) -> Self {
        let (held, refused) = (Rc::new(RefCell::new(0..0)), Rc::new(RefCell::new(0..0)));
        let answers = Rc::new(Cell::new(usize::MAX));
        Self { ram, held, answers, fails: Rc::default(), refused, writes: Rc::default() }
    }

    pub fn hold(&self, part: Range<u64>) {
        *self.held.borrow_mut() = part;
    }

    /// Holds the data of a file that has nothing but this byte, `length` times.
    pub fn hold_file(&self, byte: u8, length: usize) {
        let ram = self.ram.0.borrow();
        let is_full = |sector: &[u8]| sector.iter().all(|b| *b == byte);
        let first = ram.chunks(512).position(is_full).expect("the file is on the disk") * 512;
        assert!(is_full(&ram[first..first + length]), "the file lies in one piece");
        self.hold(first as u64..(first + length) as u64);
    }

    pub fn answer(&self, requests: usize) {
        self.answers.set(requests);
    }

    /// Whether each request is answered with an error.
    pub fn fail(&self, fails: bool) {
        self.fails.set(fails);
    }

    /// Writes that begin in this part are answered with an error.
    pub fn refuse_writes(&self, part: Range<u64>) {
        *self.refused.borrow_mut() = part;
    }

    /// How many writes it was asked for.
    pub fn writes(&self) -> usize {
        self.writes.get()
    }

    fn check(&self) -> Result<(), DeviceError> {
        if self.fails.get() { Err(DeviceError::Io) } else { Ok(()) }
    }

    async fn wait(&self, offset: u64, length: usize) {
        poll_fn(|_| {
            let held = self.held.borrow();
            let left = self.answers.get();
            if left == 0 || offset < held.end && offset + length as u64 > held.start {
                return Poll::Pending;
            }
            self.answers.set(left - 1);
            Poll::Ready(())
        })
        .await;
    }
}

impl BlockDevice for Late {
    fn sector_size(&self) -> usize {
        self.ram.sector_size()
    }
    fn size(&self) -> u64 {
        self.ram.size()
    }
    fn read_only(&self) -> bool {
        false
    }
    async fn read(&self, offset: u64, buf: &mut [u8]) -> Result<(), DeviceError> {
        self.wait(offset, buf.len()).await;
        self.check()?;
        self.ram.read(offset, buf).await
    }
    async fn write(&self, offset: u64, data: &[u8]) -> Result<(), DeviceError> {
        self.writes.update(|writes| writes + 1);
        self.wait(offset, data.len()).await;
        self.check()?;
        if self.refused.borrow().contains(&offset) {
            return Err(DeviceError::Io);
        }
        self.ram.write(offset, data).await
    }
    async fn flush(&self) -> Result<(), DeviceError> {
        self.check()?;
        self.ram.flush().await
    }
}

pub fn key_line(seed: u8, comment: &str) -> String {
    let pair = ed25519_compact::KeyPair::from_seed(ed25519_compact::Seed::new([seed; 32]));
    let blob = ed25519_blob(&pair.pk);
    let text = <base64ct::Base64 as base64ct::Encoding>::encode_string(&blob);
    format!("ssh-ed25519 {text} {comment}\n")
}

/// The result of a future on a disk in RAM that nothing holds.
pub fn wait<T>(future: impl Future<Output = T>) -> T {
    ready(future).expect("a disk in RAM never waits")
}

/// A volume with these files, served to the clients at the other ends of `ends`.
pub struct Rig {
    pub disk: Late,
    pub server: Server<Once, Late>,
    pub monotonic: u64,
    pub unix: u64,
}

/// A client that has logged in, and its end of the connection.
pub struct User {
    pub client: Client,
    pub end: End,
    id: u32,
}

impl Rig {
    /// Every read and write is one of the disk's, which may be late.
    pub fn new(files: &[(&str, &str)], ends: Vec<End>, limits: Limits, words: &[&str]) -> Self {
        Self::with_memory(0, files, ends, limits, words)
    }

    /// With so many bytes of memory for what is written.
    pub fn with_memory(
        data_bytes: usize,
        files: &[(&str, &str)],
        ends: Vec<End>,
        limits: Limits,
        words: &[&str],
    ) -> Self {
        let disk = Late::new(Ram::formatted(8 << 20));
        let mount = MountOptions { data_bytes, ..MountOptions::default() };
        let volume = wait(Volume::mount(disk.clone(), &mount)).unwrap();
        Self::serving(disk, volume, files, ends, limits, words)
    }

    /// Over exFAT that keeps modes and links, or does not.
    pub fn exfat(posix: bool, words: &[&str]) -> Self {
        Self::exfat_with(posix, &[], Vec::new(), words)
    }

    pub fn exfat_with(posix: bool, files: &[(&str, &str)], ends: Vec<End>, words: &[&str]) -> Self {
        let disk = Late::new(Ram::zeros(8 << 20));
        let exfat = FormatOptions { kind: Some(FatKind::ExFat), ..FormatOptions::default() };
        wait(fat::format(&disk, &exfat, &mut |_, _| ())).unwrap();
        let volume = wait(Volume::mount(disk.clone(), &MountOptions::default())).unwrap();
        if posix {
            wait(volume.mark_posix()).unwrap();
        }
        Self::serving(disk, volume, files, ends, LIMITS, words)
    }

    fn serving(
        disk: Late,
        volume: Volume<Late>,
        files: &[(&str, &str)],
        ends: Vec<End>,
        limits: Limits,
        words: &[&str],
    ) -> Self {
        for (path, text) in files {
            for (slash, _) in path.match_indices('/').skip(1) {
                let made = wait(volume.create_dir(&path[..slash]));
                assert!(matches!(made, Ok(()) | Err(fat::Error::AlreadyExists)));
            }
            let how = OpenOptions { write: true, create: true, ..OpenOptions::default() };
            let file = wait(volume.open(path, &how)).unwrap();
            wait(volume.write(&file, 0, text.as_bytes())).unwrap();
        }
        let (options, problems) = Options::parse(words.iter().copied());
        assert_eq!(problems, Vec::<String>::new());
        let host_key = HostKey::from_text("test");
        let server = Server::new(Once(ends), Rc::new(volume), host_key, options, limits);
        Self { disk, server, monotonic: 0, unix: TIME }
    }

    pub fn turn(&mut self) -> Turn {
        self.monotonic += 1;
        self.server.turn(Now { monotonic: self.monotonic, unix: self.unix })
    }

    /// Turns server and client until the client has a reply, or nothing moves any more.
    pub fn reply(&mut self, client: &mut Client, end: &mut End) -> Result<Option<Reply>, Failed> {
        loop {
            let served = self.turn() == Turn::Moved;
            let moved = client.step(end)?;
            if let Some(reply) = Reply::take(client.received()) {
                return Ok(Some(reply));
            }
            if !served && !moved {
                return Ok(None);
            }
        }
    }

    pub fn log_in(&mut self, user: &str, seed: u8, mut end: End) -> Result<User, Failed> {
        let mut client = Client::new(user, &[seed; 32]);
        client.send(&init());
        let version = self.reply(&mut client, &mut end)?.expect("an answer");
        assert_eq!((version.kind, version.id), (2, 3));
        Ok(User { client, end, id: 0 })
    }

    /// The server's volume as another mount sees it, once the server has stopped.
    pub fn stop(&mut self) -> Volume<Late> {
        self.server.stop();
        assert!((0..5000).any(|_| self.turn() == Turn::Stopped));
        let mut problems = Vec::new();
        let report = &mut |p: &fat::Problem| problems.push(p.to_string());
        wait(fat::check(&self.disk, report, &mut |_, _| ())).unwrap();
        assert_eq!(problems, Vec::<String>::new());
        wait(Volume::mount(self.disk.clone(), &MountOptions::default())).unwrap()
    }
}

impl User {
    pub fn send(&mut self, kind: u8, strings: &[&[u8]], rest: &[u8]) -> u32 {
        self.id += 1;
        self.client.send(&request(kind, self.id, strings, rest));
        self.id
    }

    pub fn ask(&mut self, rig: &mut Rig, kind: u8, strings: &[&[u8]], rest: &[u8]) -> Reply {
        let id = self.send(kind, strings, rest);
        let reply = rig.reply(&mut self.client, &mut self.end).unwrap().expect("an answer");
        assert_eq!(reply.id, id, "{reply:?}");
        reply
    }

    /// The code of a reply that is a status.
    pub fn code(&mut self, rig: &mut Rig, kind: u8, strings: &[&[u8]], rest: &[u8]) -> u32 {
        code(&self.ask(rig, kind, strings, rest))
    }

    /// Opens a file; the handle, or the code that says why not.
    pub fn open(&mut self, rig: &mut Rig, path: &str, flags: u32) -> Result<Vec<u8>, u32> {
        let rest = [flags.to_be_bytes(), [0; 4]].concat();
        let reply = self.ask(rig, OPEN, &[path.as_bytes()], &rest);
        match reply.kind {
            HANDLE => Ok(reply.string().to_vec()),
            _ => Err(code(&reply)),
        }
    }

    pub fn write(&mut self, rig: &mut Rig, handle: &[u8], offset: u64, data: &[u8]) -> u32 {
        let length = data.len() as u32;
        let rest = [&offset.to_be_bytes(), length.to_be_bytes().as_slice(), data].concat();
        self.code(rig, WRITE, &[handle], &rest)
    }

    /// All of a small file.
    pub fn read(&mut self, rig: &mut Rig, path: &str) -> Result<String, u32> {
        let handle = self.open(rig, path, TO_READ)?;
        let rest = [0u64.to_be_bytes().as_slice(), &100_000u32.to_be_bytes()].concat();
        let reply = self.ask(rig, READ, &[&handle], &rest);
        assert_eq!(self.code(rig, CLOSE, &[&handle], &[]), OK);
        match reply.kind {
            DATA => Ok(String::from_utf8(reply.string().to_vec()).unwrap()),
            _ => Err(code(&reply)),
        }
    }
}

/// A pair of ends in memory; the server's says that the client has this address.
pub fn pair_at(address: &str) -> (End, End) {
    let (ours, theirs) = pair();
    (ours.to(address.parse::<IpAddr>().unwrap()), theirs)
}

pub fn code(reply: &Reply) -> u32 {
    assert_eq!(reply.kind, STATUS, "{reply:?}");
    u32::from_be_bytes(*reply.body.first_chunk().unwrap())
}
