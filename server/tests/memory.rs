//! The whole server in memory: a real SSH client of the tests, a FAT volume in RAM, no sockets.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
use client::{Client, End, Failed, Once, Reply, init, pair, request};
use fat::{BlockDevice, DeviceError, FormatOptions, MountOptions, OpenOptions, Volume};
use server::{HostKey, Limits, Now, Options, PublicKey, Server, Turn, ed25519_blob};
use std::cell::RefCell;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

const OPEN: u8 = 3;
const CLOSE: u8 = 4;
const READ: u8 = 5;
const WRITE: u8 = 6;
const STATUS: u8 = 101;
const HANDLE: u8 = 102;
const DATA: u8 = 103;

/// A disk in RAM whose contents outlive the volume on it.
#[derive(Clone)]
struct Ram(Rc<RefCell<Vec<u8>>>);

impl BlockDevice for Ram {
    fn sector_size(&self) -> usize {
        512
    }
    fn size(&self) -> u64 {
        self.0.borrow().len() as u64
    }
    fn read_only(&self) -> bool {
        false
    }
    async fn read(&self, offset: u64, buf: &mut [u8]) -> Result<(), DeviceError> {
        let at = offset as usize;
        buf.copy_from_slice(
            self.0.borrow().get(at..at + buf.len()).ok_or(DeviceError::OutOfRange)?,
        );
        Ok(())
    }
    async fn write(&self, offset: u64, data: &[u8]) -> Result<(), DeviceError> {
        let at = offset as usize;
        self.0
            .borrow_mut()
            .get_mut(at..at + data.len())
            .ok_or(DeviceError::OutOfRange)?
            .copy_from_slice(data);
        Ok(())
    }
    async fn flush(&self) -> Result<(), DeviceError> {
        Ok(())
    }
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("a disk in RAM never waits"),
    }
}

fn key_line(seed: u8, comment: &str) -> String {
    let pair = ed25519_compact::KeyPair::from_seed(ed25519_compact::Seed::new([seed; 32]));
    let blob = ed25519_blob(&pair.pk);
    let text = <base64ct::Base64 as base64ct::Encoding>::encode_string(&blob);
    format!("ssh-ed25519 {text} {comment}\n")
}

/// A volume with these files, served to the clients at the other ends of `ends`.
struct Rig {
    ram: Ram,
    server: Server<Once, Ram>,
    monotonic: u64,
}

impl Rig {
    fn new(files: &[(&str, &str)], ends: Vec<End>, connections: usize) -> Self {
        let ram = Ram(Rc::new(RefCell::new(vec![0; 8 << 20])));
        wait(fat::format(&ram, &FormatOptions::default(), &mut |_, _| ())).unwrap();
        let volume = wait(Volume::mount(ram.clone(), &MountOptions::default())).unwrap();
        for (path, text) in files {
            let how = OpenOptions { write: true, create: true, ..OpenOptions::default() };
            let file = wait(volume.open(path, &how)).unwrap();
            wait(volume.write(&file, 0, text.as_bytes())).unwrap();
        }
        let limits = Limits { connections, operations: 16, operation_bytes: 1 << 20 };
        let (options, problems) = Options::parse([]);
        assert!(problems.is_empty());
        let host_key = HostKey::from_text("test");
        let server = Server::new(Once(ends), Rc::new(volume), host_key, options, limits);
        Self { ram, server, monotonic: 0 }
    }

    fn turn(&mut self) -> Turn {
        self.monotonic += 1;
        self.server.turn(Now { monotonic: self.monotonic, unix: 1_700_000_000 })
    }

