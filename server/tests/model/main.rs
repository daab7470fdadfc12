//! Random operations of one SFTP session, against the server on a volume in memory and against a plain
//! tree in memory; every answer is compared. `MODEL_OPERATIONS` sets how many, `MODEL_SEED` where they
//! start.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tree;

use client::{Ram, Reply, init, ready, request};
use fat::{FatKind, FormatOptions, MountOptions, Volume};
use server::{Access, Share, Shown};
use sftp::StatusCode;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::Write;
use std::rc::Rc;
use tree::{Answer, Attributes, File, Node, Tree, has_dots, has_slash};

/// Of the time that the operations take, which is even because FAT counts in steps of two seconds.
const START: u32 = 1_700_000_000;
const HANDLES: usize = 8;
/// Operations between two restarts of the server.
const RESTART: usize = 3000;

/// What may stand behind a path; mostly nothing does.
const ENDS: [&str; 6] = ["/", "//", "/.", "/..", "/../", ""];

const NAMES: [&str; 14] = [
    "a",
    "A",
    "B.txt",
    "b.TXT",
    "a longer name.text",
    "A Longer NAME.text",
    "d",
    "D",
    "e e",
    "x:y*.",
    "Дом",
    "..",
    ".",
    "a name that is so long that it needs many slots of its directory, even here",
];

/// READ, WRITE, APPEND, CREAT, TRUNC, EXCL.
const FLAGS: [u32; 14] = [0, 1, 2, 3, 0x1a, 0x1b, 0x0a, 0x0b, 0x0e, 0x2b, 0x3a, 0x11, 0x08, 0x20];

/// xorshift64*, so that a seed gives the same operations everywhere. fat's tests have one, too, but no
/// library that both could know.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % end
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

enum Open {
    File { file: Rc<RefCell<File>>, read: bool, write: bool, append: bool },
    Dir(String),
}

struct Served {
    volume: Rc<Volume<Ram>>,
    session: Rc<sftp::Server<Share<Ram>>>,
    packets: sftp::Packets,
}

struct Model {
    ram: Ram,
    /// None between two servers.
    served: Option<Served>,
    tree: Tree,
    open: BTreeMap<Vec<u8>, Open>,
    random: Random,
    id: u32,
}

/// A future on a disk in memory; copies give way now and then.
fn wait<T>(future: impl Future<Output = T>) -> T {
    let mut future = Box::pin(future);
    (0..10_000).find_map(|_| ready(future.as_mut())).expect("it waits for ever")
}

fn mount(ram: &Ram, now: u32) -> Option<Served> {
    let volume = Rc::new(wait(Volume::mount(ram.clone(), &MountOptions::default())).unwrap());
    volume.set_time(now.into());
    let share = Share::new(volume.clone(), Access::default(), Shown::default());
    let session = sftp::Server::new(Rc::new(share), HANDLES, Rc::default());
    let mut packets = sftp::Packets::new();
    packets.push(&init());
    wait(session.run(packets.next().unwrap().unwrap()));
    Some(Served { volume, session, packets })
}

fn code(reply: &Reply) -> StatusCode {
    assert_eq!(reply.kind, 101, "{reply:?}");
    match u32::from_be_bytes(*reply.body.first_chunk().unwrap()) {
        0 => StatusCode::Ok,
        1 => StatusCode::Eof,
        2 => StatusCode::NoSuchFile,
        3 => StatusCode::PermissionDenied,
        // 14, no space: of what FAT cannot hold exFAT has no room for.
        4 | 14 => StatusCode::Failure,
        5 => StatusCode::BadMessage,
        8 => StatusCode::OpUnsupported,
        other => panic!("status {other}"),
    }
}

/// Size, mode and modification time, of ATTRS at the start of `bytes`; a directory has a mode alone.
fn shown(bytes: &[u8]) -> (u64, u32, u32) {
    let number = |at: usize| u32::from_be_bytes(*bytes[at..].first_chunk().unwrap());
    assert_eq!(number(0), 15);
    let mode = number(20);
    match mode & 0o040_000 {
        0 => (u64::from_be_bytes(*bytes[4..].first_chunk().unwrap()), mode, number(28)),
        _ => (0, mode, 0),
    }
}

