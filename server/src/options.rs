//! The command line: the same for the Unix program and for a guest's kernel options.
#[cfg(test)]
mod tests;

use crate::keys::authorized_key::AuthorizedKey;
use crate::levels::Levels;
use crate::limits::{LoginLimits, Reserve, rekey_limit};
use crate::logging::cut;
use crate::shown::{Shown, id, mask};
use crate::user_name::{USER_NAME_RULE, is_user_name};
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{Ipv4Addr, Ipv6Addr};
use core::ops::RangeInclusive;
use core::str::FromStr;
use fat::Place;
use net::RekeyLimit;
use zeroize::Zeroizing;

/// What the command line asks for. `Options::default()` is an empty command line.
#[derive(Clone, Debug)]
pub struct Options {
    /// The TCP port of the SSH server; 0 lets the system choose.
    pub port: u16,
    /// The user that `key` belongs to, and the one that messages name.
    pub user: String,
    /// A key for `user` besides those on the volume.
    pub key: Option<AuthorizedKey>,
    /// What the host key is derived from.
    pub seed: Option<Zeroizing<String>>,
    pub levels: Levels,
    pub read_only: bool,
    /// What strangers may cost.
    pub login: LoginLimits,
    /// What one set of keys may serve.
    pub rekey_limit: RekeyLimit,
    /// Offer no algorithm that warnings are of.
    pub strict_algorithms: bool,
    /// Offer key exchange and a host key on NIST's curve P-256 too; never true beside `strict_algorithms`.
    pub nist_algorithms: bool,
    pub shown: Shown,
    /// What of the volume is left to keys without restrictions.
    pub reserve: Reserve,
    /// What becomes of a disk that holds nothing but zeros.
    pub if_blank: IfBlank,
    /// Grow the volume into a disk that has become larger.
    pub grow: bool,
    /// Which part of the disk is the volume.
    pub place: Place,
    /// How many minutes FAT's time stamps are ahead of UTC.
    pub time_offset: i16,
    /// Under Unix an image file, in a guest a device name.
    pub disk: Option<String>,
    /// Under Unix the address to listen on.
    pub listen: Option<String>,
    /// In a guest its addresses and the length of their networks' prefixes.
    pub ipv4: Option<(Ipv4Addr, u8)>,
    pub ipv4_gateway: Option<Ipv4Addr>,
    pub ipv6: Option<(Ipv6Addr, u8)>,
    pub ipv6_gateway: Option<Ipv6Addr>,
    /// In a guest the longest IP packet that it sends, in bytes.
    pub mtu: Option<u16>,
    /// In a guest the seconds without a turn of its loop that end it; 0 is for ever.
    pub watchdog: Option<u64>,
}

/// What becomes of a disk that holds nothing but zeros.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IfBlank {
    /// It is not served.
    #[default]
    Refuse,
    /// It is formatted.
    ExFat,
    Fat,
}

const FORMAT_IF_BLANK: &str = "--format-if-blank";

impl Default for Options {
    fn default() -> Self {
        Self {
            port: 18022,
            user: "mirage".into(),
            key: None,
            seed: None,
            levels: Levels::default(),
            read_only: false,
            login: LoginLimits::default(),
            rekey_limit: RekeyLimit::default(),
            strict_algorithms: false,
            nist_algorithms: false,
            shown: Shown::default(),
            reserve: Reserve::default(),
            if_blank: IfBlank::Refuse,
            grow: false,
            place: Place::Found,
            time_offset: 0,
            disk: None,
            listen: None,
            ipv4: None,
            ipv4_gateway: None,
            ipv6: None,
            ipv6_gateway: None,
            mtu: None,
            watchdog: None,
        }
    }
}

impl Options {
    /// Seconds without a turn that end a guest.
    pub fn watchdog(&self) -> u64 {
        self.watchdog.unwrap_or(30)
    }

