//! XenBus: the frontend's side of the handshake by which a device and its backend find each other
//! and part (xen/include/public/io/xenbus.h).
use crate::task::{join, until};
use crate::xen::xenstore::{StoreError, Watch, Xenstore};
use crate::xen::{DomId, XenError};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;
use xen_sys::xenbus;

/// `enum xenbus_state`; what a backend writes beyond it counts as `Unknown`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Unknown,
    Initialising,
    InitWait,
    Initialised,
    Connected,
    Closing,
    Closed,
}

impl State {
    fn from_number(number: u32) -> Self {
        match number {
            xenbus::INITIALISING => Self::Initialising,
            xenbus::INIT_WAIT => Self::InitWait,
            xenbus::INITIALISED => Self::Initialised,
            // A backend that reconfigures itself goes on serving.
            xenbus::CONNECTED | xenbus::RECONFIGURING | xenbus::RECONFIGURED => Self::Connected,
            xenbus::CLOSING => Self::Closing,
            xenbus::CLOSED => Self::Closed,
            _ => Self::Unknown,
        }
    }

    fn number(self) -> u32 {
        match self {
            Self::Unknown => 0,
            Self::Initialising => xenbus::INITIALISING,
            Self::InitWait => xenbus::INIT_WAIT,
            Self::Initialised => xenbus::INITIALISED,
            Self::Connected => xenbus::CONNECTED,
            Self::Closing => xenbus::CLOSING,
            Self::Closed => xenbus::CLOSED,
        }
    }
}

/// The other end of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    /// Its directory in xenstore, absolute.
    pub path: String,
    pub domain: DomId,
}

impl Backend {
    /// The number in a node of the backend's directory; `default` when there is none.
    pub async fn number<N: FromStr>(
        &self,
        store: &Xenstore,
        name: &str,
        default: N,
    ) -> Result<N, StoreError> {
        match store.read_number(&format!("{}/{name}", self.path)).await {
            Err(StoreError::NotFound) => Ok(default),
            result => result,
        }
    }

    async fn state(&self, store: &Xenstore) -> Result<State, StoreError> {
        match store.read_number(&format!("{}/state", self.path)).await {
            Ok(number) => Ok(State::from_number(number)),
            // The backend or its domain is gone.
            Err(StoreError::NotFound) => Ok(State::Closed),
            Err(StoreError::NotText) => Ok(State::Unknown),
            Err(e) => Err(e),
        }
    }
}

/// A device's part of the handshake.
#[allow(async_fn_in_trait)] // One thread: nothing here is ever sent to another.
pub trait Frontend {
    /// Our state when the keys of `offer` are written: `Initialised` for a disk, whose backend
    /// connects first, `Connected` for a network interface, whose backend connects last.
    const OFFERED: State;

    /// The backend waits: makes rings and an event channel, and returns the nodes to be written to
    /// the frontend's directory, names and values.
    async fn offer(&self, backend: &Backend) -> Result<Vec<(String, String)>, BusError>;

    /// The backend is connected: reads what it offers, and starts.
    async fn connected(&self, backend: &Backend) -> Result<(), BusError>;

    /// Why the device cannot go on with this backend, if it cannot.
    fn ended(&self) -> Option<BusError>;

    /// The backend is gone, or about to go: ends rings, grants and the event channel. Also called
    /// when `offer` or `connected` failed.
    fn disconnected(&self);
}

/// Why a device is not connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BusError {
    Store(StoreError),
    Xen(XenError),
    /// The backend closed.
    Closed,
    /// The device was taken away or given to another backend.
    Moved,
    /// The backend offers what cannot be used, or does not keep to the protocol.
    Backend(&'static str),
    /// The backend has never answered, and may if it is connected to anew.
    Deaf,
}

impl BusError {
    pub const PROTOCOL: Self = Self::Backend("its backend does not keep to the protocol");
}

impl From<StoreError> for BusError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<XenError> for BusError {
    fn from(error: XenError) -> Self {
        Self::Xen(error)
    }
}

impl fmt::Display for BusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(e) => e.fmt(f),
            Self::Xen(e) => e.fmt(f),
            Self::Closed => f.write_str("its backend closed"),
            Self::Moved => f.write_str("the device was taken away"),
            Self::Backend(what) => f.write_str(what),
            Self::Deaf => f.write_str("its backend answers nothing, and is connected to anew"),
        }
    }
}

impl core::error::Error for BusError {}

/// Follows a device for ever: connects it whenever there is a backend, and answers when that goes.
/// `path` is its directory, such as `device/vbd/51728`, which may come and go.
pub async fn follow(store: Xenstore, path: String, frontend: &impl Frontend) {
    let device = Device { store, path: &path, frontend };
    if let Err(e) = device.follow().await {
        log::error!("{path}: {e}");
    }
}

struct Device<'d, F> {
    store: Xenstore,
    path: &'d str,
    frontend: &'d F,
}

