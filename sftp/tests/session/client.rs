//! Request packets as a client builds them, replies as it reads them, and a session to send them to.
use crate::memory::Memory;
use sftp::{Attributes, HandleMemory, Packets, Request, Server};
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

pub const INIT: u8 = 1;
pub const OPEN: u8 = 3;
pub const CLOSE: u8 = 4;
pub const READ: u8 = 5;
pub const WRITE: u8 = 6;
pub const LSTAT: u8 = 7;
pub const FSTAT: u8 = 8;
pub const SETSTAT: u8 = 9;
pub const FSETSTAT: u8 = 10;
pub const OPENDIR: u8 = 11;
pub const READDIR: u8 = 12;
pub const REMOVE: u8 = 13;
pub const MKDIR: u8 = 14;
pub const RMDIR: u8 = 15;
pub const REALPATH: u8 = 16;
pub const STAT: u8 = 17;
pub const RENAME: u8 = 18;
pub const READLINK: u8 = 19;
pub const SYMLINK: u8 = 20;
pub const EXTENDED: u8 = 200;

pub const F_READ: u32 = 1;
pub const F_WRITE: u32 = 2;
pub const F_APPEND: u32 = 4;
pub const F_CREAT: u32 = 8;
pub const F_TRUNC: u32 = 16;
pub const F_EXCL: u32 = 32;

/// Codes of STATUS.
pub const OK: u32 = 0;
pub const EOF: u32 = 1;
pub const NO_SUCH_FILE: u32 = 2;
pub const PERMISSION_DENIED: u32 = 3;
pub const FAILURE: u32 = 4;
pub const BAD_MESSAGE: u32 = 5;
pub const OP_UNSUPPORTED: u32 = 8;

/// The fields of a request after its id.
#[derive(Clone, Debug, Default)]
pub struct Fields(pub Vec<u8>);

impl Fields {
    pub fn string(mut self, s: impl AsRef<[u8]>) -> Self {
        self.0.extend((s.as_ref().len() as u32).to_be_bytes());
        self.0.extend(s.as_ref());
        self
    }

    pub fn u32(mut self, n: u32) -> Self {
        self.0.extend(n.to_be_bytes());
        self
    }

    pub fn u64(mut self, n: u64) -> Self {
        self.0.extend(n.to_be_bytes());
        self
    }
}

pub fn string(s: impl AsRef<[u8]>) -> Fields {
    Fields::default().string(s)
}

/// A packet without its length.
pub fn body(packet_type: u8, id: u32, fields: &Fields) -> Vec<u8> {
    let mut body = vec![packet_type];
    body.extend(id.to_be_bytes());
    body.extend(&fields.0);
    body
}

/// A body with its length in front.
pub fn framed(body: &[u8]) -> Vec<u8> {
    let mut packet = (body.len() as u32).to_be_bytes().to_vec();
    packet.extend(body);
    packet
}

#[derive(Debug, PartialEq)]
pub enum Reply {
    Version(u32, Vec<(String, String)>),
    Status(u32, String),
    Handle(Vec<u8>),
    Data(Vec<u8>),
    Names(Vec<(String, String, Attributes)>),
    Attrs(Attributes),
    Extended(Vec<u8>),
}

struct Reading<'a>(&'a [u8]);

impl<'a> Reading<'a> {
    fn take(&mut self, n: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(n);
        self.0 = rest;
        taken
    }
    fn u32(&mut self) -> u32 {
        u32::from_be_bytes(self.take(4).try_into().unwrap())
    }
    fn u64(&mut self) -> u64 {
        u64::from_be_bytes(self.take(8).try_into().unwrap())
    }
    fn bytes(&mut self) -> Vec<u8> {
        let n = self.u32() as usize;
        self.take(n).to_vec()
    }
    fn text(&mut self) -> String {
        String::from_utf8(self.bytes()).unwrap()
    }
    fn attributes(&mut self) -> Attributes {
        let flags = self.u32();
        assert_eq!(flags & !0xf, 0, "flags that version 3 has not");
        Attributes {
            size: (flags & 1 != 0).then(|| self.u64()),
            owner: (flags & 2 != 0).then(|| (self.u32(), self.u32())),
            permissions: (flags & 4 != 0).then(|| self.u32()),
            times: (flags & 8 != 0).then(|| (self.u32(), self.u32())),
        }
    }
}

