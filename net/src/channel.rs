//! One session channel: its handle in sunset and the data that waits for its reader.
use alloc::collections::VecDeque;
use alloc::string::String;
use sunset::ChanHandle;

const NO_PROGRAMS: &[u8] = b"This server runs no programs: use sftp, sshfs, or scp without -O.\n";

pub struct Channel {
    pub handle: ChanHandle,
    /// What a client sent and nobody took yet: at most the window, because only taking grants.
    pub waiting: VecDeque<u8>,
    /// The subsystem that runs on it.
    pub subsystem: Option<String>,
    pub eof_told: bool,
    pub closed_told: bool,
    /// What is still to be said on stderr before our side is closed.
    pub last_words: &'static [u8],
    /// Our side is to be closed with this exit status.
    pub finish: Option<u32>,
    pub finished: bool,
}

impl Channel {
    pub fn new(handle: ChanHandle) -> Self {
        Self {
            handle,
            waiting: VecDeque::new(),
            subsystem: None,
            eof_told: false,
            closed_told: false,
            last_words: &[],
            finish: None,
            finished: false,
        }
    }

    /// Refuses to run a program: a client shows its user the words, where it would only say of a
    /// refused request that it failed. False when something runs or ends here already.
    pub fn refuse(&mut self) -> bool {
        if self.subsystem.is_some() || self.finish.is_some() {
            return false;
        }
        self.last_words = NO_PROGRAMS;
        self.finish = Some(1);
        true
    }
}
