//! Clusters that a growing file's neighbours leave to it, so that files that grow side by side do not
//! end in pieces.
use crate::{BlockDevice, Volume};
use alloc::rc::Rc;
use core::cell::Cell;

/// How far ahead of a growing file others keep off, in bytes.
const CLAIM: u32 = 1 << 20;
/// The most claims kept; the oldest goes first.
const CLAIMS: usize = 64;

/// How often a file is open. Its address says which file it is.
#[derive(Debug, Default)]
pub(crate) struct Opens(Cell<u32>);

impl Opens {
    pub(crate) fn add(&self) {
        self.0.set(self.0.get().saturating_add(1));
    }

    pub(crate) fn remove(&self) {
        self.0.set(self.0.get().saturating_sub(1));
    }

    pub(crate) fn none(&self) -> bool {
        self.0.get() == 0
    }
}

/// The file that grows, if it is one.
pub(crate) type Owner<'a> = Option<&'a Rc<Opens>>;

/// Clusters that other files leave alone while `owner` is open and grows into them. Memory only.
#[derive(Debug)]
pub(crate) struct Claim {
    owner: Rc<Opens>,
    start: u32,
    end: u32,
}

impl Claim {
    fn is_of(&self, owner: Owner<'_>) -> bool {
        owner.is_some_and(|owner| Rc::ptr_eq(owner, &self.owner))
    }
}

impl<D: BlockDevice> Volume<D> {
    /// Where somebody else's claim on this cluster ends.
    pub(super) fn claimed(&self, cluster: u32, owner: Owner<'_>) -> Option<u32> {
        let claims = self.space.claims.borrow();
        let mut others = claims.iter().filter(|claim| !claim.owner.none() && !claim.is_of(owner));
        others.find(|claim| (claim.start..claim.end).contains(&cluster)).map(|claim| claim.end)
    }

    /// Where the next claim of somebody else behind this cluster starts.
    pub(super) fn next_claim(&self, cluster: u32, owner: Owner<'_>) -> Option<u32> {
        let claims = self.space.claims.borrow();
        let others = claims.iter().filter(|claim| !claim.owner.none() && !claim.is_of(owner));
        others.map(|claim| claim.start).filter(|start| *start > cluster).min()
    }

    pub(super) fn claim(&self, owner: &Rc<Opens>, start: u32) {
        let few = self.geometry.clusters / 64;
        let ahead = (CLAIM / self.geometry.cluster_size.max(1)).min(few);
        let mut claims = self.space.claims.borrow_mut();
        claims.retain(|claim| !claim.owner.none() && !claim.is_of(Some(owner)));
        if claims.len() >= CLAIMS {
            claims.remove(0);
        }
        claims.push(Claim { owner: owner.clone(), start, end: start.saturating_add(ahead) });
    }

    /// Forgets what closed files claimed.
    pub(crate) fn drop_claims(&self) {
        let mut claims = self.space.claims.borrow_mut();
        claims.retain(|claim| !claim.owner.none());
    }
}
