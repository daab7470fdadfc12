//! One SSH connection: sunset's runner, driven in the order that it needs.
//!
//! sunset drops a packet that is read between an event and the next `progress()`, and stops the
//! whole connection while channel data waits. So: `progress()` until there is no event, then take
//! all channel data, and only then `input()`.
use crate::WINDOW;
use crate::algorithms::Algorithms;
use crate::alive::{Alive, ClientAlive};
use crate::auth::{Auth, Keys};
use crate::channel::{Channel, Channels, asks_for_end, channel, may_begin};
use crate::ended::Ended;
use crate::event::{Event, Progress};
use crate::host_key::HostKey;
use crate::program::{NO_PROGRAMS, sftp_server};
use crate::rekey::{Due, Rekey, RekeyLimit};
use crate::stream::Stream;
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use log::{debug, info};
use sunset::{ChanData, ServEvent};

/// Bytes of the output that are kept for answers to what a client may still have sent: beyond that it is written out.
const KEPT: usize = 8 * 1024;

/// Bytes that a client may send before it has logged in: ten times what logins need.
const BEFORE_LOGIN: usize = 64 * 1024;

pub struct Session {
    pub(crate) runner: sunset::Runner<'static, sunset::Server>,
    rekey: Rekey,
    alive: Alive,
    auth: Auth,
    authenticated: bool,
    /// Bytes that came before the login.
    before_login: usize,
    /// `Event::Login` was given and not answered yet.
    asked: bool,
    /// `Event::Data` was given for the data that lies in sunset's buffer.
    offered: bool,
    pub(crate) channels: Channels,
    /// No further channel may run a subsystem.
    full: bool,
}

impl Session {
    pub fn new(rekey: RekeyLimit, algorithms: Algorithms) -> Result<Self, Ended> {
        let mut runner = sunset::Runner::new_server_owned();
        runner.only_public_keys()?;
        let (exchanges, host_keys, ciphers, macs) = algorithms.names();
        runner.set_algorithms(exchanges, host_keys, ciphers, macs)?;
        Ok(Self {
            runner,
            rekey: Rekey::new(rekey),
            alive: Alive::default(),
            auth: Auth::default(),
            authenticated: false,
            before_login: 0,
            asked: false,
            offered: false,
            channels: Default::default(),
            full: false,
        })
    }

    pub fn is_authenticated(&self) -> bool {
        self.authenticated
    }

    /// The public key or certificate that logged in, in SSH wire format.
    pub fn accepted_key(&self) -> &[u8] {
        self.auth.accepted_key()
    }

    /// With how many failed attempts of any kind to log in the session ends.
    pub fn set_max_auth_tries(&mut self, tries: u32) {
        self.auth.max_tries = Some(tries);
    }

    /// How a client that has logged in is asked whether it is still there.
    pub fn set_client_alive(&mut self, limit: ClientAlive) {
        self.alive.limit = limit;
    }

    /// Attempts to log in that failed.
    pub fn failed_logins(&self) -> u32 {
        self.auth.attempts(self.runner.login_failures())
    }

    /// Whether a further channel that asks for a subsystem is refused.
    pub fn set_full(&mut self, full: bool) {
        self.full = full;
    }

    /// Tells the time, in milliseconds that never go back: it ends the life of keys, and the patience with
    /// a client that takes no part in an exchange of new ones or does not answer.
    pub fn set_time(&mut self, now: u64) {
        self.alive.set_time(now);
        self.rekey.set_time(now, self.runner.is_exchanging());
    }

    /// When `step` has something to do though nothing came, on the clock of `set_time`.
    pub fn deadline(&self) -> Option<u64> {
        let keys = self.rekey.deadline(self.runner.is_exchanging(), self.runner.keys_are_used());
        keys.into_iter().chain(self.alive.deadline()).min().filter(|_| self.authenticated)
    }

    /// Answers `Event::Login` with the user's keys.
    pub fn set_keys(&mut self, keys: impl Keys + 'static) {
        self.asked = false;
        self.auth.set_keys(Box::new(keys));
    }

    /// Goes on until there is something to tell. Call it again after every event but `Idle`. At the end the
    /// client is told why (RFC 4253 11.1).
    pub fn step(&mut self, stream: &mut impl Stream, host_key: &HostKey) -> Result<Event, Ended> {
        let event = self.advance(stream, host_key);
        if let Err(ended) = &event
            && let Some(reason) = ended.reason()
        {
            self.disconnect(stream, reason, &ended.to_string());
        }
        event
    }

