//! The agent of qrexec: the control vchan that we offer dom0's daemon, and the data vchans of the
//! calls that it tells of.
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

/// Calls at once, with those that still connect. Each maps 33 pages.
pub const CALLS: usize = 24;

/// Pages of other domains that are mapped at the same time at most: QubesDB's, too.
pub const PAGES: u64 = CALLS as u64 * 33 + 33;

/// How long the other side of a call may take to appear: 120 s, as qrexec's own agent waits.
const APPEAR: u64 = 120_000_000_000;

/// Bytes for the daemon that wait before no further message is taken.
const WAITING: usize = 1024;

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
}

/// A place among the calls, and what the daemon knows it by.
struct Line {
    calls: Rc<Cell<usize>>,
    agent: Weak<RefCell<Agent>>,
    domain: u32,
    port: u32,
}

impl Drop for Line {
    fn drop(&mut self) {
        self.calls.set(self.calls.get().saturating_sub(1));
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
    /// Calls that the control task tells of.
    told: Rc<RefCell<VecDeque<(Exec, Line)>>>,
    connecting: Vec<Connecting>,
    ready: Rc<RefCell<VecDeque<Call>>>,
}

struct Connecting {
    task: Task,
    until: u64,
}

impl Qrexec {
    pub fn new(xen: Rc<dyn Xen>, store: Xenstore) -> Self {
        let told: Rc<RefCell<VecDeque<_>>> = Rc::default();
        let calls = told.clone();
        let (for_task, its_store) = (xen.clone(), store.clone());
        let control = Task::new(async move {
            if let Err(e) = follow(&for_task, &its_store, &calls).await {
                error!("qrexec: {e}");
            }
        });
        let (connecting, ready) = Default::default();
        Self { xen, store, control, told, connecting, ready }
    }

    /// Follows the daemon and what connects.
    pub fn poll(&mut self) {
        self.control.poll();
        let now = self.xen.now_ns();
        loop {
            // In its own statement: `connect` tells the daemon when it fails.
            let told = self.told.borrow_mut().pop_front();
            let Some((exec, line)) = told else { break };
            self.connect(exec, line, now);
        }
        self.connecting.retain_mut(|connecting| {
            let ended = connecting.task.poll();
            if !ended && now >= connecting.until {
                warn!("qrexec: the other side of a call did not appear");
            }
            !ended && now < connecting.until
        });
        // What ended just now is told at once.
        self.control.poll();
    }

