//! The real Xen: what a guest's kernel starts first, and what all drivers stand on.
use crate::xen::console::Console;
use crate::xen::events::Events;
use crate::xen::grants::Grants;
use crate::xen::hypercall::{Hypercalls, Window, time_stamp};
use crate::xen::page::Page;
use crate::xen::shared::Retired;
use crate::xen::time;
use crate::xen::xenstore::Xenstore;
use crate::xen::{DomId, GrantRef, Port, Xen, XenError};
use alloc::boxed::Box;
use alloc::rc::Rc;
use core::cell::{Cell, RefCell};
use core::fmt;
use core::ops::Range;
use core::time::Duration;
use xen_sys::event_channel::{STATUS_INTERDOMAIN, STATUS_UNBOUND};
use xen_sys::hvm::{
    PARAM_CALLBACK_IRQ, PARAM_CONSOLE_EVTCHN, PARAM_CONSOLE_PFN, PARAM_STORE_EVTCHN,
    PARAM_STORE_PFN,
};
use xen_sys::memory::{SPACE_GRANT_TABLE, SPACE_SHARED_INFO};
use xen_sys::sched::{REASON_CRASH, REASON_POWEROFF, REASON_REBOOT};

pub struct Hypervisor {
    calls: Hypercalls,
    window: Window,
    shared_info: Page,
    events: Events,
    grants: RefCell<Grants>,
    retired: RefCell<Retired>,
    clock: time::Steady,
    age: Cell<u32>,
}

/// Why there is no hypervisor to work with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartError {
    /// Not under Xen.
    NoXen,
    Refused(XenError),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoXen => f.write_str("this is no guest of Xen"),
            Self::Refused(e) => e.fmt(f),
        }
    }
}

impl From<XenError> for StartError {
    fn from(error: XenError) -> Self {
        Self::Refused(error)
    }
}

/// What was asked for when the domain ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    PowerOff,
    Reboot,
    Crash,
}

impl Hypervisor {
    /// Starts without the console, xenstore and devices. `window` is guest-physical addresses where
    /// Xen's pages are put, 65 at the most, and
    /// those of other domains that are mapped at the same time.
    ///
    /// # Safety
    /// Once in a program, in ring 0 of a 64-bit guest, with the heap, the window and the pages
    /// below 4 GiB mapped to themselves and writable; the window holds neither RAM nor devices and
    /// is nobody else's.
    #[allow(unsafe_code)]
    pub unsafe fn start(window: Range<u64>) -> Result<Rc<Self>, StartError> {
        // SAFETY: the caller's promise.
        let (calls, window) = unsafe { (Hypercalls::detect(), Window::new(window)) };
        let calls = calls.ok_or(StartError::NoXen)?;
        let shared_info = window.map(calls, SPACE_SHARED_INFO, 0)?;
        // No callback is wanted, but this call makes Xen take up the layout of this 64-bit guest
        // and write the wall clock (`hvm_latch_shinfo_size` in xen/arch/x86/hvm/hvm.c).
        calls.set_parameter(PARAM_CALLBACK_IRQ, 0)?;
        let events = Events::new(calls, &shared_info);
        Ok(Rc::new(Self {
            calls,
            window,
            shared_info,
            events,
            grants: RefCell::default(),
            retired: RefCell::default(),
            clock: time::Steady::default(),
            age: Cell::new(0),
        }))
    }

    /// Suspends the domain until the toolstack lets it go on. True when that is as another domain, which was
    /// restored from what was saved: then this hypervisor is ready again, but nothing of what it gave before
    /// is there any more.
    pub fn suspend(&self) -> Result<bool, XenError> {
        // The hypercall's own result tells only guests that set a callback. Another domain has no such channel:
        // those that the toolstack makes in it have lower numbers, as they have here.
        let mark = self.calls.alloc_unbound(0)?;
        self.calls.suspend()?;
        if self.calls.status(mark).is_ok_and(|status| status == STATUS_UNBOUND) {
            self.calls.close(mark)?;
            return Ok(false);
        }
        self.age.update(|age| age.wrapping_add(1));
        self.window.map_again(self.calls, SPACE_SHARED_INFO, 0, &self.shared_info)?;
        self.calls.set_parameter(PARAM_CALLBACK_IRQ, 0)?;
        self.events.begin(&self.shared_info);
        self.retired.borrow_mut().clear();
        self.grants.borrow_mut().begin_anew(|number, page| {
            self.window.map_again(self.calls, SPACE_GRANT_TABLE, number, page)
        })?;
        self.clock.go_on(self.xen_time());
        Ok(true)
    }

    /// Nanoseconds of Xen's own time.
    fn xen_time(&self) -> u64 {
        time::system_time(&self.shared_info, time_stamp).unwrap_or_default()
    }

    /// The console that the toolstack made. Ask once, and again in another domain.
    pub fn console(&self) -> Result<Console, XenError> {
        console(self.calls)
    }

    /// The console for the last words of a kernel that does not come to `start`; None when there is none.
    ///
    /// # Safety
    /// As `start`, but for the window.
    #[allow(unsafe_code)]
    pub unsafe fn early_console() -> Option<Console> {
        // SAFETY: the caller's promise.
        let calls = unsafe { Hypercalls::detect() };
        calls.and_then(|calls| console(calls).ok())
    }

