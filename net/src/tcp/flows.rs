//! What passes on each connection, as far as smoltcp does not show it: from where its frames come, what
//! is on its way, what its other side may still send, and how much of our answers it has used up.
use super::segment::{Segment, is_before};
use alloc::vec::Vec;
use core::net::IpAddr;
use smoltcp::wire::EthernetAddress;

/// A host and its port.
pub type Peer = (IpAddr, u16);

/// Acknowledgments without data that may be sent to a peer who says nothing, and for each frame of its:
/// so many, and one more for each so many bytes. smoltcp 0.14 may repeat one without end.
const CREDIT: u32 = 64;
const CREDIT_FRAME: u32 = 2;
const CREDIT_BYTES: usize = 1_500;

/// Milliseconds between challenges on one connection (RFC 5961, 7).
const CHALLENGE: u64 = 1_000;

/// Time-outs of one segment after which its length may be the cause.
const TIMEOUTS: u32 = 2;

pub struct Flow {
    pub peer: Peer,
    /// Where its frames come from.
    pub mac: EthernetAddress,
    /// Of our numbers: the first that is not acknowledged, and the first that was not sent.
    unacknowledged: u32,
    pub next: u32,
    /// Of the peer's: what we acknowledged last; what has come since without a gap; the window's end.
    pub acknowledged: u32,
    came: u32,
    edge: u32,
    /// The window that we told last, and its shift.
    pub window: u16,
    scale: u8,
    /// Our SYN was acknowledged.
    established: bool,
    challenge_at: u64,
    credit: u32,
    timeouts: u32,
}

/// What is to become of a frame that has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Pass,
    Drop,
    /// Dropped, and answered with an acknowledgment.
    Challenge,
}

impl Flow {
    /// Of the SYN that begins it.
    fn new(syn: &Segment, mac: EthernetAddress) -> Self {
        let start = syn.number.wrapping_add(1);
        Self {
            peer: syn.from,
            mac,
            unacknowledged: 0,
            next: 0,
            acknowledged: start,
            came: start,
            edge: start,
            window: 0,
            scale: 0,
            established: false,
            challenge_at: 0,
            credit: CREDIT,
            timeouts: 0,
        }
    }

    /// Whether a segment with this number of ours is on its way.
    pub fn is_in_flight(&self, number: u32) -> bool {
        !is_before(number, self.unacknowledged) && is_before(number, self.next)
    }

    pub fn unacknowledged(&self) -> u32 {
        self.unacknowledged
    }

    fn is_expected(&self, number: u32) -> bool {
        !is_before(number, self.acknowledged) && is_before(number, self.edge)
    }

    /// A segment of the peer's. Of SYN and RST the library knows less than RFC 9293 (3.10.7.4) and
    /// RFC 5961 (3, 4) ask for: they are judged here.
    fn incoming(&mut self, segment: &Segment, mac: EthernetAddress, now: u64) -> Verdict {
        let earned = u32::try_from(segment.data / CREDIT_BYTES).unwrap_or(0);
        let credit = self.credit.saturating_add(CREDIT_FRAME).saturating_add(earned);
        self.credit = credit.min(CREDIT);
        if segment.rst {
            // What has come since our last acknowledgment the peer knows best.
            return match segment.number == self.acknowledged || segment.number == self.came {
                true => Verdict::Pass,
                false if self.is_expected(segment.number) => self.challenge(now),
                false => Verdict::Drop,
            };
        }
        if segment.syn {
            // The one that began it: its answer is repeated by a timer.
            let again = !self.established && segment.ack.is_none();
            return match again && segment.number.wrapping_add(1) == self.acknowledged {
                true => Verdict::Drop,
                false => self.challenge(now),
            };
        }
        let end = segment.end();
        if self.is_expected(segment.number) || segment.number == self.acknowledged {
            self.mac = mac;
            if !is_before(self.came, segment.number) && is_before(self.came, end) {
                self.came = if is_before(self.edge, end) { self.edge } else { end };
            }
        }
        let Some(ack) = segment.ack else { return Verdict::Pass };
        if is_before(self.next, ack) && self.established {
            return self.challenge(now);
        }
        if is_before(self.unacknowledged, ack) && !is_before(self.next, ack) {
            self.unacknowledged = ack;
            self.established = true;
            self.timeouts = 0;
        }
        Verdict::Pass
    }

