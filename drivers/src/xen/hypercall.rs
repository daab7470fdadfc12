//! Hypercalls, by the instruction itself rather than through a page that Xen fills: code pages stay
//! read-only (xen/include/public/arch-x86/xen-x86_64.h has the registers).
use crate::xen::page::Page;
use crate::xen::{DomId, GrantRef, Port, XenError};
use alloc::vec::Vec;
use core::arch::asm;
use core::arch::x86_64::{__cpuid, _rdtsc};
use core::cell::{Cell, RefCell};
use core::ops::Range;
use xen_sys::event_channel::{AllocUnbound, BindInterdomain, Close, Send, Status};
use xen_sys::grant_table::{MAP_HOST, MAP_READ_ONLY, MapGrantRef, UnmapGrantRef};
use xen_sys::hvm::Param;
use xen_sys::memory::AddToPhysmap;
use xen_sys::sched::{Poll, Shutdown};
use xen_sys::{
    DOMID_SELF, PAGE_SIZE, cpuid, event_channel, grant_table, hvm, hypercall, memory, sched,
};

/// How this CPU calls its hypervisor. The value proves that there is a Xen.
#[derive(Clone, Copy, Debug)]
pub struct Hypercalls {
    amd: bool,
}

impl Hypercalls {
    /// None when the hypervisor is not Xen.
    ///
    /// # Safety
    /// The caller runs in ring 0 of a guest, with all memory mapped to itself.
    pub unsafe fn detect() -> Option<Self> {
        let mut leaves = (cpuid::FIRST..cpuid::LAST).step_by(cpuid::STEP).map(__cpuid);
        leaves.find(|leaf| [leaf.ebx, leaf.ecx, leaf.edx] == cpuid::SIGNATURE)?;
        let vendor = __cpuid(0).ebx.to_le_bytes();
        // AuthenticAMD and HygonGenuine have VMMCALL.
        Some(Self { amd: vendor == *b"Auth" || vendor == *b"Hygo" })
    }

    fn call<O: Operation>(self, operation: &mut O) -> Result<u64, XenError> {
        // The third argument is the number of structures, where an operation takes several.
        const ONE: u64 = 1;
        let argument = core::ptr::from_mut(operation).expose_provenance();
        let result: i64;
        // SAFETY: `detect`'s caller promised ring 0 and that pointers mean to Xen what they mean
        // here. `Operation` says that Xen reads and writes no more than the argument, which is
        // borrowed mutably. All registers that carry arguments are given up.
        unsafe {
            if self.amd {
                asm!("vmmcall", inlateout("rax") O::NUMBER => result,
                    inlateout("rdi") O::COMMAND => _, inlateout("rsi") argument => _,
                    inlateout("rdx") ONE => _, lateout("r10") _, lateout("r8") _, options(nostack));
            } else {
                asm!("vmcall", inlateout("rax") O::NUMBER => result,
                    inlateout("rdi") O::COMMAND => _, inlateout("rsi") argument => _,
                    inlateout("rdx") ONE => _, lateout("r10") _, lateout("r8") _, options(nostack));
            }
        }
        u64::try_from(result).map_err(|_| {
            XenError::Refused(u32::try_from(result.unsigned_abs()).unwrap_or(u32::MAX))
        })
    }

    pub fn alloc_unbound(self, remote: u16) -> Result<Port, XenError> {
        let mut operation = AllocUnbound { dom: DOMID_SELF, remote_dom: remote, port: 0 };
        self.call(&mut operation)?;
        Ok(Port(operation.port))
    }

    /// Binds to a channel that domain `remote` made for us.
    pub fn bind_interdomain(self, remote: u16, port: u32) -> Result<Port, XenError> {
        let mut operation =
            BindInterdomain { remote_dom: remote, remote_port: port, ..BindInterdomain::default() };
        self.call(&mut operation)?;
        Ok(Port(operation.local_port))
    }

    pub fn close(self, port: Port) -> Result<(), XenError> {
        self.call(&mut Close { port: port.0 }).map(drop)
    }

    pub fn send(self, port: Port) -> Result<(), XenError> {
        self.call(&mut Send { port: port.0 }).map(drop)
    }

    /// One of `event_channel::STATUS_*`.
    pub fn status(self, port: Port) -> Result<u32, XenError> {
        let mut operation = Status { dom: DOMID_SELF, port: port.0, ..Status::default() };
        self.call(&mut operation)?;
        Ok(operation.status)
    }

