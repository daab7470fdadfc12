//! Random operations of sessions that may only add, and of an owner beside them. After each one the whole
//! volume is compared with what it was: a session changed nothing but what it made itself. Now and then
//! the power is cut. `MODEL_OPERATIONS` sets how many, `MODEL_SEED` where they start.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod rules;
mod session;

use client::Ram;
use fat::{MountOptions, OpenOptions, Volume};
use server::{Access, Reserve};
use session::{HANDLES, Session, wait};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::rc::Rc;

const START: u64 = 1_700_000_000;
/// Sessions that only add; the owner comes after them.
const SESSIONS: usize = 4;
const OWNER: usize = SESSIONS;
/// More entries than this are not made.
const MOST: usize = 40;

/// Names in which one stands for another: by case, by FAT's short names.
const NAMES: [&str; 10] = [
    "a",
    "A",
    "b.txt",
    "a longer name.text",
    "A Longer NAME.text",
    "ALONGE~1.TEX",
    "d",
    "D",
    "e e",
    "a name that is so long that it needs many slots of its directory, even here",
];

/// READ, WRITE, APPEND, CREAT, TRUNC, EXCL.
const FLAGS: [u32; 12] = [1, 2, 3, 0x1a, 0x1b, 0x0a, 0x0b, 0x0e, 0x2b, 0x12, 0x06, 0x0a];

struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % end
    }
}

/// All that is known of an entry: bytes, times and attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    is_dir: bool,
    bytes: Vec<u8>,
    times: [u64; 3],
    bits: [bool; 3],
}

type Tree = BTreeMap<String, Entry>;

fn tree(volume: &Volume<Ram>) -> Tree {
    let mut tree = Tree::new();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        let dir = wait(volume.open_dir(&format!("{folder}/"))).unwrap();
        for entry in wait(volume.read_dir(&dir, 1000)).unwrap() {
            let path = format!("{folder}/{}", entry.name);
            let found = entry.metadata;
            let mut bytes = vec![0; found.len as usize];
            if found.is_dir {
                folders.push(path.clone());
            } else {
                let how = OpenOptions { read: true, ..OpenOptions::default() };
                let file = wait(volume.open(&path, &how)).unwrap();
                assert_eq!(wait(volume.read(&file, 0, &mut bytes)), Ok(bytes.len()));
            }
            let times = [found.modified, found.accessed, found.created];
            let bits = [found.read_only, found.hidden, found.system];
            tree.insert(path, Entry { is_dir: found.is_dir, bytes, times, bits });
        }
    }
    tree
}

fn session(volume: &Rc<Volume<Ram>>, number: usize) -> Session {
    let access = Access {
        add_only: number != OWNER,
        write_only: number == 2,
        root: if number == 1 { "/in".into() } else { String::new() },
        ..Access::default()
    };
    Session::new(volume, access, Reserve::default())
}

struct Model {
    ram: Ram,
    volume: Rc<Volume<Ram>>,
    sessions: Vec<Session>,
    random: Random,
    now: u64,
    tree: Tree,
    /// Which session made what; what is not here is nobody's of them.
    made: BTreeMap<String, usize>,
    /// What is on the disk for sure.
    synced: Tree,
    /// What sessions did to their own: made, changed, moved or removed.
    own: usize,
    /// What was refused to them.
    refused: usize,
}

/// A disk of 4 MiB with an empty volume.
fn blank(is_exfat: bool) -> Ram {
    if !is_exfat {
        return Ram::formatted(4 << 20);
    }
    static MADE: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    let made = MADE.get_or_init(|| {
        let path = std::env::temp_dir().join(format!("vault-{}.img", std::process::id()));
        std::fs::write(&path, vec![0; 4 << 20]).unwrap();
        let done = std::process::Command::new("mkfs.exfat").arg(&path).output();
        let bytes = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let done = done.expect("mkfs.exfat of exfatprogs");
        assert!(done.status.success(), "{done:?}");
        bytes
    });
    Ram::new(made.clone())
}

fn mount(ram: &Ram) -> Rc<Volume<Ram>> {
    Rc::new(wait(Volume::mount(ram.clone(), &MountOptions::default())).unwrap())
}

