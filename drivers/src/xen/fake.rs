//! A hypervisor for the tests: grants are more handles on the same memory, events are flags.
pub mod blkback;
pub mod dom0;
pub mod fed;
pub mod random;
pub mod stored;
pub mod world;

use crate::xen::page::Page;
use crate::xen::shared::Retired;
use crate::xen::{DomId, GrantRef, Port, Xen, XenError};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

#[derive(Default)]
pub struct FakeXen {
    grants: RefCell<BTreeMap<u32, Grant>>,
    ports: RefCell<BTreeMap<u32, Channel>>,
    retired: RefCell<Retired>,
    last: Cell<u32>,
    pub now: Cell<u64>,
    /// Grants that may still be made.
    pub grants_left: Cell<Option<usize>>,
    /// Pages that other domains offer us, and how often each is mapped.
    offers: RefCell<BTreeMap<u32, (DomId, Page, u32)>>,
    /// Our ports by the ports that other domains made for us.
    bound: RefCell<BTreeMap<u32, u32>>,
    /// What the other side does as soon as it is told of something.
    pub when_told: RefCell<Option<Box<dyn Fn()>>>,
    /// Domains that this one was.
    age: Cell<u32>,
    /// Domains whose side of every channel is gone.
    pub gone: Cell<bool>,
}

struct Grant {
    remote: DomId,
    page: Page,
    mapped: u32,
}

#[derive(Default)]
struct Channel {
    /// An event for the frontend, one for the backend.
    pending: bool,
    notified: bool,
}

impl FakeXen {
    fn next(&self) -> u32 {
        self.last.set(self.last.get() + 1);
        self.last.get() + 7
    }

    /// What the backend does to get at a page.
    pub fn map(&self, domain: DomId, grant: u32) -> Option<Page> {
        let mut grants = self.grants.borrow_mut();
        let grant = grants.get_mut(&grant).filter(|g| g.remote == domain)?;
        grant.mapped += 1;
        Some(grant.page.alias())
    }

    pub fn unmap(&self, grant: u32) {
        self.grants.borrow_mut().get_mut(&grant).unwrap().mapped -= 1;
        self.retired.borrow_mut().free(|grant| self.revoke(grant));
    }

    /// What another domain does to let us map a page of its own: the grant.
    pub fn offer(&self, domain: DomId, page: &Page) -> u32 {
        let grant = self.next();
        self.offers.borrow_mut().insert(grant, (domain, page.alias(), 0));
        grant
    }

    /// Our port that is bound to one that another domain made.
    pub fn bound_to(&self, port: u32) -> Option<u32> {
        self.bound.borrow().get(&port).copied()
    }

    /// Pages of others that are mapped.
    pub fn mapped(&self) -> u32 {
        self.offers.borrow().values().map(|(_, _, mapped)| mapped).sum()
    }

    /// Sends an event to the frontend.
    pub fn kick(&self, port: u32) {
        if let Some(channel) = self.ports.borrow_mut().get_mut(&port) {
            channel.pending = true;
        }
    }

    /// Takes the event that the frontend sent.
    pub fn take_notified(&self, port: u32) -> bool {
        let mut ports = self.ports.borrow_mut();
        ports.get_mut(&port).is_some_and(|c| std::mem::take(&mut c.notified))
    }

    /// Whether a guest that sleeps now would be woken.
    pub fn any_pending(&self) -> bool {
        self.ports.borrow().values().any(|c| c.pending)
    }

    /// Grants and ports in existence.
    pub fn in_use(&self) -> (usize, usize) {
        (self.grants.borrow().len(), self.ports.borrow().len())
    }

    /// What a restored domain finds: channels, grants and mapped pages are gone, and their numbers come again.
    pub fn restore(&self) {
        self.age.set(self.age.get() + 1);
        self.last.set(0);
        self.grants.borrow_mut().clear();
        self.ports.borrow_mut().clear();
        self.bound.borrow_mut().clear();
        self.retired.borrow_mut().clear();
        self.offers.borrow_mut().clear();
    }

    pub fn retired(&self) -> usize {
        self.retired.borrow().len()
    }
}

impl Xen for FakeXen {
    fn alloc_unbound(&self, _: DomId) -> Result<Port, XenError> {
        let port = self.next();
        self.ports.borrow_mut().insert(port, Channel::default());
        Ok(Port(port))
    }

    fn bind_interdomain(&self, remote: DomId, port: u32) -> Result<Port, XenError> {
        let ours = self.alloc_unbound(remote)?;
        self.bound.borrow_mut().insert(port, ours.0);
        Ok(ours)
    }

    fn is_bound(&self, _: Port) -> bool {
        !self.gone.get()
    }

    fn close(&self, port: Port) {
        self.bound.borrow_mut().retain(|_, ours| *ours != port.0);
        self.ports.borrow_mut().remove(&port.0).expect("an open port");
    }

    fn notify(&self, port: Port) {
        self.ports.borrow_mut().get_mut(&port.0).expect("an open port").notified = true;
        if let Some(work) = &*self.when_told.borrow() {
            work();
        }
    }

    fn take_pending(&self, port: Port) -> bool {
        let mut ports = self.ports.borrow_mut();
        std::mem::take(&mut ports.get_mut(&port.0).expect("an open port").pending)
    }

    fn grant(&self, remote: DomId, page: &Page, _: bool) -> Result<GrantRef, XenError> {
        if let Some(left) = self.grants_left.get() {
            self.grants_left.set(Some(left.checked_sub(1).ok_or(XenError::NoGrants)?));
        }
        let (grant, page) = (self.next(), page.alias());
        self.grants.borrow_mut().insert(grant, Grant { remote, page, mapped: 0 });
        Ok(GrantRef(grant))
    }

    fn revoke(&self, grant: GrantRef) -> bool {
        let mut grants = self.grants.borrow_mut();
        let unused = grants.get(&grant.0).expect("a grant").mapped == 0;
        if unused {
            grants.remove(&grant.0);
        }
        unused
    }

    fn retire(&self, grant: GrantRef, page: Page) {
        self.retired.borrow_mut().push(grant, page);
    }

    fn map(&self, owner: DomId, grant: GrantRef, _: bool) -> Result<(Page, u32), XenError> {
        let mut offers = self.offers.borrow_mut();
        let offer = offers.get_mut(&grant.0).filter(|o| o.0 == owner);
        let (_, page, mapped) = offer.ok_or(XenError::BadGrant(-3))?;
        *mapped += 1;
        Ok((page.alias(), grant.0))
    }

    fn unmap(&self, page: Page, handle: Option<u32>) {
        let Some(handle) = handle else { return };
        let mut offers = self.offers.borrow_mut();
        let (_, offered, mapped) = offers.get_mut(&handle).unwrap();
        assert_eq!(offered.frame(), page.frame());
        *mapped -= 1;
    }

    fn age(&self) -> u32 {
        self.age.get()
    }

    fn now_ns(&self) -> u64 {
        self.now.get()
    }
}