impl<F: Frontend> Device<'_, F> {
    /// Ends only when xenstore fails.
    async fn follow(&self) -> Result<(), StoreError> {
        let own = self.store.watch(self.path).await?;
        loop {
            let Some(backend) = self.backend().await? else {
                own.changed().await;
                continue;
            };
            let theirs = self.store.watch(&format!("{}/state", backend.path)).await?;
            let watches = (&own, &theirs);
            let orderly = match self.connect(&backend, watches).await {
                Ok(()) | Err(BusError::Closed | BusError::Moved) => true,
                Err(e) => {
                    log::error!("{}: {e}", self.path);
                    e == BusError::Deaf
                }
            };
            self.frontend.disconnected();
            match self.close(&backend).await {
                Ok(()) | Err(BusError::Moved) => (),
                Err(e) => log::warn!("{}: {e}", self.path),
            }
            self.wait_for_return(&backend, watches, orderly).await?;
        }
    }

    /// Connects and stays so until the backend goes.
    async fn connect(&self, backend: &Backend, watches: (&Watch, &Watch)) -> Result<(), BusError> {
        if self.own_state().await? != State::Initialising {
            self.set_state(backend, State::Initialising, &[]).await?;
        }
        self.wait(backend, watches, false, |state| state == State::InitWait).await?;
        let nodes = self.frontend.offer(backend).await?;
        self.set_state(backend, F::OFFERED, &nodes).await?;
        self.wait(backend, watches, true, |state| state == State::Connected).await?;
        self.frontend.connected(backend).await?;
        if F::OFFERED != State::Connected {
            self.set_state(backend, State::Connected, &[]).await?;
        }
        log::info!("{}: connected to domain {}", self.path, backend.domain.0);
        self.wait(backend, watches, true, |_| false).await
    }

    /// Waits for a state of the backend. Fails when it closes after we offered ourselves, when the
    /// device goes elsewhere or when the frontend cannot go on.
    async fn wait(
        &self,
        backend: &Backend,
        (own, theirs): (&Watch, &Watch),
        offered: bool,
        wanted: impl Fn(State) -> bool,
    ) -> Result<(), BusError> {
        loop {
            theirs.take();
            let state = backend.state(&self.store).await?;
            if wanted(state) {
                return Ok(());
            }
            // Before, a backend that has closed begins anew when it sees us begin.
            if offered && matches!(state, State::Closing | State::Closed) {
                return Err(BusError::Closed);
            }
            if own.take() && self.backend().await?.as_ref() != Some(backend) {
                return Err(BusError::Moved);
            }
            let ended = || self.frontend.ended();
            let moved = || own.has_fired() || theirs.has_fired() || ended().is_some();
            until(|| moved().then_some(())).await;
            if let Some(error) = ended() {
                return Err(error);
            }
        }
    }

    async fn close(&self, backend: &Backend) -> Result<(), BusError> {
        log::info!("{}: closes", self.path);
        self.set_state(backend, State::Closing, &[]).await?;
        self.set_state(backend, State::Closed, &[]).await
    }

    /// Waits until the toolstack or the backend begins anew, or until it is on us to begin: a
    /// backend that closed and is to stay waits for that. After a failure we do not.
    async fn wait_for_return(
        &self,
        old: &Backend,
        (own, theirs): (&Watch, &Watch),
        orderly: bool,
    ) -> Result<(), StoreError> {
        let mut closed = false;
        loop {
            // Without a directory, `follow` waits for it.
            let here = self.backend().await?;
            if here.as_ref() != Some(old) || self.own_state().await? == State::Initialising {
                return Ok(());
            }
            // A backend that did not see us close yet may still wait as it did before.
            match old.state(&self.store).await? {
                State::Closed if orderly && old.number(&self.store, "online", 0).await? == 1 => {
                    return Ok(());
                }
                State::Closing | State::Closed => closed = true,
                State::Initialising | State::InitWait if closed => return Ok(()),
                _ => (),
            }
            until(|| (own.take() | theirs.take()).then_some(())).await;
        }
    }

    /// The device's backend now; None without the device.
    async fn backend(&self) -> Result<Option<Backend>, StoreError> {
        let path = match self.store.read_text(&format!("{}/backend", self.path)).await {
            Ok(path) if !path.is_empty() => path,
            Ok(_) | Err(StoreError::NotFound | StoreError::NotText) => return Ok(None),
            Err(e) => return Err(e),
        };
        match self.store.read_number(&format!("{}/backend-id", self.path)).await {
            Ok(domain) => Ok(Some(Backend { path, domain: DomId(domain) })),
            Err(StoreError::NotFound | StoreError::NotText) => Ok(None),
            Err(e) => Err(e),
        }
    }

    async fn own_state(&self) -> Result<State, StoreError> {
        match self.store.read_number(&format!("{}/state", self.path)).await {
            Ok(number) => Ok(State::from_number(number)),
            Err(StoreError::NotFound | StoreError::NotText) => Ok(State::Unknown),
            Err(e) => Err(e),
        }
    }

    /// Writes nodes and then our state, together, unless the device is gone: a directory that the
    /// toolstack removed must not come back.
    async fn set_state(
        &self,
        backend: &Backend,
        state: State,
        nodes: &[(String, String)],
    ) -> Result<(), BusError> {
        let written =
            self.store.transact(async |transaction: &crate::xen::xenstore::Transaction| {
                match transaction.read_text(&format!("{}/backend", self.path)).await {
                    Ok(path) if path == backend.path => (),
                    Ok(_) | Err(StoreError::NotFound) => return Ok(false),
                    Err(e) => return Err(e),
                }
                // Side by side: each answer takes a while.
                let last = ("state".to_string(), state.number().to_string());
                let write = async |(name, value): &(String, String)| {
                    transaction.write(&format!("{}/{name}", self.path), value).await
                };
                let written = join(nodes.iter().chain([&last]).map(write)).await;
                written.into_iter().collect::<Result<(), _>>().map(|()| true)
            });
        if written.await? { Ok(()) } else { Err(BusError::Moved) }
    }
}