impl Model {
    fn new(seed: u64) -> Self {
        // The seeds take turns between FAT and exFAT.
        let ram = blank(seed.is_multiple_of(2));
        let volume = mount(&ram);
        volume.set_time(START - 1000);
        for folder in ["/in", "/in/d", "/d"] {
            wait(volume.create_dir(folder)).unwrap();
        }
        for path in ["/a", "/a longer name.text", "/in/a", "/in/b.txt", "/in/d/a", "/d/e e"] {
            let how = OpenOptions { write: true, create: true, ..OpenOptions::default() };
            let file = wait(volume.open(path, &how)).unwrap();
            wait(volume.write(&file, 0, path.as_bytes())).unwrap();
        }
        wait(volume.set_read_only("/in/b.txt", true)).unwrap();
        wait(volume.sync()).unwrap();
        let sessions = (0..=OWNER).map(|number| session(&volume, number)).collect();
        let tree = tree(&volume);
        let (random, made) = (Random(seed | 1), BTreeMap::new());
        let synced = tree.clone();
        Self { ram, volume, sessions, random, now: START, tree, made, synced, own: 0, refused: 0 }
    }

    fn path(&mut self, who: usize) -> String {
        let root = self.sessions[who].root.clone();
        let root = root.as_str();
        let there: Vec<&String> = self.tree.keys().filter(|path| path.starts_with(root)).collect();
        let own: Vec<&String> =
            there.iter().filter(|path| self.made.get(**path) == Some(&who)).copied().collect();
        // Mostly what is there, and often one's own.
        let some = match self.random.below(8) {
            0 => return format!("/{}", NAMES[self.random.below(NAMES.len())]),
            1..=3 if !own.is_empty() => own[self.random.below(own.len())],
            1..=5 if !there.is_empty() => {
                let folder = there[self.random.below(there.len())];
                let name = NAMES[self.random.below(NAMES.len())];
                return format!("{}/{name}", folder.strip_prefix(root).unwrap());
            }
            _ if there.is_empty() => return "/a".into(),
            _ => there[self.random.below(there.len())],
        };
        let path = some.strip_prefix(root).unwrap();
        match self.random.below(8) {
            0 => path.to_uppercase(),
            1 => format!("{path}/../{}", path.rsplit('/').next().unwrap()),
            _ if path.is_empty() => "/".into(),
            _ => path.into(),
        }
    }

    fn handle(&mut self, who: usize) -> Vec<u8> {
        match self.sessions[who].handles.len() {
            0 => vec![0; 8],
            open => self.sessions[who].handles[self.random.below(open)].clone(),
        }
    }

    fn attributes(&mut self) -> Vec<u8> {
        let (kind, small) = (self.random.below(4), self.random.below(9000) as u32);
        match kind {
            0 => [1u32.to_be_bytes().as_slice(), &u64::from(small).to_be_bytes()].concat(),
            1 => {
                [4u32.to_be_bytes(), [0o444u32, 0o644][self.random.below(2)].to_be_bytes()].concat()
            }
            _ => [8u32, START as u32 - small * 2, START as u32 - small * 4]
                .map(u32::to_be_bytes)
                .concat(),
        }
    }

