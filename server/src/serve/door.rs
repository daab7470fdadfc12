//! Who is let in when there is not room for all, and who had enough.
use crate::limits::{LoginLimits, Startups};
use crate::logging::Source;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use log::warn;

/// Sources whose penalties are remembered; of more, those go that end first.
const SOURCES: usize = 256;

const MINUTE: u64 = 60_000;

/// Why a client is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// MaxStartups, of one that has not logged in.
    Startups,
    /// PerSourceMaxStartups.
    OfSource,
    /// PerSourcePenalties.
    Penalty,
    /// All places are taken by clients that have logged in.
    Full,
    /// LoginGraceTime.
    Grace,
}

const REFUSALS: [(Refusal, &str); 5] = [
    (Refusal::Startups, "MaxStartups"),
    (Refusal::OfSource, "PerSourceMaxStartups"),
    (Refusal::Penalty, "PerSourcePenalties"),
    (Refusal::Full, "no place"),
    (Refusal::Grace, "LoginGraceTime"),
];

/// What a source did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misdeed {
    AuthFail,
    NoAuth,
    GraceExceeded,
}

/// A connection that has not logged in.
#[derive(Clone, Copy, Debug)]
pub struct Waiting {
    pub source: Source,
    /// How far it has come: a higher number is further.
    pub progress: u8,
    pub accepted: u64,
}

/// What a source has yet to pay.
struct Penalty {
    source: Source,
    /// When it has paid, in milliseconds.
    until: u64,
    /// It has once been as long as counts, and is refused until it has paid.
    refused: bool,
}

pub struct Door {
    limits: LoginLimits,
    startups: Startups,
    penalties: Vec<Penalty>,
    /// How many were refused, and when that was last told.
    refused: [(u64, Option<u64>); REFUSALS.len()],
    dice: u64,
}

impl Door {
    /// The door of a server with so many places.
    pub fn new(limits: LoginLimits, places: usize) -> Self {
        Self {
            limits,
            startups: limits.startups(places),
            penalties: Vec::new(),
            refused: Default::default(),
            dice: 0x9e37_79b9_7f4a_7c15,
        }
    }

    /// What to do with a client that comes: refuse it, or drop one of those that wait. `room` says
    /// whether there is a place left.
    pub fn knock(
        &mut self,
        source: Source,
        waiting: &[Waiting],
        room: bool,
        now: u64,
    ) -> Result<Option<usize>, Refusal> {
        if self.has_enough(source, now) {
            return Err(Refusal::Penalty);
        }
        let of = |source| waiting.iter().filter(|other| other.source == source).count();
        if self.limits.of_source.is_some_and(|most| of(source) >= most) {
            return Err(Refusal::OfSource);
        }
        // Marsaglia's xorshift, stirred by when clients come: nobody gains by a guess.
        self.dice ^= now;
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        if room && !self.startups.drops(waiting.len(), self.dice) {
            return Ok(None);
        }
        // Of whom most wait, the one that has done least goes, and of those the oldest.
        let held =
            |other: &Waiting| of(other.source).saturating_add(usize::from(other.source == source));
        let goes = waiting.iter().enumerate().min_by_key(|(_, other)| {
            (core::cmp::Reverse(held(other)), other.progress, other.accepted)
        });
        goes.map(|(at, _)| Some(at)).ok_or(Refusal::Full)
    }

    fn has_enough(&mut self, source: Source, now: u64) -> bool {
        self.penalties.retain(|penalty| penalty.until > now);
        self.penalties.iter().any(|penalty| penalty.source == source && penalty.refused)
    }

    /// Remembers what a source did, for PerSourcePenalties.
    pub fn blame(&mut self, source: Source, misdeed: Misdeed, now: u64) {
        let Some(penalties) = self.limits.penalties else { return };
        let seconds = match misdeed {
            Misdeed::AuthFail => penalties.auth_fail,
            Misdeed::NoAuth => penalties.no_auth,
            Misdeed::GraceExceeded => penalties.grace_exceeded,
        };
        let known = self.penalties.iter().position(|penalty| penalty.source == source);
        let mut penalty = match known {
            Some(at) => self.penalties.swap_remove(at),
            None => Penalty { source, until: now, refused: false },
        };
        let most = now.saturating_add(penalties.max.saturating_mul(1000));
        let until = penalty.until.max(now).saturating_add(seconds.saturating_mul(1000));
        penalty.until = until.min(most);
        let counts = penalties.min.saturating_mul(1000);
        penalty.refused |= penalty.until.saturating_sub(now) >= counts;
        if self.penalties.len() >= SOURCES {
            let ends = self.penalties.iter().enumerate().min_by_key(|(_, penalty)| penalty.until);
            if let Some((first, _)) = ends {
                self.penalties.swap_remove(first);
            }
        }
        self.penalties.push(penalty);
    }

    /// Counts a refusal, and tells of its kind once a minute.
    pub fn count(&mut self, refusal: Refusal, who: &str, now: u64) {
        for ((kind, name), (count, told)) in REFUSALS.iter().zip(&mut self.refused) {
            if *kind == refusal {
                *count = count.saturating_add(1);
                if told.is_none_or(|told| now >= told.saturating_add(MINUTE)) {
                    *told = Some(now);
                    warn!("{who}: refused, {name}; {count} so far");
                }
            }
        }
    }

    /// What a client is told before it is let go, in a line before the version (RFC 4253 4.2).
    pub fn words(refusal: Refusal, served: usize) -> String {
        match refusal {
            Refusal::Penalty => "Not allowed at this time\r\n".into(),
            Refusal::OfSource => "Exceeded PerSourceMaxStartups\r\n".into(),
            _ => format!("Exceeded MaxStartups: {served} clients are served\r\n"),
        }
    }