fn expected(node: &Node) -> (u64, u32, u32) {
    match node {
        Node::Dir(_) => (0, 0o040_755, 0),
        Node::File(file) => of_file(&file.borrow()),
    }
}

fn of_file(file: &File) -> (u64, u32, u32) {
    let mode = if file.read_only { 0o100_555 } else { 0o100_755 };
    (file.bytes.len() as u64, mode, file.modified)
}

impl Model {
    /// On FAT, with an even seed on exFAT.
    fn new(seed: u64) -> Self {
        let ram = Ram::zeros(24 << 20);
        let kind = seed.is_multiple_of(2).then_some(FatKind::ExFat);
        let options = FormatOptions { kind, ..FormatOptions::default() };
        wait(fat::format(&ram, &options, &mut |_, _| ())).unwrap();
        let served = mount(&ram, START);
        let tree = Tree { root: tree::Dir::new(), now: START };
        let random = Random(seed | 1);
        Self { ram, served, tree, open: BTreeMap::new(), random, id: 0 }
    }

    fn ask(&mut self, kind: u8, strings: &[&[u8]], rest: &[u8]) -> Reply {
        self.id += 1;
        let packet = request(kind, self.id, strings, rest);
        let Served { session, packets, .. } = self.served.as_mut().unwrap();
        assert_eq!(packets.push(&packet), packet.len());
        let mut reply = wait(session.run(packets.next().unwrap().unwrap()));
        let reply = Reply::take(&mut reply).unwrap();
        assert_eq!(reply.id, self.id);
        reply
    }

    /// Asks for what is answered with a status, and compares it.
    fn status(&mut self, kind: u8, strings: &[&[u8]], rest: &[u8], expected: Answer<()>) {
        let reply = self.ask(kind, strings, rest);
        assert_eq!(code(&reply), expected.err().unwrap_or(StatusCode::Ok), "{reply:?}");
    }

    /// ATTRS, or the same error.
    fn attributes(&mut self, kind: u8, of: &[u8], expected: Answer<(u64, u32, u32)>) {
        let reply = self.ask(kind, &[of], &[]);
        match expected {
            Ok(expected) => assert_eq!((reply.kind, shown(&reply.body)), (105, expected)),
            Err(expected) => assert_eq!(code(&reply), expected),
        }
    }

    fn path(&mut self) -> String {
        let mut path = String::new();
        for _ in 0..1 + self.random.below(3) {
            path = path + "/" + NAMES[self.random.below(NAMES.len())];
            let Ok(Node::Dir(_)) = self.look_up(&path) else { break };
        }
        path + ENDS[self.random.below(ENDS.len() * 3).min(ENDS.len() - 1)]
    }

    /// What is there; the root is a directory without a name.
    fn look_up(&mut self, path: &str) -> Answer<Node> {
        match self.tree.walk(path)?.as_slice() {
            [] => Ok(Node::Dir(tree::Dir::new())),
            path => self.tree.get(path).cloned(),
        }
    }

    /// A handle that is open, or sometimes one that is not.
    fn handle(&mut self) -> Vec<u8> {
        let open = self.open.len();
        match self.random.below(12) {
            0 => 77_777_777u64.to_be_bytes().to_vec(),
            1 => b"odd".to_vec(),
            _ if open == 0 => 0u64.to_be_bytes().to_vec(),
            _ => {
                let number = self.random.below(open);
                self.open.keys().nth(number).unwrap().clone()
            }
        }
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        let (length, first) = (self.random.below(most), self.random.below(256));
        (0..length).map(|i| (first + i + i / 251) as u8).collect()
    }

    fn offset(&mut self) -> u64 {
        match self.random.below(40) {
            0 => u64::MAX - self.random.below(3) as u64,
            1 => (1 << 32) + self.random.below(9000) as u64,
            _ => self.random.below(40_000) as u64,
        }
    }

