//! The interface's directory in xenstore and its connection: what is there, and what is offered.
use super::receive::Receive;
use super::transmit::Transmit;
use crate::xen::bus::{self, Backend, BusError, Frontend, State};
use crate::xen::ring::Broken;
use crate::xen::shared::{Channel, Shared};
use crate::xen::xenstore::{StoreError, Watch, Xenstore};
use crate::xen::{DomId, Xen, XenError};
use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::future::Future;
use core::pin::pin;
use core::task::Poll;
use log::{debug, error, info, warn};

const DIRECTORY: &str = "device/vif";

/// IP's MTU where nothing else is said, and the bounds of what may be said.
const MTU: usize = 1500;
const MTU_MIN: usize = 576;
const MTU_MAX: usize = 9000;

/// Nanoseconds after which a backend that has frames and answers none is told again.
const REMIND_AFTER: u64 = 1_000_000_000;

/// Nanoseconds after which one that has never answered is connected to anew. Linux 6.12's has been seen to take one
/// event of a channel and then no other; a new connection has a new channel.
const DEAF_AFTER: u64 = 4_000_000_000;

pub struct Connection {
    pub channel: Channel,
    pub transmit: Transmit,
    pub receive: Receive,
    silence: Option<Silence>,
    /// Whether the backend has ever answered.
    heard: bool,
}

/// The backend has frames and answers nothing.
struct Silence {
    since: u64,
    /// When it was told last.
    told: u64,
}

impl Connection {
    /// Tells a silent backend again that there are frames. `answered`: it has just taken some. Returns whether it
    /// is deaf.
    fn remind(&mut self, answered: bool, now: u64) -> bool {
        self.heard |= answered;
        if answered || !self.transmit.is_waiting() {
            self.silence = None;
            return false;
        }
        let silence = self.silence.get_or_insert(Silence { since: now, told: now });
        if now.saturating_sub(silence.told) >= REMIND_AFTER {
            silence.told = now;
            self.channel.notify();
        }
        !self.heard && now.saturating_sub(silence.since) >= DEAF_AFTER
    }
}

/// What an interface may use, in pages of 4 KiB for each direction, at least 32 and at most 256.
/// A backend may keep what was sent until its receiver has it, so slow receivers need many.
#[derive(Clone, Copy, Debug)]
pub struct Pages {
    pub receive: usize,
    pub transmit: usize,
}

pub struct Vif {
    xen: Rc<dyn Xen>,
    store: Xenstore,
    pages: Pages,
    /// The directory that is followed.
    path: RefCell<String>,
    pub mac: Cell<Option<[u8; 6]>>,
    pub mtu: Cell<usize>,
    /// Whether the backend is connected.
    pub up: Cell<bool>,
    /// Whether the backend cuts large TCP frames and fills in checksums.
    pub segmentation: Cell<bool>,
    /// Whether it fills in those of IPv6, too.
    pub checksum6: Cell<bool>,
    connection: RefCell<Option<Connection>>,
    /// Why the connection must end.
    ended: RefCell<Option<BusError>>,
    /// A frame that is about to be sent.
    pub scratch: RefCell<Vec<u8>>,
}

impl Vif {
    pub fn new(xen: Rc<dyn Xen>, store: Xenstore, pages: Pages) -> Self {
        Self {
            xen,
            store,
            pages,
            path: RefCell::default(),
            mac: Cell::new(None),
            mtu: Cell::new(MTU),
            up: Cell::new(false),
            segmentation: Cell::new(false),
            checksum6: Cell::new(false),
            connection: RefCell::new(None),
            ended: RefCell::default(),
            scratch: RefCell::default(),
        }
    }

    /// Works on the connection, if there is one. An error ends it.
    pub fn with<T>(&self, work: impl FnOnce(&mut Connection) -> Result<T, Broken>) -> Option<T> {
        if self.ended.borrow().is_some() {
            return None;
        }
        let mut connection = self.connection.borrow_mut();
        let result = work(connection.as_mut()?);
        if result.is_err() {
            error!("the network's backend does not keep to the protocol");
            self.end(BusError::PROTOCOL);
        }
        result.ok()
    }

    /// Leaves the connection to the bus, which ends it.
    fn end(&self, why: BusError) {
        self.ended.replace(Some(why));
        self.up.set(false);
    }

    /// Takes what the backend has finished; true when there was something.
    pub fn reclaim(&self) -> bool {
        let reclaimed = self.with(|connection| {
            connection.channel.take_pending();
            let freed = connection.transmit.reclaim()?;
            Ok((freed, connection.remind(freed, self.xen.now_ns())))
        });
        let (freed, deaf) = reclaimed.unwrap_or_default();
        if deaf {
            self.end(BusError::Deaf);
        }
        freed
    }

