//! A xenstored that keeps the tree in memory.
use super::FakeXen;
use crate::xen::page::Page;
use std::collections::BTreeMap;
use std::rc::Rc;
use xen_sys::xs_wire::*;
use zerocopy::{FromBytes, IntoBytes};

type Tree = BTreeMap<String, Vec<u8>>;

pub const HOME: &str = "/local/domain/5/";

pub struct Stored {
    xen: Rc<FakeXen>,
    page: Page,
    port: u32,
    tree: Tree,
    changes: u64,
    watches: Vec<(String, String)>,
    transactions: BTreeMap<u32, (Tree, u64, Vec<String>)>,
    last: u32,
    incoming: Vec<u8>,
    outgoing: Vec<u8>,
    /// Transactions that are told EAGAIN whatever happened.
    pub refuse_commits: usize,
    /// Answers in the opposite order when there are several.
    pub reverse: bool,
}

impl Stored {
    pub fn new(xen: Rc<FakeXen>, page: Page, port: u32) -> Self {
        let (tree, watches, transactions) = Default::default();
        let (incoming, outgoing) = Default::default();
        let (changes, last, refuse_commits, reverse) = (0, 0, 0, false);
        Self {
            xen,
            page,
            port,
            tree,
            changes,
            watches,
            transactions,
            last,
            incoming,
            outgoing,
            refuse_commits,
            reverse,
        }
    }

    fn absolute(path: &str) -> String {
        if path.starts_with('/') { path.into() } else { format!("{HOME}{path}") }
    }

    pub fn get(&self, path: &str) -> Option<String> {
        let value = self.tree.get(&Self::absolute(path))?;
        Some(String::from_utf8_lossy(value).into_owned())
    }

    pub fn number(&self, path: &str) -> Option<u32> {
        self.get(path)?.parse().ok()
    }

    pub fn set(&mut self, path: &str, value: impl AsRef<[u8]>) {
        let path = Self::absolute(path);
        self.tree.insert(path.clone(), value.as_ref().into());
        self.changed(&path);
    }

    pub fn remove(&mut self, path: &str) {
        let path = Self::absolute(path);
        let below = format!("{path}/");
        self.tree.retain(|p, _| *p != path && !p.starts_with(&below));
        self.changed(&path);
    }

    pub fn watches(&self) -> usize {
        self.watches.len()
    }

    fn changed(&mut self, path: &str) {
        self.changes += 1;
        let concerned = |watched: &str| {
            let (a, b) = (format!("{path}/"), format!("{watched}/"));
            a.starts_with(&b) || b.starts_with(&a)
        };
        let fired: Vec<_> = self.watches.iter().filter(|w| concerned(&w.0)).cloned().collect();
        for (_, token) in fired {
            self.send(kind::WATCH_EVENT, 0, 0, format!("{path}\0{token}\0").as_bytes());
        }
    }

    /// Sends any message.
    pub fn send(&mut self, kind: u32, request: u32, transaction: u32, payload: &[u8]) {
        let length = payload.len() as u32;
        self.outgoing.extend(Header { kind, request, transaction, length }.as_bytes());
        self.outgoing.extend(payload);
    }

    /// Sends any bytes.
    pub fn send_raw(&mut self, bytes: &[u8]) {
        self.outgoing.extend(bytes);
    }

    /// Serves; true when anything moved.
    pub fn turn(&mut self) -> bool {
        let notified = self.xen.take_notified(self.port);
        let moved = self.receive() | self.transmit();
        if moved {
            self.xen.kick(self.port);
        }
        moved | notified
    }

