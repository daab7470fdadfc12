//! The machine as a guest of Xen: the disk, the network and the server's loop.
use crate::STOP_WAIT;
use crate::budget::{self, Budget};
use crate::qubes::Qubes;
use crate::{clock, console, heap};
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use core::cell::RefCell;
use core::net::Ipv4Addr;
use core::ops::Range;
use core::time::Duration;
use drivers::blkfront::{choose, disks};
use drivers::hypervisor::{Ending, StartError};
use drivers::shutdown::Request;
use drivers::task::{Task, until};
use drivers::xenstore::StoreError;
use drivers::{AnyDisk, AnyNet, Blkfront, Hypervisor, Netfront, Shutdown, Xen, Xenstore};
use log::{error, info, warn};
use net::Listener;
use net::tcp::{Address, Interface};
use server::{Asked, Now, Options, Random, Ready, Server, Turn};

/// How long to wait for a disk that was not given to the guest from the start.
const APPEAR_WAIT: Duration = Duration::from_secs(10);

/// How long the disk may take to connect.
const DISK_WAIT: Duration = Duration::from_secs(60);

type Net = Interface<AnyNet>;

/// The address and prefix of the command line, and the gateway.
type Wanted = ((Ipv4Addr, u8), Option<Ipv4Addr>);

/// What the toolstack wants by now.
enum Stop {
    Asked(Ending),
    Failed(String),
}

impl From<String> for Stop {
    fn from(reason: String) -> Self {
        Self::Failed(reason)
    }
}

struct Guest {
    xen: Rc<Hypervisor>,
    store: Xenstore,
    shutdown: Shutdown,
    qubes: Qubes,
    /// A caller asked for the end.
    power_off: bool,
    /// The most bytes of the heap that were seen in use.
    peak: usize,
    /// Clients can connect to this address.
    up: Option<Ipv4Addr>,
}

/// Serves until the toolstack asks to end, and ends the domain. `window` is guest-physical
/// addresses that hold neither RAM nor devices.
///
/// # Safety
/// As `Hypervisor::start`.
pub unsafe fn run(window: Range<u64>, options: Options, heap: u64) -> Result<(), String> {
    // SAFETY: the caller's promise.
    let xen = match unsafe { Hypervisor::start(window) } {
        Ok(xen) => xen,
        Err(e @ StartError::NoXen) => return Err(format!("{e}")),
        Err(e) => return Err(format!("Xen refused what a guest needs: {e}")),
    };
    match xen.console() {
        Ok(console) => console::add_xen(console),
        Err(e) => warn!("no console: {e}"),
    }
    let store = xen.xenstore().map_err(|e| format!("no xenstore: {e}"))?;
    // First of all: Qubes does not ask a guest to end that has not said it listens.
    let shutdown = Shutdown::start(&store);
    let qubes = Qubes::new(&xen, &store);
    let mut guest =
        Guest { xen: xen.clone(), store, shutdown, qubes, power_off: false, peak: 0, up: None };
    let ending = match guest.serve(options, heap) {
        Ok(ending) | Err(Stop::Asked(ending)) => ending,
        Err(Stop::Failed(reason)) => {
            error!("{reason}");
            // A clean end: nothing is left to do, and a crash would look like our fault.
            Ending::PowerOff
        }
    };
    info!("at most {} of {} KiB of memory were in use", guest.peak >> 10, heap >> 10);
    info!("the machine ends");
    xen.end(ending)
}

impl Guest {
    fn serve(&mut self, options: Options, heap: u64) -> Result<Ending, Stop> {
        let budget = Budget::new(heap);
        // The network's backend gets ready while the disk's does.
        let mut net = Netfront::new(self.xen.clone(), self.store.clone(), budget.network);
        let disk = self.disk(options.disk.as_deref(), &mut net)?;
        let random = Random { volume_id: random()?, host_key: random()? };
        let ready = {
            let (disk, options) = (AnyDisk::Xen(disk.clone()), options.clone());
            let (unix, told) = (self.unix_time(), self.qubes.keys());
            let memory = budget.volume.clone();
            async move {
                server::prepare(disk, &options, &memory, &told, &random, unix, &mut |_, _| ()).await
            }
        };
        let ready = self
            .wait(&mut || disk.poll() | net.poll(), ready)?
            .map_err(|e| format!("the disk: {e}"))?;
        self.serve_volume(options, &budget, disk, net, ready)
    }

