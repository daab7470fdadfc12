//! The agent of qrexec: the control vchan that we offer dom0's daemon, and the data vchans of the
//! calls that it tells of.
#[cfg(test)]
mod tests;

use crate::share::Share;
use crate::task::{Task, until};
use crate::xen::vchan::{Dial, Vchan, VchanError, serve};
use crate::xen::xenstore::Xenstore;
use crate::xen::{DomId, Xen};
use alloc::collections::VecDeque;
use alloc::rc::{Rc, Weak};
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use log::{debug, error, info, warn};
use net::{Closed, Stream};
use qubes::qrexec::{Agent, BadControl, Command, Exec};
use qubes::vchan::Layout;

const DOM0: DomId = DomId(0);

/// `VCHAN_BASE_PORT` of libqrexec.
const PORT: u32 = 512;

/// The orders of the control vchan's rings: a command line must fit into the daemon's.
const CONTROL: (u16, u16) = (16, 12);

/// Calls at once. Each maps 33 pages. One qube has no more than half of them.
pub const CALLS: usize = 24;
const CALLS_OF_ONE: usize = CALLS / 2;

/// Calls whose other side is still to come, or that wait for a place, and the bytes of their commands: beyond
/// these nothing more is taken from the daemon, which waits. Each has a watch, of which Xen allows 128. Of one
/// qube there are no more than a part of them, since others come behind it.
const WAIT: usize = 64;
const WAIT_BYTES: usize = 64 << 10;
const WAIT_OF_ONE: usize = 28;

/// Pages of other domains that are mapped at the same time at most: QubesDB's, too.
pub const PAGES: u64 = CALLS as u64 * 33 + 33;

/// How long the other side of a call may take to appear: 120 s, as qrexec's own agent waits.
const APPEAR: u64 = 120_000_000_000;

/// The same while the daemon must wait. qrexec-client in dom0 gives up after 5 or 10 s, and until then its port
/// must not be free for another call.
const APPEAR_WANTED: u64 = 15_000_000_000;

/// Bytes for the daemon that wait before no further message is taken.
const OUTPUT: usize = 1024;

/// A call that has come.
pub struct Call {
    pub command: Command,
    /// Nobody reads its output or gives it input.
    pub detached: bool,
    pub stream: CallStream,
}

/// The data vchan of a call. When it is dropped the daemon is told that the call is over.
pub struct CallStream {
    vchan: Vchan,
    _place: Place,
    _line: Line,
}

impl Stream for CallStream {
    fn fill(&mut self) -> Result<&[u8], Closed> {
        self.vchan.fill()
    }

    fn consume(&mut self, n: usize) {
        self.vchan.consume(n);
    }

    fn write(&mut self, data: &[u8]) -> Result<usize, Closed> {
        self.vchan.write(data)
    }

    fn is_read(&mut self) -> bool {
        self.vchan.is_read()
    }
}

/// Something in a list, as long as this is there.
struct Held<T: PartialEq> {
    list: Rc<RefCell<Vec<T>>>,
    item: T,
}

impl<T: PartialEq + Copy> Held<T> {
    fn new(list: &Rc<RefCell<Vec<T>>>, item: T) -> Self {
        list.borrow_mut().push(item);
        Self { list: list.clone(), item }
    }
}

impl<T: PartialEq> Drop for Held<T> {
    fn drop(&mut self) {
        let mut list = self.list.borrow_mut();
        if let Some(at) = list.iter().position(|item| *item == self.item) {
            list.swap_remove(at);
        }
    }
}

/// A place among the calls: whose it is.
type Place = Held<u32>;

/// A place for `domain`, if there is one.
fn take_place(taken: &Rc<RefCell<Vec<u32>>>, domain: u32) -> Option<Place> {
    let (all, of_one) = {
        let taken = taken.borrow();
        (taken.len(), taken.iter().filter(|other| **other == domain).count())
    };
    let free = all < CALLS && (of_one < CALLS_OF_ONE || is_dom0(domain));
    free.then(|| Held::new(taken, domain))
}

