//! Who a machine is on its network.
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use smoltcp::wire::{EthernetAddress, Ipv4Cidr, Ipv6Cidr};

/// Who we are on the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    pub mac: [u8; 6],
    pub v4: Option<Own<Ipv4Addr>>,
    /// With it comes the link-local address that is made of `mac` (RFC 4291, 2.5.6).
    pub v6: Option<Own<Ipv6Addr>>,
}

/// An address, and what is around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Own<A> {
    pub ip: A,
    /// The length of the network's prefix in bits. A network that does not hold the gateway (Qubes
    /// gives A/32) means a link with one neighbour, which forwards everything.
    pub prefix: u8,
    pub gateway: Option<A>,
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
        let v4 = self.v4.is_none_or(|Own { ip, prefix, gateway }| {
            is_host4(ip) && prefix <= 32 && gateway.is_none_or(is_host4)
        });
        // The link-local address is there anyway.
        let v6 = self.v6.is_none_or(|Own { ip, prefix, gateway }| {
            is_host6(ip)
                && !ip.is_unicast_link_local()
                && prefix <= 128
                && gateway.is_none_or(is_host6)
        });
        if v4 && v6 && EthernetAddress(self.mac).is_unicast() { Ok(()) } else { Err(BadAddress) }
    }

    /// Our address on this link alone.
    pub fn link_local(&self) -> Ipv6Addr {
        let [a, b, c, d, e, f] = self.mac;
        let interface = u64::from_be_bytes([a ^ 2, b, c, 0xff, 0xfe, d, e, f]);
        Ipv6Addr::from_bits(0xfe80 << 112 | u128::from(interface))
    }

    /// Whether an address is one of ours.
    pub fn has(&self, ip: IpAddr) -> bool {
        match ip {
            IpAddr::V4(ip) => self.v4.is_some_and(|own| own.ip == ip),
            IpAddr::V6(ip) => {
                self.v6.is_some_and(|own| own.ip == ip)
                    || self.v6.is_some() && self.link_local() == ip
            }
        }
    }

    /// Whether there are answers for a host: without a gateway, only for those of our network.
    pub fn reaches(&self, host: IpAddr) -> bool {
        if self.has(host) {
            return false;
        }
        match (host, self.v4, self.v6) {
            (IpAddr::V4(host), Some(ours), _) => {
                let network = Ipv4Cidr::new(ours.ip, ours.prefix);
                let one = !(host.is_unspecified() || host.is_multicast() || host.is_broadcast());
                one && Some(host) != network.broadcast()
                    && (ours.gateway.is_some() || ours.prefix == 32 || network.contains_addr(&host))
            }
            (IpAddr::V6(host), _, Some(ours)) => {
                let network = Ipv6Cidr::new(ours.ip, ours.prefix);
                let here = host.is_unicast_link_local() || network.contains_addr(&host);
                is_host6(host) && (ours.gateway.is_some() || ours.prefix == 128 || here)
            }
            _ => false,
        }
    }
}

fn is_host4(ip: Ipv4Addr) -> bool {
    !(ip.is_unspecified() || ip.is_multicast() || ip.is_broadcast() || ip.is_loopback())
}

/// An IPv4 address in IPv6's form is nobody's on a link (RFC 4291, 2.5.5.2), and could pass for another host.
fn is_host6(ip: Ipv6Addr) -> bool {
    !(ip.is_unspecified() || ip.is_multicast() || ip.is_loopback()) && ip.to_ipv4_mapped().is_none()
}
