//! SFTP packets as a client builds and reads them (draft-ietf-secsh-filexfer-02).
use alloc::vec::Vec;

/// One reply: its type, its request id and what follows.
#[derive(Debug, PartialEq, Eq)]
pub struct Reply {
    pub kind: u8,
    pub id: u32,
    pub body: Vec<u8>,
}

/// SSH_FXP_INIT of version 3.
pub fn init() -> Vec<u8> {
    packet(1, &3u32.to_be_bytes(), &[])
}

/// A request of `kind` with strings, and then `rest` as it stands.
pub fn request(kind: u8, id: u32, strings: &[&[u8]], rest: &[u8]) -> Vec<u8> {
    let mut body = id.to_be_bytes().to_vec();
    for string in strings {
        body.extend((string.len() as u32).to_be_bytes());
        body.extend(*string);
    }
    packet(kind, &body, rest)
}

fn packet(kind: u8, body: &[u8], rest: &[u8]) -> Vec<u8> {
    let length = 1u32.saturating_add((body.len() as u32).saturating_add(rest.len() as u32));
    let mut packet = length.to_be_bytes().to_vec();
    packet.push(kind);
    packet.extend(body);
    packet.extend(rest);
    packet
}

impl Reply {
    /// Takes the first complete reply out of what was received. VERSION's number stands as its id.
    pub fn take(received: &mut Vec<u8>) -> Option<Self> {
        let (length, rest) = received.split_first_chunk::<4>()?;
        let length = u32::from_be_bytes(*length) as usize;
        let (kind, fields) = rest.get(..length)?.split_first()?;
        let (id, body) = fields.split_first_chunk::<4>()?;
        let reply = Self { kind: *kind, id: u32::from_be_bytes(*id), body: body.to_vec() };
        received.drain(..length.saturating_add(4));
        Some(reply)
    }

    /// The string that the body starts with: a handle or data.
    pub fn string(&self) -> &[u8] {
        let Some((length, rest)) = self.body.split_first_chunk::<4>() else {
            return &[];
        };
        rest.get(..u32::from_be_bytes(*length) as usize).unwrap_or_default()
    }
}
