//! One session on a volume in memory, without SSH around it.
use client::{Ram, Reply, init, ready, request};
use fat::Volume;
use server::{Access, Reserve, Share, Shown};
use std::rc::Rc;

pub const HANDLES: usize = 6;

/// A future on a disk in memory; copies and long listings give way now and then.
pub fn wait<T>(future: impl Future<Output = T>) -> T {
    let mut future = Box::pin(future);
    (0..10_000).find_map(|_| ready(future.as_mut())).expect("it waits for ever")
}

pub struct Session {
    sftp: Rc<sftp::Server<Share<Ram>>>,
    packets: sftp::Packets,
    pub root: String,
    pub handles: Vec<Vec<u8>>,
}

impl Session {
    pub fn new(volume: &Rc<Volume<Ram>>, access: Access, reserve: Reserve) -> Self {
        let root = access.root.clone();
        let share = Share::new(volume.clone(), access, Shown::default()).with_reserve(reserve);
        let sftp = sftp::Server::new(Rc::new(share), HANDLES, Rc::default());
        let mut session = Self { sftp, packets: sftp::Packets::new(), root, handles: Vec::new() };
        session.packets.push(&init());
        wait(session.sftp.run(session.packets.next().unwrap().unwrap()));
        session
    }

    pub fn ask(&mut self, kind: u8, strings: &[&[u8]], rest: &[u8]) -> Reply {
        self.packets.push(&request(kind, 7, strings, rest));
        let mut reply = wait(self.sftp.run(self.packets.next().unwrap().unwrap()));
        Reply::take(&mut reply).unwrap()
    }

    /// The code of a reply that is a status.
    pub fn code(&mut self, kind: u8, strings: &[&[u8]], rest: &[u8]) -> u32 {
        let reply = self.ask(kind, strings, rest);
        assert_eq!(reply.kind, 101, "{reply:?}");
        u32::from_be_bytes(*reply.body.first_chunk().unwrap())
    }

    /// Opens a file; the handle, or the code that says why not.
    pub fn open(&mut self, path: &str, flags: u32) -> Result<Vec<u8>, u32> {
        let rest = [flags.to_be_bytes(), [0; 4]].concat();
        let reply = self.ask(3, &[path.as_bytes()], &rest);
        match reply.kind {
            102 => Ok(reply.string().to_vec()),
            _ => Err(u32::from_be_bytes(*reply.body.first_chunk().unwrap())),
        }
    }

    pub fn close(&mut self, handle: &[u8]) {
        assert_eq!(self.code(4, &[handle], &[]), 0);
    }

    pub fn write(&mut self, handle: &[u8], offset: u64, data: &[u8]) -> u32 {
        let length = (data.len() as u32).to_be_bytes();
        self.code(6, &[handle], &[&offset.to_be_bytes(), length.as_slice(), data].concat())
    }

    /// A new file with this text.
    pub fn put(&mut self, path: &str, text: &str) -> u32 {
        match self.open(path, 0x2a) {
            Ok(handle) => {
                let code = self.write(&handle, 0, text.as_bytes());
                self.close(&handle);
                code
            }
            Err(code) => code,
        }
    }

    pub fn read_handle(&mut self, handle: &[u8]) -> Result<String, u32> {
        let rest = [0u64.to_be_bytes().as_slice(), &100_000u32.to_be_bytes()].concat();
        let reply = self.ask(5, &[handle], &rest);
        match reply.kind {
            103 => Ok(String::from_utf8(reply.string().to_vec()).unwrap()),
            _ => Err(u32::from_be_bytes(*reply.body.first_chunk().unwrap())),
        }
    }

    /// All of a small file.
    pub fn read(&mut self, path: &str) -> Result<String, u32> {
        let handle = self.open(path, 1)?;
        let text = self.read_handle(&handle);
        self.close(&handle);
        text
    }

    /// Whether a listing has this name.
    pub fn lists(&mut self, folder: &str, name: &str) -> bool {
        let opened = self.ask(11, &[folder.as_bytes()], &[]);
        let handle = opened.string().to_vec();
        let listed = self.ask(12, &[&handle], &[]).body;
        self.close(&handle);
        let name = [&(name.len() as u32).to_be_bytes(), name.as_bytes()].concat();
        listed.windows(name.len()).any(|part| part == name)
    }

    /// Blocks of the volume: all, free, and free for this session; and the bytes of one.
    pub fn space(&mut self) -> [u64; 4] {
        let reply = self.ask(200, &[b"statvfs@openssh.com", b"/"], &[]);
        let number = |at: usize| u64::from_be_bytes(*reply.body[at * 8..].first_chunk().unwrap());
        [number(2), number(3), number(4), number(1)]
    }
}
