//! The network that dom0 gives a qube: `/qubes-ip`, `/qubes-netmask` and `/qubes-gateway`
//! (qubes-core-admin, `create_qdb_entries`).
use super::Client;
use core::net::Ipv4Addr;

/// The address of a qube that has, or had, a network VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    pub ip: Ipv4Addr,
    /// The length of the network's prefix: 32, usually.
    pub prefix: u8,
    pub gateway: Option<Ipv4Addr>,
}

impl Network {
    /// None without an address, or with one that makes no sense.
    pub fn of(entries: &Client) -> Option<Self> {
        let ip = address(entries, "/qubes-ip")??;
        let gateway = address(entries, "/qubes-gateway")?;
        let mask = address(entries, "/qubes-netmask")?.unwrap_or(Ipv4Addr::BROADCAST).to_bits();
        let prefix = mask.leading_ones();
        if mask.count_ones() != prefix {
            log::warn!("QubesDB: /qubes-netmask is no netmask");
            return None;
        }
        Some(Self { ip, prefix: u8::try_from(prefix).ok()?, gateway })
    }
}

/// The address of an entry, if there is one; None when it is no address.
fn address(entries: &Client, path: &str) -> Option<Option<Ipv4Addr>> {
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
}