    /// ATTRS of a request, and what they ask for.
    fn wanted(&mut self) -> (Vec<u8>, Attributes) {
        let mut wanted = Attributes::default();
        let flags = self.random.below(16) as u32;
        let mut bytes = flags.to_be_bytes().to_vec();
        if flags & 1 != 0 {
            let most = if self.random.one_in(20) { 1 << 32 } else { 0 };
            let size = most + self.random.below(40_000) as u64;
            wanted.size = Some(size);
            bytes.extend(size.to_be_bytes());
        }
        if flags & 2 != 0 {
            bytes.extend([0; 8]);
        }
        if flags & 4 != 0 {
            let mode = [0o644, 0o600, 0o444, 0o400, 0o755, 0o177_777][self.random.below(6)];
            wanted.permissions = Some(mode);
            bytes.extend(mode.to_be_bytes());
        }
        if flags & 8 != 0 {
            let time = START - 2 * self.random.below(100_000_000) as u32;
            wanted.modified = Some(time);
            bytes.extend(START.to_be_bytes());
            bytes.extend(time.to_be_bytes());
        }
        (bytes, wanted)
    }

    fn step(&mut self) {
        if self.random.one_in(10) {
            self.tree.now += 2;
            self.served.as_ref().unwrap().volume.set_time(self.tree.now.into());
        }
        let path = self.path();
        let bytes = path.as_bytes();
        match self.random.below(30) {
            0..=4 => self.open_file(&path),
            5 => self.close(),
            6..=8 => self.read(),
            9..=12 => self.write(),
            13 => {
                let node = self.look_up(&path).map(|node| expected(&node));
                let kind = if self.random.one_in(2) { 7 } else { 17 };
                self.attributes(kind, bytes, node);
            }
            14 => self.fstat(),
            15 | 16 => {
                let (attributes, wanted) = self.wanted();
                let at = self.tree.walk(&path);
                let answer = at.and_then(|at| self.tree.set(&at, &wanted));
                let lsetstat = [b"lsetstat@openssh.com".as_slice(), bytes];
                match self.random.one_in(4) {
                    true => self.status(200, &lsetstat, &attributes, answer),
                    false => self.status(9, &[bytes], &attributes, answer),
                }
            }
            17 => self.fsetstat(),
            18 | 19 => {
                let at = self.tree.walk_new(&path);
                let answer = at.and_then(|at| self.tree.mkdir(&at));
                self.status(14, &[bytes], &[0; 4], answer);
            }
            20 => {
                let dots = match has_dots(&path) {
                    true if path.trim_end_matches('/').ends_with("..") => Err(StatusCode::Failure),
                    true => Err(StatusCode::BadMessage),
                    false => Ok(()),
                };
                let at = self.tree.walk(&path);
                let answer = at.and_then(|at| dots.and_then(|()| self.tree.rmdir(&at)));
                self.status(15, &[bytes], &[], answer);
            }
            21 => {
                let at = self.tree.walk(&path);
                let answer = at.and_then(|at| self.tree.remove(&at));
                self.status(13, &[bytes], &[], answer);
            }
            22..=24 => self.rename(&path),
            25 | 26 => self.list(&path),
            27 => {
                let reply = self.ask(16, &[bytes], &[]);
                let at = self.tree.walk(&path);
                let at = at.and_then(|at| self.tree.has_parent(&at).map(|()| at));
                match at {
                    Ok(at) => {
                        let resolved = format!("/{}", at.join("/"));
                        let length = (resolved.len() as u32).to_be_bytes();
                        let name = [&length, resolved.as_bytes()].concat();
                        assert!(reply.body[4..].starts_with(&name), "{path}: {reply:?}");
                    }
                    Err(expected) => assert_eq!(code(&reply), expected, "{path}"),
                }
            }
            28 => self.copy(),
            _ => self.others(&path),
        }
    }

