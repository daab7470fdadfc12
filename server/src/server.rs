//! The server's one turn, which every machine runs in its own loop.
use crate::call::{Asked, Begun, Call, Calls};
use crate::limits::shown_rekey_limit;
use crate::logging::{Source, about};
use crate::login::host_key::HostKey;
use crate::login::users::{ToldKeys, told_users};
use crate::options::Options;
use crate::serve::connection::{Connection, Gone, Shared};
use crate::serve::door::{Door, Misdeed, Refusal, Waiting};
use crate::serve::meter::{Meter, Metered};
use crate::serve::tasks::Tasks;
use alloc::boxed::Box;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::Cell;
use fat::{BlockDevice, Volume};
use log::{debug, error, info, warn};
use net::{Ended, Listener, Stream};
use sftp::HandleMemory;

/// What was never synced is at most this old.
const SYNC_AFTER: u64 = 5;

/// Connections accepted in one turn, at most as many as a quarter of all: each can say something before
/// others take its place.
const ACCEPTS_A_TURN: usize = 16;

/// Bytes that one connection takes in a turn, and about as many that it is sent.
const CONNECTION_SHARE: usize = 128 << 10;

/// Bytes, both ways, after which connections that move many have to wait for the next turn. Those that ask for little
/// never do.
const TURN_SHARE: usize = 256 << 10;

/// What the server may use. Beyond a bound it refuses the new thing, and nothing else notices.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections; each channel of one beyond its first counts as another.
    pub connections: usize,
    /// File operations in flight, and the bytes that they hold together.
    pub operations: usize,
    pub operation_bytes: usize,
    /// What the files and directories that are open hold together, in bytes.
    pub handle_bytes: usize,
}

/// The time of a turn.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Milliseconds that never go back.
    pub monotonic: u64,
    /// Seconds since 1970.
    pub unix: u64,
}

/// What a turn came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Something moved: take another turn at once.
    Moved,
    /// Nothing to do until the network or the disk moves, or this many milliseconds went by.
    Idle(Option<u64>),
    /// The server was told to stop and everything is on the disk.
    Stopped,
}

enum Phase {
    Serving,
    /// Waits for the operations in flight.
    Draining,
    /// Waits for the volume; true when it is closed.
    Closing(Rc<Cell<bool>>),
}

pub struct Server<L: Listener, D: BlockDevice> {
    listener: L,
    shared: Shared<D>,
    connections: Vec<Connection<Box<dyn Stream>, D>>,
    calls: Calls<D>,
    /// Calls that came since the last turn.
    called: Vec<Call>,
    calls_first: bool,
    tasks: Tasks,
    door: Door,
    limits: Limits,
    phase: Phase,
    syncing: Rc<Cell<bool>>,
    /// What runs aside is to end.
    stopping: Rc<Cell<bool>>,
}

impl<L: Listener<Stream: 'static>, D: BlockDevice + 'static> Server<L, D> {
    pub fn new(
        listener: L,
        volume: Rc<Volume<D>>,
        host_key: HostKey,
        mut options: Options,
        limits: Limits,
    ) -> Self {
        // The host key is made of it by now.
        options.seed = None;
        let door = Door::new(options.login, limits.connections);
        let (mut tasks, stopping) =
            (Tasks::new(limits.operations, limits.operation_bytes), Rc::default());
        tasks.start(0, count(volume.clone(), Rc::clone(&stopping)));
        Self {
            listener,
            shared: Shared {
                volume,
                options: Rc::new(options),
                host_key: host_key.net,
                fingerprint: host_key.fingerprint.into(),
                told_keys: Rc::default(),
                handles: Rc::new(HandleMemory::new(limits.handle_bytes)),
                more_channels: Cell::default(),
                may_end: Cell::default(),
                end_asked: Cell::default(),
            },
            connections: Vec::new(),
            calls: Calls::new(),
            called: Vec::new(),
            calls_first: false,
            door,
            tasks,
            limits,
            phase: Phase::Serving,
            syncing: Rc::default(),
            stopping,
        }
    }

