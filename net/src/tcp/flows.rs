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

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::Ipv4Addr;

    const US: Peer = (IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)), 22);
    const PEER: Peer = (IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), 4000);
    const MAC: EthernetAddress = EthernetAddress([2, 0, 0, 0, 0, 1]);
    const OTHER: EthernetAddress = EthernetAddress([2, 0, 0, 0, 0, 2]);

    /// A segment without anything, from the peer.
    fn from_peer(number: u32) -> Segment {
        Segment {
            from: PEER,
            to: US,
            number,
            ack: None,
            syn: false,
            fin: false,
            rst: false,
            window: 0,
            scale: 0,
            header: 54,
            data: 0,
        }
    }

    fn ours(number: u32, ack: u32, window: u16) -> Segment {
        Segment { from: US, to: PEER, ack: Some(ack), window, ..from_peer(number) }
    }

    /// A connection whose peer begins at 100, and we at 500, with a window of 400 bytes.
    fn begun() -> Flow {
        let syn = Segment { syn: true, ..from_peer(99) };
        let mut flow = Flow::new(&syn, MAC);
        assert!(flow.outgoing(&Segment { syn: true, scale: 2, ..ours(499, 100, 400) }));
        assert_eq!(
            flow.incoming(&Segment { ack: Some(500), ..from_peer(100) }, MAC, 0),
            Verdict::Pass
        );
        assert!(flow.outgoing(&ours(500, 100, 100)));
        flow
    }

    #[test]
    fn a_window_is_shifted_as_the_syn_said() {
        let rst = |number| Segment { rst: true, ..from_peer(number) };
        let judged = |number| begun().incoming(&rst(number), MAC, 5_000);
        assert_eq!(judged(100), Verdict::Pass);
        assert_eq!([101, 499].map(judged), [Verdict::Challenge; 2]);
        assert_eq!([500, 99].map(judged), [Verdict::Drop; 2]);
    }

    #[test]
    fn what_came_without_a_gap_is_where_a_reset_may_stand() {
        let data = |number| Segment { data: 50, ack: Some(500), ..from_peer(number) };
        let rst = |number| Segment { rst: true, ..from_peer(number) };
        let mut flow = begun();
        assert_eq!(flow.incoming(&data(100), MAC, 0), Verdict::Pass);
        assert_eq!(flow.incoming(&rst(150), MAC, 5_000), Verdict::Pass);
        let mut flow = begun();
        assert_eq!(flow.incoming(&data(200), MAC, 0), Verdict::Pass);
        assert_eq!(flow.incoming(&rst(250), MAC, 5_000), Verdict::Challenge);
    }

    #[test]
    fn frames_come_from_where_the_last_expected_one_came() {
        for (number, follows) in [(100, true), (300, true), (99, false), (500, false)] {
            let mut flow = begun();
            flow.incoming(&from_peer(number), OTHER, 0);
            assert_eq!(flow.mac == OTHER, follows, "{number}");
        }
    }

    #[test]
    fn a_syn_is_dropped_when_it_is_the_one_that_began_and_challenged_otherwise() {
        let syn = |number| Segment { syn: true, ..from_peer(number) };
        let waiting = || Flow::new(&syn(99), MAC);
        assert_eq!(waiting().incoming(&syn(99), MAC, 5_000), Verdict::Drop);
        assert_eq!(waiting().incoming(&syn(98), MAC, 5_000), Verdict::Challenge);
        let answer = Segment { ack: Some(1), ..syn(99) };
        assert_eq!(waiting().incoming(&answer, MAC, 5_000), Verdict::Challenge);
        assert_eq!(begun().incoming(&syn(99), MAC, 5_000), Verdict::Challenge);
    }

    #[test]
    fn acknowledgments_are_sent_while_the_peer_earns_them() {
        let mut flow = begun();
        let spend = |flow: &mut Flow| {
            core::iter::from_fn(|| flow.outgoing(&ours(500, 100, 100)).then_some(())).count()
        };
        assert_eq!(spend(&mut flow), 63);
        // Two for each frame, and one for each 1,500 bytes.
        for (data, earned) in [(0, 2), (1_499, 2), (1_500, 3), (4_500, 5), (1 << 20, 64)] {
            flow.incoming(&Segment { data, ..from_peer(100) }, MAC, 0);
            assert_eq!(spend(&mut flow), earned, "{data}");
        }
        // What says more is always sent.
        assert!(flow.outgoing(&Segment { data: 1, ..ours(500, 100, 100) }));
    }

    #[test]
    fn only_a_syn_alone_begins_a_connection() {
        let syn = Segment { syn: true, ..from_peer(99) };
        let begins = |segment: Segment| {
            let mut flows = Flows::new(4);
            assert_eq!(flows.incoming(&segment, MAC, 0), Verdict::Pass);
            flows.begins(&segment)
        };
        assert!(begins(syn));
        assert!(!begins(from_peer(99)));
        assert!(!begins(Segment { ack: Some(1), ..syn }));
        assert!(!begins(Segment { rst: true, ..syn }));
        let mut flows = Flows::new(4);
        flows.incoming(&syn, MAC, 0);
        assert!(!flows.begins(&from_peer(99)));
        assert!(!flows.begins(&Segment { from: (PEER.0, 4001), ..syn }));
        flows.keep(|peer| peer == PEER);
        assert!(flows.has_peer(PEER.0) && !flows.is_losing());
        assert!(!flows.find(PEER).unwrap().timed_out());
        assert!(flows.is_losing());
        assert!(flows.find(PEER).unwrap().timed_out(), "the second time");
    }
}