    fn open_file(&mut self, path: &str) {
        let flags = FLAGS[self.random.below(FLAGS.len())];
        let rest = [flags.to_be_bytes(), [0; 4]].concat();
        let append = flags & 4 != 0;
        let write = flags & 2 != 0 || append;
        let read = flags & 1 != 0 || !write;
        let [create, truncate, exclusive] = [8, 0x10, 0x20].map(|bit| flags & bit != 0);
        let answer = match (truncate && !write, self.open.len() < HANDLES) {
            (true, _) => Err(StatusCode::PermissionDenied),
            (false, false) => Err(StatusCode::Failure),
            _ if create && has_slash(path) => {
                let at = self.tree.walk_new(path);
                at.and_then(|at| self.tree.has_parent(&at)).and(Err(StatusCode::Failure))
            }
            _ => {
                let at = self.tree.walk(path);
                at.and_then(|at| self.tree.open(&at, [write, create, truncate, exclusive]))
            }
        };
        let reply = self.ask(3, &[path.as_bytes()], &rest);
        match answer {
            Ok(file) => {
                assert_eq!(reply.kind, 102, "{reply:?}");
                let open = Open::File { file, read, write, append };
                assert!(self.open.insert(reply.string().to_vec(), open).is_none());
            }
            Err(expected) => assert_eq!(code(&reply), expected, "{reply:?}"),
        }
    }

    fn close(&mut self) {
        let handle = self.handle();
        let answer = self.open.remove(&handle).map(drop).ok_or(StatusCode::Failure);
        self.status(4, &[&handle], &[], answer);
    }

    /// What READ of this handle may have: the open file, or why not.
    fn readable(&self, handle: &[u8]) -> Answer<Rc<RefCell<File>>> {
        match self.open.get(handle) {
            Some(Open::File { file, read: true, .. }) => Ok(file.clone()),
            Some(Open::File { .. }) => Err(StatusCode::PermissionDenied),
            _ => Err(StatusCode::Failure),
        }
    }

    /// As `readable`, of WRITE, and whether all goes to the end.
    fn writable(&self, handle: &[u8]) -> Answer<(Rc<RefCell<File>>, bool)> {
        match self.open.get(handle) {
            Some(Open::File { file, write: true, append, .. }) => Ok((file.clone(), *append)),
            Some(Open::File { .. }) => Err(StatusCode::PermissionDenied),
            _ => Err(StatusCode::Failure),
        }
    }

    fn read(&mut self) {
        let (handle, offset) = (self.handle(), self.offset());
        let length = self.random.below(30_000);
        let rest = [offset.to_be_bytes().as_slice(), &(length as u32).to_be_bytes()].concat();
        let reply = self.ask(5, &[&handle], &rest);
        let answer = self.readable(&handle).and_then(|file| {
            let file = file.borrow();
            let start = usize::try_from(offset).unwrap().min(file.bytes.len());
            let data = &file.bytes[start..start.saturating_add(length).min(file.bytes.len())];
            if data.is_empty() { Err(StatusCode::Eof) } else { Ok(data.to_vec()) }
        });
        match answer {
            Ok(data) => assert!(reply.kind == 103 && reply.string() == data),
            Err(expected) => assert_eq!(code(&reply), expected),
        }
    }

    fn write(&mut self) {
        let (handle, offset, data) = (self.handle(), self.offset(), self.bytes(20_000));
        let now = self.tree.now;
        let answer = self.writable(&handle).and_then(|(file, append)| {
            let mut file = file.borrow_mut();
            let offset = if append { file.bytes.len() as u64 } else { offset };
            // Beyond all numbers nothing is written, not even nothing.
            offset.checked_add(data.len() as u64).ok_or(StatusCode::Failure)?;
            file.write(offset, &data, now)
        });
        let length = (data.len() as u32).to_be_bytes();
        let rest = [&offset.to_be_bytes(), length.as_slice(), &data].concat();
        self.status(6, &[&handle], &rest, answer);
    }

    fn fstat(&mut self) {
        let handle = self.handle();
        let answer = match self.open.get(&handle) {
            Some(Open::File { file, .. }) => Ok(of_file(&file.borrow())),
            Some(Open::Dir(path)) => {
                let path = path.clone();
                self.look_up(&path).map(|node| expected(&node))
            }
            None => Err(StatusCode::Failure),
        };
        self.attributes(8, &handle, answer);
    }

