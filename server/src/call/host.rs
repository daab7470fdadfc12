//! What services can reach, and what they may ask of the machine.
use crate::levels::Levels;
use crate::login::users::ToldKeys;
use crate::options::Options;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;
use fat::{BlockDevice, Volume};

/// What a caller asked of the machine.
#[derive(Debug, PartialEq, Eq)]
pub enum Asked {
    Levels(Levels),
    PowerOff,
}

/// What services can reach.
pub struct Host<D: BlockDevice> {
    pub volume: Rc<Volume<D>>,
    pub options: Rc<Options>,
    pub told_keys: Rc<RefCell<ToldKeys>>,
    /// The host key's.
    pub fingerprint: Rc<str>,
    pub asked: Rc<RefCell<Vec<Asked>>>,
    pub clients: Rc<RefCell<Vec<String>>>,
    pub limits: Rc<RefCell<String>>,
}
