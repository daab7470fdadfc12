//! The device as smoltcp sees it, with the guard in between.
use super::guard::{Guard, Ready, Way};
use super::segment;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::num::NonZeroU16;
use smoltcp::phy::{Device, DeviceCapabilities, PacketMeta, RxToken, TxToken};
use smoltcp::time::Instant;
use smoltcp::wire::EthernetFrame;

/// What is looked at before it is put into the device's memory: what smoltcp asks its neighbours, and TCP's
/// segments without data, whose headers have 14 + 40 + 60 bytes at most.
const SMALL: usize = 114;

pub struct Link<'a, D> {
    pub device: &'a mut D,
    pub guard: &'a RefCell<Guard>,
    /// Milliseconds.
    pub now: u64,
}

impl<D: Device> Link<'_, D> {
    /// Sends what is ready; false when something is left.
    pub fn flush(&mut self, now: Instant) -> bool {
        let ready = &mut self.guard.borrow_mut().ready;
        while let Some((frame, meta)) = ready.pop_front() {
            let Some(token) = self.device.transmit(now) else {
                ready.push_front((frame, meta));
                return false;
            };
            put(token, &frame, meta);
        }
        true
    }
}

fn put(mut token: impl TxToken, frame: &[u8], meta: PacketMeta) {
    token.set_meta(meta);
    token.consume(frame.len(), |buffer| buffer.copy_from_slice(frame));
}

impl<D: Device> Device for Link<'_, D> {
    type RxToken<'t>
        = Received<'t, D::RxToken<'t>>
    where
        Self: 't;
    type TxToken<'t>
        = Sending<'t, D::TxToken<'t>>
    where
        Self: 't;

    fn receive(&mut self, at: Instant) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        let Self { device, guard, now } = self;
        let (guard, now) = (*guard, *now);
        let capabilities = device.capabilities();
        let sending = |token| Sending::new(token, guard, &capabilities, now);
        if let Some(news) = guard.borrow_mut().news(at) {
            // Nobody answers such news.
            return Some((Received::News(news), sending(None)));
        }
        // A SYN that has waited for a socket, and was judged before.
        if let Some(frame) = guard.borrow_mut().waiting.take() {
            return Some((Received::Waited(frame), sending(device.transmit(at))));
        }
        let (rx, token) = device.receive(at)?;
        let sums = capabilities.checksum.tcp.rx();
        Some((Received::Frame { token: rx, guard, sums, now }, sending(Some(token))))
    }

    fn transmit(&mut self, at: Instant) -> Option<Self::TxToken<'_>> {
        let capabilities = self.device.capabilities();
        let token = self.device.transmit(at)?;
        Some(Sending::new(Some(token), self.guard, &capabilities, self.now))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let header = EthernetFrame::<&[u8]>::header_len();
        let mut capabilities = self.device.capabilities();
        let mtu = usize::from(self.guard.borrow().mtu);
        capabilities.max_transmission_unit = mtu.saturating_add(header);
        capabilities
    }
}

pub enum Received<'a, T> {
    Frame { token: T, guard: &'a RefCell<Guard>, sums: bool, now: u64 },
    News(Vec<u8>),
    Waited(Vec<u8>),
}

impl<T: RxToken> RxToken for Received<'_, T> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        match self {
            Self::News(frame) => f(&frame),
            Self::Waited(frame) => f(&frame),
            Self::Frame { token, guard, sums, now } => token.consume(|bytes| {
                let wanted = guard.borrow_mut().incoming(bytes, sums, now);
                // smoltcp ignores an empty frame.
                f(if wanted { bytes } else { &[] })
            }),
        }
    }

    fn meta(&self) -> PacketMeta {
        match self {
            Self::Frame { token, .. } => token.meta(),
            Self::News(_) | Self::Waited(_) => PacketMeta::default(),
        }
    }
}

pub struct Sending<'a, T> {
    /// None when nothing will be sent.
    token: Option<T>,
    guard: &'a RefCell<Guard>,
    /// The device cuts large frames into segments, those of IPv4: smoltcp 0.14 drops large ones of IPv6.
    segmentation: bool,
    /// The device leaves TCP's checksum to us.
    sums: bool,
    meta: PacketMeta,
    now: u64,
}

impl<'a, T: TxToken> Sending<'a, T> {
    fn new(
        token: Option<T>,
        guard: &'a RefCell<Guard>,
        device: &DeviceCapabilities,
        now: u64,
    ) -> Self {
        let segmentation = device.segmentation.tcpv4.is_some();
        let sums = device.checksum.tcp.tx();
        Self { token, guard, segmentation, sums, meta: PacketMeta::default(), now }
    }

    /// The first goes at once, the others when the device has room.
    fn send(self, frame: Vec<u8>, way: Way) {
        let mut pieces = self.pieces(frame, way).into_iter();
        if let (Some(token), Some((first, meta))) = (self.token, pieces.next()) {
            put(token, &first, meta);
            self.guard.borrow_mut().ready.extend(pieces);
        }
    }

    fn pieces(&self, frame: Vec<u8>, way: Way) -> Vec<Ready> {
        let Way::Cut { segment, probe, size } = way else {
            return vec![(frame, self.meta)];
        };
        let by_device = self.segmentation && segment.to.0.is_ipv4();
        let others = if by_device { usize::MAX } else { size };
        let pieces = segment::cut(&frame, &segment, probe.unwrap_or(others), others, self.sums);
        let segmentation = NonZeroU16::new(u16::try_from(size).unwrap_or(0));
        let ready = |(n, piece): (usize, Vec<u8>)| {
            let is_probe = n == 0 && probe.is_some();
            let large = piece.len().saturating_sub(segment.header) > size;
            let mut meta = PacketMeta::default();
            if by_device && large && !is_probe {
                meta.segmentation_offload_size = segmentation;
            }
            (piece, meta)
        };
        pieces.into_iter().enumerate().map(ready).collect()
    }
}

impl<T: TxToken> TxToken for Sending<'_, T> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(mut self, len: usize, f: F) -> R {
        let (guard, now) = (self.guard, self.now);
        if len <= SMALL {
            let mut bytes = [0; SMALL];
            let frame = bytes.get_mut(..len).unwrap_or_default();
            let result = f(frame);
            if guard.borrow_mut().outgoing(frame, now).is_some()
                && let Some(token) = self.token
            {
                put(token, frame, self.meta);
            }
            return result;
        }
        if guard.borrow().is_careful() {
            let mut frame = vec![0; len];
            let result = f(&mut frame);
            let way = guard.borrow_mut().outgoing(&mut frame, now);
            if let Some(way) = way {
                self.send(frame, way);
            }
            return result;
        }
        match self.token.take() {
            Some(mut token) => {
                token.set_meta(self.meta);
                token.consume(len, |buffer| {
                    let result = f(buffer);
                    // Nothing is known of its path, so that it goes whole.
                    guard.borrow_mut().outgoing(buffer, now);
                    result
                })
            }
            None => f(&mut vec![0; len]),
        }
    }

    fn set_meta(&mut self, meta: PacketMeta) {
        self.meta = meta;
    }
}
