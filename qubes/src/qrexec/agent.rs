//! The control vchan: dom0's daemon says what to run, and is told what has ended.
use super::{Command, HEADER, OLDEST, VERSION, kind, message, word};
use alloc::vec::Vec;
use core::fmt;

/// The longest body: two words and a command line.
const MAX_BODY: u32 = 65535;

/// The daemon is to run something. Whoever takes it connects, as a client, to the vchan that
/// `domain` offers us at `port`, and reports the end with `Agent::terminated`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exec {
    pub domain: u32,
    pub port: u32,
    pub command: Command,
    /// Nobody will send to it or read from it (JUST_EXEC).
    pub detached: bool,
}

/// What a daemon must not send: the connection begins anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadControl {
    /// A message of this type and length.
    Message {
        kind: u32,
        length: u32,
    },
    /// Something else before HELLO.
    NoHello(u32),
    Version(u32),
}

impl fmt::Display for BadControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message { kind, length } => {
                write!(f, "a qrexec message of type {kind:#x} with {length} bytes")
            }
            Self::NoHello(kind) => write!(f, "a qrexec message of type {kind:#x} before HELLO"),
            Self::Version(version) => write!(f, "a qrexec daemon of version {version}"),
        }
    }
}

impl core::error::Error for BadControl {}

/// One connection of a daemon.
pub struct Agent {
    /// At most one message.
    incoming: Vec<u8>,
    outgoing: Vec<u8>,
    /// The daemon's version, once it said HELLO.
    version: Option<u32>,
}

impl Default for Agent {
    fn default() -> Self {
        Self::new()
    }
}

impl Agent {
    pub fn new() -> Self {
        Self { incoming: Vec::new(), outgoing: message(kind::HELLO, &[VERSION]), version: None }
    }

    pub fn output(&self) -> &[u8] {
        &self.outgoing
    }

    pub fn sent(&mut self, n: usize) {
        self.outgoing.drain(..n.min(self.outgoing.len()));
    }

    /// The version that is spoken, once the daemon has said HELLO.
    pub fn version(&self) -> Option<u32> {
        self.version
    }

    /// Tells the daemon that the call with this domain and port is over.
    pub fn terminated(&mut self, domain: u32, port: u32) {
        self.outgoing.extend(message(kind::CONNECTION_TERMINATED, &[domain, port]));
    }

