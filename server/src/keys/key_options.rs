//! Options in front of a key: AUTHORIZED_KEYS FILE FORMAT of sshd(8).
use crate::keys::access::Access;
use crate::keys::pattern::PatternList;
use crate::time::timespec;
use alloc::format;
use alloc::string::String;
use core::net::IpAddr;
use user_keys::Demand;

/// Flags about what this server has not, with and without `no-` in front.
const NO_EFFECT: [&str; 5] =
    ["agent-forwarding", "port-forwarding", "pty", "user-rc", "x11-forwarding"];

/// Options with a value about what this server has not: a program's environment, forwarding.
const NO_EFFECT_VALUE: [&str; 4] = ["environment", "permitlisten", "permitopen", "tunnel"];

/// When and from where a key can be used, and for what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct KeyOptions {
    from: Option<PatternList>,
    /// The last second at which it can be used, since 1970.
    expiry: Option<u64>,
    command: Option<Access>,
    /// It signs certificates, and does not log in itself.
    authority: bool,
    /// Of the certificate, instead of the user's name.
    principals: Option<String>,
    /// Nobody must touch the token that it is on.
    untouched: bool,
    /// The token must have made sure who did.
    verified: bool,
}

impl KeyOptions {
    /// Reads a comma list of options. As in OpenSSH their case does not matter, values stand in
    /// quotes, and `\"` is a quote inside.
    ///
    /// # Errors
    ///
    /// An option that is not known or not understood: then the key must not be used, because what
    /// was to restrict it does not.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut options = Self::default();
        let mut rest = text;
        loop {
            let end = rest.find(['=', ',']).unwrap_or(rest.len());
            let (name, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
            let name = name.to_ascii_lowercase();
            rest = match after.strip_prefix('=') {
                Some(value) => {
                    let (value, after) =
                        quoted(value).ok_or_else(|| format!("{name} needs a value in quotes"))?;
                    options.set(&name, &value)?;
                    after
                }
                None => {
                    options.set_flag(&name)?;
                    after
                }
            };
            match rest.strip_prefix(',') {
                Some(more) => rest = more,
                None if rest.is_empty() => return options.checked(),
                None => return Err(format!("no comma after the option {name}")),
            }
        }
    }

    /// An option that would restrict nothing is a slip of the pen.
    fn checked(self) -> Result<Self, String> {
        if self.principals.is_some() && !self.authority {
            return Err("principals is for a cert-authority".into());
        }
        Ok(self)
    }

    fn set_flag(&mut self, name: &str) -> Result<(), String> {
        match name {
            "cert-authority" => self.authority = true,
            "no-touch-required" => self.untouched = true,
            "touch-required" => self.untouched = false,
            "verify-required" => self.verified = true,
            "no-verify-required" => self.verified = false,
            "restrict" => (),
            name if NO_EFFECT.contains(&name.strip_prefix("no-").unwrap_or(name)) => (),
            _ => return Err(unknown(name)),
        }
        Ok(())
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let again = || Err(format!("the option {name} stands twice"));
        match name {
            "from" if self.from.is_some() => return again(),
            "from" => {
                let list = PatternList::parse(value).map_err(|e| format!("from: {e}"))?;
                self.from = Some(list);
            }
            "command" if self.command.is_some() => return again(),
            "command" => self.command = Some(Access::of_command(value)?),
            "expiry-time" => {
                let time = timespec(value)
                    .ok_or_else(|| format!("expiry-time {value:?}: no time as in 20261231"))?;
                self.expiry = Some(self.expiry.map_or(time, |earlier| earlier.min(time)));
            }
            "principals" if self.principals.is_some() => return again(),
            "principals" => self.principals = Some(value.into()),
            name if NO_EFFECT_VALUE.contains(&name) => (),
            _ => return Err(unknown(name)),
        }
        Ok(())
    }

    /// Whether a client at `address` may use the key at `now`, in seconds since 1970; else why not.
    /// What is not known (0, none) is not allowed.
    pub(crate) fn allow(&self, address: Option<IpAddr>, now: u64) -> Result<(), &'static str> {
        match self.expiry {
            Some(_) if now == 0 => return Err("it has an expiry-time, and the time is not known"),
            Some(expiry) if now > expiry => return Err("it has expired"),
            _ => (),
        }
        match &self.from {
            Some(from) if !address.is_some_and(|address| from.matches(address)) => {
                Err("it may not be used from there")
            }
            _ => Ok(()),
        }
    }

    /// What its own command lets the user do.
    pub(crate) fn command(&self) -> Option<&Access> {
        self.command.as_ref()
    }

    pub(crate) fn is_authority(&self) -> bool {
        self.authority
    }

    pub(crate) fn principals(&self) -> Option<impl Iterator<Item = &str> + Clone> {
        let names = self.principals.as_ref()?.split(',').map(str::trim);
        Some(names.filter(|name| !name.is_empty()))
    }

    /// What the signature of a hardware token must say.
    pub(crate) fn demand(&self) -> Demand {
        Demand { touch: !self.untouched, verified: self.verified }
    }
}

