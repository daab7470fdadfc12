//! What strangers and silent clients may cost, and what keys may serve: sshd_config(5)'s words with its meaning,
//! and values for few places.
use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use fat::{Actor, BlockDevice, Volume};
use net::{ClientAlive, RekeyLimit};

/// The limits, as far as the command line gives them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoginLimits {
    /// LoginGraceTime in seconds; 0 is for ever.
    pub grace: u64,
    pub max_auth_tries: u32,
    /// MaxStartups; without it one goes when all places are taken, and none early: a client that has come
    /// further is not the one to go, so that early drops save nobody, where places are few.
    pub startups: Option<Startups>,
    /// MaxSessions.
    pub sessions: usize,
    /// PerSourceMaxStartups.
    pub of_source: Option<usize>,
    /// PerSourceNetBlockSize: the bits of an IPv4 and of an IPv6 address that make a source.
    pub block: (u8, u8),
    /// PerSourcePenalties.
    pub penalties: Option<Penalties>,
    /// ClientAliveInterval and ClientAliveCountMax.
    pub alive: ClientAlive,
}

/// From `start` connections without a login on, one goes with a probability of `rate` percent when another
/// comes, which grows to certainty at `full`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Startups {
    pub start: usize,
    pub rate: u64,
    pub full: usize,
}

/// Seconds that a source is refused for what it did; together at most `max`, and none below `min`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Penalties {
    pub auth_fail: u64,
    pub no_auth: u64,
    pub grace_exceeded: u64,
    pub max: u64,
    pub min: u64,
}

/// OpenSSH's.
const PENALTIES: Penalties =
    Penalties { auth_fail: 5, no_auth: 1, grace_exceeded: 10, max: 600, min: 15 };

impl Default for LoginLimits {
    fn default() -> Self {
        Self {
            grace: 120,
            max_auth_tries: net::MAX_AUTH_TRIES,
            startups: None,
            sessions: net::MAX_CHANNELS,
            of_source: None,
            block: (32, 128),
            penalties: Some(PENALTIES),
            // Longer than TCP needs to find that a host is gone: some clients answer only while they work.
            alive: ClientAlive { interval: 180, count_max: 3 },
        }
    }
}

impl LoginLimits {
    /// Whether this is the name of one of its options.
    pub fn knows(name: &str) -> bool {
        matches!(
            name,
            "--login-grace-time"
                | "--max-auth-tries"
                | "--max-startups"
                | "--max-sessions"
                | "--per-source-max-startups"
                | "--per-source-net-block-size"
                | "--per-source-penalties"
                | "--client-alive-interval"
                | "--client-alive-count-max"
        )
    }

    /// Takes one of its options.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let number = || value.parse::<u32>().map_err(|_| format!("{name} {value:?}: not a number"));
        let at_least_1 = || match number()? {
            0 => Err(format!("{name} {value:?}: 1 is the least")),
            n => Ok(n as usize),
        };
        match name {
            "--login-grace-time" => self.grace = number()?.into(),
            "--max-auth-tries" => self.max_auth_tries = at_least_1()? as u32,
            "--max-sessions" => self.sessions = (number()? as usize).min(net::MAX_CHANNELS),
            "--per-source-max-startups" => {
                self.of_source = if value == "none" { None } else { Some(at_least_1()?) };
            }
            "--per-source-net-block-size" => {
                let (v4, v6) = value.split_once(':').unwrap_or((value, "128"));
                let bits = |text: &str, most| text.parse().ok().filter(|bits: &u8| *bits <= most);
                self.block = bits(v4, 32)
                    .zip(bits(v6, 128))
                    .ok_or_else(|| format!("{name} {value:?}: not bits as in 32:128"))?;
            }
            "--client-alive-interval" => {
                let wrong = || format!("{name} {value:?}: not a time as in 180 or 3m");
                self.alive.interval = amount(value, &TIMES).ok_or_else(wrong)?;
            }
            "--client-alive-count-max" => self.alive.count_max = number()?,
            "--per-source-penalties" => self.penalties = penalties(value)?,
            _ => self.startups = Some(startups(value)?),
        }
        Ok(())
    }

    /// MaxStartups where so many can be served.
    pub fn startups(&self, places: usize) -> Startups {
        let all = Startups { start: places, rate: 100, full: places };
        let wanted = self.startups.unwrap_or(all);
        Startups { full: wanted.full.min(places).max(1), ..wanted }
    }

    /// The source that an address belongs to.
    pub fn block_of(&self, address: IpAddr) -> IpAddr {
        match address.to_canonical() {
            IpAddr::V4(address) => {
                let rest = 32u32.saturating_sub(self.block.0.into());
                let mask = u32::MAX.checked_shl(rest).unwrap_or(0);
                Ipv4Addr::from(u32::from(address) & mask).into()
            }
            IpAddr::V6(address) => {
                let rest = 128u32.saturating_sub(self.block.1.into());
                let mask = u128::MAX.checked_shl(rest).unwrap_or(0);
                Ipv6Addr::from(u128::from(address) & mask).into()
            }
        }
    }
}