    /// One request of one session; whether it was answered with success.
    fn act(&mut self, who: usize) -> bool {
        let (path, other) = (self.path(who), self.path(who));
        let (path, other) = (path.as_bytes(), other.as_bytes());
        let (handle, attributes) = (self.handle(who), self.attributes());
        let full = self.tree.len() >= MOST;
        // The owner makes room, else nobody adds any more.
        let what = match self.random.below(24) {
            _ if full && who == OWNER => 15,
            5..=8 | 11 | 12 if self.sessions[who].handles.is_empty() => 0,
            what => what,
        };
        let posix = b"posix-rename@openssh.com".as_slice();
        let (number, first) = (self.random.below(6000) as u64, self.random.below(256) as u8);
        let flags = FLAGS[self.random.below(FLAGS.len())];
        let session = &mut self.sessions[who];
        let reply = match what {
            0..=4 => {
                let flags = if full { flags & !8 } else { flags };
                if session.handles.len() == HANDLES {
                    let oldest = session.handles.remove(0);
                    session.ask(4, &[&oldest], &[]);
                }
                let reply = session.ask(3, &[path], &[flags.to_be_bytes(), [0; 4]].concat());
                if reply.kind == 102 {
                    session.handles.push(reply.string().to_vec());
                    return true;
                }
                reply
            }
            5..=8 => {
                let data = vec![first; number as usize % 700];
                let length = (data.len() as u32).to_be_bytes();
                let rest = [&number.to_be_bytes(), length.as_slice(), &data].concat();
                session.ask(6, &[&handle], &rest)
            }
            9 => session.ask(9, &[path], &attributes),
            10 => session.ask(200, &[b"lsetstat@openssh.com", path], &attributes),
            11 | 12 => session.ask(10, &[&handle], &attributes),
            13 if full => return false,
            13 => session.ask(14, &[path], &[0; 4]),
            14 => session.ask(15, &[path], &[]),
            15 | 16 => session.ask(13, &[path], &[]),
            17 | 18 => session.ask(18, &[path, other], &[]),
            19 | 20 => session.ask(200, &[posix, path, other], &[]),
            21 => session.ask(200, &[b"hardlink@openssh.com", path, other], &[]),
            _ => {
                let from = session.handles.first().cloned().unwrap_or(vec![0; 8]);
                let to = [&8u32.to_be_bytes(), handle.as_slice(), &number.to_be_bytes()].concat();
                let rest = [[0; 16].as_slice(), &to].concat();
                session.ask(200, &[b"copy-data", &from], &rest)
            }
        };
        reply.kind == 101 && reply.body[..4] == [0; 4]
    }

    fn step(&mut self) {
        self.now += 2;
        self.volume.set_time(self.now);
        let who = self.random.below(SESSIONS + 1);
        if self.random.below(200) == 0 {
            // Another session of the same key: what the last one made is not its own.
            self.sessions[who] = session(&self.volume, who);
            self.made.retain(|_, maker| *maker != who);
        }
        let done = self.act(who);
        self.refused += usize::from(!done && who != OWNER);
        let after = tree(&self.volume);
        let paths: BTreeSet<String> = self.tree.keys().chain(after.keys()).cloned().collect();
        for path in paths {
            let (old, new) = (self.tree.get(&path), after.get(&path));
            if old == new {
                continue;
            }
            self.synced.remove(&path);
            if who == OWNER {
                self.made.remove(&path);
                continue;
            }
            if old.is_some() {
                assert_eq!(self.made.get(&path), Some(&who), "{path}: {old:?} became {new:?}");
            }
            self.own += 1;
            match new {
                Some(_) => drop(self.made.insert(path, who)),
                None => drop(self.made.remove(&path)),
            }
        }
        self.tree = after;
        match self.random.below(100) {
            0 => {
                wait(self.volume.sync()).unwrap();
                self.synced = self.tree.clone();
            }
            1 => self.cut(),
            _ => (),
        }
    }

    /// What a mount finds after a power cut now: all that was on the disk and that nobody changed since.
    fn cut(&self) {
        let ram = Ram::new(self.ram.0.borrow().clone());
        let found = tree(&mount(&ram));
        for (path, entry) in &self.synced {
            // Of folders that something was added to, the size of the directory alone has changed.
            assert_eq!(found.get(path), Some(entry), "{path} after a power cut");
        }
    }
}

#[test]
fn who_only_adds_changes_nothing_that_is_not_his() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let operations = number("MODEL_OPERATIONS").unwrap_or(8000) as usize;
    let first = number("MODEL_SEED").unwrap_or(1);
    let (mut own, mut refused) = (0, 0);
    for seed in first..first + 4 {
        let mut model = Model::new(seed);
        for operation in 0..operations / 4 {
            let step = std::panic::AssertUnwindSafe(|| model.step());
            if let Err(panic) = std::panic::catch_unwind(step) {
                eprintln!("seed {seed}, operation {operation}");
                std::panic::resume_unwind(panic);
            }
        }
        own += model.own;
        refused += model.refused;
        drop(model.sessions);
        wait(model.volume.unmount()).unwrap();
        let mut problems = Vec::new();
        wait(fat::check(&model.ram, &mut |p| problems.push(p.to_string()), &mut |_, _| ()))
            .unwrap();
        assert_eq!(problems, Vec::<String>::new());
    }
    // It is no test when nothing can be done, or all.
    assert!(own * 20 > operations && refused * 10 > operations, "{own} {refused}");
    writeln!(std::io::stderr(), "{operations} operations, {own} of one's own, {refused} refused")
        .unwrap();
}
