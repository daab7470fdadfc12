//! The machine as a guest of Xen: the disk, the network and what the toolstack says.
mod qubes;

use self::qubes::Qubes;
use crate::budget::Budget;
use crate::console;
use crate::cpu::apic::Apic;
use crate::cpu::{clock, watchdog};
use crate::machine::{self, Machine, Server, Wanted};
use ::qubes::qubesdb::Network;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use core::cell::Cell;
use core::ops::Range;
use core::time::Duration;
use drivers::task::{self, until};
use drivers::xen::blkfront::{choose, disks};
use drivers::xen::hypervisor::{Ending, StartError};
use drivers::xen::shutdown::Request;
use drivers::xen::xenstore::StoreError;
use drivers::{AnyDisk, AnyNet, Blkfront, Hypervisor, Netfront, Shutdown, Xen, XenError, Xenstore};
use log::{error, info, warn};
use net::tcp::Own;
use server::{Now, Options};

/// How long to wait for a disk that was not given to the guest from the start.
const APPEAR_WAIT: Duration = Duration::from_secs(10);

/// How long the disk may take to connect.
const DISK_WAIT: Duration = Duration::from_secs(60);

/// How long the volume may take to be ready for the domain's suspension, in milliseconds.
const SAVE_WAIT: u64 = 30_000;

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

/// The domain is to be suspended when all is on the disk, but not after a time in milliseconds: the toolstack waits
/// a minute, and nobody wakes a domain that suspends later.
struct Saving {
    synced: Rc<Cell<Option<bool>>>,
    until: u64,
}

struct Guest {
    xen: Rc<Hypervisor>,
    store: Xenstore,
    shutdown: Shutdown,
    qubes: Qubes,
    /// A caller asked for the end.
    power_off: bool,
    saving: Option<Saving>,
    /// The command line tells of none.
    address_of_qubesdb: bool,
}

/// Serves until the toolstack asks to end, and ends the domain. `window` is guest-physical
/// addresses that hold neither RAM nor devices.
///
/// # Safety
/// As `Hypervisor::start`, with the handlers of interrupts in force.
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
    // Xen's own watchdog (SCHEDOP_watchdog) goes on while a domain is paused, and ends it for a reason that
    // libvirt, which Qubes has, leaves lying.
    // SAFETY: once, after the handlers; the caller vouches for memory. It is only the timer that is used.
    if let Err(e) = unsafe { Apic::start(options.watchdog()) } {
        warn!("no watchdog: {e}");
    }
    let store = xen.xenstore().map_err(|e| format!("no xenstore: {e}"))?;
    // First of all: Qubes does not ask a guest to end that has not said it listens.
    let shutdown = Shutdown::start(&store);
    let qubes = Qubes::new(&xen, &store);
    let address_of_qubesdb = options.ipv4.is_none() && options.ipv6.is_none();
    let mut guest = Guest {
        xen: xen.clone(),
        store,
        shutdown,
        qubes,
        power_off: false,
        saving: None,
        address_of_qubesdb,
    };
    let ending = match guest.serve(options, heap) {
        Ok(ending) | Err(Stop::Asked(ending)) => ending,
        Err(Stop::Failed(reason)) => {
            error!("{reason}");
            // A clean end: nothing is left to do, and a crash would look like our fault.
            Ending::PowerOff
        }
    };
    info!("the machine ends");
    xen.end(ending)
}

