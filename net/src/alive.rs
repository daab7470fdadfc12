//! Whether a client is still there.
use crate::ended::Ended;

/// How a silent client is asked whether it is there: sshd_config(5)'s words with its meaning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientAlive {
    /// ClientAliveInterval: seconds of silence after which it is asked, and asked again; 0 is never.
    pub interval: u64,
    /// ClientAliveCountMax: how often it is asked before its connection ends; 0 is for ever.
    pub count_max: u32,
}

/// SSH_MSG_GLOBAL_REQUEST "keepalive@openssh.com" that wants a reply (RFC 4254 4): as nobody knows it, the
/// answer is SSH_MSG_REQUEST_FAILURE.
const QUESTION: &[u8] = b"\x50\x00\x00\x00\x15keepalive@openssh.com\x01";

#[derive(Default)]
pub struct Alive {
    pub limit: ClientAlive,
    /// How often it was asked since it was last heard.
    asked: u32,
    /// When it was last heard or asked, in milliseconds.
    since: u64,
    now: u64,
}

impl Alive {
    pub fn set_time(&mut self, now: u64) {
        self.now = now;
    }

    /// Something came. What it is does not matter.
    pub fn heard(&mut self) {
        (self.asked, self.since) = (0, self.now);
    }

    pub fn deadline(&self) -> Option<u64> {
        let interval = self.limit.interval.saturating_mul(1000);
        (interval > 0).then(|| self.since.saturating_add(interval))
    }

    /// Asks a client of which nothing has come for long, when all that came was read, and ends one that was
    /// asked often enough. A question for which there is no room counts too: it reads nothing then.
    pub fn ask(
        &mut self,
        runner: &mut sunset::Runner<'static, sunset::Server>,
    ) -> Result<(), Ended> {
        if self.deadline().is_none_or(|deadline| self.now < deadline) {
            return Ok(());
        }
        if self.limit.count_max > 0 && self.asked >= self.limit.count_max {
            return Err(Ended::NoAnswer);
        }
        (self.asked, self.since) = (self.asked.saturating_add(1), self.now);
        runner.send_message(QUESTION)?;
        Ok(())
    }
}