    /// Reads the words of a command line. What could not be used comes back as text: an error
    /// under Unix, a warning in a guest.
    pub fn parse<'a>(words: impl IntoIterator<Item = &'a str>) -> (Self, Vec<String>) {
        let mut options = Self::default();
        let mut problems = Vec::new();
        let mut words = words.into_iter();
        // Words behind it may be the rest of a secret that nobody quoted: they are not repeated.
        let mut secret = "";
        while let Some(word) = words.next() {
            let (name, joined) = match word.split_once('=') {
                Some((name, value)) if name.starts_with("--") => (name, Some(value)),
                _ => (word, None),
            };
            let result = match options.flag(name) {
                _ if name == FORMAT_IF_BLANK => options.set_if_blank(joined),
                Some(_) if joined.is_some() => Err(format!("{name} takes no value")),
                Some(flag) => {
                    *flag = true;
                    Ok(())
                }
                None if !Self::takes_value(name) => match secret {
                    _ if word.starts_with('-') => Err(format!("unknown option {name:?}")),
                    "" => Err(format!("unknown option {word:?}")),
                    before => Err(format!("a word too many after {before}")),
                },
                None => match joined.or_else(|| words.next()) {
                    Some(value) => options.set(name, value),
                    None => Err(format!("{name} needs a value")),
                },
            };
            problems.extend(result.err());
            if word.starts_with('-') {
                secret = if options.is_secret(name) { name } else { "" };
            }
        }
        if options.strict_algorithms && options.nist_algorithms {
            options.nist_algorithms = false;
            problems.push("--nist-algorithms: not together with --strict-algorithms".into());
        }
        (options, problems)
    }

    /// What a log may show of a command line: no secrets, which may be what follows a misspelt option,
    /// too.
    pub fn shown<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
        const MOST: usize = 100;
        let mut options = Self::default();
        let mut shown = String::new();
        let (mut secret, mut first) = (false, false);
        for word in words {
            let (name, joined) =
                word.split_once('=').map_or((word, false), |(name, _)| (name, true));
            let text = if word.starts_with('-') && !first {
                secret = options.is_secret(name);
                first = secret && !joined && name == "--seed";
                if secret && joined { format!("{name}=…") } else { cut(word, MOST) }
            } else {
                first = false;
                if secret { "…".into() } else { cut(word, MOST) }
            };
            shown.push(' ');
            shown.push_str(&text);
        }
        shown
    }

    /// Whether what belongs to an option is nobody's business, as far as one can know.
    fn is_secret(&mut self, name: &str) -> bool {
        let known = Self::takes_value(name) || name == FORMAT_IF_BLANK || self.flag(name).is_some();
        name == "--seed" || !known
    }

    fn set_if_blank(&mut self, kind: Option<&str>) -> Result<(), String> {
        self.if_blank = match kind {
            None | Some("exfat") => IfBlank::ExFat,
            Some("fat") => IfBlank::Fat,
            Some(other) => return Err(format!("{FORMAT_IF_BLANK}={other:?}: not exfat or fat")),
        };
        Ok(())
    }

    fn flag(&mut self, name: &str) -> Option<&mut bool> {
        match name {
            "--read-only" => Some(&mut self.read_only),
            "--grow" => Some(&mut self.grow),
            "--strict-algorithms" => Some(&mut self.strict_algorithms),
            "--nist-algorithms" => Some(&mut self.nist_algorithms),
            _ => None,
        }
    }

    fn takes_value(name: &str) -> bool {
        matches!(
            name,
            "--port"
                | "--user"
                | "--key"
                | "--seed"
                | "-l"
                | "--logs"
                | "--disk"
                | "--partition"
                | "--listen"
                | "--ipv4"
                | "--ipv4-gateway"
                | "--ipv6"
                | "--ipv6-gateway"
                | "--mtu"
                | "--watchdog"
                | "--uid"
                | "--gid"
                | "--umask"
                | "--fmask"
                | "--dmask"
                | "--time-offset"
                | "--rekey-limit"
                | "--reserve"
        ) || LoginLimits::knows(name)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "--port" => {
                self.port = value
                    .parse()
                    .map_err(|_| format!("--port {value:?}: not a port number from 0 to 65535"))?;
            }
            "--user" => {
                if !is_user_name(value) {
                    return Err(format!("--user {value:?}: {USER_NAME_RULE}"));
                }
                self.user = value.to_owned();
            }
            "--key" => {
                let key = AuthorizedKey::parse(value).map_err(|e| {
                    format!("--key: {e}; give the line of a .pub file, 'ssh-ed25519 AAAA…'")
                })?;
                self.key = Some(key);
            }
            "--seed" => self.seed = Some(Zeroizing::new(value.to_owned())),
            "-l" | "--logs" => self.levels = Levels::parse(value)?,
            "--uid" => self.shown.uid = id(name, value)?,
            "--gid" => self.shown.gid = id(name, value)?,
            "--umask" => self.shown.umask = mask(name, value)?,
            "--fmask" => self.shown.fmask = Some(mask(name, value)?),
            "--dmask" => self.shown.dmask = Some(mask(name, value)?),
            "--time-offset" => self.time_offset = time_offset(value)?,
            "--reserve" => self.reserve = Reserve::parse(value)?,
            "--rekey-limit" => self.rekey_limit = rekey_limit(value)?,
            name if LoginLimits::knows(name) => self.login.set(name, value)?,
            "--disk" => self.disk = Some(value.to_owned()),
            "--partition" => {
                self.place = value.parse().map_err(|e| format!("--partition {value:?}: {e}"))?;
            }
            "--ipv4" => {
                self.ipv4 = network(value, "24", 32);
                if self.ipv4.is_none() {
                    return Err(format!("--ipv4 {value:?}: not an address as in 10.0.0.2/24"));
                }
            }
            "--ipv6" => {
                self.ipv6 = network(value, "64", 128);
                if self.ipv6.is_none() {
                    return Err(format!("--ipv6 {value:?}: not an address as in fd00::2/64"));
                }
            }
            "--ipv4-gateway" => self.ipv4_gateway = Some(gateway(name, value)?),
            "--ipv6-gateway" => self.ipv6_gateway = Some(gateway(name, value)?),
            "--mtu" => {
                let mtu = value.parse().ok().filter(|mtu| MTU.contains(mtu));
                self.mtu = Some(mtu.ok_or_else(|| {
                    format!("--mtu {value:?}: not a number from {} to {}", MTU.start(), MTU.end())
                })?);
            }
            "--watchdog" => {
                let seconds = value.parse().ok().filter(|seconds| *seconds <= LONGEST_WATCH);
                let wrong = || format!("{name} {value:?}: not seconds, at most {LONGEST_WATCH}");
                self.watchdog = Some(seconds.ok_or_else(wrong)?);
            }
            _ => self.listen = Some(value.to_owned()),
        }
        Ok(())
    }
}

/// An address and the length of its network's prefix, which is `usual` where it is not given.
fn network<A: FromStr>(value: &str, usual: &str, most: u8) -> Option<(A, u8)> {
    let (address, prefix) = value.split_once('/').unwrap_or((value, usual));
    let prefix = prefix.parse().ok().filter(|prefix| *prefix <= most);
    address.parse().ok().zip(prefix)
}

fn gateway<A: FromStr>(name: &str, value: &str) -> Result<A, String> {
    value.parse().map_err(|_| format!("{name} {value:?}: not an address"))
}

/// Minutes, in the bounds of Linux' vfat.
fn time_offset(value: &str) -> Result<i16, String> {
    let minutes = value.parse().ok().filter(|minutes| (-1440..=1440).contains(minutes));
    minutes.ok_or_else(|| {
        format!("--time-offset {value:?}: not minutes from -1440 to 1440, as 120 for UTC+2")
    })
}

/// What every host takes (RFC 1122, 3.3.3), and the longest that any network card here can have.
const MTU: RangeInclusive<u16> = 576..=9000;

/// A third of it must fit into the 32 bits of a timer that counts at 62.5 MHz.
const LONGEST_WATCH: u64 = 180;
