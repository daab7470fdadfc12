//! A fixed pool of TCP sockets: some listen, some belong to streams, some are ending.
use super::flows::{Flows, Peer};
use alloc::vec;
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::fmt::Write;
use core::net::SocketAddr;
use log::debug;
use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::time::Duration;
use smoltcp::wire::IpEndpoint;

/// What the pool may use: all of it is allocated at the start, `sockets` times the two buffers.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// The TCP port to listen on, not 0.
    pub port: u16,
    /// Sockets in all. Beyond them a connection is refused.
    pub sockets: usize,
    /// How many of them listen at a time: a burst of connections within one poll.
    pub listening: usize,
    /// Buffers of each socket in bytes: what is in flight at most in either direction. A receive
    /// buffer above 64 KiB becomes a power of two less one.
    pub receive_buffer: usize,
    pub send_buffer: usize,
    /// The longest IP packet in bytes, at least 576; none for the device's. A peer learns of it by the MSS.
    pub mtu: Option<u16>,
    /// Where initial sequence numbers come from.
    pub seed: u64,
}

/// A silent client is asked for a sign of life this often, and is gone after the other.
const KEEP_ALIVE: Duration = Duration::from_secs(60);
const TIMEOUT: Duration = Duration::from_secs(180);

/// Milliseconds for a handshake.
const HANDSHAKE: u64 = 10_000;

/// Milliseconds for what a dropped stream has yet to send and for the other side's FIN.
const LINGER: u64 = 60_000;
const LINGER_IN_NEED: u64 = 2_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Idle,
    Listening,
    /// A SYN has come; since when, and after how many others.
    Arriving(u64, u64),
    /// Connected and waiting for `accept`; the number tells the order.
    Ready(u64),
    /// A stream has it.
    Taken,
    /// Its stream was dropped; since when.
    Leaving(u64),
}

struct Slot {
    handle: SocketHandle,
    role: Role,
    /// The other side, when it was looked at last.
    peer: Option<Peer>,
}

pub struct Sockets {
    pub set: SocketSet<'static>,
    slots: Vec<Slot>,
    port: u16,
    listening: usize,
    syns: u64,
    arrivals: u64,
    now: u64,
    /// A stream has changed something that a poll should look at.
    pub touched: bool,
}

impl Sockets {
    pub fn new(config: &Config) -> Self {
        let mut set = SocketSet::new(Vec::with_capacity(config.sockets));
        let slots = (0..config.sockets).map(|_| {
            let receive = SocketBuffer::new(vec![0; safe_window(config.receive_buffer)]);
            let send = SocketBuffer::new(vec![0; config.send_buffer]);
            let mut socket = Socket::new(receive, send);
            socket.set_keep_alive(Some(KEEP_ALIVE));
            socket.set_timeout(Some(TIMEOUT));
            // SSH packs its own packets: nothing is gained by waiting for more.
            socket.set_nagle_enabled(false);
            Slot { handle: set.add(socket), role: Role::Idle, peer: None }
        });
        let slots = slots.collect();
        Self {
            set,
            slots,
            port: config.port,
            listening: config.listening,
            syns: 0,
            arrivals: 0,
            now: 0,
            touched: true,
        }
    }

    /// Whether a packet may have taken a socket that listens.
    pub fn must_settle(&self) -> bool {
        let listens = |slot: &&Slot| slot.role == Role::Listening;
        let state = |slot: &Slot| self.set.get::<Socket>(slot.handle).state();
        self.slots.iter().filter(listens).any(|slot| state(slot) != State::Listen)
    }

    /// Brings the roles up to date with the sockets' states, and lets enough of them listen. Says
    /// whether a connection has come.
    pub fn settle(&mut self, now: u64, flows: &mut Flows) -> bool {
        self.now = now;
        self.touched = false;
        let before = self.arrivals;
        let mut changed = false;
        for slot in &mut self.slots {
            let socket = self.set.get_mut::<Socket>(slot.handle);
            if slot.peer.is_some_and(|peer| flows.is_spent(peer)) {
                debug!("a connection that acknowledges without end is closed");
                socket.abort();
            }
            slot.role = match (slot.role, socket.state()) {
                (Role::Listening, State::SynReceived) => {
                    self.syns = self.syns.saturating_add(1);
                    Role::Arriving(now, self.syns)
                }
                (Role::Listening | Role::Arriving(..), State::Established | State::CloseWait) => {
                    self.arrivals = self.arrivals.saturating_add(1);
                    Role::Ready(self.arrivals)
                }
                (Role::Arriving(..), State::Listen) => Role::Listening,
                (Role::Arriving(since, _), State::SynReceived)
                    if now >= since.saturating_add(HANDSHAKE) =>
                {
                    debug!("a handshake was never finished");
                    socket.abort();
                    Role::Leaving(now)
                }
                (Role::Leaving(since), state) if state != State::Closed => {
                    if now >= since.saturating_add(LINGER) {
                        socket.abort();
                    }
                    Role::Leaving(since)
                }
                // What is closed and has sent its RST is free.
                (Role::Arriving(..) | Role::Ready(_) | Role::Listening, State::Closed) => {
                    Role::Leaving(now)
                }
                (Role::Leaving(_), State::Closed) if socket.remote_endpoint().is_none() => {
                    Role::Idle
                }
                (role, _) => role,
            };
            let peer = socket.remote_endpoint().map(peer);
            changed |= slot.peer != peer;
            slot.peer = peer;
        }
        self.listen(self.listening, false);
        if changed {
            self.tell(flows);
        }
        self.arrivals != before
    }

    /// Whether a SYN finds a socket that listens.
    pub fn is_listening(&self) -> bool {
        self.slots.iter().any(|slot| slot.role == Role::Listening)
    }