    /// Turns server and client until the client has a reply, or nothing moves any more.
    fn reply(&mut self, client: &mut Client, end: &mut End) -> Result<Option<Reply>, Failed> {
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

    fn ask(&mut self, client: &mut Client, end: &mut End, packet: &[u8]) -> Reply {
        client.send(packet);
        self.reply(client, end).unwrap().expect("an answer")
    }

    fn log_in(&mut self, user: &str, seed: u8, end: &mut End) -> Result<Client, Failed> {
        let mut client = Client::new(user, &[seed; 32]);
        client.send(&init());
        let version = self.reply(&mut client, end)?.expect("an answer");
        assert_eq!((version.kind, version.id), (2, 3));
        Ok(client)
    }

    fn open(&mut self, client: &mut Client, end: &mut End, path: &str, flags: u32) -> Vec<u8> {
        let rest = [flags.to_be_bytes(), [0; 4]].concat();
        let reply = self.ask(client, end, &request(OPEN, 1, &[path.as_bytes()], &rest));
        assert_eq!(reply.kind, HANDLE, "{reply:?}");
        reply.string().to_vec()
    }
}

#[test]
fn a_user_with_a_pub_file_reads_it() {
    let (ours, mut theirs) = pair();
    let line = key_line(1, "me");
    let mut rig = Rig::new(&[("/mirage.pub", &line)], vec![ours], 4);
    let mut client = rig.log_in("mirage", 1, &mut theirs).unwrap();
    let handle = rig.open(&mut client, &mut theirs, "/mirage.pub", 1);
    let rest = [0u64.to_be_bytes().as_slice(), &1000u32.to_be_bytes()].concat();
    let reply = rig.ask(&mut client, &mut theirs, &request(READ, 2, &[&handle], &rest));
    assert_eq!((reply.kind, reply.string()), (DATA, line.as_bytes()));
}

#[test]
fn another_key_and_an_unknown_user_stay_out() {
    for (user, seed) in [("mirage", 2), ("nobody", 1), ("../mirage", 1)] {
        let (ours, mut theirs) = pair();
        let mut rig = Rig::new(&[("/mirage.pub", &key_line(1, "me"))], vec![ours], 4);
        assert!(rig.log_in(user, seed, &mut theirs).is_err(), "{user}");
    }
}

#[test]
fn a_pub_file_hides_the_users_authorized_keys() {
    let listed = key_line(2, "mirage") + &key_line(3, "alice");
    let files = [("/mirage.pub", key_line(1, "me")), ("/authorized_keys", listed)];
    let files = files.each_ref().map(|(path, text)| (*path, text.as_str()));
    for (user, seed, works) in [("mirage", 1, true), ("mirage", 2, false), ("alice", 3, true)] {
        let (ours, mut theirs) = pair();
        let mut rig = Rig::new(&files, vec![ours], 4);
        assert_eq!(rig.log_in(user, seed, &mut theirs).is_ok(), works, "{user} {seed}");
    }
}

#[test]
fn a_key_written_by_one_client_lets_another_in_at_once() {
    let ((first, mut first_end), (second, mut second_end)) = (pair(), pair());
    let mut rig = Rig::new(&[("/mirage.pub", &key_line(1, "me"))], vec![second, first], 4);
    let mut client = rig.log_in("mirage", 1, &mut first_end).unwrap();
    let handle = rig.open(&mut client, &mut first_end, "/bob.pub", 0x1a);
    let line = key_line(9, "bob");
    let rest = [0u64.to_be_bytes().as_slice(), &(line.len() as u32).to_be_bytes(), line.as_bytes()]
        .concat();
    for packet in [request(WRITE, 2, &[&handle], &rest), request(CLOSE, 3, &[&handle], &[])] {
        let reply = rig.ask(&mut client, &mut first_end, &packet);
        assert_eq!((reply.kind, &reply.body[..4]), (STATUS, [0; 4].as_slice()), "{reply:?}");
    }
    assert!(rig.log_in("bob", 9, &mut second_end).is_ok());
}

#[test]
fn stopping_tells_clients_and_leaves_the_volume_clean() {
    let (ours, mut theirs) = pair();
    let mut rig = Rig::new(&[("/mirage.pub", &key_line(1, "me"))], vec![ours], 4);
    let mut client = rig.log_in("mirage", 1, &mut theirs).unwrap();
    let handle = rig.open(&mut client, &mut theirs, "/left-open", 0x1a);
    let rest = [0u64.to_be_bytes().as_slice(), &4u32.to_be_bytes(), b"kept"].concat();
    rig.ask(&mut client, &mut theirs, &request(WRITE, 2, &[&handle], &rest));
    rig.server.stop();
    let stopped = (0..100).any(|_| rig.turn() == Turn::Stopped);
    assert!(stopped);
    assert!(matches!(client.step(&mut theirs), Err(Failed::Closed)));
    let mut problems = Vec::new();
    let report = &mut |p: &fat::Problem| problems.push(p.to_string());
    wait(fat::check(&rig.ram, report, &mut |_, _| ())).unwrap();
    assert_eq!(problems, Vec::<String>::new());
    let volume = wait(Volume::mount(rig.ram.clone(), &MountOptions::default())).unwrap();
    assert_eq!(wait(volume.metadata("/left-open")).unwrap().len, 4);
}

#[test]
fn clients_that_never_log_in_do_not_keep_others_out() {
    let ((idle, _idle_end), (real, mut real_end)) = (pair(), pair());
    let mut rig = Rig::new(&[("/mirage.pub", &key_line(1, "me"))], vec![real, idle], 1);
    assert!(rig.log_in("mirage", 1, &mut real_end).is_ok());
}

#[test]
fn a_client_that_does_not_log_in_in_time_is_dropped() {
    let (ours, mut theirs) = pair();
    let mut rig = Rig::new(&[], vec![ours], 4);
    while rig.turn() == Turn::Moved {}
    let Turn::Idle(Some(wait)) = rig.turn() else { panic!("no deadline") };
    rig.monotonic += wait;
    rig.turn();
    let mut client = Client::new("mirage", &[1; 32]);
    assert!((0..3).any(|_| matches!(client.step(&mut theirs), Err(Failed::Closed))));
}

#[test]
fn nonsense_on_the_sftp_channel_ends_that_client_alone() {
    let ((bad, mut bad_end), (good, mut good_end)) = (pair(), pair());
    let mut rig = Rig::new(&[("/mirage.pub", &key_line(1, "me"))], vec![good, bad], 4);
    let mut client = rig.log_in("mirage", 1, &mut bad_end).unwrap();
    client.send(&[0xff; 64]);
    assert!(matches!(rig.reply(&mut client, &mut bad_end), Err(Failed::Closed)));
    assert!(rig.log_in("mirage", 1, &mut good_end).is_ok());
}

#[test]
fn the_key_of_the_command_line_belongs_to_its_user_alone() {
    let line = key_line(5, "x");
    let (options, problems) = Options::parse(["--user", "carol", "--key", line.as_str()]);
    assert!(problems.is_empty());
    assert_eq!(options.key, PublicKey::parse(&line).ok());
}
