//! Network interfaces (5.1): the device under smoltcp. One queue in each direction; frames are built
//! and read where the device reads and writes them. Segmentation and checksums of what is sent are
//! left to the device when it offers that.
use super::device::{Device, DeviceError};
use super::queue::{Broken, Chain, Queue, SIZE};
use crate::checksum::{Offload, prepare_tcp};
use alloc::vec;
use alloc::vec::Vec;
use bitflags::bitflags;
use core::cell::RefCell;
use core::num::NonZeroUsize;
use smoltcp::phy::{self, Checksum, DeviceCapabilities, Medium, PacketMeta};
use smoltcp::time::Instant;
use virtio_drivers::transport::Transport;

bitflags! {
    #[derive(Clone, Copy, Debug)]
    struct Features: u64 {
        /// The device completes checksums of what is sent.
        const CHECKSUM = 1 << 0;
        const MTU = 1 << 3;
        const MAC = 1 << 5;
        /// The device cuts TCP over IPv4 into segments.
        const HOST_TSO4 = 1 << 11;
        const VERSION_1 = 1 << 32;
    }
}

/// Offsets in the configuration space (5.1.4).
const MAC: usize = 0;
const MTU: usize = 10;

/// Queues (5.1.2).
const RECEIVE: u16 = 0;
const TRANSMIT: u16 = 1;

const ETHERNET: usize = 14;
/// TCP's header as smoltcp makes it for data, without options, and its checksum within it.
const TCP_HEADER: u16 = 20;
const TCP_CHECKSUM: u16 = 16;

/// virtio_net_hdr's flags and gso_type (5.1.6).
const NEEDS_CSUM: u8 = 1;
const GSO_TCPV4: u8 = 1;

/// IP's MTU where nothing else is said, and the bounds of what may be said.
const USUAL_MTU: u16 = 1500;
const MTU_MIN: u16 = 576;
const MTU_MAX: u16 = 9000;

/// The largest frame that is sent.
const LARGEST: usize = 60 << 10;

/// A network interface. The loop calls `poll` before and `flush` after it uses the device, and `arm`
/// before it sleeps.
pub struct VirtioNet<T: Transport> {
    mac: [u8; 6],
    mtu: usize,
    segmentation: bool,
    card: RefCell<Card<T>>,
}

struct Card<T: Transport> {
    device: Device<T>,
    receive: Queue,
    transmit: Queue,
    /// The length of virtio_net_hdr, before each frame.
    header: usize,
    /// Bytes that wait to be sent, headers included, and the most that may.
    waiting: usize,
    most: usize,
    /// Memory of frames that were sent.
    spare: Vec<Vec<u8>>,
    failed: bool,
}

impl<T: Transport> VirtioNet<T> {
    /// Starts a device of the type `DeviceType::Network`. `mac` is for one that has none of its own; at
    /// most `most` bytes wait to be sent.
    pub fn start(mut device: Device<T>, mac: [u8; 6], most: usize) -> Result<Self, DeviceError> {
        let wanted = Features::all();
        let features = Features::from_bits_retain(device.begin(wanted.bits())?);
        let mut receive = Queue::new(&mut device, RECEIVE)?;
        let transmit = Queue::new(&mut device, TRANSMIT)?;
        let config = &device.transport;
        let mac = match features.contains(Features::MAC) {
            true => config.read_config_space(MAC)?,
            false => mac,
        };
        let mtu = match features.contains(Features::MTU) {
            true => config.read_config_space::<u16>(MTU)?.clamp(MTU_MIN, MTU_MAX),
            false => USUAL_MTU,
        };
        // The last field, num_buffers, is there from version 1 on.
        let header = if features.contains(Features::VERSION_1) { 12 } else { 10 };
        let frame = usize::from(mtu).saturating_add(ETHERNET).saturating_add(header);
        for _ in 0..SIZE {
            receive.send(Chain { writable: [vec![0; frame], Vec::new()], ..Chain::default() });
        }
        device.finish();
        receive.publish(&mut device);
        let segmentation = features.contains(Features::CHECKSUM | Features::HOST_TSO4);
        let [a, b, c, d, e, f] = mac;
        log::info!(
            "network interface {a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}, mtu {mtu}, {} \
             segmentation offload",
            if segmentation { "with" } else { "without" }
        );
        let card = Card {
            device,
            receive,
            transmit,
            header,
            waiting: 0,
            most,
            spare: Vec::new(),
            failed: false,
        };
        Ok(Self { mac, mtu: mtu.into(), segmentation, card: RefCell::new(card) })
    }

    pub fn mac(&self) -> [u8; 6] {
        self.mac
    }

    /// Whether frames can be sent and received.
    pub fn is_connected(&self) -> bool {
        !self.card.borrow().failed
    }

    /// Takes back what was sent; true when something moved.
    pub fn poll(&mut self) -> bool {
        let card = self.card.get_mut();
        card.receive.arm(false);
        card.transmit.arm(false);
        card.reclaim()
    }

    /// Shows the device what was queued.
    pub fn flush(&mut self) {
        let Card { device, receive, transmit, .. } = self.card.get_mut();
        transmit.publish(device);
        receive.publish(device);
    }

    /// Asks for an interrupt when frames come, and for one when there is room again if there is
    /// none; true when that is so already.
    pub fn arm(&mut self) -> bool {
        let card = self.card.get_mut();
        if card.failed {
            return false;
        }
        card.device.acknowledge();
        let full = !card.has_room();
        card.receive.arm(true) | (full && card.transmit.arm(true))
    }
}

