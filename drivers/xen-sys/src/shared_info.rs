//! The page that Xen shares with a 64-bit guest (xen.h `struct shared_info`, `struct vcpu_info`,
//! `struct vcpu_time_info`): offsets in bytes.

/// u64[64]: bit p % 64 of word p / 64 is set when port p is pending.
pub const EVTCHN_PENDING: usize = 2048;
pub const EVTCHN_MASK: usize = 2560;
/// Words of each.
pub const EVTCHN_WORDS: usize = 64;

/// Wall clock at system time 0: version u32, seconds u32, nanoseconds u32, high seconds u32.
pub const WC_VERSION: usize = 3072;
pub const WC_SEC: usize = 3076;
pub const WC_NSEC: usize = 3080;
pub const WC_SEC_HI: usize = 3084;

/// `vcpu_info[0].time`.
pub const TIME: usize = 32;
/// u32, relative to `TIME`; odd while Xen writes.
pub const TIME_VERSION: usize = 0;
/// u64
pub const TIME_TSC_TIMESTAMP: usize = 8;
/// u64, nanoseconds
pub const TIME_SYSTEM_TIME: usize = 16;
/// u32
pub const TIME_TSC_TO_SYSTEM_MUL: usize = 24;
/// i8
pub const TIME_TSC_SHIFT: usize = 28;