impl Reply {
    /// Reads one whole packet: the id (VERSION has none) and the reply.
    pub fn parse(packet: &[u8]) -> (u32, Self) {
        let mut r = Reading(packet);
        assert_eq!(r.u32() as usize, packet.len() - 4, "the length field");
        let packet_type = r.take(1)[0];
        let id = r.u32();
        let reply = match packet_type {
            2 => {
                let mut extensions = Vec::new();
                while !r.0.is_empty() {
                    extensions.push((r.text(), r.text()));
                }
                return (0, Self::Version(id, extensions));
            }
            101 => {
                let (code, message) = (r.u32(), r.text());
                assert_eq!(r.text(), "", "the language");
                assert!(!message.is_empty());
                Self::Status(code, message)
            }
            102 => Self::Handle(r.bytes()),
            103 => Self::Data(r.bytes()),
            104 => {
                let count = r.u32();
                let names = (0..count).map(|_| (r.text(), r.text(), r.attributes()));
                Self::Names(names.collect())
            }
            105 => Self::Attrs(r.attributes()),
            201 => Self::Extended(r.take(r.0.len()).to_vec()),
            other => panic!("a reply of type {other}"),
        };
        assert_eq!(r.0, b"", "bytes after the reply");
        (id, reply)
    }

    /// The code of a STATUS.
    pub fn code(&self) -> u32 {
        match self {
            Self::Status(code, _) => *code,
            other => panic!("{other:?} is no status"),
        }
    }
}

pub type Running = Pin<Box<dyn Future<Output = Vec<u8>>>>;

/// Polls once.
pub fn poll(future: &mut Running) -> Option<Reply> {
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(reply) => Some(Reply::parse(&reply).1),
        Poll::Pending => None,
    }
}

/// A session after INIT.
pub struct Session {
    pub files: Rc<Memory>,
    pub server: Rc<Server<Memory>>,
    pub packets: Packets,
    last_id: u32,
}

impl Session {
    pub fn new() -> Self {
        Self::with_handles(64)
    }

    pub fn with_handles(handles: usize) -> Self {
        Self::sharing(handles, Rc::default())
    }

    pub fn sharing(handles: usize, memory: Rc<HandleMemory>) -> Self {
        let files = Rc::<Memory>::default();
        let server = Server::new(files.clone(), handles, memory);
        let mut session = Self { files, server, packets: Packets::new(), last_id: 0 };
        let init = session.request(&framed(&body(INIT, 3, &Fields::default())));
        assert!(matches!(Reply::parse(&session.run(init)), (0, Reply::Version(3, _))));
        session
    }

    /// The request of one packet, which must be all of it.
    pub fn request(&mut self, packet: &[u8]) -> Request {
        assert_eq!(self.packets.push(packet), packet.len());
        self.packets.next().unwrap().unwrap()
    }

    pub fn run(&self, request: Request) -> Vec<u8> {
        assert!(self.server.may_start(&request));
        let future = pin!(self.server.run(request));
        match future.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(reply) => reply,
            Poll::Pending => panic!("nothing holds this up"),
        }
    }

    /// Parses a request without running it.
    pub fn build(&mut self, packet_type: u8, fields: Fields) -> Request {
        self.last_id += 1;
        self.request(&framed(&body(packet_type, self.last_id, &fields)))
    }

    /// Starts a request that must be allowed to.
    pub fn start(&mut self, packet_type: u8, fields: Fields) -> Running {
        let request = self.build(packet_type, fields);
        assert!(self.server.may_start(&request));
        Box::pin(self.server.run(request))
    }

    /// Asks, and checks that the reply names the request.
    pub fn ask(&mut self, packet_type: u8, fields: Fields) -> Reply {
        let request = self.build(packet_type, fields);
        let (id, reply) = Reply::parse(&self.run(request));
        assert_eq!(id, self.last_id);
        reply
    }

    pub fn open(&mut self, path: &str, flags: u32) -> Vec<u8> {
        match self.ask(OPEN, string(path).u32(flags).u32(0)) {
            Reply::Handle(handle) => handle,
            other => panic!("{other:?}"),
        }
    }

    pub fn opendir(&mut self, path: &str) -> Vec<u8> {
        match self.ask(OPENDIR, string(path)) {
            Reply::Handle(handle) => handle,
            other => panic!("{other:?}"),
        }
    }

    pub fn read(&mut self, handle: &[u8], offset: u64, length: u32) -> Reply {
        self.ask(READ, string(handle).u64(offset).u32(length))
    }

    pub fn write(&mut self, handle: &[u8], offset: u64, data: &[u8]) -> u32 {
        let fields = string(handle).u64(offset).string(data);
        self.ask(WRITE, fields).code()
    }

    pub fn close(&mut self, handle: &[u8]) -> u32 {
        self.ask(CLOSE, string(handle)).code()
    }
}