    fn receive(&mut self) -> bool {
        let (mut cons, prod) = (self.index(REQ_CONS), self.index(REQ_PROD));
        let moved = cons != prod;
        if prod.wrapping_sub(cons) > RING_SIZE {
            // Only a test's lie can have done that.
            return false;
        }
        while cons != prod {
            let place = REQUESTS + (cons % RING_SIZE) as usize;
            self.incoming.push(self.page.read_u8(place).unwrap());
            cons = cons.wrapping_add(1);
        }
        self.page.write_u32(REQ_CONS, cons);
        let mut requests = Vec::new();
        while let Ok((header, rest)) = Header::read_from_prefix(&self.incoming) {
            let Some(payload) = rest.get(..header.length as usize).map(Vec::from) else { break };
            self.incoming.drain(..HEADER_SIZE + payload.len());
            requests.push((header, payload));
        }
        if self.reverse {
            requests.reverse();
        }
        for (header, payload) in requests {
            match self.serve(header, &payload) {
                Ok(reply) => self.send(header.kind, header.request, header.transaction, &reply),
                Err(name) => {
                    let payload = format!("{name}\0");
                    let Header { request, transaction, .. } = header;
                    self.send(kind::ERROR, request, transaction, payload.as_bytes());
                }
            }
            if header.kind == kind::WATCH && !self.watches.is_empty() {
                let (path, token) = self.watches[self.watches.len() - 1].clone();
                let payload = format!("{path}\0{token}\0");
                self.send(kind::WATCH_EVENT, 0, 0, payload.as_bytes());
            }
        }
        moved
    }

    fn transmit(&mut self) -> bool {
        let (cons, mut prod) = (self.index(RSP_CONS), self.index(RSP_PROD));
        let mut sent = 0;
        while sent < self.outgoing.len() && prod.wrapping_sub(cons) < RING_SIZE {
            let place = REPLIES + (prod % RING_SIZE) as usize;
            self.page.write_u8(place, self.outgoing[sent]);
            prod = prod.wrapping_add(1);
            sent += 1;
        }
        self.outgoing.drain(..sent);
        self.page.write_u32(RSP_PROD, prod);
        sent > 0
    }

    fn index(&self, offset: usize) -> u32 {
        self.page.read_u32(offset).unwrap()
    }

    fn serve(&mut self, header: Header, payload: &[u8]) -> Result<Vec<u8>, &'static str> {
        let text = String::from_utf8(payload.into()).map_err(|_| "EINVAL")?;
        let mut words = text.splitn(3, '\0');
        let (first, second) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
        let path = Self::absolute(first);
        let id = header.transaction;
        let tree = match id {
            0 => &mut self.tree,
            id => &mut self.transactions.get_mut(&id).ok_or("EINVAL")?.0,
        };
        match header.kind {
            kind::READ => tree.get(&path).cloned().ok_or("ENOENT"),
            kind::DIRECTORY => {
                let below = format!("{path}/");
                let names = tree.keys().filter_map(|p| p.strip_prefix(&below)?.split('/').next());
                let mut names: Vec<_> = names.map(|n| format!("{n}\0")).collect();
                names.dedup();
                let exists = !names.is_empty() || tree.contains_key(&path);
                exists.then(|| names.concat().into_bytes()).ok_or("ENOENT")
            }
            kind::WRITE | kind::RM => {
                if header.kind == kind::WRITE {
                    tree.insert(path.clone(), second.into());
                } else {
                    let (before, below) = (tree.len(), format!("{path}/"));
                    tree.retain(|p, _| *p != path && !p.starts_with(&below));
                    (tree.len() < before).then_some(()).ok_or("ENOENT")?;
                }
                match id {
                    0 => self.changed(&path),
                    id => self.transactions.get_mut(&id).unwrap().2.push(path),
                }
                Ok(b"OK\0".into())
            }
            kind::WATCH => {
                self.watches.push((path, second.into()));
                Ok(b"OK\0".into())
            }
            kind::SET_PERMS => tree.contains_key(&path).then(|| b"OK\0".into()).ok_or("ENOENT"),
            kind::UNWATCH => {
                let watch = (path, second.to_string());
                let place = self.watches.iter().position(|w| *w == watch).ok_or("ENOENT")?;
                self.watches.remove(place);
                Ok(b"OK\0".into())
            }
            kind::TRANSACTION_START => {
                self.last += 1;
                let transaction = (self.tree.clone(), self.changes, Vec::new());
                self.transactions.insert(self.last, transaction);
                Ok(format!("{}\0", self.last).into_bytes())
            }
            kind::TRANSACTION_END => {
                let (tree, changes, paths) = self.transactions.remove(&id).ok_or("EINVAL")?;
                if first == "T" {
                    if self.refuse_commits > 0 || changes != self.changes {
                        self.refuse_commits = self.refuse_commits.saturating_sub(1);
                        return Err("EAGAIN");
                    }
                    self.tree = tree;
                    paths.iter().for_each(|path| self.changed(path));
                }
                Ok(b"OK\0".into())
            }
            _ => Err("EINVAL"),
        }
    }
}