    fn fsetstat(&mut self) {
        let (handle, (attributes, wanted)) = (self.handle(), self.wanted());
        let now = self.tree.now;
        let answer = match self.open.get(&handle) {
            Some(Open::File { write: false, .. }) if wanted.size.is_some() => {
                Err(StatusCode::PermissionDenied)
            }
            Some(Open::File { file, .. }) => file.borrow_mut().set(&wanted, now),
            Some(Open::Dir(path)) => {
                let at = self.tree.walk(path);
                at.and_then(|at| self.tree.set(&at, &wanted))
            }
            None => Err(StatusCode::Failure),
        };
        self.status(10, &[&handle], &attributes, answer);
    }

    fn rename(&mut self, from: &str) {
        let (to, replace) = (self.path(), self.random.one_in(2));
        let answer = self.renamed(from, &to, replace);
        let paths = [from.as_bytes(), to.as_bytes()];
        match replace {
            true => {
                let name = b"posix-rename@openssh.com".as_slice();
                self.status(200, &[name, paths[0], paths[1]], &[], answer);
            }
            false => self.status(18, &paths, &[], answer),
        }
    }

    fn renamed(&mut self, from: &str, to: &str, replace: bool) -> Answer<()> {
        let old = self.tree.walk(from)?;
        if has_dots(to) {
            self.tree.walk(to)?;
        }
        if has_dots(from) || has_dots(to) {
            return Err(StatusCode::Failure);
        }
        let new = self.tree.walk_new(to)?;
        if has_slash(to) && !new.is_empty() {
            // Only a directory comes there, and only in the place of one.
            self.tree.list(&old)?;
            if let Ok(Node::File(_)) = self.tree.get(&new) {
                return Err(StatusCode::NoSuchFile);
            }
        }
        self.tree.rename(&old, &new, replace)
    }

    /// Lists a directory to its end; sometimes the handle stays open.
    fn list(&mut self, path: &str) {
        let full = self.open.len() >= HANDLES;
        let reply = self.ask(11, &[path.as_bytes()], &[]);
        let at = self.tree.walk(path);
        let plain = at.as_ref().map(|at| format!("/{}", at.join("/"))).unwrap_or_default();
        let answer = match at.and_then(|at| self.tree.list(&at)) {
            _ if full => Err(StatusCode::Failure),
            Ok(dir) => Ok(dir.values().map(|(name, node)| (name.clone(), expected(node)))),
            Err(code) => Err(code),
        };
        let mut names: BTreeMap<_, _> = match answer {
            Ok(names) => names.collect(),
            Err(expected) => return assert_eq!(code(&reply), expected, "{reply:?}"),
        };
        for dot in [".", ".."] {
            names.insert(dot.into(), (0, 0o040_755, 0));
        }
        let handle = reply.string().to_vec();
        loop {
            let reply = self.ask(12, &[&handle], &[]);
            if reply.kind == 101 {
                assert_eq!(code(&reply), StatusCode::Eof);
                break;
            }
            let mut rest = &reply.body[4..];
            while !rest.is_empty() {
                let mut string = || {
                    let (length, after) = rest.split_first_chunk::<4>().unwrap();
                    let (text, after) = after.split_at(u32::from_be_bytes(*length) as usize);
                    rest = after;
                    String::from_utf8(text.to_vec()).unwrap()
                };
                let name = string();
                assert!(string().ends_with(&name));
                assert_eq!(names.remove(&name), Some(shown(rest)), "{name}");
                rest = &rest[32..];
            }
        }
        assert!(names.is_empty(), "not listed: {names:?}");
        match self.random.one_in(8) {
            true => drop(self.open.insert(handle, Open::Dir(plain))),
            false => self.status(4, &[&handle], &[], Ok(())),
        }
    }

