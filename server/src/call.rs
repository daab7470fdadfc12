//! Calls of qrexec: services for other qubes, each on a stream of its own. dom0's policy is who may
//! call, and the caller's name comes from dom0.
mod filecopy;
mod host;
mod line;
mod service;
mod shell;

pub use host::Asked;
use host::Host;
pub use line::{Line, LineStream};
pub use service::Service;

use crate::logging::{Source, about, cut};
use crate::serve::connection::Shared;
use crate::serve::tasks::Tasks;
use crate::serve::transfer::Transfer;
use alloc::boxed::Box;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::pin::Pin;
use core::task::{Context, Poll};
use fat::{BlockDevice, Volume};
use log::{debug, info, warn};
use net::Stream;
use qubes::qrexec::{Command, exit};

/// Calls at once, beside those that are connections to the SSH server.
const CALLS: usize = 16;

/// Of these, those of one qube.
const CALLS_OF_ONE: usize = 8;

/// How long the other side may take to say HELLO, in milliseconds: as long as it may take to appear. With ten seconds
/// one of 60 callers at once in a slow dom0 was closed too early, and with thirty another.
const HELLO: u64 = 120_000;

/// How long a call may wait for a place, in milliseconds.
const PLACE: u64 = 10_000;

/// How long the other side may take to read a call's end, in milliseconds.
const LAST_WORDS: u64 = 30_000;

/// How long calls that run may take to end once the server stops.
const STOP: u64 = 2_000;

/// While there are calls, one look at them each so many milliseconds: a qube that was destroyed sends
/// no event.
const LOOK_EVERY: u64 = 5_000;

/// A call that has come.
pub struct Call {
    pub command: Command,
    /// Nobody gives it input or reads its output.
    pub detached: bool,
    /// The data vchan.
    pub stream: Box<dyn Stream>,
}

/// The calls that wait, and those that run.
pub struct Calls<D: BlockDevice> {
    /// In the order in which they came. How many there are is bounded by the places for data vchans.
    waiting: Vec<Waiting>,
    running: Vec<Running<D>>,
    /// Calls that were connections, and are to be told their end.
    ended: Rc<RefCell<Vec<Line>>>,
    /// Set by `stop`; the time by which all must have ended is known in the turn after that.
    stopping: Option<Option<u64>>,
    /// What callers asked of the machine.
    pub asked: Rc<RefCell<Vec<Asked>>>,
    /// Who is connected, for the shell: one line each.
    pub clients: Rc<RefCell<Vec<String>>>,
    /// What strangers may cost, and who was refused, for the shell.
    pub limits: Rc<RefCell<String>>,
}

/// A call whose other side has not said HELLO, or that there is no place for.
struct Waiting {
    line: Line,
    command: Command,
    since: u64,
}

struct Running<D: BlockDevice> {
    line: Rc<RefCell<Line>>,
    name: String,
    source: String,
    work: Work<D>,
}

enum Work<D: BlockDevice> {
    /// Looks whether there is the folder that is asked for.
    Folder(Pin<Box<dyn Future<Output = Option<Transfer<D>>>>>),
    Sftp(Transfer<D>),
    /// Ends with an exit code. Never dropped before its end: the disk must not be left in the middle
    /// of something.
    Future(Pin<Box<dyn Future<Output = i32>>>),
    /// All is done, and is to be told by then.
    Ending(u64),
}

/// What becomes of a call.
pub enum Begun {
    /// It runs, or has been refused.
    Here,
    /// It is to be a connection of the SSH server.
    Ssh(LineStream, Source),
}

