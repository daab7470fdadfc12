//! Pages, ours and those of other domains, and event channels that end with their owner.
use crate::xen::page::Page;
use crate::xen::{DomId, GrantRef, Port, Xen, XenError};
use alloc::rc::Rc;
use alloc::vec::Vec;

/// A page that another domain may map. When it is dropped the grant is taken back; while the other
/// side still maps the page, the memory is not used again.
pub struct Shared {
    xen: Rc<dyn Xen>,
    age: u32,
    /// None only while it is dropped.
    page: Option<Page>,
    grant: GrantRef,
}

impl Shared {
    /// A new zeroed page, shared with `remote`, which may write to it unless it is `read_only`.
    pub fn new(xen: &Rc<dyn Xen>, remote: DomId, read_only: bool) -> Result<Self, XenError> {
        let page = Page::new().ok_or(XenError::NoMemory)?;
        let grant = xen.grant(remote, &page, read_only)?;
        Ok(Self { xen: xen.clone(), age: xen.age(), page: Some(page), grant })
    }

    pub fn grant(&self) -> GrantRef {
        self.grant
    }

    /// Some for as long as anybody can ask.
    pub fn page(&self) -> Option<&Page> {
        self.page.as_ref()
    }

    pub fn copy_in(&self, offset: usize, from: &[u8]) -> bool {
        self.page.as_ref().is_some_and(|p| p.copy_in(offset, from))
    }

    pub fn copy_out(&self, offset: usize, to: &mut [u8]) -> bool {
        self.page.as_ref().is_some_and(|p| p.copy_out(offset, to))
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let Some(page) = self.page.take() else {
            return;
        };
        // No other domain has a page of an earlier age.
        if self.age == self.xen.age() && !self.xen.revoke(self.grant) {
            self.xen.retire(self.grant, page);
        }
    }
}

/// Pages whose grants could not be taken back yet.
#[derive(Debug, Default)]
pub struct Retired(Vec<(GrantRef, Page)>);

impl Retired {
    pub fn push(&mut self, grant: GrantRef, page: Page) {
        self.0.push((grant, page));
    }

    /// Frees the pages that `revoke` can take back now.
    pub fn free(&mut self, mut revoke: impl FnMut(GrantRef) -> bool) {
        self.0.retain(|&(grant, _)| !revoke(grant));
    }

    /// Frees all: no other domain has them any more.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A page of another domain, unmapped when it is dropped.
pub struct Mapped {
    xen: Rc<dyn Xen>,
    age: u32,
    /// None only while it is dropped.
    page: Option<Page>,
    handle: u32,
    read_only: bool,
}

impl Mapped {
    pub fn new(
        xen: &Rc<dyn Xen>,
        owner: DomId,
        grant: GrantRef,
        read_only: bool,
    ) -> Result<Self, XenError> {
        let (page, handle) = xen.map(owner, grant, read_only)?;
        Ok(Self { xen: xen.clone(), age: xen.age(), page: Some(page), handle, read_only })
    }

    /// The page; None when it is only for reading, or gone.
    pub fn page(&self) -> Option<&Page> {
        self.page.as_ref().filter(|_| !self.read_only && self.is_there())
    }

    pub fn copy_out(&self, offset: usize, to: &mut [u8]) -> bool {
        self.is_there() && self.page.as_ref().is_some_and(|p| p.copy_out(offset, to))
    }

    fn is_there(&self) -> bool {
        self.age == self.xen.age()
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        let handle = self.is_there().then_some(self.handle);
        if let Some(page) = self.page.take() {
            self.xen.unmap(page, handle);
        }
    }
}

/// A local event channel, closed when it is dropped.
pub struct Channel {
    xen: Rc<dyn Xen>,
    age: u32,
    port: Port,
}

impl Channel {
    pub fn new(xen: &Rc<dyn Xen>, remote: DomId) -> Result<Self, XenError> {
        Ok(Self { xen: xen.clone(), age: xen.age(), port: xen.alloc_unbound(remote)? })
    }

    /// The other end of a channel that `remote` made for us.
    pub fn bind(xen: &Rc<dyn Xen>, remote: DomId, port: u32) -> Result<Self, XenError> {
        Ok(Self { xen: xen.clone(), age: xen.age(), port: xen.bind_interdomain(remote, port)? })
    }

    /// Whether it is of this age: one of an earlier is gone, and its other side with it.
    pub fn is_there(&self) -> bool {
        self.age == self.xen.age()
    }

    /// Whether another domain is at the other side.
    pub fn is_bound(&self) -> bool {
        self.is_there() && self.xen.is_bound(self.port)
    }

    pub fn port(&self) -> Port {
        self.port
    }

    pub fn notify(&self) {
        if self.is_there() {
            self.xen.notify(self.port);
        }
    }

    pub fn take_pending(&self) -> bool {
        self.is_there() && self.xen.take_pending(self.port)
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        if self.is_there() {
            self.xen.close(self.port);
        }
    }
}