    pub fn parameter(self, index: u32) -> Result<u64, XenError> {
        let mut operation = GetParam(Param { domid: DOMID_SELF, index, ..Param::default() });
        self.call(&mut operation)?;
        Ok(operation.0.value)
    }

    pub fn set_parameter(self, index: u32, value: u64) -> Result<(), XenError> {
        let param = Param { domid: DOMID_SELF, index, value, ..Param::default() };
        self.call(&mut SetParam(param)).map(drop)
    }

    /// The page that a parameter of the toolstack names, such as xenstore's.
    ///
    /// # Safety
    /// The parameter must name a special page, and the program must ask for it once.
    pub unsafe fn special_page(self, index: u32) -> Result<Page, XenError> {
        let frame = self.parameter(index)?;
        // SAFETY: the toolstack puts these pages above all RAM, where the identity map promised to
        // `detect` reaches them; the caller promised that nothing else uses them.
        unsafe { Page::at(frame) }.ok_or(XenError::NoMemory)
    }

    /// Waits for one of the ports, pending or not masked, or for the deadline, in nanoseconds of
    /// system time; 0 is none.
    pub fn poll(self, ports: &[u32], deadline: u64) -> Result<(), XenError> {
        let ports = ports.get(..sched::POLL_PORTS).unwrap_or(ports);
        let mut operation = Poll {
            ports: ports.as_ptr().expose_provenance() as u64,
            nr_ports: u32::try_from(ports.len()).unwrap_or(0),
            pad: 0,
            timeout: deadline,
        };
        self.call(&mut operation).map(drop)
    }

    /// Stops the domain until the toolstack lets it go on, perhaps as another domain that has its memory.
    pub fn suspend(self) -> Result<(), XenError> {
        self.call(&mut Shutdown { reason: sched::REASON_SUSPEND }).map(drop)
    }

    /// Ends the domain for one of `sched::REASON_*`.
    pub fn shutdown(self, reason: u32) -> ! {
        loop {
            // It does not return; were it to, there is nothing better than to ask again.
            let _ = self.call(&mut Shutdown { reason });
        }
    }
}

/// The argument of one operation.
///
/// # Safety
/// Xen's operation `COMMAND` of hypercall `NUMBER` takes a pointer to exactly this structure, writes
/// nothing else, and what else it reads or changes is memory that Rust does not know.
unsafe trait Operation {
    const NUMBER: u64;
    const COMMAND: u64;
}

#[repr(transparent)]
struct GetParam(Param);

#[repr(transparent)]
struct SetParam(Param);

macro_rules! operations {
    ($($argument:ty = $number:expr, $command:expr;)*) => {$(
        // SAFETY: xen-sys has the layouts from Xen's headers. Poll's ports are only read.
        // AddToPhysmap, MapGrantRef and UnmapGrantRef change the memory map, at frames of `Window`
        // alone.
        unsafe impl Operation for $argument {
            const NUMBER: u64 = $number;
            const COMMAND: u64 = $command;
        }
    )*};
}

operations! {
    AllocUnbound = hypercall::EVENT_CHANNEL_OP, event_channel::ALLOC_UNBOUND_OP;
    BindInterdomain = hypercall::EVENT_CHANNEL_OP, event_channel::BIND_INTERDOMAIN_OP;
    Close = hypercall::EVENT_CHANNEL_OP, event_channel::CLOSE_OP;
    Send = hypercall::EVENT_CHANNEL_OP, event_channel::SEND_OP;
    Status = hypercall::EVENT_CHANNEL_OP, event_channel::STATUS_OP;
    GetParam = hypercall::HVM_OP, hvm::GET_PARAM_OP;
    SetParam = hypercall::HVM_OP, hvm::SET_PARAM_OP;
    Poll = hypercall::SCHED_OP, sched::POLL_OP;
    Shutdown = hypercall::SCHED_OP, sched::SHUTDOWN_OP;
    AddToPhysmap = hypercall::MEMORY_OP, memory::ADD_TO_PHYSMAP_OP;
    MapGrantRef = hypercall::GRANT_TABLE_OP, grant_table::MAP_GRANT_REF_OP;
    UnmapGrantRef = hypercall::GRANT_TABLE_OP, grant_table::UNMAP_GRANT_REF_OP;
}

