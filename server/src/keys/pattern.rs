//! Lists of patterns that addresses are matched against: `from="…"` of sshd(8), with the PATTERNS of
//! ssh_config(5) and networks in CIDR notation.
use alloc::format;
use alloc::string::{String, ToString};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Addresses that are allowed, and with `!` in front some that are not, whatever else matches. The text is what
/// is kept: read into its patterns it would take up to thirty times the room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatternList(String);

enum Pattern<'a> {
    /// An address and the length of its network's prefix in bits.
    Network(IpAddr, u8),
    /// Text in which `*` stands for any characters and `?` for one.
    Text(&'a str),
}

impl PatternList {
    /// Reads a list with commas.
    ///
    /// # Errors
    ///
    /// A network whose address has bits beyond its prefix, which is a slip of the pen to OpenSSH too.
    pub fn parse(text: &str) -> Result<Self, String> {
        parts(text).try_for_each(|(_, part)| Pattern::parse(part).map(|_| ()))?;
        Ok(Self(text.to_ascii_lowercase()))
    }

    /// Whether `address` is allowed. Names of hosts never match: nothing here asks for names.
    pub fn matches(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let text = address.to_string();
        let mut found = false;
        for (negated, part) in parts(&self.0) {
            if Pattern::parse(part).is_ok_and(|pattern| pattern.matches(address, &text)) {
                if negated {
                    return false;
                }
                found = true;
            }
        }
        found
    }
}

/// The patterns of a list, and whether `!` stands in front of them.
fn parts(text: &str) -> impl Iterator<Item = (bool, &str)> {
    text.split(',').map(|part| {
        let part = part.trim();
        part.strip_prefix('!').map_or((false, part), |rest| (true, rest))
    })
}

impl<'a> Pattern<'a> {
    fn parse(text: &'a str) -> Result<Self, String> {
        let (address, prefix) =
            text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let Ok(address) = address.parse::<IpAddr>() else {
            return Ok(Self::Text(text));
        };
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Some(bits), |prefix| prefix.parse().ok());
        match prefix.filter(|prefix| *prefix <= bits && network(address, *prefix) == address) {
            Some(prefix) => Ok(Self::Network(address, prefix)),
            None => Err(format!("{text:?} is no network")),
        }
    }

    fn matches(&self, address: IpAddr, text: &str) -> bool {
        match self {
            Self::Network(of, prefix) => network(address, *prefix) == *of,
            Self::Text(pattern) => matches(pattern.as_bytes(), text.as_bytes()),
        }
    }
}

/// An address without what follows the first `prefix` bits.
fn network(address: IpAddr, prefix: u8) -> IpAddr {
    let bits = u32::from(prefix);
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32u32.saturating_sub(bits)).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from(u32::from(address) & mask))
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128u32.saturating_sub(bits)).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from(u128::from(address) & mask))
        }
    }
}

/// Goes back to the last `*` alone, so the time is at most the product of both lengths.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut pattern, mut text) = (pattern, text);
    let mut star: Option<(&[u8], &[u8])> = None;
    loop {
        match (pattern, text) {
            ([b'*', rest @ ..], _) => {
                star = Some((rest, text));
                pattern = rest;
            }
            ([b'?', rest @ ..], [_, after @ ..]) => (pattern, text) = (rest, after),
            ([p, rest @ ..], [t, after @ ..]) if p == t => (pattern, text) = (rest, after),
            ([], []) => return true,
            _ => match star {
                Some((rest, [_, after @ ..])) => {
                    star = Some((rest, after));
                    (pattern, text) = (rest, after);
                }
                _ => return false,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(list: &str, address: &str) -> bool {
        PatternList::parse(list).unwrap().matches(address.parse().unwrap())
    }

    #[test]
    fn stars_and_question_marks() {
        assert!(allows("10.137.0.*", "10.137.0.12"));
        assert!(!allows("10.137.0.*", "10.137.1.12"));
        assert!(!allows("10.137.0.*", "110.137.0.1"));
        assert!(allows("10.137.0.?", "10.137.0.9") && !allows("10.137.0.?", "10.137.0.12"));
        assert!(
            allows("*.7", "10.77.7.7") && allows("*", "10.0.0.1") && allows("1*.*1", "10.0.0.1")
        );
        assert!(allows("*fe80*:1", "fe80::1") && allows("FE80::*", "fe80::1"));
        assert!(!allows("", "10.0.0.1") && !allows("host.example", "10.0.0.1"));
    }

    #[test]
    fn a_negation_wins_wherever_it_stands() {
        for list in ["!10.0.0.9,10.0.0.*", "10.0.0.*,!10.0.0.9"] {
            assert!(allows(list, "10.0.0.8") && !allows(list, "10.0.0.9"), "{list}");
        }
        // Alone it allows nothing.
        assert!(!allows("!10.0.0.9", "10.0.0.8"));
    }

    #[test]
    fn networks() {
        assert!(allows("10.137.0.0/16", "10.137.255.1"));
        assert!(!allows("10.137.0.0/16", "10.138.0.1"));
        assert!(allows("0.0.0.0/0", "1.2.3.4") && !allows("0.0.0.0/0", "::1"));
        assert!(allows("10.0.0.1", "10.0.0.1") && allows("10.0.0.1/32", "10.0.0.1"));
        assert!(allows("fd00::/8", "fd12::1") && !allows("fd00::/8", "fe80::1"));
        // What came over an IPv6 socket is the same address.
        assert!(allows("10.0.0.0/8", "::ffff:10.1.2.3"));
        for wrong in ["10.137.0.1/16", "10.0.0.0/33", "10.0.0.0/", "fd00::1/8", "1.2.3.4,::/129"] {
            assert!(PatternList::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn many_stars_end_soon() {
        let list = "*1".repeat(1000) + "x";
        assert!(!allows(&list, "111.111.111.111"));
    }
}
