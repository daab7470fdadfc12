//! The machine as a guest of Solo5's `hvt`: one disk, one network interface, and a tender that wakes it.
use crate::boot::solo5 as told;
use crate::budget::Budget;
use crate::cpu::{self, clock};
use crate::machine::{self, Machine, Server, Wanted};
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use core::time::Duration;
use drivers::solo5::{Solo5Disk, Solo5Net, Tender};
use drivers::task;
use drivers::{AnyDisk, AnyNet};
use log::{error, info, warn};
use server::{Now, Options, ToldKeys};

/// How long the tender's time of day is gone on from before it is asked again: the host may have slept.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// The longest sleep, in nanoseconds; nothing but the network ends a longer one.
const LONGEST: u64 = 3_600_000_000_000;

struct Solo5 {
    tender: Rc<dyn Tender>,
    /// What the tender said, and when it was asked.
    day: Duration,
    asked_at: Duration,
    power_off: bool,
}

/// Serves until somebody asks for the end.
pub fn run(told: &told::Machine, options: Options, heap: u64) -> Result<(), String> {
    let tender: Rc<dyn Tender> = Rc::new(cpu::tender().ok_or("no tender")?);
    let (day, asked_at) = (Duration::from_nanos(tender.wall_time()), clock::since_boot());
    let mut machine = Solo5 { tender, day, asked_at, power_off: false };
    let ended = machine.serve(told, options, heap);
    if let Err(reason) = &ended {
        error!("{reason}");
    }
    info!("the machine ends");
    ended
}

impl Solo5 {
    fn serve(&mut self, told: &told::Machine, options: Options, heap: u64) -> Result<(), String> {
        let budget = Budget::new(heap);
        let (Some(disk), Some(net)) = (told.disk, told.net) else {
            return Err("attach --block:storage=IMAGE and --net:service=TAP".into());
        };
        match options.disk.as_deref() {
            None | Some("storage") => (),
            Some(name) => return Err(format!("no disk {name}: there is storage")),
        }
        let disk = Solo5Disk::new(self.tender.clone(), disk.handle, disk.capacity, disk.block_size);
        let disk = AnyDisk::Solo5(disk.map_err(|e| format!("disk storage: {e}"))?);
        if options.watchdog.is_some() {
            warn!("no watchdog: this machine has no timer that interrupts");
        }
        let net = Solo5Net::new(self.tender.clone(), net.handle, net.mac, net.mtu);
        let random = machine::random_bytes()?;
        let (keys, memory, mut progress) = (ToldKeys::new(), &budget.volume, |_, _| ());
        let unix = self.day.as_secs();
        let ready =
            server::prepare(disk.clone(), &options, memory, &keys, &random, unix, &mut progress);
        // The disk answers at once, so that nothing is waited for.
        let ready = task::run(ready, || Ok::<_, String>(()))?;
        let ready = ready.map_err(|e| format!("the disk: {e}"))?;
        machine::check_address(&options);
        machine::serve(self, &budget, options, ready, &disk, AnyNet::Solo5(net))
    }
}

impl Machine for Solo5 {
    fn begin(&mut self, server: &Server) {
        // A tender can only be killed.
        server.let_clients_end();
    }

    fn poll(&mut self, _: &mut Server, _: &mut Option<Wanted>) -> bool {
        if clock::since_boot().saturating_sub(self.asked_at) >= ASK_EVERY {
            self.day = Duration::from_nanos(self.tender.wall_time());
            self.asked_at = clock::since_boot();
        }
        false
    }

    fn power_off(&mut self) {
        self.power_off = true;
    }

    fn asked(&mut self) -> bool {
        self.power_off
    }

    fn now(&self) -> Now {
        let since = clock::since_boot();
        let unix = self.day.saturating_add(since.saturating_sub(self.asked_at)).as_secs();
        Now { monotonic: since.as_millis() as u64, unix }
    }

    fn sleep(&mut self, until: Option<u64>) {
        let now = clock::since_boot();
        let most = until.map(|ms| Duration::from_millis(ms).saturating_sub(now).as_nanos());
        let most = most.and_then(|ns| u64::try_from(ns).ok()).unwrap_or(LONGEST);
        self.tender.poll(most.min(LONGEST));
    }
}
