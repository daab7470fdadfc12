//! SFTP on one channel: bytes in, requests started in their order, replies out.
use crate::keys::access::Access;
use crate::options::Options;
use crate::serve::share::Share;
use crate::serve::tasks::Tasks;
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::fmt;
use fat::{BlockDevice, Volume};
use net::{Ended, Session};
use sftp::{Fatal, HandleMemory, Packets, Request};

/// Handles that one session may have open.
const HANDLES: usize = 256;

/// Bytes of replies, of requests that run and of those that wait for the client, beyond which no
/// further request is taken: two of the longest.
const REPLIES: usize = 2 * (sftp::MAX_READ as usize + 1024);

/// Bytes of replies that wait for more of them to go with them: a packet of SSH has 32 KiB.
const TOGETHER: usize = 32 << 10;

/// Replies that go together.
const PIECES: usize = 32;

/// What a transfer runs on: a channel of SSH, or a call of qrexec.
pub trait Channel {
    /// The data that waits, as far as it lies in one piece.
    fn peek(&mut self) -> Result<&[u8], Ended>;

    /// Takes `n` bytes of what `peek` showed.
    fn take(&mut self, n: usize) -> Result<(), Ended>;

    /// Sends what fits now of these pieces, one behind the other, and says how much that was.
    fn send(&mut self, pieces: &[&[u8]]) -> Result<usize, Ended>;

    /// Ends it from our side with an exit status, after all that was sent.
    fn finish(&mut self, status: u32);
}

/// A channel of an SSH session.
pub struct SshChannel<'s> {
    pub ssh: &'s mut Session,
    pub number: usize,
}

impl Channel for SshChannel<'_> {
    fn peek(&mut self) -> Result<&[u8], Ended> {
        Ok(self.ssh.peek(self.number))
    }

    fn take(&mut self, n: usize) -> Result<(), Ended> {
        self.ssh.take(self.number, n)
    }

    fn send(&mut self, pieces: &[&[u8]]) -> Result<usize, Ended> {
        self.ssh.send_pieces(self.number, pieces)
    }

    fn finish(&mut self, status: u32) {
        self.ssh.finish(self.number, status);
    }
}

pub struct Transfer<D: BlockDevice> {
    sftp: Rc<sftp::Server<Share<D>>>,
    packets: Packets,
    /// A complete request that may not start yet.
    held: Option<Request>,
    running: Rc<Cell<usize>>,
    replies: Rc<RefCell<Replies>>,
    /// How much of the first reply is sent.
    sent: usize,
    eof: bool,
}

#[derive(Default)]
struct Replies {
    queue: VecDeque<Vec<u8>>,
    /// Bytes of the queue.
    queued: usize,
    /// Of the queue, and what the requests that run may add to it.
    bytes: usize,
}

/// Why the transfer on a channel is over.
pub enum Over {
    Session(Ended),
    Protocol(Fatal),
}

impl fmt::Display for Over {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Session(e) => e.fmt(f),
            Self::Protocol(e) => write!(f, "SFTP: {e}"),
        }
    }
}

impl From<Ended> for Over {
    fn from(e: Ended) -> Self {
        Self::Session(e)
    }
}