    /// Connects to xenstore again in another domain.
    pub fn resume_xenstore(&self, store: &Xenstore) -> Result<(), XenError> {
        let port = port(self.calls.parameter(PARAM_STORE_EVTCHN)?)?;
        self.events.add(port);
        store.resume(port);
        Ok(())
    }

    /// The connection to xenstore that the toolstack made. Ask once.
    #[allow(unsafe_code)]
    pub fn xenstore(self: &Rc<Self>) -> Result<Xenstore, XenError> {
        // SAFETY: as for the console.
        let page = unsafe { self.calls.special_page(PARAM_STORE_PFN)? };
        let port = port(self.calls.parameter(PARAM_STORE_EVTCHN)?)?;
        self.events.add(port);
        Ok(Xenstore::new(self.clone(), page, port))
    }

    /// Sleeps until an event arrives on an open port or until the deadline, in nanoseconds as
    /// `now_ns` tells them. The loop calls it when a whole turn moved nothing.
    pub fn sleep(&self, deadline: Option<u64>) {
        self.free_retired();
        if deadline.is_none_or(|deadline| deadline > self.now_ns()) {
            self.events.sleep(deadline.map(|deadline| self.clock.of_xen(deadline)));
        }
    }

    /// The time since 1970; None before Xen has told it.
    pub fn unix_time(&self) -> Option<Duration> {
        let base = time::wall_clock_base(&self.shared_info)?;
        base.checked_add(Duration::from_nanos(self.clock.of_xen(self.now_ns())))
    }

    /// Ends the domain.
    pub fn end(&self, ending: Ending) -> ! {
        self.calls.shutdown(match ending {
            Ending::PowerOff => REASON_POWEROFF,
            Ending::Reboot => REASON_REBOOT,
            Ending::Crash => REASON_CRASH,
        })
    }

    /// Ends the domain as crashed, from a handler that has no `Hypervisor` at hand.
    ///
    /// # Safety
    /// As `start`, but for the window and the heap. Does nothing when the hypervisor is not Xen.
    #[allow(unsafe_code)]
    pub unsafe fn crash() {
        // SAFETY: the caller's promise.
        if let Some(calls) = unsafe { Hypercalls::detect() } {
            calls.shutdown(REASON_CRASH)
        }
    }

    fn free_retired(&self) {
        self.retired.borrow_mut().free(|grant| self.grants.borrow_mut().revoke(grant));
    }
}

#[allow(unsafe_code)]
fn console(calls: Hypercalls) -> Result<Console, XenError> {
    // SAFETY: who has `calls` has promised that the low 4 GiB are mapped to themselves. The parameter is the console's page, and its second user would be a second
    // console, which garbles the log and no more: the ring is never borrowed.
    let page = unsafe { calls.special_page(PARAM_CONSOLE_PFN)? };
    let port = port(calls.parameter(PARAM_CONSOLE_EVTCHN)?)?;
    // The channel may be gone when nobody reads the console; nothing is lost by that.
    Ok(Console::new(
        page,
        Box::new(move || {
            let _ = calls.send(port);
        }),
    ))
}

fn port(parameter: u64) -> Result<Port, XenError> {
    u32::try_from(parameter).map(Port).map_err(|_| XenError::Refused(0))
}

impl Xen for Hypervisor {
    fn alloc_unbound(&self, remote: DomId) -> Result<Port, XenError> {
        let port = self.calls.alloc_unbound(remote.0)?;
        self.events.add(port);
        Ok(port)
    }

    fn bind_interdomain(&self, remote: DomId, port: u32) -> Result<Port, XenError> {
        let port = self.calls.bind_interdomain(remote.0, port)?;
        self.events.add(port);
        Ok(port)
    }

    fn is_bound(&self, port: Port) -> bool {
        self.calls.status(port).is_ok_and(|status| status == STATUS_INTERDOMAIN)
    }

    fn close(&self, port: Port) {
        self.events.close(port);
        // A later channel may get the same number.
        self.take_pending(port);
    }

    fn notify(&self, port: Port) {
        // An unbound channel has nobody to tell yet.
        let _ = self.calls.send(port);
    }

    fn take_pending(&self, port: Port) -> bool {
        self.events.take_pending(&self.shared_info, port)
    }

    fn grant(&self, remote: DomId, page: &Page, read_only: bool) -> Result<GrantRef, XenError> {
        self.free_retired();
        let map = |frame| self.window.map(self.calls, SPACE_GRANT_TABLE, frame);
        let frame = u32::try_from(page.frame()).map_err(|_| XenError::NoMemory)?;
        self.grants.borrow_mut().grant(remote, frame, read_only, map)
    }

    fn revoke(&self, grant: GrantRef) -> bool {
        self.grants.borrow_mut().revoke(grant)
    }

    fn retire(&self, grant: GrantRef, page: Page) {
        self.retired.borrow_mut().push(grant, page);
    }

    fn map(&self, owner: DomId, grant: GrantRef, read_only: bool) -> Result<(Page, u32), XenError> {
        self.window.map_grant(self.calls, owner, grant, read_only)
    }

    fn unmap(&self, page: Page, handle: Option<u32>) {
        self.window.unmap_grant(self.calls, page, handle);
    }

    fn age(&self) -> u32 {
        self.age.get()
    }

    fn now_ns(&self) -> u64 {
        self.clock.tell(self.xen_time())
    }
}