/// Frames where Xen's own pages, which stay, and those of other domains, which go again, may appear
/// in the guest's memory.
///
/// Invariant: nothing is at the frames from `free` to `end` and at those of `again`, and all are
/// mapped to themselves.
#[derive(Debug)]
pub struct Window {
    free: Cell<u64>,
    end: u64,
    again: RefCell<Vec<u64>>,
}

impl Window {
    /// # Safety
    /// The addresses must be mapped to themselves, writable, hold neither RAM nor a device, and be
    /// nobody else's.
    pub unsafe fn new(addresses: Range<u64>) -> Self {
        let page = PAGE_SIZE as u64;
        let first = addresses.start.div_ceil(page);
        Self { free: Cell::new(first), end: addresses.end / page, again: RefCell::default() }
    }

    /// Maps frame `index` of one of `memory::SPACE_*`.
    pub fn map(&self, calls: Hypercalls, space: u32, index: u64) -> Result<Page, XenError> {
        let frame = self.take()?;
        if let Err(e) = add(calls, space, index, frame) {
            self.give_back(frame);
            return Err(e);
        }
        // SAFETY: Xen's page is there now, for good, and the frame is not given out again.
        unsafe { Page::at(frame) }.ok_or(XenError::NoMemory)
    }

    /// Maps what `map` mapped, in the same place, when the domain went on as another.
    pub fn map_again(
        &self,
        calls: Hypercalls,
        space: u32,
        index: u64,
        page: &Page,
    ) -> Result<(), XenError> {
        add(calls, space, index, page.frame())
    }

    /// Maps a page of another domain: the page, and what `unmap` needs. One that is mapped
    /// `read_only` must not be written to: Xen would end this domain.
    pub fn map_grant(
        &self,
        calls: Hypercalls,
        owner: DomId,
        grant: GrantRef,
        read_only: bool,
    ) -> Result<(Page, u32), XenError> {
        let frame = self.take()?;
        let mut operation = MapGrantRef {
            host_address: address(frame),
            flags: MAP_HOST | if read_only { MAP_READ_ONLY } else { 0 },
            reference: grant.0,
            domain: owner.0,
            ..MapGrantRef::default()
        };
        let result = calls.call(&mut operation);
        if result.is_err() || operation.status != 0 {
            self.give_back(frame);
            result?;
            return Err(XenError::BadGrant(operation.status));
        }
        // SAFETY: the page is there until `unmap` takes it, and the frame is nobody else's.
        let page = unsafe { Page::at(frame) }.ok_or(XenError::NoMemory)?;
        Ok((page, operation.handle))
    }

    /// Takes away what `map_grant` mapped, unless Xen has already.
    pub fn unmap_grant(&self, calls: Hypercalls, page: Page, handle: Option<u32>) {
        let frame = page.frame();
        // Before there is nothing any more at its address.
        drop(page);
        let Some(handle) = handle else {
            return self.give_back(frame);
        };
        let mut operation =
            UnmapGrantRef { host_address: address(frame), handle, ..UnmapGrantRef::default() };
        match calls.call(&mut operation) {
            Ok(_) if operation.status == 0 => self.give_back(frame),
            // The frame is lost: to map over it would end the domain.
            _ => log::error!("a page of another domain does not go: {}", operation.status),
        }
    }

    fn take(&self) -> Result<u64, XenError> {
        if let Some(frame) = self.again.borrow_mut().pop() {
            return Ok(frame);
        }
        let frame = self.free.get();
        if frame >= self.end {
            return Err(XenError::NoMemory);
        }
        self.free.set(frame.saturating_add(1));
        Ok(frame)
    }

    fn give_back(&self, frame: u64) {
        self.again.borrow_mut().push(frame);
    }
}

fn add(calls: Hypercalls, space: u32, index: u64, frame: u64) -> Result<(), XenError> {
    calls.call(&mut AddToPhysmap { domid: DOMID_SELF, size: 0, space, index, frame }).map(drop)
}

fn address(frame: u64) -> u64 {
    frame.saturating_mul(PAGE_SIZE as u64)
}

/// The CPU's time stamp counter.
pub fn time_stamp() -> u64 {
    // SAFETY: every x86-64 CPU has RDTSC, and a guest's kernel may use it.
    unsafe { _rdtsc() }
}
