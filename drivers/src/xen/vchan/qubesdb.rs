//! The link to QubesDB in dom0, which may come late, go, and come back.
use crate::share::Share;
use crate::task::{Task, until};
use crate::xen::vchan::Dial;
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
    /// The daemon's.
    share: Rc<Share>,
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
        let share = Rc::<Share>::default();
        let task = link(xen, store, state.clone(), share.clone());
        Self { task, share, state, seen: 0 }
    }

    /// Links anew when the domain went on as another. What was told stays.
    pub fn resume(&mut self, xen: Rc<dyn Xen>, store: Xenstore) {
        self.task = link(xen, store, self.state.clone(), self.share.clone());
    }

    /// Follows the link; true when the daemon has sent more than its share of a turn.
    pub fn poll(&mut self) -> bool {
        self.share.begin_turn();
        self.task.poll();
        self.share.has_more()
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

fn link(xen: Rc<dyn Xen>, store: Xenstore, state: Rc<RefCell<State>>, share: Rc<Share>) -> Task {
    Task::new(async move {
        if let Err(e) = follow(&xen, &store, &state, &share).await {
            log::error!("QubesDB: {e}");
        }
    })
}

/// Ends only when xenstore fails.
async fn follow(
    xen: &Rc<dyn Xen>,
    store: &Xenstore,
    state: &RefCell<State>,
    share: &Share,
) -> Result<(), StoreError> {
    let dial = Dial::new(xen, store, DOM0, PORT).await?;
    loop {
        let mut vchan = dial.connect().await;
        let mut fresh = Some(Client::new());
        let step = || step(&mut vchan, &mut fresh, &mut state.borrow_mut(), share).err();
        let ended = until(step).await;
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

/// Moves what can be moved in this turn. The entries of a new link take the place of the old ones when all of
/// them are there.
fn step(
    vchan: &mut impl Stream,
    fresh: &mut Option<Client>,
    state: &mut State,
    share: &Share,
) -> Result<(), Ended> {
    loop {
        let client = fresh.as_mut().unwrap_or(&mut state.told);
        let sent = match client.output() {
            [] => 0,
            output => vchan.write(output)?,
        };
        client.sent(sent);
        let bytes = vchan.fill()?;
        if !bytes.is_empty() && !share.is_left() {
            return Ok(());
        }
        let taken = client.push(bytes).map_err(Ended::Bad)?;
        vchan.consume(taken);
        share.take(taken);
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
    use crate::share::SHARE;
    use crate::xen::fake::dom0::Server;
    use crate::xen::fake::fed::Fed;
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
    fn a_restored_domain_links_anew() {
        let world = World::new();
        world.stored.borrow_mut().set("domid", "5");
        let mut db = QubesDb::new(world.xen(), world.store.clone());
        let old = daemon(&world, &mut db, "10.137.0.9");
        world.restore();
        world.stored.borrow_mut().set("domid", "5");
        db.resume(world.xen(), world.store.clone());
        assert!(!turns(&world, &mut db));
        assert_eq!(ip(&db).as_deref(), Some("10.137.0.9"));
        daemon(&world, &mut db, "10.137.0.10");
        drop(old);
    }

    /// Who changes one entry for ever, and takes every answer, has its share of a turn and no more.
    #[test]
    fn a_daemon_without_end_does_not_keep_the_turn() {
        let change = message(1, "/qubes-ip", "10.137.0.9");
        let mut daemon = Fed::new(&change, usize::MAX);
        let (mut fresh, mut state, share) = (None, State::default(), Share::default());
        for turn in 1..=3 {
            share.begin_turn();
            assert!(step(&mut daemon, &mut fresh, &mut state, &share).is_ok());
            assert!(share.has_more());
            let (least, most) = (SHARE / 2 * turn, (SHARE + Fed::PIECE) * turn);
            assert!((least..=most).contains(&daemon.given), "{} in {turn} turns", daemon.given);
        }
        // What is over is taken, and then there is no more.
        daemon.most = daemon.given + 100 * change.len();
        share.begin_turn();
        assert!(step(&mut daemon, &mut fresh, &mut state, &share).is_ok());
        assert_eq!((daemon.given, share.has_more()), (daemon.most, false));
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