    /// Takes bytes that came up to the end of one message: says how many, and what is to be run.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(usize, Option<Exec>), BadControl> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let wanted = HEADER.saturating_add(self.body_length()?.unwrap_or(0));
            let missing = wanted.saturating_sub(self.incoming.len());
            let (taken, after) = rest.split_at(missing.min(rest.len()));
            self.incoming.extend(taken);
            rest = after;
            let body = self.body_length()?;
            if body.is_some_and(|length| self.incoming.len() == HEADER.saturating_add(length)) {
                let message = core::mem::take(&mut self.incoming);
                if let Some(exec) = self.take(&message)? {
                    return Ok((bytes.len().saturating_sub(rest.len()), Some(exec)));
                }
            }
        }
        Ok((bytes.len(), None))
    }

    /// The length of the body, once the header is there.
    fn body_length(&self) -> Result<Option<usize>, BadControl> {
        let (Some(kind), Some(length)) = (word(&self.incoming, 0), word(&self.incoming, 1)) else {
            return Ok(None);
        };
        if length > MAX_BODY {
            return Err(BadControl::Message { kind, length });
        }
        Ok(Some(length as usize))
    }

    fn take(&mut self, message: &[u8]) -> Result<Option<Exec>, BadControl> {
        let (header, body) = message.split_at_checked(HEADER).unwrap_or_default();
        let kind = word(header, 0).unwrap_or(0);
        let bad = BadControl::Message { kind, length: body.len() as u32 };
        if self.version.is_none() && kind != kind::HELLO {
            return Err(BadControl::NoHello(kind));
        }
        match kind {
            kind::HELLO if self.version.is_none() => {
                let version = word(body, 0).filter(|_| body.len() == 4).ok_or(bad)?;
                if version < OLDEST {
                    return Err(BadControl::Version(version));
                }
                self.version = Some(version.min(VERSION));
                Ok(None)
            }
            kind::EXEC_CMDLINE | kind::JUST_EXEC => {
                let (domain, port) = (word(body, 0).ok_or(bad)?, word(body, 1).ok_or(bad)?);
                let line = body.get(8..).filter(|line| line.last() == Some(&0)).ok_or(bad)?;
                let detached = kind == kind::JUST_EXEC;
                Ok(Some(Exec { domain, port, command: Command::parse(line), detached }))
            }
            // Answers to calls of ours, which there are none of.
            kind::SERVICE_CONNECT => {
                let (domain, port) = (word(body, 0).ok_or(bad)?, word(body, 1).ok_or(bad)?);
                log::warn!("qrexec: the answer to a call that was not made");
                self.terminated(domain, port);
                Ok(None)
            }
            kind::SERVICE_REFUSED => Ok(None),
            _ => Err(bad),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{string::ToString, vec};

    fn exec(kind: u32, domain: u32, port: u32, line: &[u8]) -> Vec<u8> {
        let mut bytes = message(kind, &[domain, port]);
        bytes[4..8].copy_from_slice(&(8 + line.len() as u32).to_le_bytes());
        bytes.extend(line);
        bytes
    }

    fn started(version: u32) -> Agent {
        let mut agent = Agent::new();
        assert_eq!(agent.output(), message(kind::HELLO, &[3]));
        agent.sent(12);
        assert_eq!(agent.push(&message(kind::HELLO, &[version])), Ok((12, None)));
        agent
    }

    #[test]
    fn the_older_version_of_both_is_spoken() {
        assert_eq!(started(2).version(), Some(2));
        assert_eq!(started(4).version(), Some(3));
        let mut agent = Agent::new();
        assert_eq!(agent.push(&message(kind::HELLO, &[1])), Err(BadControl::Version(1)));
    }

    #[test]
    fn calls_come_one_at_a_time_and_their_ends_are_told() {
        let mut agent = started(3);
        let one = exec(kind::EXEC_CMDLINE, 0, 513, b"user:status\0");
        let two = exec(kind::JUST_EXEC, 7, 514, b"root:QUBESRPC a+b work\0");
        let both = [one.clone(), two].concat();
        let (taken, first) = agent.push(&both).unwrap();
        assert_eq!(taken, one.len());
        let first = first.unwrap();
        assert_eq!((first.domain, first.port, first.detached), (0, 513, false));
        assert_eq!(first.command, Command::Shell("status".into()));
        let mut second = None;
        for byte in &both[taken..] {
            assert_eq!(second, None);
            second = agent.push(&[*byte]).unwrap().1;
        }
        let second = second.unwrap();
        assert_eq!((second.domain, second.port, second.detached), (7, 514, true));
        agent.terminated(7, 514);
        assert_eq!(agent.output(), message(kind::CONNECTION_TERMINATED, &[7, 514]));
    }

    #[test]
    fn what_no_daemon_sends_ends_the_connection() {
        let bad = |kind, length| BadControl::Message { kind, length };
        for (bytes, error) in [
            (message(0x999, &[1]), bad(0x999, 4)),
            (message(kind::HELLO, &[3]), bad(kind::HELLO, 4)),
            (message(kind::EXEC_CMDLINE, &[0]), bad(kind::EXEC_CMDLINE, 4)),
            (message(kind::EXEC_CMDLINE, &[0, 513]), bad(kind::EXEC_CMDLINE, 8)),
            (exec(kind::JUST_EXEC, 0, 513, b"no end"), bad(kind::JUST_EXEC, 14)),
            (message(kind::DATA_STDIN, &[]), bad(kind::DATA_STDIN, 0)),
        ] {
            assert_eq!(started(3).push(&bytes), Err(error));
        }
        let long = [message(kind::EXEC_CMDLINE, &[])[..4].to_vec(), vec![0, 0, 1, 0]].concat();
        assert_eq!(started(3).push(&long), Err(bad(kind::EXEC_CMDLINE, 65536)));
        assert_eq!(
            bad(kind::EXEC_CMDLINE, 65536).to_string(),
            "a qrexec message of type 0x200 with 65536 bytes"
        );
        let mut agent = Agent::new();
        let early = exec(kind::EXEC_CMDLINE, 0, 1, b"x:y\0");
        assert_eq!(agent.push(&early), Err(BadControl::NoHello(kind::EXEC_CMDLINE)));
    }

    #[test]
    fn an_answer_that_nobody_asked_for_frees_its_port() {
        let mut agent = started(3);
        agent.push(&exec(kind::SERVICE_CONNECT, 3, 600, b"ident\0")).unwrap();
        assert_eq!(agent.output(), message(kind::CONNECTION_TERMINATED, &[3, 600]));
        agent.push(&exec(kind::SERVICE_REFUSED, 3, 600, b"ident\0")).unwrap();
    }

    #[test]
    fn the_longest_message_is_taken() {
        let line = [vec![b'x'; MAX_BODY as usize - 9], vec![0]].concat();
        let message = exec(kind::EXEC_CMDLINE, 0, 513, &line);
        assert_eq!(message.len(), HEADER + MAX_BODY as usize);
        let (taken, exec) = started(3).push(&message).unwrap();
        assert_eq!((taken, exec.unwrap().port), (message.len(), 513));
    }
}