impl<D: BlockDevice + 'static> Calls<D> {
    pub fn new() -> Self {
        let (asked, clients, limits, ended) = Default::default();
        let (waiting, running) = (Vec::new(), Vec::new());
        Self { waiting, running, ended, stopping: None, asked, clients, limits }
    }

    /// How many of the server's places they take.
    pub fn places(&self) -> usize {
        self.running
            .iter()
            .filter(|call| matches!(call.work, Work::Folder(_) | Work::Sftp(_)))
            .count()
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.running.is_empty() && self.ended.borrow().is_empty()
    }

    /// Takes a call that has come.
    pub fn come(&mut self, call: Call, now: u64) {
        let line = Line::new(call.stream, call.detached);
        self.waiting.push(Waiting { line, command: call.command, since: now });
    }

    /// Looks at those that wait: who said HELLO, and who is gone.
    pub fn greet(&mut self, now: u64) {
        self.waiting.retain_mut(|call| {
            call.line.meter().begin_turn();
            call.line.poll();
            let late = now >= call.since.saturating_add(HELLO);
            let gone = call.line.is_closed() || late && !call.line.is_greeted();
            if gone {
                debug!("{}: its other side did not stay", name_of(&call.command));
            }
            !gone
        });
    }

    /// Begins one of the calls that wait, if one can begin. `places` says how many clients may still come.
    pub fn begin(&mut self, shared: &Shared<D>, places: usize, now: u64) -> Option<Begun> {
        let port = shared.options.port;
        let next = self.waiting.iter().position(|call| {
            let (_, source) = Service::of(&call.command, port);
            let late = now >= call.since.saturating_add(PLACE);
            call.line.is_greeted() && (late || self.has_place(&source))
        })?;
        let Waiting { line, command, .. } = self.waiting.remove(next);
        let (service, source) = Service::of(&command, port);
        let _about = about(Source::qube(&source));
        let name = name_of(&command);
        if !self.has_place(&source) {
            warn!("{name} for {source}: refused, too many calls run");
            return Some(self.refuse(line, name, source, (exit::PROBLEM, "too many calls"), now));
        }
        Some(self.begin_service(line, (service, name, source), shared, places, now))
    }

    /// Whether another call of this qube may run.
    fn has_place(&self, source: &str) -> bool {
        let run = || self.running.iter().filter(|call| !matches!(call.work, Work::Ending(_)));
        run().count() < CALLS && run().filter(|call| call.source == source).count() < CALLS_OF_ONE
    }

    fn begin_service(
        &mut self,
        line: Line,
        (service, name, source): (Service, String, String),
        shared: &Shared<D>,
        places: usize,
        now: u64,
    ) -> Begun {
        let needs_place = matches!(service, Service::Ssh | Service::Sftp(_));
        if needs_place && places == 0 {
            warn!("{name} for {source}: refused, too many clients are connected");
            return self.refuse(line, name, source, (exit::PROBLEM, "too many clients"), now);
        }
        let (line, work) = match service {
            Service::Ssh => {
                info!("{name} for {source}");
                let stream = LineStream::new(line, self.ended.clone());
                return Begun::Ssh(stream, Source::qube(&source));
            }
            Service::Refused(code, why) => {
                warn!("{name} for {source}: refused, {why}");
                return self.refuse(line, name, source, (code, why), now);
            }
            Service::Sftp(access) => {
                let (volume, options) = (shared.volume.clone(), shared.options.clone());
                let handles = shared.handles.clone();
                let look = async move {
                    let found = access.root.is_empty() || is_folder(&volume, &access.root).await;
                    found.then(|| Transfer::new(&volume, &access, &options, &handles))
                };
                (Rc::new(RefCell::new(line)), Work::Folder(Box::pin(look)))
            }
            service => {
                let line = Rc::new(RefCell::new(line));
                let host = Host {
                    volume: shared.volume.clone(),
                    options: shared.options.clone(),
                    told_keys: shared.told_keys.clone(),
                    fingerprint: shared.fingerprint.clone(),
                    asked: self.asked.clone(),
                    clients: self.clients.clone(),
                    limits: self.limits.clone(),
                };
                let future = service::run(service, line.clone(), source.clone(), host);
                (line, Work::Future(Box::pin(future)))
            }
        };
        info!("{name} for {source}");
        self.running.push(Running { line, name, source, work });
        Begun::Here
    }

    fn refuse(
        &mut self,
        mut line: Line,
        name: String,
        source: String,
        (code, why): (i32, &str),
        now: u64,
    ) -> Begun {
        line.end_with(code, why);
        self.end(line, name, source, now);
        Begun::Here
    }

    /// Sees that a line's end is read.
    fn end(&mut self, line: Line, name: String, source: String, now: u64) {
        let work = Work::Ending(now.saturating_add(LAST_WORDS));
        self.running.push(Running { line: Rc::new(RefCell::new(line)), name, source, work });
    }

    /// Lets every call go on; true when something moved.
    pub fn turn(&mut self, tasks: &mut Tasks, now: u64) -> bool {
        let mut moved = false;
        for line in self.ended.take() {
            self.end(line, "qubes.ConnectTCP".into(), String::new(), now);
        }
        if let Some(by) = &mut self.stopping {
            let by = *by.get_or_insert(now.saturating_add(STOP));
            self.running
                .iter()
                .filter(|_| now >= by)
                .for_each(|call| call.line.borrow_mut().close());
        }
        // When there is not room for all, each comes first once.
        let count = self.running.len().max(1);
        self.running.rotate_left(1 % count);
        self.running.retain_mut(|call| {
            let _about = about(Source::qube(&call.source));
            let (went_on, goes_on) = call.turn(tasks, now);
            moved |= went_on | !goes_on;
            goes_on
        });
        moved
    }

    /// Ends them all: what runs on the disk is finished, no more input is taken, and who has time to read it is
    /// told.
    pub fn stop(&mut self) {
        self.stopping.get_or_insert(None);
        self.waiting.clear();
        for call in &mut self.running {
            let mut line = call.line.borrow_mut();
            line.stop_input();
            if matches!(call.work, Work::Folder(_) | Work::Sftp(_)) {
                line.end_with(exit::FAILURE, "the server stops");
            }
        }
    }

    /// Milliseconds until a call must be looked at.
    pub fn deadline(&self) -> Option<u64> {
        let every = if self.stopping.is_some() { STOP } else { LOOK_EVERY };
        (!self.is_empty()).then_some(every)
    }
}