impl<T: Transport> Card<T> {
    fn has_room(&self) -> bool {
        let bytes = self.waiting.saturating_add(LARGEST);
        !self.failed && self.transmit.room() > 0 && (self.waiting == 0 || bytes <= self.most)
    }

    fn reclaim(&mut self) -> bool {
        let mut moved = false;
        while let Some((frame, _)) =
            self.take(|card| &mut card.transmit, |chain| &mut chain.readable)
        {
            moved = true;
            self.waiting = self.waiting.saturating_sub(frame.len());
            self.spare.push(frame);
        }
        moved
    }

    /// What a queue is done with: the first buffer of a side, and how much was written to it.
    fn take(
        &mut self,
        queue: fn(&mut Self) -> &mut Queue,
        side: fn(&mut Chain) -> &mut [Vec<u8>; 2],
    ) -> Option<(Vec<u8>, usize)> {
        if self.failed {
            return None;
        }
        match queue(self).take() {
            Ok(used) => used.map(|mut used| {
                let [buffer, _] = side(&mut used.chain);
                (core::mem::take(buffer), used.written)
            }),
            Err(Broken) => {
                log::error!("network interface: the device does not keep to the protocol");
                self.failed = true;
                None
            }
        }
    }

    /// A frame that came, and where in its buffer it is.
    fn received(&mut self) -> Option<(Vec<u8>, usize)> {
        loop {
            let (buffer, written) =
                self.take(|card| &mut card.receive, |chain| &mut chain.writable)?;
            if written > self.header.saturating_add(ETHERNET) {
                return Some((buffer, written));
            }
            self.give_back(buffer);
        }
    }

    fn give_back(&mut self, buffer: Vec<u8>) {
        let chain = Chain { writable: [buffer, Vec::new()], ..Chain::default() };
        // There is room: this buffer was in the queue before.
        self.receive.send(chain);
    }
}

impl<T: Transport> phy::Device for VirtioNet<T> {
    type RxToken<'a>
        = Received<'a, T>
    where
        T: 'a;
    type TxToken<'a>
        = Room<'a, T>
    where
        T: 'a;

    fn receive(&mut self, _: Instant) -> Option<(Received<'_, T>, Room<'_, T>)> {
        let (buffer, end) = self.card.get_mut().received()?;
        // A reply that finds no room is dropped.
        Some((Received { net: self, buffer, end }, Room { net: self, segment: None }))
    }

    fn transmit(&mut self, _: Instant) -> Option<Room<'_, T>> {
        self.card.get_mut().has_room().then_some(Room { net: self, segment: None })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = self.mtu.saturating_add(ETHERNET);
        if self.segmentation {
            // Checksums of what comes are right or it does not come in parts: they are checked.
            capabilities.checksum.tcp = Checksum::Rx;
            capabilities.segmentation.tcpv4 = NonZeroUsize::new(LARGEST);
        }
        capabilities
    }
}

/// A frame that has come.
pub struct Received<'a, T: Transport> {
    net: &'a VirtioNet<T>,
    buffer: Vec<u8>,
    end: usize,
}

impl<T: Transport> phy::RxToken for Received<'_, T> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        let start = self.net.card.borrow().header;
        let result = f(self.buffer.get(start..self.end).unwrap_or_default());
        self.net.card.borrow_mut().give_back(self.buffer);
        result
    }
}

/// Room for one frame.
pub struct Room<'a, T: Transport> {
    net: &'a VirtioNet<T>,
    segment: Option<u16>,
}

impl<T: Transport> phy::TxToken for Room<'_, T> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let (mut buffer, start) = {
            let mut card = self.net.card.borrow_mut();
            (card.spare.pop().unwrap_or_default(), card.header)
        };
        buffer.clear();
        buffer.resize(start.saturating_add(len), 0);
        let (header, frame) = buffer.split_at_mut_checked(start).unwrap_or_default();
        let result = f(frame);
        if self.net.segmentation {
            // The feature is of any checksum.
            let prepared = prepare_tcp(frame, Offload { v4: true, v6: true });
            if let Some(tcp) = prepared.tcp_start() {
                fill_header(header, frame, tcp, self.segment);
            }
        }
        let mut card = self.net.card.borrow_mut();
        if card.has_room() {
            card.waiting = card.waiting.saturating_add(buffer.len());
            let chain = Chain { readable: [buffer, Vec::new()], ..Chain::default() };
            card.transmit.send(chain);
        }
        result
    }

    fn set_meta(&mut self, meta: PacketMeta) {
        self.segment = meta.segmentation_offload_size.map(|size| size.get());
    }
}

/// virtio_net_hdr of a TCP frame whose checksum holds the sum of the pseudo-header: flags, gso_type,
/// hdr_len, gso_size, csum_start, csum_offset.
fn fill_header(header: &mut [u8], frame: &[u8], (start, v6): (usize, bool), segment: Option<u16>) {
    let start = u16::try_from(start).unwrap_or(0);
    // As much of a large frame as is repeated in its segments.
    let headers = start.saturating_add(TCP_HEADER);
    // A frame that fits into one segment must not ask for several.
    let data = frame.len().saturating_sub(headers.into());
    let segment = segment.filter(|&size| !v6 && data > size.into()).unwrap_or(0);
    let (gso, headers) = if segment > 0 { (GSO_TCPV4, headers) } else { (0, 0) };
    let words = [headers, segment, start, TCP_CHECKSUM];
    let bytes = [NEEDS_CSUM, gso].into_iter().chain(words.into_iter().flat_map(u16::to_le_bytes));
    header.iter_mut().zip(bytes).for_each(|(to, byte)| *to = byte);
}
