//! The client's side of SSH: logs in with one key and opens the SFTP subsystem.
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use net::Stream;
use sunset::{ChanData, ChanHandle, CliEvent, Event, Runner, SignKey};

/// Why the client gave up.
#[derive(Debug)]
pub enum Failed {
    Closed,
    /// The server said that it ends the connection (RFC 4253 11.1).
    Told,
    Ssh(sunset::Error),
    /// The server took no key.
    Refused,
}

impl From<sunset::Error> for Failed {
    fn from(e: sunset::Error) -> Self {
        match e {
            sunset::Error::SessionEOF => Self::Told,
            e => Self::Ssh(e),
        }
    }
}

pub struct Client {
    runner: Runner<'static, sunset::Client>,
    user: String,
    key: Option<SignKey>,
    channel: Option<ChanHandle>,
    open: bool,
    unsent: VecDeque<u8>,
    received: Vec<u8>,
    exchanges: usize,
}

impl Client {
    /// Logs in as `user` with the ed25519 key of this seed (RFC 8032).
    pub fn new(user: &str, seed: &[u8; 32]) -> Self {
        let key = SignKey::Ed25519(sunset::ed25519_dalek::SigningKey::from_bytes(seed));
        Self {
            runner: Runner::new_client_owned(),
            user: user.into(),
            key: Some(key),
            channel: None,
            open: false,
            unsent: VecDeque::new(),
            received: Vec::new(),
            exchanges: 0,
        }
    }

    /// Whether the SFTP subsystem has been asked for.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Sends bytes on the SFTP channel, now or when it is open.
    pub fn send(&mut self, bytes: &[u8]) {
        self.unsent.extend(bytes);
    }

    /// Starts a new key exchange.
    pub fn exchange_keys(&mut self) {
        self.runner.exchange_keys();
    }

    /// Sends any SSH message, whatever the protocol says of it now; false when it could not be sent.
    pub fn send_message(&mut self, payload: &[u8]) -> Result<bool, Failed> {
        Ok(self.runner.send_message(payload)?)
    }

    /// How often the server proved who it is: once in every key exchange.
    pub fn exchanges(&self) -> usize {
        self.exchanges
    }

    /// What has come on the SFTP channel.
    pub fn received(&mut self) -> &mut Vec<u8> {
        &mut self.received
    }

    /// Goes on as far as it can; true when something moved.
    pub fn step(&mut self, stream: &mut impl Stream) -> Result<bool, Failed> {
        let mut moved = false;
        loop {
            moved |= self.flush(stream)?;
            if self.progress()? {
                moved = true;
                continue;
            }
            self.take_data()?;
            self.write()?;
            if !self.runner.is_input_ready() {
                return Ok(self.flush(stream)? | moved);
            }
            let bytes = stream.fill().map_err(|_| Failed::Closed)?;
            if bytes.is_empty() {
                return Ok(self.flush(stream)? | moved);
            }
            let used = self.runner.input(bytes)?;
            stream.consume(used);
            moved = true;
        }
    }

    /// Writes what is pending, and reads nothing.
    pub fn flush(&mut self, stream: &mut impl Stream) -> Result<bool, Failed> {
        let mut moved = false;
        loop {
            let written = match self.runner.output_buf() {
                [] => return Ok(moved),
                bytes => stream.write(bytes).map_err(|_| Failed::Closed)?,
            };
            if written == 0 {
                return Ok(moved);
            }
            self.runner.consume_output(written);
            moved = true;
        }
    }

    /// Sends what may be sent, and reads nothing.
    pub fn push(&mut self, stream: &mut impl Stream) -> Result<(), Failed> {
        self.write()?;
        self.flush(stream)?;
        Ok(())
    }

    /// Handles one event; false when there is none.
    fn progress(&mut self) -> Result<bool, Failed> {
        let mut authenticated = false;
        match self.runner.progress()? {
            Event::None => return Ok(false),
            Event::Cli(CliEvent::Hostkey(key)) => {
                self.exchanges = self.exchanges.saturating_add(1);
                key.accept()?;
            }
            Event::Cli(CliEvent::Username(request)) => request.username(&self.user)?,
            Event::Cli(CliEvent::Pubkey(request)) => match self.key.take() {
                Some(key) => request.pubkey(key)?,
                None => return Err(Failed::Refused),
            },
            Event::Cli(CliEvent::Password(_)) => return Err(Failed::Refused),
            Event::Cli(CliEvent::Authenticated) => authenticated = true,
            Event::Cli(CliEvent::SessionOpened(mut opener)) => {
                opener.subsystem("sftp")?;
                self.open = true;
            }
            Event::Cli(CliEvent::Defunct) => return Err(Failed::Closed),
            _ => (),
        }
        if authenticated {
            self.channel = Some(self.runner.open_client_session()?);
        }
        Ok(true)
    }

    fn take_data(&mut self) -> Result<(), Failed> {
        if let (Some(channel), Some((_, data))) = (&self.channel, self.runner.channel_data()) {
            let length = data.len();
            self.received.extend_from_slice(data);
            self.runner.consume_channel_data(length);
            self.runner.grant_channel(channel, length)?;
        }
        Ok(())
    }

    fn write(&mut self) -> Result<(), Failed> {
        if let Some(channel) = self.channel.as_ref().filter(|_| self.open) {
            let bytes = self.unsent.make_contiguous();
            let sent = self.runner.write_channel(channel, ChanData::Normal, bytes)?;
            self.unsent.drain(..sent);
        }
        Ok(())
    }
}