    fn copy(&mut self) {
        let [from, to] = [self.handle(), self.handle()];
        let [from_offset, to_offset, mut length] = [(); 3].map(|()| self.random.below(30_000));
        if self.random.one_in(3) {
            length = 0;
        }
        let now = self.tree.now;
        // What can be no handle is refused first.
        let answer = if to.len() == 8 { self.readable(&from) } else { Err(StatusCode::Failure) };
        let answer = answer.and_then(|source| {
            let (target, append) = self.writable(&to)?;
            let to_offset = if append { target.borrow().bytes.len() } else { to_offset };
            let left = source.borrow().bytes.len().saturating_sub(from_offset);
            let asked = if length == 0 { left } else { length };
            if Rc::ptr_eq(&source, &target) && from_offset.abs_diff(to_offset) < asked {
                return Err(StatusCode::Failure);
            }
            let end = from_offset + asked.min(left);
            let data = source.borrow().bytes.get(from_offset..end).unwrap_or_default().to_vec();
            target.borrow_mut().write(to_offset as u64, &data, now)?;
            if data.len() < length { Err(StatusCode::Eof) } else { Ok(()) }
        });
        let offset = |offset: usize| (offset as u64).to_be_bytes();
        let to_string = [&(to.len() as u32).to_be_bytes(), to.as_slice()].concat();
        let rest =
            [&offset(from_offset), &offset(length), to_string.as_slice(), &offset(to_offset)]
                .concat();
        self.status(200, &[b"copy-data", &from], &rest, answer);
    }

    fn others(&mut self, path: &str) {
        let handle = self.handle();
        let bytes = path.as_bytes();
        match self.random.below(4) {
            0 => {
                let is_file = matches!(self.open.get(&handle), Some(Open::File { .. }));
                let answer = if is_file { Ok(()) } else { Err(StatusCode::Failure) };
                self.status(200, &[b"fsync@openssh.com", &handle], &[], answer);
            }
            1 => {
                let kind = if self.random.one_in(2) { 19 } else { 20 };
                self.status(kind, &[bytes, b"/x"], &[], Err(StatusCode::OpUnsupported));
            }
            2 => {
                let strings = [b"hardlink@openssh.com".as_slice(), bytes, b"/x"];
                self.status(200, &strings, &[], Err(StatusCode::OpUnsupported));
            }
            _ => {
                let reply = self.ask(200, &[b"statvfs@openssh.com", bytes], &[]);
                match self.look_up(path) {
                    Ok(_) => assert_eq!(reply.kind, 201),
                    Err(expected) => assert_eq!(code(&reply), expected),
                }
            }
        }
    }

    /// The server ends, the volume is whole, and another server finds all that was there.
    fn restart(&mut self) {
        self.open.clear();
        // What is still open closes with the session.
        let Served { volume, session, .. } = self.served.take().unwrap();
        drop(session);
        wait(volume.unmount()).unwrap();
        let mut problems = Vec::new();
        wait(fat::check(&self.ram, &mut |p| problems.push(p.to_string()), &mut |_, _| ())).unwrap();
        assert_eq!(problems, Vec::<String>::new());
        self.served = mount(&self.ram, self.tree.now);
        let mut paths = vec![String::from("/")];
        while let Some(path) = paths.pop() {
            self.list(&path);
            let dir = self.tree.walk(&path).and_then(|at| self.tree.list(&at)).unwrap();
            let dirs = dir.values().filter(|(_, node)| matches!(node, Node::Dir(_)));
            paths.extend(dirs.map(|(name, _)| format!("{path}/{name}")));
        }
    }
}

fn run(seed: u64, operations: usize) {
    let mut model = Model::new(seed);
    for operation in 0..operations {
        let step = std::panic::AssertUnwindSafe(|| model.step());
        if let Err(panic) = std::panic::catch_unwind(step) {
            eprintln!("seed {seed}, operation {operation}");
            std::panic::resume_unwind(panic);
        }
        if operation % RESTART == RESTART - 1 {
            model.restart();
        }
    }
}

#[test]
fn every_answer_is_the_models() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let operations = number("MODEL_OPERATIONS").unwrap_or(24_000) as usize;
    let first = number("MODEL_SEED").unwrap_or(1);
    for seed in first..first + 4 {
        run(seed, operations / 4);
    }
    // Not by println, which nobody sees of a test that passes.
    writeln!(std::io::stderr(), "{operations} operations, every answer as expected").unwrap();
}
