//! Who a machine is on its network.
use core::fmt;
use core::net::Ipv4Addr;
use smoltcp::wire::EthernetAddress;

/// Who we are on the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    pub mac: [u8; 6],
    pub ip: Ipv4Addr,
    /// The length of the network's prefix in bits, up to 32. A network that does not hold the
    /// gateway (Qubes gives A/32) means a link with one neighbour, which forwards everything.
    pub prefix: u8,
    pub gateway: Option<Ipv4Addr>,
}

/// An address that no host can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadAddress;

impl fmt::Display for BadAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not the address of one host")
    }
}

impl core::error::Error for BadAddress {}

impl Address {
    /// smoltcp panics over other addresses.
    pub fn check(&self) -> Result<(), BadAddress> {
        let ip = self.ip;
        let one = |ip: Ipv4Addr| !(ip.is_unspecified() || ip.is_multicast() || ip.is_broadcast());
        let good = one(ip)
            && !ip.is_loopback()
            && self.prefix <= 32
            && self.gateway.is_none_or(one)
            && EthernetAddress(self.mac).is_unicast();
        if good { Ok(()) } else { Err(BadAddress) }
    }
}