/// One that waits: of which domain, and the bytes of its command.
type Waiting = (u32, usize);

/// Whether the daemon must wait. A command may come when there is room for a small one.
fn is_full(waiting: &[Waiting]) -> bool {
    let bytes = waiting.iter().fold(0, |sum: usize, (_, size)| sum.saturating_add(*size));
    waiting.len() >= WAIT || bytes >= WAIT_BYTES
}

/// dom0 never asks for too much: it could end us at any time.
fn is_dom0(domain: u32) -> bool {
    domain == u32::from(DOM0.0)
}

/// What the daemon knows a call by. When it is dropped the daemon may give its port to another.
struct Line {
    agent: Weak<RefCell<Agent>>,
    domain: u32,
    port: u32,
}

impl Drop for Line {
    fn drop(&mut self) {
        // A daemon that came after the call knows nothing of it.
        if let Some(agent) = self.agent.upgrade() {
            agent.borrow_mut().terminated(self.domain, self.port);
        }
    }
}

pub struct Qrexec {
    xen: Rc<dyn Xen>,
    store: Xenstore,
    control: Task,
    /// The daemon's.
    share: Rc<Share>,
    /// Calls that the control task tells of.
    told: Rc<RefCell<VecDeque<Told>>>,
    waiting: Rc<RefCell<Vec<Waiting>>>,
    taken: Rc<RefCell<Vec<u32>>>,
    connecting: Vec<Connecting>,
    ready: Rc<RefCell<VecDeque<Call>>>,
}

struct Told {
    exec: Exec,
    line: Line,
    waits: Held<Waiting>,
}

struct Connecting {
    task: Task,
    since: u64,
}

impl Qrexec {
    pub fn new(xen: Rc<dyn Xen>, store: Xenstore) -> Self {
        let told: Rc<RefCell<VecDeque<_>>> = Rc::default();
        let waiting: Rc<RefCell<Vec<_>>> = Rc::default();
        let share = Rc::<Share>::default();
        let (calls, held, its_share) = (told.clone(), waiting.clone(), share.clone());
        let (for_task, its_store) = (xen.clone(), store.clone());
        let control = Task::new(async move {
            if let Err(e) = follow(&for_task, &its_store, &calls, &held, &its_share).await {
                error!("qrexec: {e}");
            }
        });
        let (taken, connecting, ready) = Default::default();
        Self { xen, store, control, share, told, waiting, taken, connecting, ready }
    }

    /// Follows the daemon and what connects; true when the daemon has sent more than its share of a turn.
    pub fn poll(&mut self) -> bool {
        self.share.begin_turn();
        let now = self.xen.now_ns();
        let patience = self.patience();
        // Before the control vchan, which may wait for room.
        self.connecting.retain_mut(|connecting| {
            let ended = connecting.task.poll();
            let late = !ended && now >= connecting.since.saturating_add(patience);
            if late {
                warn!("qrexec: the other side of a call did not appear");
            }
            !ended && !late
        });
        self.control.poll();
        loop {
            // In its own statement: `connect` tells the daemon when it fails.
            let told = self.told.borrow_mut().pop_front();
            let Some(told) = told else { break };
            self.connect(told, now);
        }
        // What ended just now is told at once.
        self.control.poll();
        self.share.has_more()
    }

    /// How long a call's other side may take to appear.
    fn patience(&self) -> u64 {
        if is_full(&self.waiting.borrow()) { APPEAR_WANTED } else { APPEAR }
    }

    /// When to look again, if nothing happens before.
    pub fn deadline(&self) -> Option<u64> {
        let first = self.connecting.iter().map(|connecting| connecting.since).min()?;
        Some(first.saturating_add(self.patience()))
    }