    fn connect(&mut self, exec: Exec, line: Line, now: u64) {
        let Ok(domain) = u16::try_from(exec.domain).map(DomId) else {
            warn!("qrexec: a call from domain {}", exec.domain);
            return;
        };
        let (xen, store, ready) = (self.xen.clone(), self.store.clone(), self.ready.clone());
        let task = Task::new(async move {
            match Dial::new(&xen, &store, domain, exec.port).await {
                Ok(dial) => {
                    let stream = CallStream { vchan: dial.connect().await, _line: line };
                    let Exec { command, detached, .. } = exec;
                    ready.borrow_mut().push_back(Call { command, detached, stream });
                }
                Err(e) => error!("qrexec: {e}"),
            }
        });
        self.connecting.push(Connecting { task, until: now.saturating_add(APPEAR) });
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
    told: &RefCell<VecDeque<(Exec, Line)>>,
) -> Result<(), VchanError> {
    let layout = Layout::new(CONTROL.0, CONTROL.1)?;
    let calls = Rc::new(Cell::new(0));
    loop {
        let mut vchan = serve(xen, store, DOM0, PORT, layout).await?;
        let link = Link { agent: Rc::default(), calls: calls.clone(), said: Cell::new(false) };
        match until(|| link.step(&mut vchan, told).err()).await {
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
struct Link {
    agent: Rc<RefCell<Agent>>,
    calls: Rc<Cell<usize>>,
    /// Its version is in the log.
    said: Cell<bool>,
}

impl Link {
    /// Moves what can be moved.
    fn step(&self, vchan: &mut Vchan, told: &RefCell<VecDeque<(Exec, Line)>>) -> Result<(), Ended> {
        loop {
            let mut agent = self.agent.borrow_mut();
            let sent = match agent.output() {
                [] => 0,
                output => vchan.write(output)?,
            };
            agent.sent(sent);
            let bytes = vchan.fill()?;
            if agent.output().len() > WAITING {
                return Ok(());
            }
            let (taken, exec) = agent.push(bytes).map_err(Ended::Bad)?;
            vchan.consume(taken);
            if let Some(version) = agent.version()
                && !self.said.replace(true)
            {
                info!("the qrexec daemon is there, version {version} is spoken");
            }
            drop(agent);
            if let Some(exec) = exec {
                self.tell(exec, told);
            }
            if taken == 0 && sent == 0 {
                return Ok(());
            }
        }
    }

    fn tell(&self, exec: Exec, told: &RefCell<VecDeque<(Exec, Line)>>) {
        debug!("qrexec: a call from domain {}", exec.domain);
        if self.calls.get() >= CALLS {
            warn!("qrexec: a call is dropped, {CALLS} are there");
            return self.agent.borrow_mut().terminated(exec.domain, exec.port);
        }
        self.calls.set(self.calls.get().saturating_add(1));
        let line = Line {
            calls: self.calls.clone(),
            agent: Rc::downgrade(&self.agent),
            domain: exec.domain,
            port: exec.port,
        };
        told.borrow_mut().push_back((exec, line));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xen::fake::dom0::{Client, Server};
    use crate::xen::fake::world::World;

    fn message(kind: u32, words: &[u32], rest: &[u8]) -> Vec<u8> {
        let length = (4 * words.len() + rest.len()) as u32;
        let words = [kind, length].into_iter().chain(words.iter().copied());
        words.flat_map(|word| word.to_le_bytes()).chain(rest.iter().copied()).collect()
    }

    fn turns(world: &World, qrexec: &mut Qrexec) {
        for _ in 0..60 {
            world.stored.borrow_mut().turn();
            world.store.poll();
            qrexec.poll();
        }
    }

    fn start() -> (World, Qrexec) {
        let world = World::new();
        world.stored.borrow_mut().set("domid", "5");
        let mut qrexec = Qrexec::new(world.xen(), world.store.clone());
        turns(&world, &mut qrexec);
        (world, qrexec)
    }

    /// A daemon that has said HELLO.
    fn daemon(world: &World, qrexec: &mut Qrexec) -> Client {
        let mut daemon = Client::new(world, "data/vchan/0/512");
        turns(world, qrexec);
        assert_eq!(daemon.take(), message(0x300, &[3], b""));
        assert_eq!(world.stored.borrow().get("data/vchan/0/512/ring-ref"), None);
        daemon.put(&message(0x300, &[4], b""));
        turns(world, qrexec);
        daemon
    }

    #[test]
    fn a_call_connects_and_its_end_is_told() {
        let (world, mut qrexec) = start();
        let mut daemon = daemon(&world, &mut qrexec);
        daemon.put(&message(0x200, &[0, 513], b"user:status\0"));
        turns(&world, &mut qrexec);
        assert!(qrexec.accept().is_none());
        let mut data = Server::new(&world, 513, (16, 16));
        turns(&world, &mut qrexec);
        let mut call = qrexec.accept().expect("a call");
        assert_eq!(call.command, Command::Shell("status".into()));
        data.put(b"in");
        assert_eq!(call.stream.fill(), Ok(b"in".as_slice()));
        assert_eq!(call.stream.write(b"out"), Ok(3));
        assert_eq!(data.take(), b"out");
        assert_eq!(daemon.take(), b"");
        drop(call);
        turns(&world, &mut qrexec);
        assert!(!data.has_client());
        assert_eq!(daemon.take(), message(0x211, &[0, 513], b""));
        assert_eq!(world.xen.mapped(), 0);
    }

    #[test]
    fn another_daemon_is_served_and_calls_of_the_old_one_go_on() {
        let (world, mut qrexec) = start();
        let mut old = daemon(&world, &mut qrexec);
        old.put(&message(0x201, &[0, 513], b"user:status\0"));
        let mut data = Server::new(&world, 513, (16, 16));
        turns(&world, &mut qrexec);
        let mut call = qrexec.accept().expect("a call");
        old.close();
        turns(&world, &mut qrexec);
        let mut new = daemon(&world, &mut qrexec);
        assert_eq!(call.stream.write(b"out"), Ok(3));
        assert_eq!(data.take(), b"out");
        drop(call);
        turns(&world, &mut qrexec);
        assert_eq!(new.take(), b"");
    }

    #[test]
    fn a_daemon_that_talks_nonsense_is_left() {
        let (world, mut qrexec) = start();
        let mut bad = daemon(&world, &mut qrexec);
        bad.put(&message(0x777, &[], b""));
        turns(&world, &mut qrexec);
        assert!(!bad.has_server());
        daemon(&world, &mut qrexec);
    }

    #[test]
    fn calls_whose_other_side_never_comes_end() {
        let (world, mut qrexec) = start();
        let mut daemon = daemon(&world, &mut qrexec);
        for port in 0..CALLS as u32 + 1 {
            daemon.put(&message(0x200, &[0, 513 + port], b"user:status\0"));
        }
        turns(&world, &mut qrexec);
        // One too many.
        let dropped = message(0x211, &[0, 513 + CALLS as u32], b"");
        assert_eq!(daemon.take(), dropped);
        world.xen.now.set(APPEAR);
        turns(&world, &mut qrexec);
        assert_eq!(daemon.take().len(), CALLS * dropped.len());
        daemon.put(&message(0x200, &[0x10000, 513], b"user:status\0"));
        turns(&world, &mut qrexec);
        assert_eq!(daemon.take(), message(0x211, &[0x10000, 513], b""));
    }
}