    fn advance(&mut self, stream: &mut impl Stream, host_key: &HostKey) -> Result<Event, Ended> {
        self.renew()?;
        // Nothing more has come.
        let mut dry = false;
        loop {
            // What goes out together costs less.
            if !self.authenticated || self.runner.output_room() < KEPT {
                self.flush(stream)?;
            }
            if self.asked {
                self.flush(stream)?;
                return Ok(Event::Idle);
            }
            if let Some(user) = self.runner.next_auth_user()
                && self.auth.must_ask(user)
            {
                self.asked = true;
                return Ok(Event::Login(self.auth.user().into()));
            }
            let progress = self.progress(host_key)?;
            if self.auth.is_enough(self.failed_logins()) {
                return Err(Ended::TooManyAttempts);
            }
            match progress {
                Progress::Event(event) => return Ok(event),
                Progress::Again => continue,
                Progress::Quiet => (),
            }
            if let Some(event) = self.channel_event()? {
                return Ok(event);
            }
            // What sunset does next may wait for its output to be gone: a new key exchange does.
            if !dry && self.runner.is_input_ready() {
                dry = !self.input(stream)?;
                if !dry {
                    continue;
                }
            }
            if !self.flush(stream)? {
                if self.authenticated {
                    self.alive.ask(&mut self.runner)?;
                    self.flush(stream)?;
                }
                return Ok(Event::Idle);
            }
        }
    }

    /// Begins an exchange of keys that have served long enough, and ends one that lasts too long.
    fn renew(&mut self) -> Result<(), Ended> {
        if self.authenticated
            && let Some(bytes) = self.rekey.limit.bytes
        {
            self.runner.set_rekey_bytes(bytes);
        }
        let due = self.rekey.due(self.runner.is_exchanging(), self.runner.keys_are_used());
        match due {
            // Before, LoginGraceTime holds, and OpenSSH's client bears no second exchange.
            _ if !self.authenticated => (),
            Due::Nothing => (),
            Due::Exchange => self.runner.exchange_keys(),
            Due::End => return Err(Ended::NoNewKeys),
        }
        Ok(())
    }

    /// Writes what is pending; true when something was written.
    pub fn flush(&mut self, stream: &mut impl Stream) -> Result<bool, Ended> {
        let mut moved = false;
        loop {
            let pending = self.runner.output_buf();
            if pending.is_empty() {
                return Ok(moved);
            }
            let written = stream.write(pending).map_err(|_| Ended::Closed)?;
            if written == 0 {
                return Ok(moved);
            }
            self.runner.consume_output(written);
            moved = true;
        }
    }

    fn progress(&mut self, host_key: &HostKey) -> Result<Progress, Ended> {
        let Self { runner, auth, channels, full, .. } = self;
        let event = match runner.progress()? {
            sunset::Event::None => return Ok(Progress::Quiet),
            sunset::Event::Serv(event) => event,
            sunset::Event::Progressed | sunset::Event::Cli(_) => return Ok(Progress::Again),
        };
        match event {
            ServEvent::Hostkeys(request) => match &host_key.ecdsa {
                Some(ecdsa) => request.hostkeys(&[&host_key.ed25519, ecdsa])?,
                None => request.hostkeys(&[&host_key.ed25519])?,
            },
            ServEvent::FirstAuth(request) => {
                auth.asked_first = true;
                request.reject()?;
            }
            ServEvent::PasswordAuth(request) => request.reject()?,
            ServEvent::PubkeyAuth(request) => {
                let allowed = auth.allows(&request.offer()?);
                match allowed {
                    true => request.allow()?,
                    false => request.reject()?,
                }
            }
            ServEvent::Authenticated => {
                self.authenticated = true;
                auth.forget_keys();
                return Ok(Progress::Event(Event::Authenticated));
            }
            ServEvent::OpenSession(request) => {
                let handle = request.accept()?;
                let slot = channels.get_mut(handle.num().0 as usize);
                *slot.ok_or(sunset::Error::NoChannels)? = Some(Channel::new(handle));
            }
            ServEvent::SessionSubsystem(request) => {
                let number = request.channel();
                match request.command() {
                    Ok("sftp") if may_begin(channels, number, *full) => {
                        request.succeed()?;
                        return Ok(Progress::sftp(number, false));
                    }
                    Ok("sftp") => {}
                    name => {
                        let name: String = name.unwrap_or_default().chars().take(20).collect();
                        info!("refused the subsystem {name:?}: only sftp is served");
                    }
                }
                request.fail()?;
            }
            ServEvent::SessionExec(request) => {
                let number = request.channel();
                match sftp_server(request.command().unwrap_or_default()) {
                    Ok(read_only) if may_begin(channels, number, *full) => {
                        request.succeed()?;
                        return Ok(Progress::sftp(number, read_only));
                    }
                    Ok(_) => request.fail()?,
                    Err(_) if asks_for_end(request.command().ok(), channels, number) => {
                        request.succeed()?;
                        return Ok(Progress::Event(Event::PowerOff(number.0 as usize)));
                    }
                    Err(words) => {
                        info!("refused a command: only the sftp subsystem is served");
                        match channel(channels, number).is_some_and(|c| c.refuse(&words)) {
                            true => request.succeed()?,
                            false => request.fail()?,
                        }
                    }
                }
            }
            ServEvent::SessionShell(request) => {
                info!("refused a shell: only the sftp subsystem is served");
                let channel = channel(channels, request.channel());
                match channel.is_some_and(|channel| channel.refuse(NO_PROGRAMS)) {
                    true => request.succeed()?,
                    false => request.fail()?,
                }
            }
            ServEvent::SessionPty(request) => {
                // There is none, but without it `ssh -tt` would end before it is told why.
                let channel = channel(channels, request.channel());
                channel.ok_or(sunset::Error::NoChannels)?.has_terminal = true;
                request.succeed()?;
            }
            ServEvent::SessionEnv(request) => request.fail()?,
            ServEvent::Defunct => return Err(Ended::Closed),
            ServEvent::PollAgain => (),
        }
        Ok(Progress::Again)
    }