    pub fn listener(&mut self) -> &mut L {
        &mut self.listener
    }

    /// Takes a call of qrexec.
    pub fn call(&mut self, call: Call) {
        if matches!(self.phase, Phase::Serving) {
            self.called.push(call);
        }
    }

    /// What callers asked of the machine since the last time.
    pub fn asked(&mut self) -> Vec<Asked> {
        let mut asked = self.calls.asked.take();
        if self.shared.end_asked.take() {
            asked.push(Asked::PowerOff);
        }
        asked
    }

    /// Lets clients end the machine by the command `poweroff`, if their key has no restrictions.
    pub fn let_clients_end(&self) {
        self.shared.may_end.set(true);
    }

    /// Takes the keys that the machine was told of, in the place of those of before.
    pub fn set_told_keys(&mut self, keys: ToldKeys) {
        let users = told_users(&keys);
        if !users.is_empty() {
            info!("users from QubesDB: {}", users.join(", "));
        }
        self.shared.told_keys.replace(keys);
    }

    /// Does everything that can be done now without waiting.
    pub fn turn(&mut self, now: Now) -> Turn {
        self.shared.volume.set_time(now.unix);
        self.listener.look();
        let serving = matches!(self.phase, Phase::Serving);
        let mut moved = serving && self.accept(now);
        self.tasks.round();
        // When there is not room for all, connections and calls come first by turns.
        self.calls_first = !self.calls_first;
        if self.calls_first {
            moved |= self.calls.turn(&mut self.tasks, now.monotonic);
        }
        moved |= serving && self.serve(now);
        if !self.calls_first {
            moved |= self.calls.turn(&mut self.tasks, now.monotonic);
        }
        moved |= self.tasks.turn();
        match &self.phase {
            Phase::Serving => self.sync(now),
            Phase::Draining if self.tasks.is_empty() && self.calls.is_empty() => {
                self.close();
                moved = true;
            }
            Phase::Closing(closed) if closed.get() => return Turn::Stopped,
            _ => (),
        }
        match moved {
            true => Turn::Moved,
            false => Turn::Idle(self.deadline(now)),
        }
    }

    /// Stops: clients are told, what runs is finished, and the volume is flushed and marked clean.
    /// Turns go on until one says `Stopped`.
    pub fn stop(&mut self) {
        if matches!(self.phase, Phase::Serving) {
            for connection in &mut self.connections {
                connection.goodbye("the server stops");
            }
            self.connections.clear();
            self.called.clear();
            self.calls.stop();
            self.stopping.set(true);
            self.phase = Phase::Draining;
        }
    }

    fn close(&mut self) {
        let closed = Rc::new(Cell::new(false));
        self.phase = Phase::Closing(closed.clone());
        let volume = self.shared.volume.clone();
        self.tasks.start(0, async move {
            match volume.unmount().await {
                Ok(()) => info!("the volume is flushed and clean"),
                Err(e) => error!("the volume could not be flushed: {e}"),
            }
            closed.set(true);
        });
    }

