//! Time as TCP sees it: a virtual machine that was paused has not lost its peers' patience yet.
use smoltcp::time::Instant;

/// A wake-up later than this, in milliseconds, was a pause of the machine and not a busy loop.
const LATE: u64 = 5_000;

/// The caller's milliseconds without the pauses: time-outs must not end every connection because
/// the machine stood still for minutes while its peers did, too, or kept trying.
#[derive(Default)]
pub struct Clock {
    paused: u64,
    /// When the loop was to be back at the latest.
    due: Option<u64>,
    latest: u64,
}

impl Clock {
    /// Moves on to the caller's time.
    pub fn advance(&mut self, now_ms: u64) -> u64 {
        let mut now = self.at(now_ms);
        if let Some(due) = self.due.take()
            && now > due.saturating_add(LATE)
        {
            self.paused = self.paused.saturating_add(now.saturating_sub(due));
            now = due;
        }
        self.latest = now;
        now
    }

    /// What `advance` would have given for a time at which nothing was late.
    pub fn at(&self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(self.paused).max(self.latest)
    }

    pub fn set_due(&mut self, due: Option<u64>) {
        self.due = due.map(|due| due.max(self.latest));
    }
}

pub fn instant(ms: u64) -> Instant {
    Instant::from_millis(i64::try_from(ms).unwrap_or(i64::MAX))
}

pub fn millis(instant: Instant) -> u64 {
    u64::try_from(instant.total_millis()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_left_out_and_a_busy_loop_is_not() {
        let mut clock = Clock::default();
        assert_eq!(clock.advance(1_000), 1_000);
        clock.set_due(Some(2_000));
        assert_eq!(clock.advance(7_000), 7_000);
        clock.set_due(Some(8_000));
        assert_eq!(clock.advance(13_001), 8_000);
        assert_eq!(clock.at(13_002), 8_001);
        assert_eq!(clock.advance(10_000), 8_000, "never backwards");
    }
}
