//! Network interfaces: the frontend of io/netif.h, as Linux' xen-netback means it, and the device
//! under smoltcp.
//!
//! One queue, one event channel. Frames are copied once into or out of granted pages, which stay
//! granted as long as the connection. Scatter-gather and TCP segmentation offload are used in both
//! directions where the backend has them: then one frame carries up to 60 KiB (out) or 64 KiB (in).
mod receive;
mod transmit;
mod vif;

#[cfg(test)]
mod tests;

use crate::checksum::{self, Offload, Prepared};
use crate::task::Task;
use crate::xen::Xen;
use crate::xen::bus::Frontend;
use crate::xen::xenstore::Xenstore;
use alloc::rc::Rc;
use alloc::vec::Vec;
use receive::HEADER;
use smoltcp::phy::{self, Checksum, Device, DeviceCapabilities, Medium, PacketMeta};
use smoltcp::time::Instant;
use vif::Vif;

pub use vif::Pages;

/// The machine's network interface: the one with the lowest number under `device/vif`. It may come
/// late, go, and come back with another backend; without one, nothing is received or sent.
///
/// The loop calls `poll` before and `flush` after it uses the device, and `arm` before it sleeps.
pub struct Netfront {
    vif: Rc<Vif>,
    bus: Task,
}

impl Netfront {
    pub fn new(xen: Rc<dyn Xen>, store: Xenstore, pages: Pages) -> Self {
        let vif = Rc::new(Vif::new(xen, store, pages));
        let bus = Task::new(vif::run(vif.clone()));
        Self { vif, bus }
    }

    /// Connects anew when the domain went on as another.
    pub fn resume(&mut self) {
        self.vif.disconnected();
        self.bus = Task::new(vif::run(self.vif.clone()));
    }

    /// The hardware address that the toolstack gave, once it is known.
    pub fn mac(&self) -> Option<[u8; 6]> {
        self.vif.mac.get()
    }

    /// Whether frames can be sent and received.
    pub fn is_connected(&self) -> bool {
        self.vif.up.get()
    }

    /// Follows the backend's state and takes what it has finished; true when something moved.
    pub fn poll(&mut self) -> bool {
        let before = self.vif.up.get();
        self.bus.poll();
        self.vif.reclaim() | (before != self.vif.up.get())
    }

    /// Shows the backend what was queued, with one event at most.
    pub fn flush(&mut self) {
        self.vif.with(|connection| {
            if connection.transmit.publish() | connection.receive.publish() {
                connection.channel.notify();
            }
            Ok(())
        });
    }

    /// Asks for an event when frames come, and for one when there is room again if there is none;
    /// true when that is so already.
    pub fn arm(&mut self) -> bool {
        let armed = self.vif.with(|connection| {
            let freed = !connection.transmit.has_room() && connection.transmit.arm()?;
            Ok(connection.receive.arm()? | freed)
        });
        armed.unwrap_or(false)
    }
}

impl Device for Netfront {
    type RxToken<'a> = Received<'a>;
    type TxToken<'a> = Room<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Received<'_>, Room<'_>)> {
        if !self.vif.up.get() {
            return None;
        }
        let frame = self.vif.with(|connection| connection.receive.frame())??;
        // A reply that finds no room is dropped.
        Some((Received { vif: &self.vif, frame }, Room::new(&self.vif)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Room<'_>> {
        let room = self.vif.with(|connection| Ok(connection.transmit.has_room()));
        (self.vif.up.get() && room == Some(true)).then(|| Room::new(&self.vif))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = self.vif.mtu.get().saturating_add(HEADER);
        // What the backend has not checked is checked in `Receive::frame`.
        capabilities.checksum.tcp = Checksum::Tx;
        if self.vif.segmentation.get() {
            capabilities.checksum.tcp = Checksum::None;
            capabilities.segmentation.tcpv4 = core::num::NonZeroUsize::new(transmit::LARGEST);
        }
        capabilities
    }
}

/// A frame that has come.
pub struct Received<'a> {
    vif: &'a Vif,
    frame: Vec<u8>,
}

impl phy::RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        let result = f(&self.frame);
        // Its memory is used again.
        self.vif.with(|connection| {
            connection.receive.give_back(self.frame);
            Ok(())
        });
        result
    }
}

/// Room for one frame.
pub struct Room<'a> {
    vif: &'a Vif,
    segment: Option<u16>,
}

impl<'a> Room<'a> {
    fn new(vif: &'a Vif) -> Self {
        Self { vif, segment: None }
    }
}

impl phy::TxToken for Room<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut frame = self.vif.scratch.take();
        frame.clear();
        frame.resize(len, 0);
        let result = f(&mut frame);
        let offload = Offload { v4: true, v6: self.vif.checksum6.get() };
        let prepared = match self.vif.segmentation.get() {
            true => checksum::prepare_tcp(&mut frame, offload),
            false => Prepared::Whole,
        };
        self.vif.with(|connection| {
            connection.transmit.send(&frame, prepared, self.segment);
            Ok(())
        });
        self.vif.scratch.replace(frame);
        result
    }

    fn set_meta(&mut self, meta: PacketMeta) {
        self.segment = meta.segmentation_offload_size.map(|size| size.get());
    }
}