    fn serve_volume(
        &mut self,
        options: Options,
        budget: &Budget,
        disk: Blkfront,
        net: Netfront,
        ready: Ready<AnyDisk>,
    ) -> Result<Ending, Stop> {
        let mut options = options;
        options.port = budget::port(&options);
        let port = options.port;
        let config = budget.sockets(port, u64::from_ne_bytes(random()?));
        let mut net = Interface::new(AnyNet::Xen(net), &config);
        let mut wanted = options.ipv4.map(|ip| (ip, options.ipv4_gateway));
        let wanted_of_qubesdb = wanted.is_none();
        if wanted_of_qubesdb {
            info!("no --ipv4: the address is QubesDB's");
        }
        let limits = budget.server;
        let mut server = Server::new(net.listener(), ready.volume, ready.host_key, options, limits);
        let mut stop_by = None;
        loop {
            let mut moved = self.store.poll();
            self.poll_qubes(&mut server, wanted_of_qubesdb.then_some(&mut wanted));
            if self.asked().is_some() {
                server.stop();
                let now = self.milliseconds();
                if now > *stop_by.get_or_insert(now.saturating_add(STOP_WAIT)) {
                    return Err(String::from("the disk does not answer: ending without it").into());
                }
            }
            self.peak = self.peak.max(heap::in_use());
            moved |= self.poll_net(&mut net, &mut wanted, port);
            let turn = server.turn(self.now());
            moved |= disk.poll();
            moved |= net.poll(self.milliseconds());
            net.device().flush();
            let wait = match turn {
                Turn::Stopped => return Ok(self.asked().unwrap_or(Ending::PowerOff)),
                Turn::Moved => continue,
                Turn::Idle(_) if moved => continue,
                Turn::Idle(wait) => wait,
            };
            if net.device().arm() {
                continue;
            }
            let now = self.milliseconds();
            let next = wait.into_iter().chain(net.deadline(now)).min();
            let next = next.map(|ms| now.saturating_add(ms)).into_iter().chain(stop_by).min();
            let next = next.map(|ms| ms.saturating_mul(1_000_000));
            self.xen.sleep(next.into_iter().chain(disk.deadline()).min());
        }
    }

    /// Takes what is new in QubesDB, and calls; what callers ask of the machine is done.
    fn poll_qubes<L>(
        &mut self,
        server: &mut Server<L, AnyDisk>,
        wanted: Option<&mut Option<Wanted>>,
    ) where
        L: Listener<Stream: 'static>,
    {
        self.qubes.poll();
        let news = self.qubes.news();
        if let (Some(network), Some(wanted)) = (news.network, wanted) {
            *wanted = Some(((network.ip, network.prefix), network.gateway));
        }
        if let Some(keys) = news.keys {
            server.set_told_keys(keys);
        }
        while let Some(call) = self.qubes.accept() {
            server.call(call);
        }
        for asked in server.asked() {
            match asked {
                Asked::Levels(levels) => console::set_levels(levels),
                Asked::PowerOff => self.power_off = true,
            }
        }
    }

    /// Follows the interface, and gives it its address once its hardware address is known.
    fn poll_net(&mut self, net: &mut Net, wanted: &mut Option<Wanted>, port: u16) -> bool {
        let mut moved = net.device().poll();
        if let (Some(((ip, prefix), gateway)), Some(mac)) = (*wanted, net.device().mac()) {
            let address = Address { mac, ip, prefix, gateway };
            if let Err(e) = net.set_address(Some(address)) {
                error!("{ip}/{prefix}: {e}; nobody can connect");
                *wanted = None;
            }
            let up = net.device().is_connected().then(|| net.address()).flatten();
            let up = up.map(|address| address.ip);
            if up != self.up {
                moved = true;
                self.up = up;
                if let Some(ip) = up {
                    info!("listening on {ip}:{port}");
                }
            }
        }
        moved | net.poll(self.milliseconds())
    }

