//! Event channels (event_channel.h). All structures are arguments of `EVENT_CHANNEL_OP`.
use zerocopy::{FromBytes, IntoBytes};

pub const BIND_INTERDOMAIN_OP: u64 = 0;
pub const CLOSE_OP: u64 = 3;
pub const SEND_OP: u64 = 4;
pub const STATUS_OP: u64 = 5;
pub const ALLOC_UNBOUND_OP: u64 = 6;

/// Ports of the 2-level interface, which is in force until a guest asks for another.
pub const PORTS: u32 = 4096;

/// `struct evtchn_bind_interdomain`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes)]
pub struct BindInterdomain {
    pub remote_dom: u16,
    pub pad: u16,
    pub remote_port: u32,
    /// Out.
    pub local_port: u32,
}

/// `struct evtchn_close`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes)]
pub struct Close {
    pub port: u32,
}

/// `struct evtchn_send`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes)]
pub struct Send {
    pub port: u32,
}

/// `struct evtchn_alloc_unbound`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes)]
pub struct AllocUnbound {
    pub dom: u16,
    pub remote_dom: u16,
    /// Out.
    pub port: u32,
}

/// `struct evtchn_status`, 24 bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes)]
pub struct Status {
    pub dom: u16,
    pub pad: u16,
    pub port: u32,
    /// Out: one of `STATUS_*`.
    pub status: u32,
    pub vcpu: u32,
    /// Out: the other side when unbound or interdomain.
    pub peer: u16,
    pub pad2: u16,
    pub peer_port: u32,
}

pub const STATUS_CLOSED: u32 = 0;
pub const STATUS_UNBOUND: u32 = 1;
pub const STATUS_INTERDOMAIN: u32 = 2;
