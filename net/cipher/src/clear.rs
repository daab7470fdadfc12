//! No cipher: what a connection begins with.
use crate::{Broken, Cipher, Shape, clear_length};

pub struct Clear;

impl Cipher for Clear {
    fn shape(&self) -> Shape {
        Shape { block: 8, with_length: true, tag: 0, head: 8 }
    }

    fn limit(&self) -> u64 {
        u64::MAX
    }

    fn length(&mut self, _: u32, head: &mut [u8]) -> Result<u32, Broken> {
        clear_length(head)
    }

    fn open(&mut self, _: u32, _: &mut [u8]) -> Result<(), Broken> {
        Ok(())
    }

    fn seal(&mut self, _: u32, _: &mut [u8]) -> Result<(), Broken> {
        Ok(())
    }
}