    fn accept(&mut self, now: Now) -> bool {
        let mut moved = self.begin_calls(now);
        for _ in 0..(self.limits.connections / 4).clamp(1, ACCEPTS_A_TURN) {
            let Some((mut stream, peer)) = self.listener.accept() else {
                break;
            };
            moved = true;
            let address = stream.peer_address();
            let block = address.map(|address| self.shared.options.login.block_of(address));
            let source = block.map_or(Source::Others, Source::of_address);
            let _about = about(source);
            let room = self.places() < self.limits.connections;
            let waiting = self.connections.iter().map(Connection::waiting).enumerate();
            let (at, waiting): (Vec<usize>, Vec<Waiting>) =
                waiting.filter_map(|(at, waiting)| Some((at, waiting?))).unzip();
            match self.door.knock(source, &waiting, room, now.monotonic) {
                Ok(None) => (),
                Ok(Some(goes)) => {
                    let at = at.get(goes).copied().unwrap_or_default();
                    let mut gone = self.connections.remove(at);
                    gone.refuse(&Door::words(Refusal::Startups, self.connections.len()));
                    self.door.count(Refusal::Startups, gone.peer(), now.monotonic);
                }
                Err(refusal) => {
                    let words = Door::words(refusal, self.connections.len());
                    if stream.write(words.as_bytes()).is_err() {
                        debug!("{peer}: gone before it was refused");
                    }
                    self.door.count(refusal, &peer, now.monotonic);
                    continue;
                }
            }
            let meter = Meter::new(CONNECTION_SHARE);
            let stream = Box::new(Metered::new(stream, &meter));
            self.connect((stream, meter), peer, source, now);
        }
        moved
    }

    fn connect(
        &mut self,
        stream: (Box<dyn Stream>, Meter),
        peer: String,
        source: Source,
        now: Now,
    ) {
        match Connection::new(stream, peer, source, now.monotonic, &self.shared.options) {
            Ok(connection) => {
                debug!("{}: connected", connection.peer());
                self.connections.push(connection);
            }
            Err(e) => error!("no session for a client: {e}"),
        }
    }

    fn begin_calls(&mut self, now: Now) -> bool {
        let called = core::mem::take(&mut self.called);
        let mut moved = !called.is_empty();
        for call in called {
            self.calls.come(call, now.monotonic);
        }
        self.calls.greet(now.monotonic);
        loop {
            let places = self.limits.connections.saturating_sub(self.places());
            match self.calls.begin(&self.shared, places, now.monotonic) {
                None => break,
                Some(Begun::Here) => (),
                Some(Begun::Ssh(stream, source)) => {
                    let meter = stream.meter();
                    self.connect((Box::new(stream), meter), source.to_string(), source, now);
                }
            }
            moved = true;
        }
        if !self.calls.is_empty() {
            let clients = self.connections.iter().map(|c| format!("{} {}", c.peer(), c.user()));
            self.calls.clients.replace(clients.collect());
            let rekey = shown_rekey_limit(self.shared.options.rekey_limit);
            self.calls.limits.replace(format!("{rekey}, {}", self.door.status()));
        }
        moved
    }

    fn places(&self) -> usize {
        let connections = self.connections.iter().map(Connection::places).sum::<usize>();
        connections.saturating_add(self.calls.places())
    }

    fn serve(&mut self, now: Now) -> bool {
        self.shared.more_channels.set(self.limits.connections.saturating_sub(self.places()));
        let Self { connections, shared, tasks, door, .. } = self;
        let grace = shared.options.login.grace;
        let mut moved = false;
        let (mut at, mut first, mut late) = (0usize, None, None);
        let mut share = TURN_SHARE;
        connections.retain_mut(|connection| {
            if share == 0 && connection.is_busy() {
                moved = true;
                late = late.or(Some(at));
                at = at.saturating_add(1);
                return true;
            }
            let _about = about(connection.source());
            let started = tasks.started();
            let turn = connection.turn(shared, tasks, now.monotonic);
            share = share.saturating_sub(connection.moved());
            first = first.or_else(|| tasks.next_first(at, started));
            match turn {
                Ok(m) => moved |= m,
                Err(gone) => {
                    moved = true;
                    say_gone(connection, &gone);
                    shared.end_asked.set(shared.end_asked.get() || connection.ends_the_machine());
                    if !connection.is_authenticated() {
                        let misdeed = match connection.user() {
                            "" => Misdeed::NoAuth,
                            _ => Misdeed::AuthFail,
                        };
                        door.blame(connection.source(), misdeed, now.monotonic);
                    }
                    return false;
                }
            }
            if is_late(connection, grace, now.monotonic) {
                door.count(Refusal::Grace, connection.peer(), now.monotonic);
                door.blame(connection.source(), Misdeed::GraceExceeded, now.monotonic);
                return false;
            }
            at = at.saturating_add(1);
            true
        });
        // When there is not room or time for all, everybody comes first once.
        let count = connections.len().max(1);
        connections.rotate_left(first.or(late).unwrap_or(0) % count);
        moved
    }