    /// Lets one socket listen, whatever is missed least. False when there is none yet, and soon will be:
    /// who asks again in a second finds it.
    pub fn make_room(&mut self, flows: &mut Flows) -> bool {
        self.listen(1, true);
        self.tell(flows);
        self.is_listening() || !self.slots.iter().any(|slot| matches!(slot.role, Role::Leaving(_)))
    }

    fn tell(&self, flows: &mut Flows) {
        flows.keep(|peer| self.slots.iter().any(|slot| slot.peer == Some(peer)));
    }

    /// Lets so many sockets listen, if there are as many.
    fn listen(&mut self, wanted: usize, in_need: bool) {
        let mut listening = self.slots.iter().filter(|s| s.role == Role::Listening).count();
        while listening < wanted {
            let Some(index) = self.spare(in_need) else { break };
            let Some(slot) = self.slots.get_mut(index) else { break };
            let socket = self.set.get_mut::<Socket>(slot.handle);
            // Nothing is sent: either all was said, or nobody is there, who would get an RST later.
            socket.abort();
            if let Err(e) = socket.listen(self.port) {
                debug!("cannot listen on port {}: {e}", self.port);
                break;
            }
            slot.role = Role::Listening;
            slot.peer = None;
            listening = listening.saturating_add(1);
        }
    }

    /// The socket that is missed least. `in_need`: a SYN waits for it. Then whoever has all that we said
    /// need not be waited for; of the handshakes that are not complete the oldest goes, of the host with
    /// the most of them; and so do connections that were closed, if they had their time or are several
    /// of one host.
    fn spare(&self, in_need: bool) -> Option<usize> {
        let value = |slot: &Slot| match slot.role {
            Role::Idle => Some((0, Reverse(0), 0)),
            Role::Leaving(since) => match self.set.get::<Socket>(slot.handle).state() {
                State::TimeWait => Some((1, Reverse(0), since)),
                _ if !in_need => None,
                State::FinWait2 => Some((2, Reverse(0), since)),
                _ => {
                    let of_host = self.of_host(slot, |role| matches!(role, Role::Leaving(_)));
                    let had_its_time = self.now >= since.saturating_add(LINGER_IN_NEED);
                    (of_host > 1 || had_its_time).then_some((4, Reverse(of_host), since))
                }
            },
            Role::Arriving(_, number) if in_need => {
                let of_host = self.of_host(slot, |role| matches!(role, Role::Arriving(..)));
                Some((3, Reverse(of_host), number))
            }
            _ => None,
        };
        let values = self.slots.iter().enumerate();
        values.filter_map(|(i, slot)| Some((value(slot)?, i))).min().map(|(_, i)| i)
    }

    /// How many sockets in such a role the host of one of them has.
    fn of_host(&self, one: &Slot, is: impl Fn(Role) -> bool) -> usize {
        let host = |slot: &Slot| slot.peer.map(|(ip, _)| ip);
        self.slots.iter().filter(|slot| is(slot.role) && host(slot) == host(one)).count()
    }

    /// When `settle` has to look at the time again.
    pub fn deadline(&self) -> Option<u64> {
        let due = |slot: &Slot| match slot.role {
            Role::Arriving(since, _) => Some(since.saturating_add(HANDSHAKE)),
            Role::Leaving(since) => {
                Some(since.saturating_add(LINGER).max(self.now.saturating_add(1)))
            }
            _ => None,
        };
        self.slots.iter().filter_map(due).min()
    }

    /// The connection that has waited longest, and the address of its other side.
    pub fn accept(&mut self) -> Option<(SocketHandle, alloc::string::String)> {
        let order = |slot: &&mut Slot| match slot.role {
            Role::Ready(number) => number,
            _ => u64::MAX,
        };
        let ready = |slot: &&mut Slot| matches!(slot.role, Role::Ready(_));
        let slot = self.slots.iter_mut().filter(ready).min_by_key(order)?;
        slot.role = Role::Taken;
        let mut peer = alloc::string::String::new();
        let handle = slot.handle;
        if let Some(endpoint) = self.peer(handle) {
            // Writing to a string does not fail.
            let _ = write!(peer, "{}", SocketAddr::new(endpoint.addr.into(), endpoint.port));
        }
        Some((handle, peer))
    }

    /// The other side of a connection; none once it is closed.
    pub fn peer(&self, handle: SocketHandle) -> Option<IpEndpoint> {
        self.set.get::<Socket>(handle).remote_endpoint()
    }

    pub fn socket(&mut self, handle: SocketHandle) -> &mut Socket<'static> {
        self.touched = true;
        self.set.get_mut(handle)
    }

    /// A stream is gone: what it wrote is still sent.
    pub fn release(&mut self, handle: SocketHandle) {
        self.touched = true;
        self.set.get_mut::<Socket>(handle).close();
        if let Some(slot) = self.slots.iter_mut().find(|slot| slot.handle == handle) {
            slot.role = Role::Leaving(self.now);
        }
    }
}

fn peer(endpoint: IpEndpoint) -> Peer {
    (endpoint.addr.into(), endpoint.port)
}

/// The largest size, up to this one, with which smoltcp 0.14 takes no more than fits. It reads the
/// window of its own SYN, at most 65535, as if it were scaled: with 2^k bytes a client may then send
/// twice what fits in the first flight, and the ring buffer panics. With 2^k - 1 the two agree.
fn safe_window(size: usize) -> usize {
    const UNSCALED: usize = 65_535;
    if size <= UNSCALED {
        return size;
    }
    let power = size.saturating_add(1).checked_ilog2().unwrap_or(0);
    1usize.checked_shl(power).unwrap_or(0).saturating_sub(1)
}
