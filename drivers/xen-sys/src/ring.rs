//! The head of a shared ring (io/ring.h, `DEFINE_RING_TYPES`): offsets in bytes. All indexes are
//! u32, run freely and wrap.

pub const REQ_PROD: usize = 0;
pub const REQ_EVENT: usize = 4;
pub const RSP_PROD: usize = 8;
pub const RSP_EVENT: usize = 12;
/// The first slot.
pub const SLOTS: usize = 64;