    /// What the channels have to tell.
    fn channel_event(&mut self) -> Result<Option<Event>, Ended> {
        if let Some(event) = self.data_event()? {
            return Ok(Some(event));
        }
        for (number, slot) in self.channels.iter_mut().enumerate() {
            let Some(channel) = slot else { continue };
            let closed = self.runner.is_channel_closed(&channel.handle);
            if !closed && !channel.last_words.is_empty() {
                let words = &channel.last_words;
                let sent = self.runner.write_channel(&channel.handle, ChanData::Stderr, words)?;
                channel.last_words.drain(..sent.min(words.len()));
            }
            if let Some(status) = channel.finish
                && !channel.finished
                && (closed || channel.last_words.is_empty())
            {
                channel.finished = self.runner.finish_channel(&channel.handle, Some(status))?;
            }
            if closed && !channel.closed_told {
                channel.closed_told = true;
                channel.waiting.clear();
                return Ok(Some(Event::Closed(number)));
            }
            if !closed && !channel.eof_told && self.runner.is_channel_eof(&channel.handle) {
                channel.eof_told = true;
                return Ok(Some(Event::Eof(number)));
            }
            if closed && let Some(channel) = slot.take() {
                match self.runner.forget_channel(channel.handle) {
                    Ok(()) => debug!("channel {number} is free"),
                    Err(handle) => {
                        *slot = Some(Channel { closed_told: true, ..Channel::new(handle) })
                    }
                }
            }
        }
        Ok(None)
    }

    /// Offers arrived data once where it lies, which saves a copy. What its reader does not take
    /// then moves aside, so that the connection goes on.
    fn data_event(&mut self) -> Result<Option<Event>, Ended> {
        let Some((number, data)) = self.runner.channel_data() else {
            self.offered = false;
            return Ok(None);
        };
        let (number, length) = (number.0 as usize, data.len());
        let channel = self.channels.get_mut(number).and_then(Option::as_mut);
        match channel {
            Some(channel) if channel.runs && channel.finish.is_none() => {
                if !self.offered {
                    self.offered = true;
                    return Ok(Some(Event::Data(number)));
                }
                if channel.waiting.len().saturating_add(length) > WINDOW {
                    return Err(Ended::WindowExceeded);
                }
                channel.waiting.extend(data);
                self.runner.consume_channel_data(length);
            }
            // Data for a channel that runs nothing.
            other => {
                self.runner.consume_channel_data(length);
                if let Some(channel) = other {
                    self.runner.grant_channel(&channel.handle, length)?;
                }
            }
        }
        self.offered = false;
        Ok(None)
    }

    /// Feeds the connection; false when there is nothing to feed.
    fn input(&mut self, stream: &mut impl Stream) -> Result<bool, Ended> {
        let bytes = stream.fill().map_err(|_| Ended::Closed)?;
        if bytes.is_empty() {
            return Ok(false);
        }
        let used = self.runner.input(bytes)?;
        stream.consume(used);
        self.alive.heard();
        if !self.authenticated {
            self.before_login = self.before_login.saturating_add(used);
            if self.before_login > BEFORE_LOGIN {
                return Err(Ended::TooMuchBeforeLogin);
            }
        }
        Ok(used > 0)
    }

    /// Tells the client that the server stops (RFC 4253 11.1, SSH_DISCONNECT_BY_APPLICATION).
    pub fn goodbye(&mut self, stream: &mut impl Stream, text: &str) {
        const BY_APPLICATION: u32 = 11;
        self.disconnect(stream, BY_APPLICATION, text);
    }

    fn disconnect(&mut self, stream: &mut impl Stream, reason: u32, text: &str) {
        self.runner.disconnect(reason, text);
        if self.flush(stream).is_err() {
            debug!("the client was gone before it was told");
        }
    }
}
