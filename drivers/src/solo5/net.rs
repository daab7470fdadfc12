//! The network interface: whole Ethernet frames, one a call, with nothing left to the host.
use super::Tender;
use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;
use smoltcp::phy::{self, DeviceCapabilities, Medium};
use smoltcp::time::Instant;

/// A frame's header, with the tag of a VLAN.
const HEADER: usize = 18;
const ETHERNET: usize = 14;

/// IP's MTU: what may be said. The tender does not tell one that it does not know.
const USUAL_MTU: u16 = 1500;
const MTU_MIN: u16 = 576;
const MTU_MAX: u16 = 9000;

/// A network interface.
pub struct Solo5Net {
    tender: Rc<dyn Tender>,
    device: u64,
    mac: [u8; 6],
    mtu: usize,
    /// A frame that came, and one that goes.
    came: Vec<u8>,
    goes: Vec<u8>,
}

impl Solo5Net {
    /// The interface of this handle.
    pub fn new(tender: Rc<dyn Tender>, device: u64, mac: [u8; 6], mtu: u16) -> Self {
        let mtu = if mtu == 0 { USUAL_MTU } else { mtu.clamp(MTU_MIN, MTU_MAX) };
        let [a, b, c, d, e, f] = mac;
        log::info!("network interface {a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}, mtu {mtu}");
        let mtu = usize::from(mtu);
        let came = vec![0; mtu.saturating_add(HEADER)];
        Self { tender, device, mac, mtu, came, goes: Vec::new() }
    }

    pub fn mac(&self) -> [u8; 6] {
        self.mac
    }
}

impl phy::Device for Solo5Net {
    type RxToken<'a> = Received<'a>;
    type TxToken<'a> = Room<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Received<'_>, Room<'_>)> {
        let Self { tender, device, came, goes, .. } = self;
        let len = tender.read_net(*device, came).ok()?;
        let room = Room { tender: &**tender, device: *device, frame: goes };
        Some((Received(came.get(..len).unwrap_or_default()), room))
    }

    fn transmit(&mut self, _: Instant) -> Option<Room<'_>> {
        let Self { tender, device, goes, .. } = self;
        Some(Room { tender: &**tender, device: *device, frame: goes })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = self.mtu.saturating_add(ETHERNET);
        capabilities
    }
}

/// A frame that has come.
pub struct Received<'a>(&'a [u8]);

impl phy::RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

/// Room for one frame.
pub struct Room<'a> {
    tender: &'a dyn Tender,
    device: u64,
    frame: &'a mut Vec<u8>,
}

impl phy::TxToken for Room<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        self.frame.clear();
        self.frame.resize(len, 0);
        let result = f(self.frame);
        // A frame that the host does not take is lost, as on any network.
        let _ = self.tender.write_net(self.device, self.frame);
        result
    }
}
