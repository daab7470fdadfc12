//! What a call wants to be run: `user:command`, where Qubes' own services are
//! `user:QUBESRPC service+argument source ...` (libqrexec's exec.c).
use alloc::borrow::ToOwned;
use alloc::string::String;

/// What is to be run. The user that is asked for means nothing here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// A service, for the qube `source`, whose name comes from dom0.
    Service { name: String, argument: String, source: String },
    /// The text of a shell command, from dom0.
    Shell(String),
    /// Not text, or not of that form.
    Malformed,
}

impl Command {
    /// Reads a command line up to its NUL.
    pub fn parse(line: &[u8]) -> Self {
        let line = line.split(|&b| b == 0).next().unwrap_or_default();
        let Ok(line) = core::str::from_utf8(line) else {
            return Self::Malformed;
        };
        let Some((_user, command)) = line.split_once(':') else {
            return Self::Malformed;
        };
        let command = command.strip_prefix("nogui:").unwrap_or(command);
        match command.strip_prefix("QUBESRPC ") {
            Some(call) => Self::service(call).unwrap_or(Self::Malformed),
            None => Self::Shell(command.to_owned()),
        }
    }

    /// The bytes that it holds.
    pub fn size(&self) -> usize {
        let held = match self {
            Self::Service { name, argument, source } => [name.len(), argument.len(), source.len()],
            Self::Shell(text) => [text.len(), 0, 0],
            Self::Malformed => [0; 3],
        };
        held.iter().fold(0, |sum, n| sum.saturating_add(*n))
    }

    fn service(call: &str) -> Option<Self> {
        let mut words = call.split(' ');
        let (service, source) = (words.next()?, words.next()?);
        let (name, argument) = service.split_once('+').unwrap_or((service, ""));
        // Names of qubes: a letter, then letters, digits, `_`, `.` and `-`, 31 at most.
        let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        if name.is_empty()
            || !(1..=31).contains(&source.len())
            || !source.starts_with(|c: char| c.is_ascii_alphabetic())
            || !source.chars().all(good)
        {
            return None;
        }
        Some(Self::Service {
            name: name.to_owned(),
            argument: argument.to_owned(),
            source: source.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(name: &str, argument: &str, source: &str) -> Command {
        let (name, argument) = (name.to_owned(), argument.to_owned());
        Command::Service { name, argument, source: source.to_owned() }
    }

    #[test]
    fn services_with_and_without_an_argument() {
        for (line, expected) in [
            ("user:QUBESRPC qubes.Filecopy work\0", service("qubes.Filecopy", "", "work")),
            ("user:QUBESRPC qubes.Filecopy+ work name vm", service("qubes.Filecopy", "", "work")),
            (
                "root:nogui:QUBESRPC qubes.ConnectTCP+18022 a-b_1 keyword adminvm\0x",
                service("qubes.ConnectTCP", "18022", "a-b_1"),
            ),
            ("user:QUBESRPC mirage.Sftp+a+b w", service("mirage.Sftp", "a+b", "w")),
            (
                "user:QUBESRPC qubes.Filecopy debian-12.dev",
                service("qubes.Filecopy", "", "debian-12.dev"),
            ),
        ] {
            assert_eq!(Command::parse(line.as_bytes()), expected);
        }
    }

    #[test]
    fn other_commands_are_for_the_shell() {
        assert_eq!(Command::parse(b"user:status\0"), Command::Shell("status".into()));
        assert_eq!(Command::parse(b"user:nogui:df; sync"), Command::Shell("df; sync".into()));
    }

    #[test]
    fn what_names_no_qube_is_malformed() {
        for line in [
            "status",
            "user:QUBESRPC x",
            "user:QUBESRPC  work",
            "user:QUBESRPC x ../y",
            "user:QUBESRPC x .",
            "user:QUBESRPC x ..",
            "user:QUBESRPC x 1y",
            "user:QUBESRPC +y work",
        ] {
            assert_eq!(Command::parse(line.as_bytes()), Command::Malformed, "{line}");
        }
        let long = std::format!("user:QUBESRPC x {}", "y".repeat(32));
        assert_eq!(Command::parse(long.as_bytes()), Command::Malformed);
        assert_eq!(Command::parse(b"user:\xff"), Command::Malformed);
    }

    #[test]
    fn all_that_a_command_holds_is_counted() {
        for (line, size) in [("u:QUBESRPC ab+c work", 7), ("u:status", 6), ("status", 0)] {
            assert_eq!(Command::parse(line.as_bytes()).size(), size, "{line}");
        }
    }
}
