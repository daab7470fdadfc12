//! TCP by the operating system: the listener, the connections, and the wait for any of them.
use net::{Closed, Listener, Stream};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, SocketType, bind, listen, socket, sockopt};
use std::cell::Cell;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::rc::{Rc, Weak};
use std::time::Duration;

/// What is read from a socket at once, in bytes.
const READ: usize = 64 * 1024;

/// The listening socket, and the sockets of all connections so that one wait covers them.
pub struct Sockets {
    listener: TcpListener,
    open: Vec<Weak<Socket>>,
    /// New connections are not looked for during the next wait: accepting failed.
    backoff: bool,
    /// Calls to `accept` until it looks again without having been told to.
    look_in: u32,
    /// `wait` has just seen which sockets can go on.
    seen: bool,
}

/// So many connections are asked one by one.
const FEW: usize = 4;

/// While turn follows turn without a wait, every so many of them look for new connections.
const LOOK_EVERY: u32 = 16;

/// A socket and what its connection waits for.
struct Socket {
    stream: TcpStream,
    read: Cell<bool>,
    write: Cell<bool>,
    /// What it waits for was not there when all sockets were looked at.
    quiet: Cell<bool>,
}

pub struct Connection {
    socket: Rc<Socket>,
    peer: IpAddr,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Sockets {
    pub fn listen(address: SocketAddr) -> io::Result<Self> {
        let listener = match address {
            SocketAddr::V6(v6) if v6.ip().is_unspecified() => everywhere(address)?,
            _ => TcpListener::bind(address)?,
        };
        listener.set_nonblocking(true)?;
        Ok(Self { listener, open: Vec::new(), backoff: false, look_in: 0, seen: false })
    }

    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Waits until a socket can go on, `wake` is readable, or the time is over.
    pub fn wait(&mut self, wake: &impl AsFd, timeout: Option<Duration>) -> io::Result<()> {
        /// How long no connection is accepted when the system has no room for one.
        const BACKOFF: Duration = Duration::from_millis(100);
        let sockets = self.waiting();
        let mut fds = polled(&sockets);
        fds.push(PollFd::new(wake, PollFlags::IN));
        if !self.backoff {
            fds.push(PollFd::new(&self.listener, PollFlags::IN));
        }
        let timeout = match self.backoff {
            true => Some(timeout.map_or(BACKOFF, |t| t.min(BACKOFF))),
            false => timeout,
        };
        self.backoff = false;
        self.look_in = 0;
        let timeout = timeout.and_then(|t| Timespec::try_from(t).ok());
        self.seen = true;
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {
                tell(&sockets, &fds);
                Ok(())
            }
            Err(e) => Err(e.into()),
        }
    }

    /// Those that wait for something; of none it is known that it has not come.
    fn waiting(&mut self) -> Vec<Rc<Socket>> {
        self.open.retain(|socket| socket.strong_count() > 0);
        let open = self.open.iter().filter_map(Weak::upgrade);
        open.inspect(|socket| socket.quiet.set(false))
            .filter(|socket| socket.read.get() || socket.write.get())
            .collect()
    }
}

/// What to ask the system of these sockets, one for each.
fn polled(sockets: &[Rc<Socket>]) -> Vec<PollFd<'_>> {
    let asked = |socket: &Socket| {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN, socket.read.get());
        flags.set(PollFlags::OUT, socket.write.get());
        flags
    };
    sockets.iter().map(|socket| PollFd::new(&socket.stream, asked(socket))).collect()
}

/// Tells the sockets what the system answered.
fn tell(sockets: &[Rc<Socket>], fds: &[PollFd<'_>]) {
    for (socket, fd) in sockets.iter().zip(fds) {
        socket.quiet.set(fd.revents().is_empty());
    }
}

impl Listener for Sockets {
    type Stream = Connection;

    fn look(&mut self) {
        if std::mem::take(&mut self.seen) {
            return;
        }
        let sockets = self.waiting();
        let mut fds = polled(&sockets);
        if sockets.len() > FEW && poll(&mut fds, Some(&Timespec::default())).is_ok() {
            tell(&sockets, &fds);
        }
    }

    fn accept(&mut self) -> Option<(Connection, String)> {
        if self.backoff || self.look_in > 0 {
            self.look_in = self.look_in.saturating_sub(1);
            return None;
        }
        let (stream, peer) = match self.listener.accept() {
            Ok(accepted) => accepted,
            Err(e) if e.kind() == ErrorKind::WouldBlock => {
                self.look_in = LOOK_EVERY;
                return None;
            }
            Err(e) => {
                log::warn!("cannot accept a connection: {e}");
                self.backoff = true;
                return None;
            }
        };
        let set = stream
            .set_nonblocking(true)
            // Every write is a whole answer.
            .and_then(|()| stream.set_nodelay(true))
            // A client that vanished without a word must not hold its place for ever.
            .and_then(|()| Ok(sockopt::set_socket_keepalive(&stream, true)?));
        if let Err(e) = set {
            log::warn!("{peer}: {e}");
            return None;
        }
        // One who comes to `::` by IPv4 is shown as he is.
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        let socket = Rc::new(Socket {
            stream,
            read: Cell::new(true),
            write: Cell::new(false),
            quiet: Cell::new(false),
        });
        self.open.push(Rc::downgrade(&socket));
        let buffer = vec![0; READ].into_boxed_slice();
        Some((Connection { socket, peer: peer.ip(), buffer, start: 0, end: 0 }, peer.to_string()))
    }
}

impl Stream for Connection {
    fn has_news(&self) -> bool {
        !self.socket.quiet.get()
    }

    fn fill(&mut self) -> Result<&[u8], Closed> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            match (&self.socket.stream).read(&mut self.buffer) {
                Ok(0) => return Err(Closed),
                Ok(n) => {
                    self.end = n;
                    self.socket.read.set(false);
                }
                Err(e) if would_block(&e) => self.socket.read.set(true),
                Err(_) => return Err(Closed),
            }
        }
        Ok(self.buffer.get(self.start..self.end).unwrap_or_default())
    }

    fn consume(&mut self, n: usize) {
        self.start = self.start.saturating_add(n).min(self.end);
    }

    fn write(&mut self, data: &[u8]) -> Result<usize, Closed> {
        match (&self.socket.stream).write(data) {
            Ok(n) => {
                self.socket.write.set(n < data.len());
                Ok(n)
            }
            Err(e) if would_block(&e) => {
                self.socket.write.set(true);
                Ok(0)
            }
            Err(_) => Err(Closed),
        }
    }

    fn peer_address(&self) -> Option<IpAddr> {
        Some(self.peer)
    }
}

/// Listens on all addresses of both families, whatever the system's habit is (`bindv6only`).
fn everywhere(address: SocketAddr) -> io::Result<TcpListener> {
    /// As many may wait for `accept` as the standard library lets.
    const BACKLOG: i32 = 128;
    let socket = socket(AddressFamily::INET6, SocketType::STREAM, None)?;
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    sockopt::set_ipv6_v6only(&socket, false)?;
    bind(&socket, &address)?;
    listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

fn would_block(e: &io::Error) -> bool {
    matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
