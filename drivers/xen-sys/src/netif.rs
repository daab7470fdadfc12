//! Network interfaces (io/netif.h). The flags of the two directions have different bits.
use bitflags::bitflags;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Bytes of a slot of the transmit ring and of the receive ring.
pub const TX_SLOT_SIZE: usize = 12;
pub const RX_SLOT_SIZE: usize = 8;

bitflags! {
    /// `NETTXF_*`
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct TxFlags: u16 {
        const CSUM_BLANK = 1;
        const DATA_VALIDATED = 1 << 1;
        const MORE_DATA = 1 << 2;
        const EXTRA_INFO = 1 << 3;
    }

    /// `NETRXF_*`
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct RxFlags: u16 {
        const DATA_VALIDATED = 1;
        const CSUM_BLANK = 1 << 1;
        const MORE_DATA = 1 << 2;
        const EXTRA_INFO = 1 << 3;
        const GSO_PREFIX = 1 << 4;
    }
}

/// `struct netif_tx_request`. The first slot of a packet has the whole packet's size.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable)]
pub struct TxRequest {
    pub gref: u32,
    pub offset: u16,
    pub flags: u16,
    pub id: u16,
    pub size: u16,
}

/// `struct netif_tx_response`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable)]
pub struct TxResponse {
    pub id: u16,
    pub status: i16,
}

/// `struct netif_rx_request`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable)]
pub struct RxRequest {
    pub id: u16,
    pub pad: u16,
    pub gref: u32,
}

/// `struct netif_rx_response`: lies in the slot of its request.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable)]
pub struct RxResponse {
    pub id: u16,
    pub offset: u16,
    pub flags: u16,
    /// Bytes received, or a negative error.
    pub status: i16,
}

/// `NETIF_RSP_*`
pub const RSP_OKAY: i16 = 0;
pub const RSP_ERROR: i16 = -1;
pub const RSP_DROPPED: i16 = -2;
/// The response of a slot that held an extra and no request.
pub const RSP_NULL: i16 = 1;

/// `struct netif_extra_info` of type GSO.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable)]
pub struct GsoExtra {
    pub kind: u8,
    pub flags: u8,
    pub size: u16,
    pub gso: u8,
    pub pad: u8,
    pub features: u16,
}

pub const EXTRA_TYPE_GSO: u8 = 1;
/// Another extra follows.
pub const EXTRA_FLAG_MORE: u8 = 1;
pub const GSO_TYPE_TCPV4: u8 = 1;
pub const GSO_TYPE_TCPV6: u8 = 2;
