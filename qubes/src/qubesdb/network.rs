//! The network that dom0 gives a qube: `/qubes-ip`, `/qubes-netmask` and `/qubes-gateway`, and where it has
//! IPv6 `/qubes-ip6` and `/qubes-gateway6` (qubes-core-admin, `create_qdb_entries`).
use super::Client;
use core::net::{Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

/// The address of a qube that has, or had, a network VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    pub ip: Ipv4Addr,
    /// The length of the network's prefix: 32, usually.
    pub prefix: u8,
    pub gateway: Option<Ipv4Addr>,
    /// Its address by IPv6, whose prefix is always 128 bits long, and the gateway.
    pub v6: Option<(Ipv6Addr, Option<Ipv6Addr>)>,
}

impl Network {
    /// None without an address, or with one that makes no sense.
    pub fn of(entries: &Client) -> Option<Self> {
        let ip = address(entries, "/qubes-ip")??;
        let gateway = address(entries, "/qubes-gateway")?;
        let mask = address::<Ipv4Addr>(entries, "/qubes-netmask")?
            .unwrap_or(Ipv4Addr::BROADCAST)
            .to_bits();
        let prefix = mask.leading_ones();
        if mask.count_ones() != prefix {
            log::warn!("QubesDB: /qubes-netmask is no netmask");
            return None;
        }
        // What is wrong with one family does not take the other away.
        let v6 = address(entries, "/qubes-ip6").flatten();
        let v6 = v6.zip(address(entries, "/qubes-gateway6"));
        Some(Self { ip, prefix: u8::try_from(prefix).ok()?, gateway, v6 })
    }
}

/// The address of an entry, if there is one; None when it is no address.
fn address<A: FromStr>(entries: &Client, path: &str) -> Option<Option<A>> {
    let text = entries.text(path).unwrap_or_default().trim();
    if text.is_empty() {
        return Some(None);
    }
    let address = text.parse().ok();
    if address.is_none() {
        log::warn!("QubesDB: {path} is no address");
    }
    address.map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(entries: &[(&str, &str)]) -> Option<Network> {
        let mut client = Client::new();
        for (path, value) in entries {
            client.set(path, value.as_bytes());
        }
        Network::of(&client)
    }

    #[test]
    fn a_qubes_network_is_one_address_and_a_gateway_outside_of_it() {
        let ip = ("/qubes-ip", "10.137.0.9");
        let gateway = ("/qubes-gateway", "10.138.1.1");
        let network = of(&[ip, ("/qubes-netmask", "255.255.255.255"), gateway]).unwrap();
        assert_eq!((network.ip, network.prefix), (Ipv4Addr::new(10, 137, 0, 9), 32));
        assert_eq!(network.gateway, Some(Ipv4Addr::new(10, 138, 1, 1)));
        assert_eq!(of(&[ip, ("/qubes-netmask", "255.255.255.0")]).unwrap().prefix, 24);
        assert_eq!(of(&[ip, ("/qubes-netmask", "255.0.255.0")]), None);
        assert_eq!(of(&[("/qubes-ip", "")]), None);
        assert_eq!(of(&[ip, ("/qubes-gateway", "1.2.3.4.5")]), None);
        assert_eq!(of(&[ip, ("/qubes-gateway", "")]).unwrap().gateway, None);
        assert_eq!(of(&[gateway]), None);
    }

    #[test]
    fn ipv6_is_there_beside_ipv4() {
        let ip = ("/qubes-ip", "10.137.0.9");
        let six = ("/qubes-ip6", "fd09:24ef:4179::a89:9");
        let gateway = ("/qubes-gateway6", "fe80::fcff:ffff:feff:ffff");
        let v6 = |entries: &[(&str, &str)]| of(entries).unwrap().v6;
        let own = "fd09:24ef:4179::a89:9".parse().unwrap();
        let router = "fe80::fcff:ffff:feff:ffff".parse().ok();
        assert_eq!(v6(&[ip]), None);
        assert_eq!(v6(&[ip, six, gateway]), Some((own, router)));
        assert_eq!(v6(&[ip, six]), Some((own, None)));
        assert_eq!(v6(&[ip, gateway]), None);
        // Nonsense is as nothing: the rest stays.
        assert_eq!(v6(&[ip, ("/qubes-ip6", "10.0.0.1"), gateway]), None);
        assert_eq!(v6(&[ip, six, ("/qubes-gateway6", "x")]), None);
        assert_eq!(of(&[six, gateway]), None);
    }
}