fn unknown(name: &str) -> String {
    let shown: String = name.chars().take(40).collect();
    format!("the option {shown:?} is not supported")
}

/// Takes a value in quotes off the front, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let text = text.strip_prefix('"')?;
    let mut end = 0;
    loop {
        end = text.get(end..)?.find('"')?.checked_add(end)?;
        let (value, rest) = (text.get(..end)?, text.get(end..)?.strip_prefix('"')?);
        if !value.ends_with('\\') {
            return Some((value.replace("\\\"", "\""), rest));
        }
        end = end.checked_add(1)?;
    }
}

/// Splits a line at the first white space outside quotes: options, and the key behind them.
pub(crate) fn split(line: &str) -> (&str, &str) {
    let (mut is_quoted, mut before) = (false, ' ');
    for (at, c) in line.char_indices() {
        match c {
            '"' if before != '\\' => is_quoted = !is_quoted,
            ' ' | '\t' if !is_quoted => return line.split_at_checked(at).unwrap_or((line, "")),
            _ => (),
        }
        before = c;
    }
    (line, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_790_000_000;

    fn allowed(options: &str, from: &str, now: u64) -> Result<(), &'static str> {
        KeyOptions::parse(options).unwrap().allow(from.parse().ok(), now)
    }

    #[test]
    fn what_this_server_has_not_may_be_restricted() {
        for options in [
            "restrict",
            "RESTRICT,pty,No-Pty,no-X11-forwarding",
            "permitopen=\"host:22\",tunnel=\"0\",environment=\"A=b\"",
        ] {
            assert_eq!(KeyOptions::parse(options), Ok(KeyOptions::default()), "{options}");
        }
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        for options in [
            "",
            ",",
            "restrict,",
            "no-restrict",
            "principals=\"me\"",
            "no-cert-authority",
            "cert-authority=\"yes\"",
            "cert-authority,principals=\"me\",principals=\"you\"",
            "nonsense",
            "from",
            "command=internal-sftp",
            "command=\"internal-sftp",
            "command=\"internal-sftp\\\"",
            "command=\"internal-sftp\"x",
            "command=\"internal-sftp\",command=\"internal-sftp\"",
            "command=\"cat /etc/passwd\"",
            "from=\"10.0.0.1\",from=\"10.0.0.2\"",
            "from=\"10.0.0.1/8\"",
            "expiry-time=\"soon\"",
            "restrict=\"yes\"",
        ] {
            assert!(KeyOptions::parse(options).is_err(), "{options}");
        }
    }

    #[test]
    fn a_command_is_what_the_user_may_do() {
        let access = |options| KeyOptions::parse(options).unwrap().command;
        assert_eq!(access("restrict"), None);
        let expected = Access { read_only: true, root: "/my, own".into(), ..Access::default() };
        assert_eq!(
            access(r#"restrict,command="internal-sftp -R -d \"/my, own\"",no-pty"#),
            Some(expected)
        );
    }

    #[test]
    fn tokens_and_authorities() {
        let demand = |options| KeyOptions::parse(options).unwrap().demand();
        assert_eq!(demand("restrict"), Demand { touch: true, verified: false });
        assert_eq!(
            demand("No-Touch-Required,verify-required"),
            Demand { touch: false, verified: true }
        );
        let options = KeyOptions::parse("cert-authority,principals=\"me, you\"").unwrap();
        assert!(options.is_authority());
        assert!(options.principals().unwrap().eq(["me", "you"]));
        assert!(!KeyOptions::parse("restrict").unwrap().is_authority());
    }

    #[test]
    fn from_and_expiry_both_count_and_what_is_unknown_is_refused() {
        let options = "from=\"10.137.0.*\",expiry-time=\"20270101\",expiry-time=\"20260901Z\"";
        // 2026-09-01 00:00 UTC.
        let last = 1_788_220_800;
        assert_eq!(allowed(options, "10.137.0.7", last), Ok(()));
        assert!(allowed(options, "10.137.0.7", last + 1).is_err());
        assert!(allowed(options, "10.137.1.7", last).is_err());
        assert!(allowed(options, "", last).is_err());
        assert!(allowed(options, "10.137.0.7", 0).is_err());
        assert_eq!(allowed("restrict", "", 0), Ok(()));
        assert_eq!(
            allowed("from=\"!10.0.0.1,*\"", "10.0.0.1", NOW),
            Err("it may not be used from there")
        );
    }

    #[test]
    fn options_end_at_white_space_outside_quotes() {
        assert_eq!(split(r#"a="x y",b ssh-x AAAA"#), (r#"a="x y",b"#, " ssh-x AAAA"));
        assert_eq!(split("a=\"x \\\" y\"\tk"), ("a=\"x \\\" y\"", "\tk"));
        assert_eq!(split("a=\"x y"), ("a=\"x y", ""));
    }
}
