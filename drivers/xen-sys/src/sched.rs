//! Scheduling (sched.h).
use zerocopy::{FromBytes, IntoBytes};

pub const SHUTDOWN_OP: u64 = 2;
pub const POLL_OP: u64 = 3;

/// Ports in one poll (`do_poll` in xen/common/sched/core.c).
pub const POLL_PORTS: usize = 128;

/// `struct sched_poll`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes)]
pub struct Poll {
    /// The address of `nr_ports` u32.
    pub ports: u64,
    pub nr_ports: u32,
    pub pad: u32,
    /// System time in nanoseconds, absolute; 0 for none.
    pub timeout: u64,
}

/// `struct sched_shutdown`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes)]
pub struct Shutdown {
    pub reason: u32,
}

pub const REASON_POWEROFF: u32 = 0;
pub const REASON_REBOOT: u32 = 1;
pub const REASON_SUSPEND: u32 = 2;
pub const REASON_CRASH: u32 = 3;
