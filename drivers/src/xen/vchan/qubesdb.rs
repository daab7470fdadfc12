//! The link to QubesDB in dom0, which may come late, go, and come back.
use crate::task::{Task, until};
use crate::xen::vchan::{Dial, Vchan};
use crate::xen::xenstore::{StoreError, Xenstore};
use crate::xen::{DomId, Xen};
use alloc::rc::Rc;
use core::cell::{Ref, RefCell};
use net::{Closed, Stream};
use qubes::qubesdb::{BadMessage, Client};

const DOM0: DomId = DomId(0);

/// `QUBESDB_PORT` of libqubesdb.
const PORT: u32 = 111;

/// The database as dom0 last told it. What was told stays when the link is gone.
pub struct QubesDb {
    task: Task,
    state: Rc<RefCell<State>>,
    seen: u64,
}

#[derive(Default)]
struct State {
    /// Complete, or never linked.
    told: Client,
    /// Counts the links that became complete.
    links: u64,
}

impl QubesDb {
    pub fn new(xen: Rc<dyn Xen>, store: Xenstore) -> Self {
        let state = Rc::new(RefCell::<State>::default());
        let told = state.clone();
        let task = Task::new(async move {
            if let Err(e) = follow(&xen, &store, &told).await {
                log::error!("QubesDB: {e}");
            }
        });
        Self { task, state, seen: 0 }
    }

    /// Follows the link.
    pub fn poll(&mut self) {
        self.task.poll();
    }

    /// Whether the entries are others than at the last call that said so.
    pub fn take_changed(&mut self) -> bool {
        let state = self.state.borrow();
        let now = state.links.wrapping_add(state.told.changes());
        state.told.is_complete() && core::mem::replace(&mut self.seen, now) != now
    }

    /// The entries. None before all of them have come once.
    pub fn entries(&self) -> Option<Ref<'_, Client>> {
        let told = Ref::map(self.state.borrow(), |state| &state.told);
        told.is_complete().then_some(told)
    }
}

/// Ends only when xenstore fails.
async fn follow(
    xen: &Rc<dyn Xen>,
    store: &Xenstore,
    state: &RefCell<State>,
) -> Result<(), StoreError> {
    let dial = Dial::new(xen, store, DOM0, PORT).await?;
    loop {
        let mut vchan = dial.connect().await;
        let mut fresh = Some(Client::new());
        let ended = until(|| step(&mut vchan, &mut fresh, &mut state.borrow_mut()).err()).await;
        match ended {
            Ended::Closed => log::info!("QubesDB is gone; waiting for its return"),
            Ended::Bad(e) => log::error!("{e}; the link is given up"),
        }
    }
}

enum Ended {
    Closed,
    Bad(BadMessage),
}

impl From<Closed> for Ended {
    fn from(_: Closed) -> Self {
        Self::Closed
    }
}

/// Moves what can be moved. The entries of a new link take the place of the old ones when all of
/// them are there.
fn step(vchan: &mut Vchan, fresh: &mut Option<Client>, state: &mut State) -> Result<(), Ended> {
    loop {
        let client = fresh.as_mut().unwrap_or(&mut state.told);
        let sent = match client.output() {
            [] => 0,
            output => vchan.write(output)?,
        };
        client.sent(sent);
        let taken = client.push(vchan.fill()?).map_err(Ended::Bad)?;
        vchan.consume(taken);
        if client.is_complete()
            && let Some(client) = fresh.take()
        {
            log::info!("QubesDB is there");
            state.told = client;
            // Another number than any that was seen.
            state.links = state.links.wrapping_add(1 << 32);
        }
        if taken == 0 && sent == 0 {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xen::fake::dom0::Server;
    use crate::xen::fake::world::World;

    const OK: u8 = 7;

    fn message(kind: u8, path: &str, value: &str) -> Vec<u8> {
        let mut bytes = vec![0; 72];
        bytes[0] = kind;
        bytes[1..1 + path.len()].copy_from_slice(path.as_bytes());
        bytes[68..].copy_from_slice(&(value.len() as u32).to_le_bytes());
        bytes.extend(value.as_bytes());
        bytes
    }

    fn turns(world: &World, db: &mut QubesDb) -> bool {
        let mut changed = false;
        for _ in 0..60 {
            world.stored.borrow_mut().turn();
            world.store.poll();
            db.poll();
            changed |= db.take_changed();
        }
        changed
    }

    fn ip(db: &QubesDb) -> Option<String> {
        db.entries()?.text("/qubes-ip").map(String::from)
    }

    /// A daemon that has told one address.
    fn daemon(world: &World, db: &mut QubesDb, address: &str) -> Server {
        let mut server = Server::new(world, PORT, (12, 12));
        assert!(!turns(world, db));
        assert_eq!(server.take(), message(2, "", ""));
        server.put(&message(11, "/qubes-ip", address));
        assert!(!turns(world, db));
        server.put(&message(11, "", ""));
        assert!(turns(world, db));
        assert_eq!(ip(db).as_deref(), Some(address));
        server
    }

    #[test]
    fn entries_follow_the_daemon_and_outlive_it() {
        let world = World::new();
        world.stored.borrow_mut().set("domid", "5");
        let mut db = QubesDb::new(world.xen(), world.store.clone());
        assert!(!turns(&world, &mut db));
        assert!(db.entries().is_none());
        let mut server = daemon(&world, &mut db, "10.137.0.9");
        server.put(&message(1, "/qubes-ip", "10.137.0.10"));
        assert!(turns(&world, &mut db));
        assert!(!turns(&world, &mut db));
        assert_eq!(server.take(), message(OK, "/qubes-ip", ""));
        assert_eq!(ip(&db).as_deref(), Some("10.137.0.10"));
        server.close();
        assert!(!turns(&world, &mut db));
        assert_eq!(ip(&db).as_deref(), Some("10.137.0.10"));
        daemon(&world, &mut db, "10.137.0.11");
    }

    #[test]
    fn a_link_with_bad_messages_is_given_up_and_the_next_one_taken() {
        let world = World::new();
        world.stored.borrow_mut().set("domid", "5");
        let mut db = QubesDb::new(world.xen(), world.store.clone());
        let mut server = daemon(&world, &mut db, "10.137.0.9");
        server.put(&message(99, "/x", ""));
        turns(&world, &mut db);
        assert!(!server.has_client());
        assert_eq!(ip(&db).as_deref(), Some("10.137.0.9"));
        daemon(&world, &mut db, "10.137.0.12");
    }
}