    /// The limits and what they refused, for `status`.
    pub fn status(&self) -> String {
        let Startups { start, rate, full } = self.startups;
        let mut text = format!("{}, MaxStartups {start}:{rate}:{full}\nrefused:", self.limits);
        for ((_, name), (count, _)) in REFUSALS.iter().zip(&self.refused) {
            text.push_str(&format!(" {name} {count},"));
        }
        text.pop();
        text.push('\n');
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::Ipv4Addr;

    fn address(n: u8) -> Source {
        Source::of_address(Ipv4Addr::new(10, 0, 0, n).into())
    }

    fn waiting(source: u8, progress: u8, accepted: u64) -> Waiting {
        Waiting { source: address(source), progress, accepted }
    }

    fn door(words: &[(&str, &str)], places: usize) -> Door {
        let mut limits = LoginLimits::default();
        words.iter().for_each(|(name, value)| limits.set(name, value).unwrap());
        Door::new(limits, places)
    }

    #[test]
    fn who_holds_most_makes_room_with_the_one_that_did_least() {
        let mut door = door(&[], 6);
        let six = [
            waiting(1, 3, 0),
            waiting(2, 0, 5),
            waiting(2, 1, 1),
            waiting(2, 0, 4),
            waiting(3, 0, 0),
            waiting(1, 0, 0),
        ];
        assert_eq!(door.knock(address(3), &six, false, 9), Ok(Some(3)));
        // A newcomer counts for its source.
        let ones = [waiting(1, 0, 7), waiting(2, 0, 3), waiting(3, 2, 0)];
        assert_eq!(door.knock(address(1), &ones, false, 9), Ok(Some(0)));
        assert_eq!(door.knock(address(4), &ones, false, 9), Ok(Some(1)));
        assert_eq!(door.knock(address(4), &[], false, 9), Err(Refusal::Full));
        assert_eq!(door.knock(address(4), &ones, true, 9), Ok(None));
    }

    #[test]
    fn one_source_has_its_share() {
        let mut door = door(&[("--per-source-max-startups", "2")], 16);
        let two = [waiting(1, 0, 0), waiting(1, 3, 0)];
        assert_eq!(door.knock(address(1), &two, true, 0), Err(Refusal::OfSource));
        assert_eq!(door.knock(address(2), &two, true, 0), Ok(None));
    }

    #[test]
    fn failures_are_paid_for_by_their_source_alone_and_not_for_ever() {
        let mut door = door(&[], 16);
        for n in 0..4 {
            assert_eq!(door.knock(address(1), &[], true, n * 100), Ok(None), "{n}");
            door.blame(address(1), Misdeed::AuthFail, n * 100);
        }
        assert_eq!(door.knock(address(1), &[], true, 400), Err(Refusal::Penalty));
        assert_eq!(door.knock(address(2), &[], true, 400), Ok(None));
        assert_eq!(door.knock(address(1), &[], true, 19_999), Err(Refusal::Penalty));
        assert_eq!(door.knock(address(1), &[], true, 20_000), Ok(None));
        (0..1000).for_each(|_| door.blame(address(1), Misdeed::GraceExceeded, 30_000));
        assert_eq!(door.knock(address(1), &[], true, 629_999), Err(Refusal::Penalty));
        assert_eq!(door.knock(address(1), &[], true, 630_000), Ok(None));
        for n in 0..=255 {
            door.blame(
                Source::of_address(Ipv4Addr::new(10, 0, 1, n).into()),
                Misdeed::NoAuth,
                700_000,
            );
            door.blame(
                Source::of_address(Ipv4Addr::new(10, 0, 2, n).into()),
                Misdeed::NoAuth,
                700_000,
            );
        }
        assert_eq!(door.penalties.len(), SOURCES);
    }

    #[test]
    fn of_those_that_come_early_as_many_are_dropped_as_was_said() {
        for rate in [30, 70] {
            let mut door = door(&[("--max-startups", &format!("1:{rate}:1000"))], 1000);
            let one = [waiting(1, 0, 0)];
            let dropped =
                (0..1000).filter(|now| door.knock(address(2), &one, true, *now) != Ok(None));
            assert!(dropped.count().abs_diff(rate * 10) < 60, "{rate} of 100");
        }
    }

    #[test]
    fn who_is_refused_is_told_why() {
        let words = [Refusal::Penalty, Refusal::OfSource, Refusal::Startups, Refusal::Full];
        assert_eq!(
            words.map(|refusal| Door::words(refusal, 7)),
            [
                "Not allowed at this time\r\n",
                "Exceeded PerSourceMaxStartups\r\n",
                "Exceeded MaxStartups: 7 clients are served\r\n",
                "Exceeded MaxStartups: 7 clients are served\r\n",
            ]
        );
    }

    #[test]
    fn refusals_are_counted_for_status() {
        let mut door = door(&[("--per-source-penalties", "no")], 16);
        (0..100).for_each(|_| door.blame(address(1), Misdeed::AuthFail, 0));
        assert_eq!(door.knock(address(1), &[], true, 1), Ok(None));
        (0..7).for_each(|_| door.count(Refusal::Startups, "x", 0));
        let status = door.status();
        assert!(
            status.ends_with(
                "MaxStartups 16:100:16\nrefused: MaxStartups 7, PerSourceMaxStartups 0, \
                                  PerSourcePenalties 0, no place 0, LoginGraceTime 0\n"
            ),
            "{status}"
        );
    }
}
