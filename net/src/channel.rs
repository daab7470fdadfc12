//! One session channel: its handle in sunset and the data that waits for its reader.
use alloc::collections::VecDeque;
use alloc::string::String;
use sunset::ChanHandle;

pub struct Channel {
    pub handle: ChanHandle,
    /// What a client sent and nobody took yet: at most the window, because only taking grants.
    pub waiting: VecDeque<u8>,
    /// The subsystem that runs on it.
    pub subsystem: Option<String>,
    pub eof_told: bool,
    pub closed_told: bool,
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
            finish: None,
            finished: false,
        }
    }
}
