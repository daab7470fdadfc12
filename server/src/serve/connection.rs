//! One client: its stream, its SSH session and the transfers on its channels.
use crate::keys::access::Access;
use crate::logging::{Source, cut};
use crate::login::keyring::{Granted, Keyring};
use crate::login::revoked::revoked;
use crate::login::users::{self, ToldKeys};
use crate::options::Options;
use crate::serve::door::Waiting;
use crate::serve::meter::Meter;
use crate::serve::tasks::Tasks;
use crate::serve::transfer::{Over, SshChannel, Transfer};
use crate::user_name::{USER_NAME_RULE, is_user_name};
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::fmt;
use fat::{BlockDevice, Volume};
use log::{debug, info, warn};
use net::{Algorithms, Ended, Event, HostKey, MAX_CHANNELS, Session, Stream};
use sftp::HandleMemory;

/// Events that one connection may handle before the others have their turn.
const EVENTS_A_TURN: usize = 64;

/// Bytes in a turn below which a connection asks for little: it has its turn whatever others do.
const LITTLE: usize = 16 << 10;

/// Bytes of a user name that messages show.
const LONGEST_NAME: usize = 40;

/// Milliseconds in which a client that ends the machine takes the answer and goes.
const FAREWELL: u64 = 2000;

/// The keys that a look-up found.
type Lookup = Rc<RefCell<Option<Keyring>>>;

/// What all connections share.
pub struct Shared<D: BlockDevice> {
    pub volume: Rc<Volume<D>>,
    pub options: Rc<Options>,
    pub host_key: HostKey,
    /// The host key's.
    pub fingerprint: Rc<str>,
    /// The users' keys that the machine was told of, lines of `authorized_keys` files by user.
    pub told_keys: Rc<RefCell<ToldKeys>>,
    /// What all have open.
    pub handles: Rc<HandleMemory>,
    /// How many channels may still begin beyond the first of each connection.
    pub more_channels: Cell<usize>,
    /// Whether a client may end the machine: where nobody else can.
    pub may_end: Cell<bool>,
    /// One has asked for that, and has its answer.
    pub end_asked: Cell<bool>,
}

pub struct Connection<S, D: BlockDevice> {
    stream: S,
    /// The stream's.
    meter: Meter,
    /// The version is sent.
    begun: bool,
    peer: String,
    /// Whose doing is what it does.
    source: Source,
    /// The name that was given at the login, as it may be shown; empty before.
    user: String,
    /// When it was accepted, in milliseconds of the loop's clock.
    pub accepted: u64,
    now: u64,
    /// Its client ends the machine, at this time at the latest: the end of all connections would otherwise
    /// come before its exit code.
    ends: Option<u64>,
    ssh: Session,
    transfers: [Option<Transfer<D>>; MAX_CHANNELS],
    /// Its last turn was a large one, or left something over.
    busy: bool,
    /// Its last turn moved nothing, and it waits for nothing but its client.
    still: bool,
    /// The channel whose turn is first.
    first: usize,
    lookup: Option<Lookup>,
    /// What the key gives that the client showed last.
    granted: Rc<RefCell<Option<Granted>>>,
    /// What the key that logged in may do.
    access: Option<Access>,
}

/// Why a connection is over.
pub enum Gone {
    Session(Ended),
    Sftp(sftp::Fatal),
}

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Session(e) => e.fmt(f),
            Self::Sftp(e) => write!(f, "SFTP: {e}"),
        }
    }
}

impl From<Ended> for Gone {
    fn from(e: Ended) -> Self {
        Self::Session(e)
    }
}

impl From<Over> for Gone {
    fn from(e: Over) -> Self {
        match e {
            Over::Session(e) => Self::Session(e),
            Over::Protocol(e) => Self::Sftp(e),
        }
    }
}

