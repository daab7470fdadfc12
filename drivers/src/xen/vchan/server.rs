//! The server of a vchan: pages of ours, offered to another domain.
use super::pages::{Frame, Pages, Ring};
use super::{Vchan, VchanError};
use crate::task::until;
use crate::xen::shared::{Channel, Shared};
use crate::xen::xenstore::{StoreError, Transaction, Xenstore};
use crate::xen::{DomId, Xen};
use alloc::format;
use alloc::rc::Rc;
use alloc::string::ToString;
use alloc::vec::Vec;
use qubes::vchan::{
    End, Layout,
    field::{GRANTS, LEFT_ORDER, RIGHT_ORDER},
};

/// Offers `remote` a vchan at `port` and waits for it to come. Nobody can come again after.
pub async fn serve(
    xen: &Rc<dyn Xen>,
    store: &Xenstore,
    remote: DomId,
    port: u32,
    layout: Layout,
) -> Result<Vchan, VchanError> {
    let own: u16 = store.read_number("domid").await?;
    let first = Shared::new(xen, remote, false)?;
    let channel = Channel::new(xen, remote)?;
    let nodes = [("ring-ref", first.grant().0), ("event-channel", channel.port().0)];
    let vchan = open(xen, remote, layout, first, channel)?;
    let base = format!("data/vchan/{}/{port}", remote.0);
    let (owner, reader) = (format!("n{own}"), format!("r{}", remote.0));
    let written = store.transact(async |transaction: &Transaction| {
        for (name, value) in nodes {
            let path = format!("{base}/{name}");
            transaction.write(&path, &value.to_string()).await?;
            transaction.set_permissions(&path, &[&owner, &reader]).await?;
        }
        Ok(())
    });
    written.await?;
    until(|| (!vchan.is_waiting()).then_some(())).await;
    // The next one must not attach to a ring that is in use.
    match store.rm(&base).await {
        Ok(()) | Err(StoreError::NotFound) => Ok(vchan),
        Err(e) => Err(e.into()),
    }
}

fn open(
    xen: &Rc<dyn Xen>,
    remote: DomId,
    layout: Layout,
    first: Shared,
    channel: Channel,
) -> Result<Vchan, VchanError> {
    let (left_pages, right_pages) = layout.pages();
    // The right ring is ours to write: the client may only read it.
    let make = |count: usize, read_only: bool| {
        (0..count).map(|_| Shared::new(xen, remote, read_only)).collect::<Result<Vec<_>, _>>()
    };
    let (left, right) = (make(left_pages, false)?, make(right_pages, true)?);
    if let Some(page) = first.page() {
        let (left_order, right_order) = layout.orders();
        page.write_u16(LEFT_ORDER, left_order);
        page.write_u16(RIGHT_ORDER, right_order);
        for (number, shared) in left.iter().chain(&right).enumerate() {
            page.write_u32(number.saturating_mul(4).saturating_add(GRANTS), shared.grant().0);
        }
    }
    let frames = |pages: Vec<Shared>| pages.into_iter().map(Frame::Ours).collect();
    let (left_place, right_place) = layout.places();
    let pages = Pages {
        channel,
        first: Frame::Ours(first),
        read: Ring { place: left_place, pages: frames(left) },
        write: Ring { place: right_place, pages: frames(right) },
    };
    Ok(Vchan::new(xen, End::server(pages, layout), layout.sizes().0))
}