    /// Puts all that was done on the disk; whether that succeeded, once it is done.
    pub fn synced(&mut self) -> Rc<Cell<Option<bool>>> {
        let (volume, synced) = (self.shared.volume.clone(), Rc::<Cell<_>>::default());
        let told = synced.clone();
        self.tasks.start(0, async move {
            let done = volume.sync().await;
            if let Err(e) = &done {
                error!("changes could not be written: {e}");
            }
            told.set(Some(done.is_ok()));
        });
        synced
    }

    fn sync(&mut self, now: Now) {
        let due = self.shared.volume.unsynced_since().map(|t| t.saturating_add(SYNC_AFTER));
        if due.is_none_or(|due| now.unix < due) || self.syncing.get() {
            return;
        }
        let (volume, syncing) = (self.shared.volume.clone(), self.syncing.clone());
        syncing.set(true);
        self.tasks.start(0, async move {
            if let Err(e) = volume.sync().await {
                error!("changes could not be written: {e}");
            }
            syncing.set(false);
        });
    }

    /// Milliseconds until something is due.
    fn deadline(&self, now: Now) -> Option<u64> {
        if !self.tasks.is_empty() {
            // The disk's answer ends the wait.
            return self.calls.deadline();
        }
        let unsynced = self.shared.volume.unsynced_since();
        let sync = unsynced.map(|t| {
            t.saturating_add(SYNC_AFTER).saturating_sub(now.unix).max(1).saturating_mul(1000)
        });
        let grace = self.shared.options.login.grace;
        let waiting = self.connections.iter().filter(|c| grace > 0 && !c.is_authenticated());
        let grace = grace.saturating_mul(1000);
        let grace =
            waiting.map(|c| c.accepted.saturating_add(grace).saturating_sub(now.monotonic)).min();
        let keys = self.connections.iter().filter_map(Connection::deadline).min();
        let keys = keys.map(|due| due.saturating_sub(now.monotonic));
        sync.into_iter().chain(grace).chain(keys).chain(self.calls.deadline()).min()
    }
}

/// Counts what is free, so that whoever asks need not wait for it.
async fn count<D: BlockDevice>(volume: Rc<Volume<D>>, stopping: Rc<Cell<bool>>) {
    if let Err(e) = volume.count(|| !stopping.get()).await {
        warn!("free space could not be counted: {e}");
    }
}

/// Whether LoginGraceTime, in seconds, is over for a connection.
fn is_late<S: Stream, D: BlockDevice + 'static>(
    connection: &Connection<S, D>,
    grace: u64,
    now: u64,
) -> bool {
    let end = connection.accepted.saturating_add(grace.saturating_mul(1000));
    !connection.is_authenticated() && grace > 0 && now >= end
}

fn say_gone<S: Stream, D: BlockDevice + 'static>(connection: &Connection<S, D>, gone: &Gone) {
    let (user, peer) = (connection.user(), connection.peer());
    match (user, gone) {
        ("", Gone::Session(Ended::Closed)) => debug!("{peer}: {gone}"),
        ("", _) => warn!("{peer}: {gone}"),
        _ if !connection.is_authenticated() => {
            let failed = connection.failed_logins();
            info!("{user} from {peer}: not logged in, {failed} attempts failed: {gone}");
        }
        (_, Gone::Session(Ended::Closed)) => info!("{user} from {peer}: {gone}"),
        _ => warn!("{user} from {peer}: {gone}"),
    }
}
