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

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    fn v4(ip: [u8; 4], prefix: u8, gateway: Option<[u8; 4]>) -> Address {
        let gateway = gateway.map(Ipv4Addr::from);
        Address { mac: [2; 6], v4: Some(Own { ip: ip.into(), prefix, gateway }), v6: None }
    }

    fn v6(ip: &str, prefix: u8, gateway: Option<&str>) -> Address {
        let gateway = gateway.map(|ip| ip.parse().unwrap());
        let own = Own { ip: ip.parse().unwrap(), prefix, gateway };
        Address { mac: [2, 0x16, 0x3e, 1, 2, 3], v4: None, v6: Some(own) }
    }

    #[test]
    fn the_link_local_address_is_made_of_the_hardware_s() {
        let of = |mac| Address { mac, v4: None, v6: None }.link_local().to_string();
        assert_eq!(of([0x00, 0x16, 0x3e, 0x5e, 0x6c, 0x00]), "fe80::216:3eff:fe5e:6c00");
        assert_eq!(of([0x02, 0x16, 0x3e, 0x5e, 0x6c, 0x01]), "fe80::16:3eff:fe5e:6c01");
    }

    #[test]
    fn hosts_that_are_reached() {
        let (alone, routed) =
            (v4([10, 1, 2, 3], 24, None), v4([10, 1, 2, 3], 24, Some([10, 1, 2, 1])));
        let (pair, alone6) = (v4([10, 137, 0, 9], 32, None), v6("fd00::3", 64, None));
        let (routed6, pair6) = (v6("fd00::3", 64, Some("fd00::1")), v6("fd00::3", 128, None));
        for (address, reached, not) in [
            (alone, "10.1.2.4 10.1.2.254", "10.1.3.4 8.8.8.8"),
            (routed, "10.1.2.4 10.1.3.4 8.8.8.8", ""),
            (pair, "10.137.0.1 8.8.8.8", "fd00::1"),
            (alone6, "fd00::4 fe80::1", "fd01::1 2001:db8::1 10.1.2.4"),
            (routed6, "fd00::4 fe80::1 fd01::1 2001:db8::1", ""),
            (pair6, "fd00::4 fe80::1 2001:db8::1", ""),
        ] {
            let reaches = |host: &str| address.reaches(host.parse().unwrap());
            for host in reached.split_whitespace() {
                assert!(reaches(host), "{address:?} {host}");
            }
            // Nobody's, and everybody's.
            let never = "0.0.0.0 224.0.0.1 255.255.255.255 :: ::1 ff02::1 ::ffff:10.1.2.4";
            for host in not.split_whitespace().chain(never.split_whitespace()) {
                assert!(!reaches(host), "{address:?} {host}");
            }
        }
        for own in [alone, routed] {
            assert!(!own.reaches("10.1.2.3".parse().unwrap()), "oneself");
            assert!(!own.reaches("10.1.2.255".parse().unwrap()), "all of the network");
        }
        assert!(!routed6.reaches("fd00::3".parse().unwrap()));
        assert!(!routed6.reaches(routed6.link_local().into()));
    }

    #[test]
    fn what_no_host_can_have_is_refused() {
        for ip in [[0, 0, 0, 0], [127, 0, 0, 1], [224, 0, 0, 1], [255; 4]] {
            assert_eq!(v4(ip, 24, None).check(), Err(BadAddress), "{ip:?}");
            assert_eq!(v4([10, 0, 0, 2], 24, Some(ip)).check(), Err(BadAddress), "{ip:?}");
        }
        for ip in ["::", "::1", "ff02::1", "::ffff:10.0.0.1"] {
            assert_eq!(v6(ip, 64, None).check(), Err(BadAddress), "{ip}");
            assert_eq!(v6("fd00::2", 64, Some(ip)).check(), Err(BadAddress), "{ip}");
        }
        assert_eq!(v6("fe80::1", 64, None).check(), Err(BadAddress));
        assert_eq!(v6("fd00::2", 128, Some("fe80::1")).check(), Ok(()));
        assert_eq!(v4([10, 0, 0, 2], 32, Some([10, 0, 0, 1])).check(), Ok(()));
        assert_eq!(v4([10, 0, 0, 2], 33, None).check(), Err(BadAddress));
        assert_eq!(v6("fd00::2", 129, None).check(), Err(BadAddress));
        let many = Address { mac: [1; 6], ..v4([10, 0, 0, 2], 32, None) };
        assert_eq!(many.check(), Err(BadAddress));
        assert_eq!(BadAddress.to_string(), "not the address of one host");
    }
}