    fn connect(&mut self, told: Told, now: u64) {
        let Told { exec, line, waits } = told;
        let Ok(domain) = u16::try_from(exec.domain).map(DomId) else {
            warn!("qrexec: a call from domain {}", exec.domain);
            return;
        };
        let (xen, store) = (self.xen.clone(), self.store.clone());
        let (taken, ready) = (self.taken.clone(), self.ready.clone());
        let mut task = Task::new(async move {
            let dial = match Dial::new(&xen, &store, domain, exec.port).await {
                Ok(dial) => dial,
                Err(e) => return error!("qrexec: {e}"),
            };
            let (vchan, place) = loop {
                // A place is pages: who is not there yet needs none.
                dial.offered().await;
                let place = until(|| take_place(&taken, exec.domain)).await;
                if let Some(vchan) = dial.connect_now().await {
                    break (vchan, place);
                }
            };
            drop(waits);
            let stream = CallStream { vchan, _place: place, _line: line };
            let Exec { command, detached, .. } = exec;
            ready.borrow_mut().push_back(Call { command, detached, stream });
        });
        if !task.poll() {
            self.connecting.push(Connecting { task, since: now });
        }
    }

    /// The next call, if one has come.
    pub fn accept(&mut self) -> Option<Call> {
        self.ready.borrow_mut().pop_front()
    }
}

/// Offers one control vchan after the other. Ends only when xenstore or Xen fails.
async fn follow(
    xen: &Rc<dyn Xen>,
    store: &Xenstore,
    told: &RefCell<VecDeque<Told>>,
    waiting: &Rc<RefCell<Vec<Waiting>>>,
    share: &Share,
) -> Result<(), VchanError> {
    let layout = Layout::new(CONTROL.0, CONTROL.1)?;
    loop {
        let mut vchan = serve(xen, store, DOM0, PORT, layout).await?;
        let link = Link { agent: Rc::default(), told, waiting, share, said: Cell::new(false) };
        match until(|| link.step(&mut vchan).err()).await {
            Ended::Closed => info!("the qrexec daemon is gone; waiting for another"),
            Ended::Bad(e) => error!("{e}; its link is given up"),
        }
    }
}

enum Ended {
    Closed,
    Bad(BadControl),
}

impl From<Closed> for Ended {
    fn from(_: Closed) -> Self {
        Self::Closed
    }
}

/// One daemon.
struct Link<'a> {
    agent: Rc<RefCell<Agent>>,
    told: &'a RefCell<VecDeque<Told>>,
    waiting: &'a Rc<RefCell<Vec<Waiting>>>,
    share: &'a Share,
    /// Its version is in the log.
    said: Cell<bool>,
}

impl Link<'_> {
    /// Moves what can be moved in this turn.
    fn step(&self, vchan: &mut impl Stream) -> Result<(), Ended> {
        loop {
            let mut agent = self.agent.borrow_mut();
            let sent = match agent.output() {
                [] => 0,
                output => vchan.write(output)?,
            };
            agent.sent(sent);
            let bytes = vchan.fill()?;
            if agent.output().len() > OUTPUT || is_full(&self.waiting.borrow()) {
                return Ok(());
            }
            if !bytes.is_empty() && !self.share.is_left() {
                return Ok(());
            }
            let (taken, exec) = agent.push(bytes).map_err(Ended::Bad)?;
            vchan.consume(taken);
            self.share.take(taken);
            if let Some(version) = agent.version()
                && !self.said.replace(true)
            {
                info!("the qrexec daemon is there, version {version} is spoken");
            }
            drop(agent);
            if let Some(exec) = exec {
                self.tell(exec);
            }
            if taken == 0 && sent == 0 {
                return Ok(());
            }
        }
    }

    fn tell(&self, exec: Exec) {
        debug!("qrexec: a call from domain {}", exec.domain);
        let of_one =
            self.waiting.borrow().iter().filter(|(other, _)| *other == exec.domain).count();
        if of_one >= WAIT_OF_ONE && !is_dom0(exec.domain) {
            warn!("qrexec: a call of domain {} is dropped, {of_one} wait", exec.domain);
            return self.agent.borrow_mut().terminated(exec.domain, exec.port);
        }
        let waits = Held::new(self.waiting, (exec.domain, exec.command.size()));
        let agent = Rc::downgrade(&self.agent);
        let line = Line { agent, domain: exec.domain, port: exec.port };
        self.told.borrow_mut().push_back(Told { exec, line, waits });
    }
}