impl Startups {
    /// Whether one of `waiting` connections without a login goes when another comes; `dice` is any number.
    pub fn drops(&self, waiting: usize, dice: u64) -> bool {
        if waiting < self.start {
            return false;
        }
        if waiting >= self.full || self.rate >= 100 {
            return true;
        }
        let beyond = waiting.saturating_sub(self.start) as u64;
        let range = self.full.saturating_sub(self.start).max(1) as u64;
        let more = 100u64.saturating_sub(self.rate).saturating_mul(beyond) / range;
        dice % 100 < self.rate.saturating_add(more)
    }
}

fn startups(value: &str) -> Result<Startups, String> {
    let parts: Option<alloc::vec::Vec<u32>> = value.split(':').map(|n| n.parse().ok()).collect();
    match parts.as_deref() {
        Some(&[full]) if full > 0 => {
            Ok(Startups { start: full as usize, rate: 100, full: full as usize })
        }
        Some(&[start, rate @ 1..=100, full]) if start > 0 && start <= full => {
            Ok(Startups { start: start as usize, rate: rate.into(), full: full as usize })
        }
        _ => Err(format!("--max-startups {value:?}: not as in 10:30:100")),
    }
}

fn penalties(value: &str) -> Result<Option<Penalties>, String> {
    let mut penalties = PENALTIES;
    match value {
        "no" => return Ok(None),
        "yes" => return Ok(Some(penalties)),
        _ => (),
    }
    for part in value.split_whitespace() {
        let seconds = part.split_once(':').and_then(|(_, n)| n.trim_end_matches('s').parse().ok());
        let slot = match part.split(':').next().unwrap_or_default() {
            "authfail" => &mut penalties.auth_fail,
            "noauth" => &mut penalties.no_auth,
            "grace-exceeded" => &mut penalties.grace_exceeded,
            "max" => &mut penalties.max,
            "min" => &mut penalties.min,
            _ => return Err(format!("--per-source-penalties: no penalty {part:?}")),
        };
        let wrong = || format!("--per-source-penalties {part:?}: not seconds as in authfail:5");
        *slot = seconds.ok_or_else(wrong)?;
    }
    Ok(Some(penalties))
}

impl fmt::Display for LoginLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of_source = self.of_source.map_or("none".into(), |n| n.to_string());
        write!(f, "LoginGraceTime {}, MaxAuthTries {}, ", self.grace, self.max_auth_tries)?;
        write!(f, "MaxSessions {}, PerSourceMaxStartups {of_source}, ", self.sessions)?;
        let ClientAlive { interval, count_max } = self.alive;
        write!(f, "ClientAliveInterval {interval}, ClientAliveCountMax {count_max}, ")?;
        write!(f, "PerSourceNetBlockSize {}:{}, PerSourcePenalties ", self.block.0, self.block.1)?;
        match &self.penalties {
            None => f.write_str("no"),
            Some(p) => write!(
                f,
                "authfail:{} noauth:{} grace-exceeded:{} max:{} min:{}",
                p.auth_fail, p.no_auth, p.grace_exceeded, p.max, p.min
            ),
        }
    }
}

/// The last part of a volume, which only keys without restrictions may fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reserve {
    Bytes(u64),
    /// Of the volume.
    Percent(u8),
}

impl Default for Reserve {
    fn default() -> Self {
        Self::Bytes(0)
    }
}

