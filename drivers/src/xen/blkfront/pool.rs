//! Pages through which all data go: granted once, used again and again, bounded in number.
use crate::xen::shared::Shared;
use crate::xen::{DomId, Xen, XenError};
use alloc::rc::Rc;
use alloc::vec::Vec;

/// Four of the largest requests, with a page each for their segments.
const MOST: usize = 4 * 33;

pub struct Pool {
    xen: Rc<dyn Xen>,
    remote: DomId,
    free: Vec<Shared>,
    /// Pages in existence, free or not.
    made: usize,
    most: usize,
}

impl Pool {
    pub fn new(xen: Rc<dyn Xen>, remote: DomId) -> Self {
        Self { xen, remote, free: Vec::new(), made: 0, most: MOST }
    }

    /// The most pages that can ever be taken at once.
    pub fn most(&self) -> usize {
        self.most
    }

    /// Takes `n` pages with anything in them; None when there are not so many now. Fails when there
    /// never will be so many: `most` is smaller then than it was.
    pub fn take(&mut self, n: usize) -> Result<Option<Vec<Shared>>, XenError> {
        while self.free.len() < n && self.made < self.most {
            match Shared::new(&self.xen, self.remote, false) {
                Ok(page) => {
                    self.free.push(page);
                    self.made = self.made.saturating_add(1);
                }
                Err(e) => {
                    log::warn!("disk buffers are limited to {} pages: {e}", self.made);
                    self.most = self.made;
                }
            }
        }
        if n > self.most {
            return Err(XenError::NoMemory);
        }
        let rest = self.free.len().checked_sub(n);
        Ok(rest.map(|rest| self.free.split_off(rest)))
    }

    pub fn give_back(&mut self, pages: impl IntoIterator<Item = Shared>) {
        self.free.extend(pages);
    }
}
