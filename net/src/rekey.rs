//! When keys have served long enough, and how long their exchange may take.

/// What one set of keys may serve at most, as OpenSSH's RekeyLimit says it. Without either, new keys are due
/// when the cipher wants them: after 1 GiB in one direction with ChaCha20, after 64 GiB with AES, and after
/// 2^31 packets (RFC 4344 3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RekeyLimit {
    /// Bytes in one direction.
    pub bytes: Option<u64>,
    pub seconds: Option<u64>,
}

/// How long an exchange may take that has begun, in milliseconds: what was already sent has to go first, which
/// takes minutes on the slowest of links.
const EXCHANGE: u64 = 300_000;

pub enum Due {
    Nothing,
    /// New keys.
    Exchange,
    /// The connection's end.
    End,
}

pub struct Rekey {
    pub limit: RekeyLimit,
    /// When the keys were taken into use or, while an exchange is under way, when it was first seen.
    since: u64,
    exchanging: bool,
    now: u64,
}

impl Rekey {
    pub fn new(limit: RekeyLimit) -> Self {
        Self { limit, since: 0, exchanging: false, now: 0 }
    }

    /// Tells the time, and whether an exchange was under way until then.
    pub fn set_time(&mut self, now: u64, exchanging: bool) {
        self.note(exchanging);
        self.now = now;
    }

    fn note(&mut self, exchanging: bool) {
        if self.exchanging != exchanging {
            self.exchanging = exchanging;
            self.since = self.now;
        }
    }

    /// What is due now, with what the connection says of itself.
    pub fn due(&mut self, exchanging: bool, used: bool) -> Due {
        self.note(exchanging);
        match self.deadline(exchanging, used).is_some_and(|deadline| self.now >= deadline) {
            true if exchanging => Due::End,
            true => Due::Exchange,
            false => Due::Nothing,
        }
    }

    pub fn deadline(&self, exchanging: bool, used: bool) -> Option<u64> {
        // An exchange that ended or began since the last look.
        let since = if self.exchanging == exchanging { self.since } else { self.now };
        let lasts = match exchanging {
            true => EXCHANGE,
            false => self.limit.seconds.filter(|_| used)?.saturating_mul(1000),
        };
        Some(since.saturating_add(lasts))
    }
}
