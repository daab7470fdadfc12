//! The client of a vchan: pages of another domain, mapped here.
use super::pages::{Frame, Pages, Ring};
use super::{Vchan, VchanError, directory};
use crate::xen::shared::{Channel, Mapped};
use crate::xen::xenstore::{StoreError, Watch, Xenstore};
use crate::xen::{DomId, GrantRef, Xen};
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use qubes::vchan::{
    End, LIVE_NOT_YET, Layout,
    field::{CLIENT_LIVE, GRANTS, LEFT_ORDER, RIGHT_ORDER, SERVER_LIVE},
};

/// A vchan that another domain offers us, or will.
pub struct Dial {
    xen: Rc<dyn Xen>,
    store: Xenstore,
    remote: DomId,
    directory: String,
    watch: Watch,
}

impl Dial {
    /// The vchan that `remote` offers us at `port`.
    pub async fn new(
        xen: &Rc<dyn Xen>,
        store: &Xenstore,
        remote: DomId,
        port: u32,
    ) -> Result<Self, StoreError> {
        let own = DomId(store.read_number("domid").await?);
        let directory = directory(remote, own, port);
        let watch = store.watch(&format!("{directory}/event-channel")).await?;
        Ok(Self { xen: xen.clone(), store: store.clone(), remote, directory, watch })
    }

    /// Waits until it is offered, or offered again.
    pub async fn offered(&self) {
        loop {
            // Told once at its start; later only when a server came or went.
            self.watch.changed().await;
            match self.port().await {
                Ok(_) => return,
                Err(e) if is_absent(&e) => (),
                Err(e) => log::debug!("{}: {e}; waiting for another", self.directory),
            }
        }
    }

    /// Waits until it is offered, or offered again, and connects.
    pub async fn connect(&self) -> Vchan {
        loop {
            self.offered().await;
            if let Some(vchan) = self.connect_now().await {
                return vchan;
            }
        }
    }

    /// Connects to what is offered; else none, and another is to be waited for.
    pub async fn connect_now(&self) -> Option<Vchan> {
        match self.try_connect().await {
            Ok(vchan) => Some(vchan),
            Err(VchanError::Store(e)) if is_absent(&e) => None,
            Err(e) => {
                log::debug!("{}: {e}; waiting for another", self.directory);
                None
            }
        }
    }

    async fn port(&self) -> Result<u32, StoreError> {
        self.store.read_number(&format!("{}/event-channel", self.directory)).await
    }

    async fn try_connect(&self) -> Result<Vchan, VchanError> {
        let port = self.port().await?;
        let first = self.store.read_number(&format!("{}/ring-ref", self.directory)).await?;
        let map =
            |grant, read_only| Mapped::new(&self.xen, self.remote, GrantRef(grant), read_only);
        let first = map(first, false)?;
        let page = first.page().ok_or(VchanError::Closed)?;
        // A ring that had a client is an old one: its server is about to offer another.
        let live = (page.read_u8(SERVER_LIVE), page.read_u8(CLIENT_LIVE));
        if live != (Some(1), Some(LIVE_NOT_YET)) {
            return Err(VchanError::Closed);
        }
        let order = |field| page.read_u16(field).unwrap_or_default();
        let layout = Layout::new(order(LEFT_ORDER), order(RIGHT_ORDER))?;
        let (left_pages, right_pages) = layout.pages();
        let frames = |numbers: core::ops::Range<usize>, read_only| {
            let grants = numbers.map(|n| n.saturating_mul(4).saturating_add(GRANTS));
            let grants = grants.map(|at| page.read_u32(at).unwrap_or_default());
            let mapped = grants.map(|grant| map(grant, read_only).map(Frame::Theirs));
            mapped.collect::<Result<Vec<_>, _>>()
        };
        let all = left_pages.saturating_add(right_pages);
        // The server writes the right ring and grants it for reading alone.
        let (left, right) = (frames(0..left_pages, false)?, frames(left_pages..all, true)?);
        let channel = Channel::bind(&self.xen, self.remote, port)?;
        let (left_place, right_place) = layout.places();
        let pages = Pages {
            channel,
            first: Frame::Theirs(first),
            read: Ring { place: right_place, pages: right },
            write: Ring { place: left_place, pages: left },
        };
        Ok(Vchan::new(&self.xen, End::client(pages, layout), layout.sizes().1))
    }
}

/// Whether the error says that nobody offers it yet.
fn is_absent(error: &StoreError) -> bool {
    match error {
        StoreError::NotFound => true,
        StoreError::Other(name) => name == "EACCES",
        _ => false,
    }
}
