#!/usr/bin/env bash
# smoltcp 0.14.0: a device that says it cuts large TCP segments of both IP versions itself (`segmentation.tcpv4` and
# `.tcpv6`, feature segmentation-offload) gets them over IPv4 alone. Over IPv6 the socket makes the large segments and
# the interface drops each, since it is longer than the MTU: no byte arrives, however often it is sent again.
#
# One would guess that the two fields mean the same for their protocols, or that the field for IPv6 without its other
# half is refused. Until that is there `tcpv6` must stay None, then segments over IPv6 are as long as the MTU lets them.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
mkdir src
cat >Cargo.toml <<'TOML'
[package]
name = "probe"
version = "0.0.0"
edition = "2021"

[dependencies.smoltcp]
version = "=0.14.0"
default-features = false
features = ["std", "medium-ip", "proto-ipv4", "proto-ipv6", "socket-tcp", "segmentation-offload"]
TOML
cat >src/main.rs <<'RUST'
// 8000 bytes through a device that takes segments of 16 KiB: what is the largest packet that it is given?
use smoltcp::iface::{Config, Interface, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, PacketMeta, RxToken, TxToken};
use smoltcp::socket::tcp::{Socket, SocketBuffer};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr};
use std::collections::VecDeque;

#[derive(Default)]
struct Wire(VecDeque<Vec<u8>>, usize);
struct Got(Vec<u8>);
struct Room<'a>(&'a mut Wire);

impl RxToken for Got {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl TxToken for Room<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, f: F) -> R {
        let mut packet = vec![0; length];
        let result = f(&mut packet);
        self.0 .1 = self.0 .1.max(length);
        self.0 .0.push_back(packet);
        result
    }

    fn set_meta(&mut self, _: PacketMeta) {}
}

impl Device for Wire {
    type RxToken<'a> = Got;
    type TxToken<'a> = Room<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Got, Room<'_>)> {
        let packet = self.0.pop_front()?;
        Some((Got(packet), Room(self)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Room<'_>> {
        Some(Room(self))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = 1500;
        capabilities.checksum.tcp = smoltcp::phy::Checksum::None;
        capabilities.segmentation.tcpv4 = 16384.try_into().ok();
        capabilities.segmentation.tcpv6 = 16384.try_into().ok();
        capabilities
    }
}

fn main() {
    for address in [IpAddress::v4(127, 0, 0, 1), IpAddress::v6(0, 0, 0, 0, 0, 0, 0, 1)] {
        let mut wire = Wire::default();
        let mut now = Instant::ZERO;
        let mut interface = Interface::new(Config::new(HardwareAddress::Ip), &mut wire, now);
        interface.update_ip_addrs(|addresses| addresses.push(IpCidr::new(address, 8)).unwrap());
        let socket = || Socket::new(SocketBuffer::new(vec![0; 16384]), SocketBuffer::new(vec![0; 16384]));
        let mut sockets = SocketSet::new(Vec::new());
        let (one, two) = (sockets.add(socket()), sockets.add(socket()));
        sockets.get_mut::<Socket>(two).listen(80).unwrap();
        sockets.get_mut::<Socket>(one).connect(interface.context(), (address, 80), 50000).unwrap();
        let (mut sent, mut received) = (0, 0);
        for _ in 0..6000 {
            interface.poll(now, &mut wire, &mut sockets);
            let sender = sockets.get_mut::<Socket>(one);
            // At once, so that there is something to make a large segment of.
            if sent == 0 && sender.can_send() {
                sent = sender.send_slice(&[7; 8000]).unwrap();
            }
            received += sockets.get_mut::<Socket>(two).recv(|bytes| (bytes.len(), bytes.len())).unwrap_or(0);
            now += Duration::from_millis(10);
        }
        println!("{address}: {received} of {sent} bytes came in a minute, the largest packet had {}", wire.1);
    }
}
RUST
cargo run --quiet >said
cat said
grep -q '^127.0.0.1: 8000 of 8000 bytes came .* 8040$' said || { echo "changed: over IPv4"; exit 1; }
grep -q '^::1: 0 of 8000 bytes came' said || { echo "changed: over IPv6"; exit 1; }