    fn challenge(&mut self, now: u64) -> Verdict {
        if now < self.challenge_at {
            return Verdict::Drop;
        }
        self.challenge_at = now.saturating_add(CHALLENGE);
        Verdict::Challenge
    }

    /// A segment of ours; false when it must not be sent.
    pub fn outgoing(&mut self, segment: &Segment) -> bool {
        if segment.is_bare() {
            let Some(left) = self.credit.checked_sub(1) else { return false };
            self.credit = left;
        }
        if segment.syn {
            self.scale = segment.scale;
            self.unacknowledged = segment.number;
            self.next = segment.end();
        } else if is_before(self.next, segment.end()) {
            self.next = segment.end();
        }
        if let Some(ack) = segment.ack {
            let scale = if segment.syn { 0 } else { u32::from(self.scale) };
            self.acknowledged = ack;
            self.window = segment.window;
            self.edge = ack.wrapping_add(u32::from(segment.window) << scale.min(14));
            if is_before(self.came, ack) {
                self.came = ack;
            }
        }
        true
    }

    /// Counts a time-out of a segment; true when its length may be the cause.
    pub fn timed_out(&mut self) -> bool {
        self.timeouts = self.timeouts.saturating_add(1);
        self.timeouts >= TIMEOUTS
    }
}

/// The connections that smoltcp has.
pub struct Flows {
    all: Vec<Flow>,
    /// Of a SYN that smoltcp may have taken.
    arriving: Option<Flow>,
}

impl Flows {
    pub fn new(most: usize) -> Self {
        Self { all: Vec::with_capacity(most), arriving: None }
    }

    pub fn find(&mut self, peer: Peer) -> Option<&mut Flow> {
        self.all.iter_mut().find(|flow| flow.peer == peer)
    }

    pub fn has_peer(&self, ip: IpAddr) -> bool {
        self.all.iter().any(|flow| flow.peer.0 == ip)
    }

    /// Keeps those of the connections that there are.
    pub fn keep(&mut self, is_there: impl Fn(Peer) -> bool) {
        self.all.retain(|flow| is_there(flow.peer));
        let arrived = self.arriving.take_if(|flow| is_there(flow.peer));
        if let Some(flow) = arrived
            && self.find(flow.peer).is_none()
        {
            self.all.push(flow);
        }
    }

    /// A segment that has come.
    pub fn incoming(&mut self, segment: &Segment, mac: EthernetAddress, now: u64) -> Verdict {
        if let Some(flow) = self.find(segment.from) {
            return flow.incoming(segment, mac, now);
        }
        self.arriving = is_first(segment).then(|| Flow::new(segment, mac));
        Verdict::Pass
    }

    /// Whether a segment that passed is the first of a connection.
    pub fn begins(&mut self, segment: &Segment) -> bool {
        is_first(segment) && self.arriving.as_ref().is_some_and(|flow| flow.peer == segment.from)
    }

    /// Whether a peer was told all that it may be told.
    pub fn is_spent(&mut self, peer: Peer) -> bool {
        self.find(peer).is_some_and(|flow| flow.credit == 0)
    }

    /// Whether some segment has timed out.
    pub fn is_losing(&self) -> bool {
        self.all.iter().any(|flow| flow.timeouts > 0)
    }

    /// A host on our network has this hardware address now.
    pub fn moved(&mut self, ip: IpAddr, mac: EthernetAddress) {
        self.all.iter_mut().filter(|flow| flow.peer.0 == ip).for_each(|flow| flow.mac = mac);
    }
}

fn is_first(segment: &Segment) -> bool {
    segment.syn && segment.ack.is_none() && !segment.rst
}
