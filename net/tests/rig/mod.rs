//! A session and the client in memory, joined.
#![allow(dead_code, clippy::unwrap_used)]
use client::{Client, End, pair};
use net::{Algorithms, Ended, Event, HostKey, RekeyLimit, Session};

pub const SEED: [u8; 32] = [1; 32];

pub fn blob(seed: [u8; 32]) -> Vec<u8> {
    let pair = ed25519_compact::KeyPair::from_seed(ed25519_compact::Seed::new(seed));
    let part = |bytes: &[u8]| [&(bytes.len() as u32).to_be_bytes(), bytes].concat();
    [part(b"ssh-ed25519"), part(&*pair.pk)].concat()
}

pub struct Pair {
    pub session: Session,
    pub ours: End,
    pub client: Client,
    pub theirs: End,
    pub host_key: HostKey,
}

impl Pair {
    pub fn new() -> Self {
        Self::with(RekeyLimit::default())
    }

    pub fn with(rekey: RekeyLimit) -> Self {
        Self::of(rekey, Algorithms::All)
    }

    pub fn of(rekey: RekeyLimit, algorithms: Algorithms) -> Self {
        let (ours, theirs) = pair();
        Self {
            session: Session::new(rekey, algorithms).unwrap(),
            ours,
            client: Client::new("mirage", &SEED),
            theirs,
            host_key: HostKey::from_seed(&[9; 32]),
        }
    }

    /// The next event but Idle, or None when neither side moves any more.
    pub fn event(&mut self) -> Result<Option<Event>, Ended> {
        loop {
            match self.session.step(&mut self.ours, &self.host_key)? {
                Event::Idle => match self.client.step(&mut self.theirs) {
                    Ok(true) => (),
                    _ => {
                        let last = self.session.step(&mut self.ours, &self.host_key)?;
                        return Ok(Some(last).filter(|event| *event != Event::Idle));
                    }
                },
                event => return Ok(Some(event)),
            }
        }
    }

    pub fn open() -> Self {
        Self::new().logged_in()
    }

    pub fn logged_in(mut self) -> Self {
        let pair = &mut self;
        assert_eq!(pair.event().unwrap(), Some(Event::Login("mirage".into())));
        pair.session.set_keys(vec![blob([2; 32]), blob(SEED)]);
        assert_eq!(pair.event().unwrap(), Some(Event::Authenticated));
        assert_eq!(pair.session.accepted_key(), blob(SEED));
        assert_eq!(pair.event().unwrap(), Some(Event::Sftp { number: 0, read_only: false }));
        self
    }
}
