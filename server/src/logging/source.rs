//! Whose doing it is that a line is logged: who may write a bounded number of them.
use core::fmt;
use core::net::IpAddr;
use spin::Mutex;

/// A client's address, a calling qube, or nobody but this machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Source {
    #[default]
    Machine,
    Address(IpAddr),
    /// The name of a qube, which has 31 bytes at most.
    Qube([u8; 31]),
    /// Clients for whom there was no place of their own.
    Others,
}

impl Source {
    /// Both ways to write an IPv4 address are the same.
    pub fn of_address(address: IpAddr) -> Self {
        Self::Address(address.to_canonical())
    }

    pub fn qube(name: &str) -> Self {
        let mut bytes = [0; 31];
        bytes.iter_mut().zip(name.bytes()).for_each(|(to, from)| *to = from);
        Self::Qube(bytes)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Machine => f.write_str("this machine"),
            Self::Address(address) => address.fmt(f),
            Self::Qube(name) => {
                let name = name.split(|&b| b == 0).next().unwrap_or_default();
                write!(f, "qube {}", core::str::from_utf8(name).unwrap_or("?"))
            }
            Self::Others => f.write_str("others"),
        }
    }
}

/// One thread does everything, so there is one.
static CURRENT: Mutex<Source> = Mutex::new(Source::Machine);

/// What is logged until this is dropped is the doing of a source.
#[must_use]
pub struct About(Source);

pub fn about(source: Source) -> About {
    About(core::mem::replace(&mut *CURRENT.lock(), source))
}

impl Drop for About {
    fn drop(&mut self) {
        *CURRENT.lock() = self.0;
    }
}

/// Whose doing the present line is.
pub fn current() -> Source {
    CURRENT.try_lock().map(|current| *current).unwrap_or_default()
}