impl<D: BlockDevice + 'static> Running<D> {
    /// Whether something moved, and whether the call goes on.
    fn turn(&mut self, tasks: &mut Tasks, now: u64) -> (bool, bool) {
        let meter = self.line.borrow().meter();
        meter.begin_turn();
        tasks.begin_share();
        let (moved, goes_on) = self.go_on(tasks, now);
        (moved | meter.has_more() | tasks.is_share_spent(), goes_on)
    }

    fn go_on(&mut self, tasks: &mut Tasks, now: u64) -> (bool, bool) {
        let mut moved = self.line.borrow_mut().poll();
        let closed = self.line.borrow().is_closed();
        let waker = tasks.waker();
        let mut context = Context::from_waker(&waker);
        let ended = match &mut self.work {
            Work::Sftp(_) if self.line.borrow().has_ended() => true,
            Work::Folder(look) => match look.as_mut().poll(&mut context) {
                Poll::Ready(Some(transfer)) => {
                    self.work = Work::Sftp(transfer);
                    return (true, true);
                }
                Poll::Ready(None) => {
                    self.line.borrow_mut().end_with(exit::FAILURE, "no such folder");
                    true
                }
                Poll::Pending => false,
            },
            Work::Sftp(_) if closed => return (true, false),
            Work::Sftp(transfer) => {
                let mut line = self.line.borrow_mut();
                let result = transfer.receive(&mut *line).and_then(|()| {
                    if line.is_at_end() {
                        transfer.eof();
                    }
                    transfer.turn(&mut *line, tasks)
                });
                match result {
                    Ok(went_on) => {
                        moved |= went_on | line.poll();
                        line.has_ended()
                    }
                    Err(over) => {
                        warn!("{} for {}: {}", self.name, self.source, over);
                        line.end_with(exit::FAILURE, &format!("{over}"));
                        true
                    }
                }
            }
            Work::Future(future) => match future.as_mut().poll(&mut context) {
                Poll::Ready(code) => {
                    self.line.borrow_mut().exit(code);
                    true
                }
                Poll::Pending => false,
            },
            Work::Ending(until) => {
                let mut line = self.line.borrow_mut();
                if line.is_over() || line.is_closed() || now >= *until {
                    debug!("{} for {}: ended", self.name, self.source);
                    return (true, false);
                }
                false
            }
        };
        if ended {
            self.work = Work::Ending(now.saturating_add(LAST_WORDS));
            self.line.borrow_mut().poll();
        }
        (moved | ended, true)
    }
}

/// Whether the root has a folder whose name is written exactly so: dom0's policy knows no other.
async fn is_folder<D: BlockDevice>(volume: &Volume<D>, path: &str) -> bool {
    const NAMES_AT_ONCE: usize = 64;
    if !volume.metadata(path).await.is_ok_and(|found| found.is_dir) {
        return false;
    }
    let Ok(root) = volume.open_dir("/").await else {
        return false;
    };
    loop {
        match volume.read_dir(&root, NAMES_AT_ONCE).await {
            Ok(entries) if entries.is_empty() => return false,
            Ok(entries) => {
                if entries.iter().any(|entry| path.strip_prefix('/') == Some(&entry.name)) {
                    return true;
                }
            }
            Err(_) => return false,
        }
    }
}

/// What a command is called in the log.
fn name_of(command: &Command) -> String {
    const MOST: usize = 60;
    match command {
        Command::Service { name, argument, .. } if argument.is_empty() => cut(name, MOST),
        Command::Service { name, argument, .. } => {
            format!("{}+{}", cut(name, MOST), cut(argument, MOST))
        }
        Command::Shell(text) => format!("\"{}\"", cut(text, MOST)),
        Command::Malformed => "a command".into(),
    }
}