    /// The connection's shared memory, and the nodes that tell the backend about it.
    pub fn open(
        &self,
        remote: DomId,
        scatter: bool,
    ) -> Result<(Connection, Vec<(String, String)>), XenError> {
        let page = |read_only| Shared::new(&self.xen, remote, read_only);
        let pool = |count: usize, read_only| {
            (0..count.clamp(32, 256)).map(|_| page(read_only)).collect::<Result<Vec<_>, _>>()
        };
        let transmit = Transmit::new(page(false)?, pool(self.pages.transmit, true)?, scatter);
        let transmit = transmit.ok_or(XenError::NoMemory)?;
        let receive = Receive::new(page(false)?, pool(self.pages.receive, false)?);
        let mut receive = receive.ok_or(XenError::NoMemory)?;
        // Nobody is there yet to be notified.
        let _ = receive.publish();
        let channel = Channel::new(&self.xen, remote)?;
        let node = |name: &str, value: u32| (name.to_string(), value.to_string());
        let nodes = [
            node("tx-ring-ref", transmit.grant()),
            node("rx-ring-ref", receive.grant()),
            node("event-channel", channel.port().0),
            node("request-rx-copy", 1),
            // We tell when there are new pages to fill.
            node("feature-rx-notify", 1),
            node("feature-sg", 1),
            node("feature-gso-tcpv4", 1),
            node("feature-gso-tcpv6", 1),
            node("feature-ipv6-csum-offload", 1),
        ];
        let (silence, heard) = (None, false);
        Ok((Connection { channel, transmit, receive, silence, heard }, nodes.into()))
    }
}

impl Frontend for Vif {
    const OFFERED: State = State::Connected;

    async fn offer(&self, backend: &Backend) -> Result<Vec<(String, String)>, BusError> {
        let path = self.path.borrow().clone();
        let text = self.store.read_text(&format!("{path}/mac")).await?;
        let mac = parse_mac(&text).ok_or(BusError::Backend("its mac is no hardware address"))?;
        self.mac.set(Some(mac));
        let mtu = match self.store.read_number::<usize>(&format!("{path}/mtu")).await {
            Ok(mtu) => mtu.clamp(MTU_MIN, MTU_MAX),
            Err(_) => MTU,
        };
        self.mtu.set(mtu);
        let store = &self.store;
        if backend.number(store, "feature-rx-copy", 0u32).await? == 0 {
            return Err(BusError::Backend("its backend does not copy"));
        }
        let scatter = backend.number(store, "feature-sg", 0u32).await? != 0;
        let large = backend.number(store, "feature-gso-tcpv4", 0u32).await? != 0;
        let sums6 = backend.number(store, "feature-ipv6-csum-offload", 0u32).await? != 0;
        let (connection, nodes) = self.open(backend.domain, scatter)?;
        self.connection.replace(Some(connection));
        self.segmentation.set(scatter && large);
        self.checksum6.set(sums6);
        Ok(nodes)
    }

    async fn connected(&self, _: &Backend) -> Result<(), BusError> {
        self.up.set(true);
        let large = if self.segmentation.get() { "with" } else { "without" };
        info!("network interface up, mtu {}, {large} segmentation offload", self.mtu.get());
        Ok(())
    }

    fn ended(&self) -> Option<BusError> {
        self.ended.borrow().clone()
    }

    fn disconnected(&self) {
        self.up.set(false);
        self.ended.take();
        self.segmentation.set(false);
        self.checksum6.set(false);
        if let Some(connection) = self.connection.take() {
            let (transmit, receive) = (connection.transmit.dropped, connection.receive.dropped);
            debug!("network interface down, {transmit} and {receive} frames dropped");
        }
    }
}

/// Follows the interfaces that come and go. Ends only when xenstore fails.
pub async fn run(vif: Rc<Vif>) {
    if let Err(e) = follow(&vif).await {
        error!("{DIRECTORY}: {e}");
    }
    vif.disconnected();
}

async fn follow(vif: &Vif) -> Result<(), StoreError> {
    let watch = vif.store.watch(DIRECTORY).await?;
    loop {
        let Some(number) = numbers(vif).await?.first().copied() else {
            watch.changed().await;
            continue;
        };
        let path = format!("{DIRECTORY}/{number}");
        vif.path.replace(path.clone());
        let mut device = pin!(bus::follow(vif.store.clone(), path, vif));
        let mut replaced = pin!(replaced(vif, &watch, number));
        let ended = core::future::poll_fn(|context| match replaced.as_mut().poll(context) {
            Poll::Pending => device.as_mut().poll(context).map(|()| Err(StoreError::Broken)),
            ready => ready,
        });
        let ended = ended.await;
        vif.disconnected();
        ended?;
    }
}

/// Waits until another interface is there instead.
async fn replaced(vif: &Vif, watch: &Watch, number: u32) -> Result<(), StoreError> {
    loop {
        watch.changed().await;
        let numbers = numbers(vif).await?;
        if !numbers.is_empty() && !numbers.contains(&number) {
            warn!("the network interface is now number {numbers:?}");
            return Ok(());
        }
    }
}

/// The interfaces' numbers, in order.
async fn numbers(vif: &Vif) -> Result<Vec<u32>, StoreError> {
    let names = match vif.store.list(DIRECTORY).await {
        Err(StoreError::NotFound) => Vec::new(),
        names => names?,
    };
    let mut numbers: Vec<u32> = names.iter().filter_map(|name| name.parse().ok()).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// Six bytes in hexadecimal with colons between them, of one host.
fn parse_mac(text: &str) -> Option<[u8; 6]> {
    let mut parts = text.trim().split(':');
    let mut mac = [0; 6];
    for byte in &mut mac {
        let part = parts.next().filter(|part| part.len() <= 2)?;
        *byte = u8::from_str_radix(part, 16).ok()?;
    }
    let one_host = mac.first()? & 1 == 0 && mac != [0; 6];
    (parts.next().is_none() && one_host).then_some(mac)
}