impl<S: Stream, D: BlockDevice + 'static> Connection<S, D> {
    /// `meter` is that of the stream, which shows its share of a turn and no more.
    pub fn new(
        (stream, meter): (S, Meter),
        peer: String,
        source: Source,
        accepted: u64,
        options: &Options,
    ) -> Result<Self, Ended> {
        let transfers = Default::default();
        let algorithms = match (options.strict_algorithms, options.nist_algorithms) {
            (true, _) => Algorithms::Strict,
            (false, true) => Algorithms::Nist,
            (false, false) => Algorithms::All,
        };
        let mut ssh = Session::new(options.rekey_limit, algorithms)?;
        ssh.set_max_auth_tries(options.login.max_auth_tries);
        ssh.set_client_alive(options.login.alive);
        Ok(Self {
            stream,
            meter,
            begun: false,
            peer,
            source,
            user: String::new(),
            accepted,
            now: accepted,
            ends: None,
            ssh,
            transfers,
            busy: false,
            still: false,
            first: 0,
            lookup: None,
            granted: Rc::default(),
            access: None,
        })
    }

    pub fn peer(&self) -> &str {
        &self.peer
    }

    pub fn source(&self) -> Source {
        self.source
    }

    pub fn user(&self) -> &str {
        &self.user
    }

    /// Attempts to log in that failed.
    pub fn failed_logins(&self) -> u32 {
        self.ssh.failed_logins()
    }

    pub fn is_authenticated(&self) -> bool {
        self.ssh.is_authenticated()
    }

    /// How far it has come, when it has not logged in: a version, keys and a user's name come in turn.
    pub fn waiting(&self) -> Option<Waiting> {
        /// More than a version, and less than what agrees on keys.
        const VERSION: u64 = 400;
        let progress = match self.meter.taken() {
            _ if !self.user.is_empty() => 3,
            0 => 0,
            1..VERSION => 1,
            _ => 2,
        };
        let Self { source, accepted, .. } = *self;
        (!self.is_authenticated()).then_some(Waiting { source, progress, accepted })
    }

    /// How many of the server's places it takes: a window and replies are each channel's own.
    pub fn places(&self) -> usize {
        self.transfers.iter().flatten().count().max(1)
    }

    /// When it has something to do though nothing came, in milliseconds of the loop's clock.
    pub fn deadline(&self) -> Option<u64> {
        self.ssh.deadline().into_iter().chain(self.ends).min()
    }

    /// Whether its client ends the machine.
    pub fn ends_the_machine(&self) -> bool {
        self.ends.is_some()
    }

    /// Whether it may wait for another turn when others have had much of this one.
    pub fn is_busy(&self) -> bool {
        self.busy
    }

    /// About how many bytes its last turn moved.
    pub fn moved(&self) -> usize {
        self.meter.moved()
    }

    /// Goes on as far as its share of a turn allows; true when something moved.
    pub fn turn(&mut self, shared: &Shared<D>, tasks: &mut Tasks, now: u64) -> Result<bool, Gone> {
        if self.still && !self.stream.has_news() && self.deadline().is_none_or(|due| now < due) {
            return Ok(false);
        }
        let moved = self.go_on(shared, tasks, now);
        let waits =
            self.lookup.is_some() || !self.transfers.iter().flatten().all(Transfer::is_done);
        self.still = matches!(moved, Ok(false)) && !waits;
        if let Err(Gone::Sftp(_)) = moved {
            self.ssh.flush(&mut self.stream)?;
        }
        moved
    }

    fn go_on(&mut self, shared: &Shared<D>, tasks: &mut Tasks, now: u64) -> Result<bool, Gone> {
        self.now = now;
        self.ssh.set_time(now);
        if self.ends.is_some_and(|end| now >= end) {
            shared.end_asked.set(true);
        }
        if let Some(keys) = self.lookup.as_ref().and_then(|keys| keys.borrow_mut().take()) {
            self.lookup = None;
            self.ssh.set_keys(keys);
        }
        self.meter.begin_turn();
        self.begun = true;
        tasks.begin_share();
        let mut moved = self.transfer(tasks)?;
        for _ in 0..EVENTS_A_TURN {
            if self.meter.is_spent() {
                break;
            }
            let open = self.transfers.iter().flatten().count();
            let more = open == 0 || shared.more_channels.get() > 0;
            self.ssh.set_full(!more || open >= shared.options.login.sessions);
            match self.ssh.step(&mut self.stream, &shared.host_key)? {
                Event::Idle => break,
                event => self.handle(event, shared, tasks)?,
            }
            moved = true;
        }
        // A window that was opened or a key exchange that ended tells nobody but lets replies go.
        for _ in 0..EVENTS_A_TURN {
            let replied = self.transfer(tasks)?;
            moved |= replied;
            let flushed = self.ssh.flush(&mut self.stream)?;
            if !replied || !flushed || self.meter.is_spent() {
                break;
            }
        }
        let more = self.meter.has_more() | tasks.is_share_spent();
        self.busy = more || self.meter.moved() >= LITTLE;
        Ok(moved | more)
    }

    fn handle(&mut self, event: Event, shared: &Shared<D>, tasks: &mut Tasks) -> Result<(), Gone> {
        match event {
            Event::Login(user) => self.look_up(user, shared, tasks),
            Event::Authenticated => self.grant(),
            Event::Sftp { number, read_only } => {
                let before = self.places();
                match (self.transfers.get_mut(number), &self.access) {
                    (Some(slot), Some(access)) => {
                        let options = &shared.options;
                        let read_only = access.read_only || read_only;
                        let access = &Access { read_only, ..access.clone() };
                        *slot =
                            Some(Transfer::new(&shared.volume, access, options, &shared.handles));
                    }
                    _ => self.ssh.finish(number, 1),
                }
                let more = self.places().saturating_sub(before);
                shared.more_channels.update(|left| left.saturating_sub(more));
            }
            // Whoever has the whole volume could take everybody's keys away as well.
            Event::PowerOff(number) => match &self.access {
                Some(access) if shared.may_end.get() && access.is_unrestricted() => {
                    info!("{} from {} ends the machine", self.user, self.peer);
                    self.ends = Some(self.now.saturating_add(FAREWELL));
                    self.ssh.finish(number, 0);
                }
                _ => {
                    info!("refused a command: only the sftp subsystem is served");
                    self.ssh.refuse(number);
                }
            },
            Event::Data(number) => {
                if let Some(Some(transfer)) = self.transfers.get_mut(number) {
                    let channel = &mut SshChannel { ssh: &mut self.ssh, number };
                    // More may lie behind it: replies go together, at the end of the turn.
                    transfer.receive(channel)?;
                    transfer.start_all(channel, tasks)?;
                }
            }
            Event::Eof(number) => match self.transfers.get_mut(number) {
                Some(Some(transfer)) => {
                    transfer.eof();
                    transfer.turn(&mut SshChannel { ssh: &mut self.ssh, number }, tasks)?;
                }
                _ => self.ssh.finish(number, 1),
            },
            Event::Closed(number) => {
                if let Some(slot) = self.transfers.get_mut(number) {
                    *slot = None;
                }
            }
            Event::Idle => (),
        }
        Ok(())
    }

    /// The user has what the key gives.
    fn grant(&mut self) {
        let granted = self.granted.take();
        if let Some(Granted { access, name }) = &granted {
            info!("{} logged in from {} with {name}{access}", self.user, self.peer);
        }
        self.access = granted.map(|granted| granted.access);
    }

    /// Lets every transfer go on.
    fn transfer(&mut self, tasks: &mut Tasks) -> Result<bool, Gone> {
        let (mut moved, mut first) = (false, None);
        for number in 0..MAX_CHANNELS {
            let number = self.first.saturating_add(number) % MAX_CHANNELS;
            if let Some(Some(transfer)) = self.transfers.get_mut(number) {
                let started = tasks.started();
                let channel = &mut SshChannel { ssh: &mut self.ssh, number };
                moved |= transfer.turn(channel, tasks)?;
                first = first.or_else(|| tasks.next_first(number, started));
            }
        }
        self.first = first.unwrap_or(self.first);
        Ok(moved)
    }

    fn look_up(&mut self, user: String, shared: &Shared<D>, tasks: &mut Tasks) {
        self.user = cut(&user, LONGEST_NAME);
        if !is_user_name(&user) {
            info!("{} from {}: no such user; {USER_NAME_RULE}", self.user, self.peer);
            self.ssh.set_keys(Vec::new());
            return;
        }
        let lookup = Lookup::default();
        self.lookup = Some(lookup.clone());
        let (volume, options) = (shared.volume.clone(), shared.options.clone());
        let (peer, address) = (self.peer.clone(), self.stream.peer_address());
        let granted = self.granted.clone();
        let told = users::told_of(&shared.told_keys.borrow(), &user);
        tasks.start(0, async move {
            let mut keys = users::keys_of(&volume, &options, told.as_deref(), &user, address).await;
            if keys.is_empty() {
                warn!("{user} from {peer}: no usable key; add {user}.pub to the volume's root");
            }
            let revoked = revoked(&volume).await.unwrap_or_else(|| {
                keys.clear();
                Default::default()
            });
            let now = Box::new(move || volume.now());
            let named = false;
            *lookup.borrow_mut() =
                Some(Keyring { keys, revoked, user, peer, address, now, granted, named });
        });
    }

    /// Tells the client that it is not served: before the version in a line (RFC 4253 4.2).
    pub fn refuse(&mut self, words: &str) {
        if self.begun {
            self.goodbye(words.trim_end());
        } else if self.stream.write(words.as_bytes()).is_err() {
            debug!("{}: gone before it was refused", self.peer);
        }
    }

    /// Tells the client that the server stops.
    pub fn goodbye(&mut self, text: &str) {
        self.ssh.goodbye(&mut self.stream, text);
    }
}