    /// The disk of the command line, or the one that is there.
    fn disk(&mut self, name: Option<&str>, net: &mut Netfront) -> Result<Blkfront, Stop> {
        let (store, wanted) = (self.store.clone(), name.map(String::from));
        let end = clock::since_boot() + APPEAR_WAIT;
        let found = self.wait(&mut || net.poll(), async move {
            let watch = store.watch("device/vbd").await?;
            let mut told = false;
            loop {
                let found = disks(&store).await?;
                let late = clock::since_boot() > end;
                if late || choose(&found, wanted.as_deref()).is_some() {
                    return Ok::<_, StoreError>(found);
                }
                if !core::mem::replace(&mut told, true) {
                    let what =
                        wanted.as_deref().map_or("no disk".into(), |n| format!("no disk {n}"));
                    warn!("{what} yet: one that is attached within {APPEAR_WAIT:?} is taken");
                }
                until(|| (watch.take() || clock::since_boot() > end).then_some(())).await;
            }
        })?;
        let found = found.map_err(|e| format!("cannot list the disks: {e}"))?;
        let number = choose(&found, name).ok_or_else(|| match name {
            Some(name) => format!("no disk {name} came: attach it or give another --disk"),
            None => "no disk came: attach one with a FAT volume on it".into(),
        })?;
        let disk = Blkfront::start(self.xen.clone(), &self.store, number);
        let end = clock::since_boot() + DISK_WAIT;
        let connected = disk.clone();
        let wait = async move {
            until(|| (connected.is_connected() || clock::since_boot() > end).then_some(())).await;
            connected.is_connected()
        };
        match self.wait(&mut || disk.poll() | net.poll(), wait)? {
            true => Ok(disk),
            false => Err(format!("disk {number} did not connect within {DISK_WAIT:?}").into()),
        }
    }

    /// Runs a future to its end, and what it may wait for; ends early when the toolstack asks.
    fn wait<T: 'static>(
        &mut self,
        also: &mut dyn FnMut() -> bool,
        future: impl Future<Output = T> + 'static,
    ) -> Result<T, Stop> {
        /// A future may wait for time alone.
        const STEP: u64 = 100_000_000;
        let result = Rc::new(RefCell::new(None));
        let place = result.clone();
        let mut task = Task::new(async move { *place.borrow_mut() = Some(future.await) });
        loop {
            let ended = task.poll();
            if let Some(value) = result.borrow_mut().take() {
                return Ok(value);
            }
            if let Some(ending) = self.asked() {
                return Err(Stop::Asked(ending));
            }
            let moved = self.store.poll() | also();
            self.qubes.poll_db();
            if !moved && !ended {
                self.xen.sleep(Some(self.xen.now_ns().saturating_add(STEP)));
            }
        }
    }

    /// How the domain is to end, once somebody asked for that.
    fn asked(&mut self) -> Option<Ending> {
        let asked = self.shutdown.poll().map(|request| match request {
            Request::PowerOff => Ending::PowerOff,
            Request::Reboot => Ending::Reboot,
        });
        asked.or(self.power_off.then_some(Ending::PowerOff))
    }

    fn now(&self) -> Now {
        Now { monotonic: self.milliseconds(), unix: self.unix_time() }
    }

    fn milliseconds(&self) -> u64 {
        self.xen.now_ns() / 1_000_000
    }

    fn unix_time(&self) -> u64 {
        self.xen.unix_time().unwrap_or_default().as_secs()
    }
}

fn random<const N: usize>() -> Result<[u8; N], Stop> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|e| format!("no randomness: {e}"))?;
    Ok(bytes)
}
