//! What Qubes adds to a guest of Xen: the network and keys from QubesDB, and calls of qrexec.
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::string::String;
use drivers::{Hypervisor, Qrexec, QubesDb, Xenstore};
use log::info;
use qubes::qubesdb::Network;
use server::{Call, ToldKeys};

/// Features `vm-config.key-<user>`.
const KEYS: &str = "/vm-config/key-";

pub struct Qubes {
    db: QubesDb,
    qrexec: Qrexec,
    /// What was told of last.
    network: Option<Network>,
    keys: ToldKeys,
}

/// What is new in QubesDB.
#[derive(Default)]
pub struct News {
    pub network: Option<Network>,
    pub keys: Option<ToldKeys>,
}

impl Qubes {
    /// Connects to dom0's daemons whenever they are there. Without Qubes nothing comes of it.
    pub fn new(xen: &Rc<Hypervisor>, store: &Xenstore) -> Self {
        let db = QubesDb::new(xen.clone(), store.clone());
        let qrexec = Qrexec::new(xen.clone(), store.clone());
        Self { db, qrexec, network: None, keys: ToldKeys::new() }
    }

    /// Connects anew when the domain went on as another. The calls of before end.
    pub fn resume(&mut self, xen: &Rc<Hypervisor>, store: &Xenstore) {
        self.db.resume(xen.clone(), store.clone());
        self.qrexec = Qrexec::new(xen.clone(), store.clone());
    }

    /// Follows QubesDB alone, until there is something to serve: dom0 takes an agent that answers for
    /// a qube that is ready. True when there is more to do at once.
    pub fn poll_db(&mut self) -> bool {
        self.db.poll()
    }

    /// True when there is more to do at once.
    pub fn poll(&mut self) -> bool {
        self.db.poll() | self.qrexec.poll()
    }

    /// When, in nanoseconds, a call must be looked at.
    pub fn deadline(&self) -> Option<u64> {
        self.qrexec.deadline()
    }

    /// What QubesDB says now, where that is something else than before. An address that is not there
    /// any more is kept: dom0 leaves it there when it takes the network away, too.
    pub fn news(&mut self) -> News {
        let mut news = News::default();
        if !self.db.take_changed() {
            return news;
        }
        let Some(entries) = self.db.entries() else {
            return news;
        };
        let network = Network::of(&entries);
        if network.is_none() && self.network.is_none() {
            info!("no address in QubesDB: there is no network VM, calls of qrexec are served");
        }
        if network.is_some() && network != self.network {
            self.network = network;
            news.network = network;
        }
        drop(entries);
        let keys = self.keys();
        if keys != self.keys {
            self.keys.clone_from(&keys);
            news.keys = Some(keys);
        }
        news
    }

    /// The users' keys that QubesDB has now.
    pub fn keys(&self) -> ToldKeys {
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        let entries = self.db.entries();
        let keys = entries.iter().flat_map(|entries| entries.below(KEYS));
        keys.map(|(user, value)| (user.into(), text(value))).collect()
    }

    /// The next call, if one has come.
    pub fn accept(&mut self) -> Option<Call> {
        let drivers::xen::vchan::qrexec::Call { command, detached, stream } =
            self.qrexec.accept()?;
        Some(Call { command, detached, stream: Box::new(stream) })
    }
}
