//! Xen's devices and the ground that they stand on; and here what they ask of the hypervisor.
use crate::xen::page::Page;
use core::fmt;

pub mod blkfront;
pub mod bus;
pub mod console;
mod events;
#[cfg(test)]
pub(crate) mod fake;
mod grants;
#[allow(unsafe_code)]
mod hypercall;
pub mod hypervisor;
pub mod netfront;
#[allow(unsafe_code)]
pub mod page;
pub mod ring;
pub mod shared;
pub mod shutdown;
pub mod time;
pub mod vchan;
pub mod xenstore;

/// The number of a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DomId(pub u16);

/// A local event channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Port(pub u32);

/// A page's number in the grant table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GrantRef(pub u32);

/// The hypervisor, or the fake of the tests. Everything returns at once.
pub trait Xen {
    /// A new event channel that `remote` may bind to.
    fn alloc_unbound(&self, remote: DomId) -> Result<Port, XenError>;

    /// Binds to an event channel that `remote` made for us.
    fn bind_interdomain(&self, remote: DomId, port: u32) -> Result<Port, XenError>;

    /// Whether another domain is at the other side of the channel.
    fn is_bound(&self, port: Port) -> bool;

    fn close(&self, port: Port);

    /// Sends an event to the other side.
    fn notify(&self, port: Port);

    /// Whether an event arrived since the last call. Call it before looking at what the event is
    /// about.
    fn take_pending(&self, port: Port) -> bool;

    /// Lets `remote` map `page`. The page must be kept until `revoke` was true: use `Shared`, which
    /// does that.
    fn grant(&self, remote: DomId, page: &Page, read_only: bool) -> Result<GrantRef, XenError>;

    /// Takes a grant back; false while the other side still maps the page.
    fn revoke(&self, grant: GrantRef) -> bool;

    /// Keeps a page whose grant could not be taken back, and frees it when it can be.
    fn retire(&self, grant: GrantRef, page: Page);

    /// Maps a page that `owner` granted: the page, and the handle for `unmap`. Use `Mapped`, which
    /// unmaps, and never writes to one that is `read_only`.
    fn map(&self, owner: DomId, grant: GrantRef, read_only: bool) -> Result<(Page, u32), XenError>;

    /// Without a handle Xen has it mapped no more.
    fn unmap(&self, page: Page, handle: Option<u32>);

    /// Counts how often the domain went on as another one. The channels, grants and mapped pages of an earlier
    /// age are gone, and their numbers may be those of others.
    fn age(&self) -> u32;

    /// Nanoseconds of the system's time, which never goes back.
    fn now_ns(&self) -> u64;
}

/// Why the hypervisor refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XenError {
    /// A negative errno of Xen's (errno.h), made positive.
    Refused(u32),
    NoMemory,
    /// The grant table is full.
    NoGrants,
    /// Another domain's grant cannot be mapped: `GNTST_*` of grant_table.h.
    BadGrant(i16),
}

impl fmt::Display for XenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(errno) => write!(f, "Xen refused with error {errno}"),
            Self::NoMemory => f.write_str("out of memory"),
            Self::BadGrant(status) => write!(f, "a grant cannot be mapped: status {status}"),
            Self::NoGrants => f.write_str("the grant table is full"),
        }
    }
}

impl core::error::Error for XenError {}