impl Guest {
    fn serve(&mut self, options: Options, heap: u64) -> Result<Ending, Stop> {
        let budget = Budget::new(heap);
        // The network's backend gets ready while the disk's does.
        let mut net = Netfront::new(self.xen.clone(), self.store.clone(), budget.network);
        let disk = self.disk(options.disk.as_deref(), &mut net)?;
        let random = machine::random_bytes()?;
        let (device, told) = (AnyDisk::Xen(disk.clone()), self.qubes.keys());
        let (memory, unix, mut progress) = (&budget.volume, self.unix_time(), |_, _| ());
        let ready = server::prepare(device, &options, memory, &told, &random, unix, &mut progress);
        let ready = self.wait(&mut || disk.poll() | net.poll(), ready)?;
        let ready = ready.map_err(|e| format!("the disk: {e}"))?;
        if self.address_of_qubesdb {
            info!("no --ipv4: the address is QubesDB's");
        }
        machine::serve(self, &budget, options, ready, &AnyDisk::Xen(disk), AnyNet::Xen(net))?;
        Ok(self.ending().unwrap_or(Ending::PowerOff))
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
    fn wait<T>(
        &mut self,
        also: &mut dyn FnMut() -> bool,
        future: impl Future<Output = T>,
    ) -> Result<T, Stop> {
        /// A future may wait for time alone.
        const STEP: u64 = 100_000_000;
        task::run(future, || {
            watchdog::turned();
            if let Some(ending) = self.ending() {
                return Err(Stop::Asked(ending));
            }
            if self.shutdown.take_suspend() {
                warn!("not suspended, as the toolstack asked: the start is not over");
            }
            let moved = self.store.poll() | also() | self.qubes.poll_db();
            if !moved {
                self.sleep_until(Some(self.xen.now_ns().saturating_add(STEP)));
            }
            Ok(())
        })
    }

    /// How the domain is to end, once somebody asked for that.
    fn ending(&mut self) -> Option<Ending> {
        let asked = self.shutdown.poll().map(|request| match request {
            Request::PowerOff => Ending::PowerOff,
            Request::Reboot => Ending::Reboot,
        });
        asked.or(self.power_off.then_some(Ending::PowerOff))
    }

    /// Sleeps until an event, or until this time in nanoseconds.
    fn sleep_until(&self, until: Option<u64>) {
        watchdog::sleeps();
        self.xen.sleep(until);
        watchdog::turned();
    }

    /// Connects everything again in a domain that was restored.
    fn bind_anew(&mut self, disk: &AnyDisk, net: &mut AnyNet) -> Result<(), XenError> {
        match self.xen.console() {
            Ok(console) => console::add_xen(console),
            Err(e) => warn!("no console: {e}"),
        }
        self.xen.resume_xenstore(&self.store)?;
        self.shutdown = Shutdown::start(&self.store);
        self.qubes.resume(&self.xen, &self.store);
        disk.resume();
        net.resume();
        Ok(())
    }

    fn unix_time(&self) -> u64 {
        self.xen.unix_time().unwrap_or_default().as_secs()
    }
}

impl Machine for Guest {
    /// Takes what is new in QubesDB, and calls.
    fn poll(&mut self, server: &mut Server, wanted: &mut Option<Wanted>) -> bool {
        let moved = self.store.poll() | self.qubes.poll();
        let news = self.qubes.news();
        if let Some(network) = news.network.filter(|_| self.address_of_qubesdb) {
            let Network { ip, prefix, gateway, v6 } = network;
            let v6 = v6.map(|(ip, gateway)| Own { ip, prefix: 128, gateway });
            *wanted = Some(Wanted { v4: Some(Own { ip, prefix, gateway }), v6 });
        }
        if let Some(keys) = news.keys {
            server.set_told_keys(keys);
        }
        while let Some(call) = self.qubes.accept() {
            server.call(call);
        }
        moved
    }

    fn power_off(&mut self) {
        self.power_off = true;
    }

    fn asked(&mut self) -> bool {
        self.ending().is_some()
    }

    fn suspend(
        &mut self,
        server: &mut Server,
        disk: &AnyDisk,
        net: &mut AnyNet,
    ) -> Result<(), String> {
        if self.shutdown.take_suspend() {
            let until = self.now().monotonic.saturating_add(SAVE_WAIT);
            self.saving = Some(Saving { synced: server.synced(), until });
        }
        let late = |saving: &Saving| self.now().monotonic > saving.until;
        let ready = |saving: &Saving| saving.synced.get().or(late(saving).then_some(false));
        let Some(ready) = self.saving.as_ref().and_then(ready) else {
            return Ok(());
        };
        self.saving = None;
        if !ready {
            error!("not suspended, as the toolstack asked: what was written is not on the disk");
            return Ok(());
        }
        info!("all is on the disk: the domain is suspended");
        let restored = self.xen.suspend().map_err(|e| format!("no domain to go on as: {e}"))?;
        watchdog::turned();
        if restored {
            self.bind_anew(disk, net).map_err(|e| format!("no way back to Xen: {e}"))?;
        }
        info!("the domain goes on{}", if restored { ", restored" } else { "" });
        Ok(())
    }

    fn now(&self) -> Now {
        Now { monotonic: self.xen.now_ns() / 1_000_000, unix: self.unix_time() }
    }

    fn sleep(&mut self, until: Option<u64>) {
        let until = until.map(|ms| ms.saturating_mul(1_000_000));
        self.sleep_until(until.into_iter().chain(self.qubes.deadline()).min());
    }
}
