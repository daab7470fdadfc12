//! The console's ring (io/console.h, `struct xencons_interface`): offsets in bytes.

pub const OUT: usize = 1024;
pub const OUT_SIZE: u32 = 2048;
pub const OUT_CONS: usize = 3080;
pub const OUT_PROD: usize = 3084;
