//! What a session tells its server.
use alloc::string::String;

/// What happened in a session. Channels are numbered from 0 to `MAX_CHANNELS - 1`.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// The keys of this user are needed: `set_keys` goes on.
    Login(String),
    /// The user has logged in.
    Authenticated,
    /// The client asked for the subsystem "sftp" on this channel, perhaps only to read.
    Sftp { number: usize, read_only: bool },
    /// The client wants to end the machine, by the command "poweroff" on this channel: `finish` or `refuse`
    /// answers.
    PowerOff(usize),
    /// Data waits on this channel: `peek` and `take`.
    Data(usize),
    /// The client will send no more on this channel.
    Eof(usize),
    /// The client has closed this channel.
    Closed(usize),
    /// Nothing to do until the stream, or what the session was told, changes.
    Idle,
}

/// What one step of a session came to.
pub(crate) enum Progress {
    Event(Event),
    Again,
    Quiet,
}

impl Progress {
    pub(crate) fn sftp(number: sunset::ChanNum, read_only: bool) -> Self {
        Self::Event(Event::Sftp { number: number.0 as usize, read_only })
    }
}
