//! A peer that has always more to say, and takes all that it is told.
use net::{Closed, Stream};

pub struct Fed {
    message: Vec<u8>,
    bytes: Vec<u8>,
    /// How much it gave so far, and how much it gives in all.
    pub given: usize,
    pub most: usize,
}

impl Fed {
    /// Bytes that come at once, about.
    pub const PIECE: usize = 4096;

    /// Says this again and again.
    pub fn new(message: &[u8], most: usize) -> Self {
        Self { message: message.into(), bytes: Vec::new(), given: 0, most }
    }
}

impl Stream for Fed {
    fn fill(&mut self) -> Result<&[u8], Closed> {
        while self.bytes.len() < Self::PIECE && self.given + self.bytes.len() < self.most {
            self.bytes.extend(&self.message);
        }
        Ok(&self.bytes)
    }

    fn consume(&mut self, n: usize) {
        self.given += n;
        self.bytes.drain(..n);
    }

    fn write(&mut self, data: &[u8]) -> Result<usize, Closed> {
        Ok(data.len())
    }
}
