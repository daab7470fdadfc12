//! SFTP on one channel: bytes in, requests started in their order, replies out.
use crate::access::Access;
use crate::share::{Share, Shown};
use crate::tasks::Tasks;
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use fat::{BlockDevice, Volume};
use log::debug;
use net::{Ended, Session};
use sftp::{Fatal, Packets, Request};

/// Handles that one session may have open.
const HANDLES: usize = 256;

/// Bytes of replies, of requests that run and of those that wait for the client, beyond which no
/// further request is taken: two of the longest.
const REPLIES: usize = 2 * (sftp::MAX_READ as usize + 16 * 1024);

pub struct Transfer<D: BlockDevice> {
    number: usize,
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
    /// Of the queue, and what the requests that run may add to it.
    bytes: usize,
}

/// Why the transfer on a channel is over.
pub enum Over {
    Session(Ended),
    Protocol(Fatal),
}

impl From<Ended> for Over {
    fn from(e: Ended) -> Self {
        Self::Session(e)
    }
}

impl<D: BlockDevice + 'static> Transfer<D> {
    pub fn new(number: usize, volume: &Rc<Volume<D>>, access: &Access, shown: Shown) -> Self {
        let share = Share::new(volume.clone(), access.clone(), shown);
        Self {
            number,
            sftp: sftp::Server::new(Rc::new(share), HANDLES),
            packets: Packets::new(),
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
    pub fn turn(&mut self, ssh: &mut Session, tasks: &mut Tasks) -> Result<bool, Over> {
        let mut moved = self.reply(ssh)?;
        while self.start(tasks) {
            moved = true;
            self.reply(ssh)?;
            self.receive(ssh)?;
        }
        if self.eof && self.is_done() {
            ssh.finish(self.number, 0);
        }
        Ok(moved)
    }

    fn is_done(&self) -> bool {
        self.held.is_none() && self.running.get() == 0 && self.replies.borrow().queue.is_empty()
    }

    /// Takes what the client sent, up to one complete request.
    pub fn receive(&mut self, ssh: &mut Session) -> Result<(), Over> {
        while self.held.is_none() {
            let used = self.packets.push(ssh.peek(self.number));
            ssh.take(self.number, used)?;
            self.held = self.packets.next().map_err(Over::Protocol)?;
            if used == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Starts the held request if it may start now.
    fn start(&mut self, tasks: &mut Tasks) -> bool {
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
            replies.queue.push_back(reply);
        });
        true
    }

    /// Sends what fits of the replies.
    fn reply(&mut self, ssh: &mut Session) -> Result<bool, Ended> {
        let mut replies = self.replies.borrow_mut();
        let mut moved = false;
        while let Some(rest) = replies.queue.front().and_then(|reply| reply.get(self.sent..)) {
            let sent = ssh.send(self.number, rest)?;
            moved |= sent > 0;
            if sent < rest.len() {
                self.sent = self.sent.saturating_add(sent);
                if sent == 0 {
                    break;
                }
            } else {
                self.sent = 0;
                let length = replies.queue.pop_front().map_or(0, |reply| reply.len());
                replies.bytes = replies.bytes.saturating_sub(length);
            }
        }
        Ok(moved)
    }
}

impl<D: BlockDevice> Drop for Transfer<D> {
    fn drop(&mut self) {
        if self.running.get() > 0 {
            debug!("{} operations go on without their client", self.running.get());
        }
    }
}
