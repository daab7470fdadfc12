//! Runs the parts that the machine must carry, once, and says on the console how it went.
use crate::memory;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use sunset::{Client, CliEvent, Event, KeyType, Runner, ServEvent, Server, SignKey};

/// The step that failed, and how.
#[derive(Debug)]
pub struct Failed {
    step: &'static str,
    reason: Box<dyn fmt::Display>,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "self-check: {}: {}", self.step, self.reason)
    }
}
