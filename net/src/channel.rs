//! One session channel: its handle in sunset and the data that waits for its reader.
use crate::MAX_CHANNELS;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use log::info;
use sunset::{ChanHandle, ChanNum};

pub struct Channel {
    pub handle: ChanHandle,
    /// What a client sent and nobody took yet: at most the window, because only taking grants.
    pub waiting: VecDeque<u8>,
    /// The subsystem "sftp" runs on it.
    pub runs: bool,
    /// The client thinks that it has a terminal.
    pub has_terminal: bool,
    pub eof_told: bool,
    pub closed_told: bool,
    /// What is still to be said on stderr before our side is closed.
    pub last_words: Vec<u8>,
    /// Our side is to be closed with this exit status.
    pub finish: Option<u32>,
    pub finished: bool,
}

impl Channel {
    pub fn new(handle: ChanHandle) -> Self {
        Self {
            handle,
            waiting: VecDeque::new(),
            runs: false,
            eof_told: false,
            closed_told: false,
            last_words: Vec::new(),
            has_terminal: false,
            finish: None,
            finished: false,
        }
    }

    /// Whether nothing runs or has ended here.
    pub fn is_free(&self) -> bool {
        !self.runs && self.finish.is_none()
    }

    /// Begins the subsystem; false when something runs or ends here already.
    pub fn begin(&mut self) -> bool {
        let free = self.is_free();
        self.runs |= free;
        free
    }

    /// Refuses to run a program: a client shows its user the words, where it would only say of a
    /// refused request that it failed. False when something runs or ends here already.
    pub fn refuse(&mut self, words: &str) -> bool {
        if !self.is_free() {
            return false;
        }
        // A client with a terminal has switched off what it would do with a plain end of line.
        let end = if self.has_terminal { "\r\n" } else { "\n" };
        self.last_words = [words, end].concat().into();
        self.finish = Some(1);
        true
    }
}

/// The channels of a session by their numbers.
pub type Channels = [Option<Channel>; MAX_CHANNELS];

pub fn channel(channels: &mut Channels, number: ChanNum) -> Option<&mut Channel> {
    channels.get_mut(number.0 as usize)?.as_mut()
}

/// Whether the subsystem begins on this channel; `full` when there is no room for it.
pub fn may_begin(channels: &mut Channels, number: ChanNum, full: bool) -> bool {
    if full {
        info!("refused another sftp channel: all that this server bears are open");
    }
    !full && channel(channels, number).is_some_and(Channel::begin)
}

/// Whether this command on a free channel asks for the end of the machine.
pub fn asks_for_end(command: Option<&str>, channels: &mut Channels, number: ChanNum) -> bool {
    command == Some("poweroff") && channel(channels, number).is_some_and(|it| it.is_free())
}