impl Reserve {
    /// A size in bytes, with K, M, G or T behind it, or a part of the volume, as in 10%.
    pub fn parse(value: &str) -> Result<Self, String> {
        let size =
            || amount(value, &[('K', 1 << 10), ('M', 1 << 20), ('G', 1 << 30), ('T', 1 << 40)]);
        let reserve = match value.strip_suffix('%') {
            Some(part) => part.parse().ok().filter(|part| *part <= 100).map(Self::Percent),
            None => size().map(Self::Bytes),
        };
        reserve
            .ok_or_else(|| format!("--reserve {value:?}: not a size as in 2G or a part as in 10%"))
    }

    /// One who leaves it free.
    pub fn actor<D: BlockDevice>(self, volume: &Volume<D>, adds_only: bool) -> Rc<Actor> {
        let geometry = volume.geometry();
        let clusters = match self {
            Self::Bytes(bytes) => bytes.div_ceil(geometry.cluster_size.max(1).into()),
            Self::Percent(part) => {
                u64::from(geometry.clusters).saturating_mul(part.into()).div_ceil(100)
            }
        };
        volume.actor(adds_only, u32::try_from(clusters).unwrap_or(u32::MAX))
    }
}

/// OpenSSH's RekeyLimit: a size in bytes, with K, M or G behind it, and then a time in seconds or as in
/// 1h30m; `default` (or 0) leaves the size to the cipher, `none` (or 0) means that no time is set.
pub fn rekey_limit(value: &str) -> Result<RekeyLimit, String> {
    let wrong = |why: &str| Err(format!("--rekey-limit {value:?}: {why}"));
    let mut words = value.split_ascii_whitespace();
    let (Some(size), time, None) = (words.next(), words.next(), words.next()) else {
        return wrong("not a size and perhaps a time, as in \"1G 1h\"");
    };
    let bytes = match size {
        "default" | "none" => None,
        size => match amount(size, &[('K', 1 << 10), ('M', 1 << 20), ('G', 1 << 30)]) {
            Some(0) => None,
            Some(bytes @ 16..) => Some(bytes),
            _ => return wrong("the size is not a number of at least 16, as in 512M"),
        },
    };
    let seconds = match time {
        None | Some("none") => None,
        Some(time) => match amount(time, &TIMES) {
            Some(seconds) => Some(seconds).filter(|seconds| *seconds > 0),
            None => return wrong("the time is not one as in 3600 or 1h30m"),
        },
    };
    Ok(RekeyLimit { bytes, seconds })
}

/// RekeyLimit in the words of the option.
pub fn shown_rekey_limit(limit: RekeyLimit) -> String {
    let word =
        |number: Option<u64>, else_this: &str| number.map_or(else_this.into(), |n| n.to_string());
    format!("RekeyLimit {} {}", word(limit.bytes, "default"), word(limit.seconds, "none"))
}

/// Units of time, in seconds.
const TIMES: [(char, u64); 5] = [('S', 1), ('M', 60), ('H', 3600), ('D', 86_400), ('W', 604_800)];