impl<D: BlockDevice + 'static> Transfer<D> {
    pub fn new(
        volume: &Rc<Volume<D>>,
        access: &Access,
        options: &Options,
        handles: &Rc<HandleMemory>,
    ) -> Self {
        let shown = access.umask.map_or(options.shown, |umask| options.shown.with_umask(umask));
        let share = Share::new(volume.clone(), access.clone(), shown);
        let share = share.with_reserve(options.reserve);
        Self {
            sftp: sftp::Server::new(Rc::new(share), HANDLES, handles.clone()),
            packets: Packets::allowing(access.requests),
            held: None,
            running: Rc::default(),
            replies: Rc::default(),
            sent: 0,
            eof: false,
        }
    }

    /// The client sends no more.
    pub fn eof(&mut self) {
        self.eof = true;
    }

    /// Goes on as far as it can; true when something moved.
    pub fn turn(&mut self, channel: &mut dyn Channel, tasks: &mut Tasks) -> Result<bool, Over> {
        let mut moved = self.start_all(channel, tasks)?;
        moved |= self.reply(channel)?;
        if self.eof && self.is_done() {
            channel.finish(0);
        }
        Ok(moved)
    }

    /// Starts what may start, and sends replies when they are many; true when something was started.
    pub fn start_all(
        &mut self,
        channel: &mut dyn Channel,
        tasks: &mut Tasks,
    ) -> Result<bool, Over> {
        let mut moved = false;
        while self.start(tasks) {
            moved = true;
            if self.replies.borrow().queued >= TOGETHER {
                self.reply(channel)?;
            }
            self.receive(channel)?;
        }
        Ok(moved)
    }

    /// Whether it has nothing to do but for what its client still sends.
    pub fn is_done(&self) -> bool {
        self.held.is_none() && self.running.get() == 0 && self.replies.borrow().queue.is_empty()
    }

    /// Takes what the client sent, up to one complete request.
    pub fn receive(&mut self, channel: &mut dyn Channel) -> Result<(), Over> {
        while self.held.is_none() {
            let used = self.packets.push(channel.peek()?);
            channel.take(used)?;
            self.held = match self.packets.next() {
                Ok(next) => next,
                Err(fatal) => {
                    // What was answered before is still told.
                    self.reply(channel)?;
                    return Err(Over::Protocol(fatal));
                }
            };
            if used == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Starts the held request if it may start now.
    fn start(&mut self, tasks: &mut Tasks) -> bool {
        if tasks.is_share_spent() {
            return false;
        }
        let promised = self.held.as_ref().map_or(0, Request::reply_cost);
        let replies = self.replies.borrow().bytes.saturating_add(promised);
        if replies > REPLIES {
            return false;
        }
        let may_start =
            |request: &mut Request| self.sftp.may_start(request) && tasks.has_room(request.cost());
        let Some(request) = self.held.take_if(may_start) else {
            return false;
        };
        let bytes = request.cost();
        self.running.set(self.running.get().saturating_add(1));
        self.replies.borrow_mut().bytes = replies;
        let (running, replies) = (self.running.clone(), self.replies.clone());
        let reply = self.sftp.run(request);
        tasks.start(bytes, async move {
            let reply = reply.await;
            running.set(running.get().saturating_sub(1));
            let mut replies = replies.borrow_mut();
            replies.bytes = replies.bytes.saturating_sub(promised).saturating_add(reply.len());
            replies.queued = replies.queued.saturating_add(reply.len());
            replies.queue.push_back(reply);
        });
        true
    }

    /// Sends what fits of the replies.
    fn reply(&mut self, channel: &mut dyn Channel) -> Result<bool, Ended> {
        let mut replies = self.replies.borrow_mut();
        let mut moved = false;
        while !replies.queue.is_empty() {
            let mut pieces: [&[u8]; PIECES] = [&[]; PIECES];
            let mut gone = self.sent;
            for (piece, reply) in pieces.iter_mut().zip(&replies.queue) {
                *piece = reply.get(core::mem::take(&mut gone)..).unwrap_or_default();
            }
            let sent = channel.send(&pieces)?;
            if sent == 0 {
                break;
            }
            moved = true;
            self.sent = replies.forget(self.sent.saturating_add(sent));
        }
        Ok(moved)
    }
}

impl Replies {
    /// Forgets what lies wholly in the first `sent` bytes of the queue; how many bytes of those are left.
    fn forget(&mut self, mut sent: usize) -> usize {
        while let Some(length) = self.queue.front().map(Vec::len).filter(|length| *length <= sent) {
            self.queue.pop_front();
            sent = sent.saturating_sub(length);
            self.queued = self.queued.saturating_sub(length);
            self.bytes = self.bytes.saturating_sub(length);
        }
        sent
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::access::Access;

    fn transfer() -> Transfer<client::Ram> {
        let ram = client::Ram::formatted(1 << 20);
        let volume = client::ready(Volume::mount(ram, &Default::default())).unwrap().unwrap();
        Transfer::new(&Rc::new(volume), &Access::default(), &Options::default(), &Rc::default())
    }

    /// What `sftp` counts for every request is room enough for the future that it becomes here.
    #[test]
    fn the_future_of_a_request_is_counted() {
        let mut transfer = transfer();
        transfer.packets.push(&client::init());
        let request = transfer.packets.next().unwrap().unwrap();
        let cost = request.cost();
        let future = size_of_val(&transfer.sftp.run(request));
        assert!(future <= cost, "{future} bytes");
    }

    /// A client that has sent something, and takes so many bytes.
    #[derive(Default)]
    struct Pipe {
        input: Vec<u8>,
        room: usize,
        output: Vec<u8>,
        status: Option<u32>,
    }

    impl Channel for Pipe {
        fn peek(&mut self) -> Result<&[u8], Ended> {
            Ok(&self.input)
        }
        fn take(&mut self, n: usize) -> Result<(), Ended> {
            drop(self.input.drain(..n));
            Ok(())
        }
        fn send(&mut self, pieces: &[&[u8]]) -> Result<usize, Ended> {
            let all = pieces.concat();
            let sent = all.len().min(self.room);
            self.room -= sent;
            self.output.extend(&all[..sent]);
            Ok(sent)
        }
        fn finish(&mut self, status: u32) {
            assert_eq!(self.status.replace(status), None);
        }
    }

    /// A version has 9 bytes; the extensions that this server names stand behind it.
    fn is_version(output: &[u8]) -> bool {
        let length = output.first_chunk().map(|length| u32::from_be_bytes(*length) as usize + 4);
        length == Some(output.len()) && output[4..9] == [2, 0, 0, 0, 3]
    }

    #[test]
    fn who_sends_no_more_has_all_his_answers_before_the_end() {
        let (mut transfer, mut tasks) = (transfer(), Tasks::new(1, 1 << 20));
        // No operation may start but the one that runs.
        let open = Rc::new(Cell::new(false));
        let gate = open.clone();
        let other = core::future::poll_fn(move |_| match gate.get() {
            true => core::task::Poll::Ready(()),
            false => core::task::Poll::Pending,
        });
        tasks.start(1, other);
        let mut pipe = Pipe { input: client::init(), ..Pipe::default() };
        transfer.receive(&mut pipe).ok().unwrap();
        transfer.eof();
        assert!(!transfer.turn(&mut pipe, &mut tasks).ok().unwrap());
        assert!(transfer.held.is_some() && !transfer.is_done());
        open.set(true);
        assert!(tasks.turn());
        tasks.round();
        // It runs, and its reply finds no room.
        assert!(transfer.turn(&mut pipe, &mut tasks).ok().unwrap());
        assert!(!transfer.is_done() && pipe.status.is_none() && pipe.output.is_empty());
        pipe.room = 8;
        assert!(transfer.turn(&mut pipe, &mut tasks).ok().unwrap());
        assert!(!transfer.is_done() && pipe.status.is_none());
        pipe.room = 1 << 20;
        // What still runs would have a reply, too.
        transfer.running.set(1);
        assert!(transfer.turn(&mut pipe, &mut tasks).ok().unwrap());
        assert!(!transfer.is_done() && pipe.status.is_none());
        transfer.running.set(0);
        assert!(!transfer.turn(&mut pipe, &mut tasks).ok().unwrap());
        assert!(transfer.is_done() && pipe.status == Some(0) && is_version(&pipe.output));
    }

    #[test]
    fn no_request_is_begun_whose_reply_would_be_too_much() {
        for (beyond, starts) in [(0, true), (1, false), (1000, false)] {
            let (mut transfer, mut tasks) = (transfer(), Tasks::new(1, 1 << 20));
            let mut pipe = Pipe { input: client::init(), ..Pipe::default() };
            transfer.receive(&mut pipe).ok().unwrap();
            let promised = transfer.held.as_ref().unwrap().reply_cost();
            transfer.replies.borrow_mut().bytes = REPLIES - promised + beyond;
            assert_eq!(transfer.start(&mut tasks), starts, "{beyond}");
        }
    }
}
