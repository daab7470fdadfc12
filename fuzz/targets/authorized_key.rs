//! Options in front of a good key: what is taken names a folder inside the volume, and whether the
//! key may be used has an answer.
#![no_main]
use libfuzzer_sys::fuzz_target;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c me";

fuzz_target!(|options: &str| {
    let Ok(line) = server::AuthorizedKey::parse(&format!("{options} {KEY}")) else { return };
    assert_eq!(line.key.blob.len(), 51);
    let root = line.access().root;
    assert!(root.is_empty() || root.starts_with('/') && !root.ends_with('/'));
    assert!(root.split('/').skip(1).all(|part| !matches!(part, "" | "." | "..")));
    let v4 = Ipv4Addr::new(10, 137, 0, 12);
    for address in [v4.into(), v4.to_ipv6_mapped().into(), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
        for now in [0, 1_800_000_000, u64::MAX] {
            // Nobody without an address is let in where somebody with one is not.
            let known = line.allow(Some(address), now).is_ok();
            assert!(known || line.allow(None, now).is_err());
        }
    }
});