/// The sum of numbers with units behind them, of which the last may have none; none of another form.
fn amount(text: &str, units: &[(char, u64)]) -> Option<u64> {
    let mut sum = 0u64;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, unit) = rest.split_at_checked(digits)?;
        let mut after = unit.chars();
        let factor = match after.next() {
            None => 1,
            Some(c) => units.iter().find(|(name, _)| *name == c.to_ascii_uppercase())?.1,
        };
        sum = sum.checked_add(number.parse::<u64>().ok()?.checked_mul(factor)?)?;
        rest = after.as_str();
    }
    (!text.is_empty()).then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(name: &str, value: &str) -> Result<LoginLimits, String> {
        let mut limits = LoginLimits::default();
        assert!(LoginLimits::knows(name));
        limits.set(name, value).map(|()| limits)
    }

    #[test]
    fn words_are_openssh_s() {
        assert_eq!(set("--login-grace-time", "0").unwrap().grace, 0);
        assert_eq!(set("--max-sessions", "99").unwrap().sessions, net::MAX_CHANNELS);
        assert_eq!(set("--max-sessions", "2").unwrap().sessions, 2);
        assert_eq!(set("--max-auth-tries", "3").unwrap().max_auth_tries, 3);
        assert_eq!(set("--per-source-net-block-size", "24:56").unwrap().block, (24, 56));
        assert_eq!(set("--per-source-net-block-size", "32").unwrap().block, (32, 128));
        let startups = |value| set("--max-startups", value).unwrap().startups;
        assert_eq!(startups("7"), Some(Startups { start: 7, rate: 100, full: 7 }));
        assert_eq!(startups("2:50:9"), Some(Startups { start: 2, rate: 50, full: 9 }));
        assert_eq!(set("--per-source-penalties", "no").unwrap().penalties, None);
        assert_eq!(set("--per-source-penalties", "yes").unwrap().penalties, Some(PENALTIES));
        let some = set("--per-source-penalties", "authfail:9 min:3s").unwrap().penalties;
        assert_eq!(some, Some(Penalties { auth_fail: 9, min: 3, ..PENALTIES }));
        let others = "noauth:2s grace-exceeded:30 max:700";
        let others = set("--per-source-penalties", others).unwrap().penalties;
        assert_eq!(
            others,
            Some(Penalties { no_auth: 2, grace_exceeded: 30, max: 700, ..PENALTIES })
        );
        let alive = |name, value| set(name, value).unwrap().alive;
        assert_eq!(alive("--client-alive-interval", "1m30").interval, 90);
        assert_eq!(alive("--client-alive-interval", "0").interval, 0);
        assert_eq!(alive("--client-alive-count-max", "7").count_max, 7);
        for (name, value) in [
            ("--client-alive-interval", "soon"),
            ("--client-alive-count-max", "-1"),
            ("--max-startups", "0"),
            ("--max-startups", "9:30:3"),
            ("--max-startups", "0:30:3"),
            ("--max-startups", "3:101:9"),
            ("--max-auth-tries", "0"),
            ("--per-source-max-startups", "-1"),
            ("--per-source-net-block-size", "33"),
            ("--per-source-net-block-size", "24:129"),
            ("--per-source-penalties", "crash:x"),
            ("--login-grace-time", "2m"),
        ] {
            assert!(set(name, value).is_err(), "{name} {value}");
        }
    }

    #[test]
    fn early_drops_grow_from_their_rate_to_certainty() {
        let startups = Startups { start: 10, rate: 30, full: 20 };
        let of_100 = |waiting| (0..100).filter(|dice| startups.drops(waiting, *dice)).count();
        assert_eq!([9, 10, 15, 19, 20, 99].map(of_100), [0, 30, 65, 93, 100, 100]);
        let all = Startups { start: 2, rate: 100, full: 5 };
        assert!(all.drops(3, 99), "from the start on");
        let wanted = LoginLimits { startups: Some(startups), ..LoginLimits::default() };
        assert_eq!(wanted.startups(15), Startups { full: 15, ..startups });
        assert_eq!(wanted.startups(99), startups);
        let default = LoginLimits::default().startups(3);
        assert_eq!([1, 2, 3].map(|waiting| default.drops(waiting, 0)), [false, false, true]);
    }

    #[test]
    fn a_reserve_is_a_size_or_a_part() {
        for (value, reserve) in [
            ("0", Reserve::Bytes(0)),
            ("1000", Reserve::Bytes(1000)),
            ("3k", Reserve::Bytes(3072)),
            ("5M", Reserve::Bytes(5_242_880)),
            ("2g", Reserve::Bytes(2 << 30)),
            ("1T", Reserve::Bytes(1 << 40)),
            ("0%", Reserve::Percent(0)),
            ("100%", Reserve::Percent(100)),
        ] {
            assert_eq!(Reserve::parse(value), Ok(reserve));
        }
        for value in ["", "%", "101%", "-1", "1.5%", "x", "1P", "99999999999999999999"] {
            assert!(Reserve::parse(value).is_err(), "{value}");
        }
    }

    #[test]
    fn sources_are_blocks() {
        let mut limits = LoginLimits { block: (24, 64), ..LoginLimits::default() };
        let block =
            |limits: &LoginLimits, text: &str| limits.block_of(text.parse().unwrap()).to_string();
        assert_eq!(block(&limits, "10.1.2.3"), "10.1.2.0");
        assert_eq!(block(&limits, "::ffff:10.1.2.3"), "10.1.2.0");
        assert_eq!(block(&limits, "fd00:1:2:3:4::5"), "fd00:1:2:3::");
        limits.block = (0, 0);
        assert_eq!(block(&limits, "10.1.2.3"), "0.0.0.0");
        limits.block = (32, 128);
        assert_eq!(block(&limits, "10.1.2.3"), "10.1.2.3");
    }
}
