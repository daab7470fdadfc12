//! HVM parameters (hvm/hvm_op.h, hvm/params.h).
use zerocopy::{FromBytes, IntoBytes};

pub const SET_PARAM_OP: u64 = 0;
pub const GET_PARAM_OP: u64 = 1;

pub const PARAM_CALLBACK_IRQ: u32 = 0;
pub const PARAM_STORE_PFN: u32 = 1;
pub const PARAM_STORE_EVTCHN: u32 = 2;
pub const PARAM_CONSOLE_PFN: u32 = 17;
pub const PARAM_CONSOLE_EVTCHN: u32 = 18;

/// `struct xen_hvm_param`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes)]
pub struct Param {
    pub domid: u16,
    pub pad: u16,
    pub index: u32,
    /// In or out.
    pub value: u64,
}
