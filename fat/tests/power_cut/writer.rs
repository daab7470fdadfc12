//! One writer of a volume and the model of what it did: which states of its tree and which contents
//! of its files a power cut may leave.
//!
//! The tree (names, kinds and sizes) must be one that there was at some moment since the last sync.
//! Contents that were overwritten since may be old or new, sector by sector, but only of the same
//! file.
use crate::common::*;
use fat::{Change, File, Posix, Volume};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

/// A directory is `None`, a file its number, its size, and its mode where one is kept for it: 0 else.
pub type Tree = BTreeMap<String, Option<(usize, usize, u32)>>;
/// What was found on a volume: contents and modes.
pub type Found = BTreeMap<String, Option<(Vec<u8>, u32)>>;
/// In the place of a mode: a symbolic link, whose contents are its target.
pub const LINK: u32 = 0o120_777;
/// What files have for which no mode is kept.
const PLAIN: Posix = Posix { mode: 0o100_644, nanoseconds: 0, uid: 1000, gid: 1000 };

/// Something that may be met by a cut after `begun` events, and the writer's step that began it.
struct Moment<T> {
    begun: usize,
    step: usize,
    what: T,
}

pub struct Writer<'a> {
    volume: &'a Volume<Disk>,
    disk: Disk,
    /// Its own directory; empty for the whole volume.
    root: String,
    step: Cell<usize>,
    states: RefCell<Vec<Moment<Tree>>>,
    /// The contents of each file, one version after the other.
    files: RefCell<Vec<Vec<Moment<Vec<u8>>>>>,
    /// `(events logged, step)` at each sync.
    syncs: RefCell<Vec<(usize, usize)>>,
    /// Files kept open, by their number.
    pub open: RefCell<Vec<(usize, File)>>,
}

impl<'a> Writer<'a> {
    /// The directory `root` is there and empty on the disk.
    pub fn new(volume: &'a Volume<Disk>, disk: &Disk, root: &str) -> Self {
        let first = Moment { begun: 0, step: 0, what: Tree::new() };
        Self {
            volume,
            disk: disk.clone(),
            root: root.into(),
            step: Cell::new(0),
            states: RefCell::new(vec![first]),
            files: RefCell::default(),
            syncs: RefCell::new(vec![(0, 0)]),
            open: RefCell::default(),
        }
    }

    pub fn tree(&self) -> Tree {
        self.states.borrow().last().unwrap().what.clone()
    }

    pub fn size(&self, path: &str) -> Option<usize> {
        self.tree().get(path).copied().flatten().map(|(_, len, _)| len)
    }

    /// The mode that is kept of a file; 0 when none is.
    fn mode(&self, path: &str) -> u32 {
        self.tree().get(path).copied().flatten().map_or(0, |(_, _, mode)| mode)
    }

    pub fn is_link(&self, path: &str) -> bool {
        self.mode(path) == LINK
    }

    pub fn keeps_posix(&self) -> bool {
        self.volume.keeps_posix()
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.root)
    }

    fn moment<T>(&self, what: T) -> Moment<T> {
        self.step.set(self.step.get() + 1);
        Moment { begun: self.disk.logged(), step: self.step.get(), what }
    }

    /// Notes a tree that may be met from now on.
    fn may(&self, change: impl FnOnce(&mut Tree)) {
        let mut tree = self.tree();
        change(&mut tree);
        let moment = self.moment(tree);
        self.states.borrow_mut().push(moment);
    }

    fn contents(&self, id: usize) -> Vec<u8> {
        self.files.borrow()[id].last().unwrap().what.clone()
    }

    /// Notes contents that may be met from now on, also under the name that the file lost since the
    /// last sync.
    fn may_contain(&self, id: usize, data: Vec<u8>) {
        let moment = self.moment(data);
        self.files.borrow_mut()[id].push(moment);
    }

    /// Notes contents that may be met from now on, and the size that goes with them.
    fn may_hold(&self, path: &str, id: usize, data: Vec<u8>) {
        let (len, mode) = (data.len(), self.mode(path));
        self.may_contain(id, data);
        self.may(|tree| _ = tree.insert(path.into(), Some((id, len, mode))));
    }

    fn new_file(&self) -> usize {
        let moment = self.moment(Vec::new());
        let mut files = self.files.borrow_mut();
        files.push(vec![moment]);
        files.len() - 1
    }

    /// Makes a file, or makes it anew.
    pub async fn put(&self, path: &str, data: &[u8]) {
        let id = self.tree().get(path).map(|file| file.unwrap().0);
        let id = id.unwrap_or_else(|| self.new_file());
        self.may_hold(path, id, Vec::new());
        let file = self.volume.open(&self.at(path), &REWRITE).await.unwrap();
        self.may_hold(path, id, data.to_vec());
        self.volume.write(&file, 0, data).await.unwrap();
    }

    /// Writes into a file, over its end perhaps; a hole becomes zeros.
    pub async fn write(&self, path: &str, at: usize, data: &[u8]) {
        let id = self.tree()[path].unwrap().0;
        let mut contents = self.contents(id);
        contents.resize(contents.len().max(at + data.len()), 0);
        contents[at..at + data.len()].copy_from_slice(data);
        self.may_hold(path, id, contents);
        let file = self.volume.open(&self.at(path), &WRITE).await.unwrap();
        self.volume.write(&file, at as u64, data).await.unwrap();
    }

    pub async fn append(&self, path: &str, data: &[u8]) {
        self.write(path, self.size(path).unwrap(), data).await;
    }

    /// Cuts a file off, or makes it longer with zeros.
    pub async fn truncate(&self, path: &str, len: usize) {
        let id = self.tree()[path].unwrap().0;
        let mut contents = self.contents(id);
        contents.resize(len, 0);
        self.may_hold(path, id, contents);
        let file = self.volume.open(&self.at(path), &WRITE).await.unwrap();
        self.volume.set_len(&file, len as u64).await.unwrap();
    }

    /// Sets a file's mode; 0o644 is kept by nothing.
    pub async fn chmod(&self, path: &str, mode: u32) {
        self.may_have(path, mode);
        self.volume
            .change_attributes(&self.at(path), Change::posix(Some(mode), None, PLAIN), None)
            .await
            .unwrap();
    }

    fn may_have(&self, path: &str, mode: u32) {
        let (id, len, _) = self.tree()[path].unwrap();
        let mode = if mode == 0o644 { 0 } else { mode };
        self.may(|tree| _ = tree.insert(path.into(), Some((id, len, mode))));
    }

    /// As `chmod`, of the file that was kept open last, whatever its name is by now.
    pub async fn chmod_open(&self, mode: u32) {
        let Some((id, file)) = self.open.borrow_mut().pop() else { return };
        let named = self.tree().into_iter().find(|(_, value)| value.is_some_and(|v| v.0 == id));
        if let Some((path, _)) = named {
            self.may_have(&path, mode);
        }
        self.volume.change_file(&file, Change::posix(Some(mode), None, PLAIN)).await.unwrap();
    }

    /// Makes a symbolic link, of which no part may be met.
    pub async fn link(&self, path: &str, target: &str) {
        let id = self.files.borrow().len();
        let moment = self.moment(target.as_bytes().to_vec());
        self.files.borrow_mut().push(vec![moment]);
        self.may(|tree| _ = tree.insert(path.into(), Some((id, target.len(), LINK))));
        let owner = (1000, 1000);
        self.volume.create_link_by(&self.at(path), target, owner, None).await.unwrap();
    }

    pub async fn mkdir(&self, path: &str) {
        self.may(|tree| _ = tree.insert(path.into(), None));
        self.volume.create_dir(&self.at(path)).await.unwrap();
    }

    pub async fn remove(&self, path: &str) {
        let is_dir = self.tree()[path].is_none();
        self.may(|tree| _ = tree.remove(path));
        let path = self.at(path);
        match is_dir {
            true => self.volume.remove_dir(&path).await,
            false => self.volume.remove_file(&path).await,
        }
        .unwrap();
    }

    pub async fn rename(&self, from: &str, to: &str) {
        self.may(|tree| {
            let inside = format!("{from}/");
            let moved: Vec<String> = tree
                .keys()
                .filter(|key| *key == from || key.starts_with(&inside))
                .cloned()
                .collect();
            for old in moved {
                let value = tree.remove(&old).unwrap();
                tree.insert(to.to_string() + &old[from.len()..], value);
            }
        });
        self.volume.rename(&self.at(from), &self.at(to), true).await.unwrap();
    }

    /// Opens a file and keeps it open; what happens to it under another name is seen as well.
    pub async fn keep_open(&self, path: &str) {
        let id = self.tree()[path].unwrap().0;
        let file = self.volume.open(&self.at(path), &WRITE).await.unwrap();
        self.open.borrow_mut().push((id, file));
    }

    /// Writes to a file that was kept open; it may have no name any more. Then closes it.
    pub async fn write_to_open(&self, data: &[u8]) {
        let Some((id, file)) = self.open.borrow_mut().pop() else { return };
        let named = self.tree().into_iter().find(|(_, value)| value.is_some_and(|v| v.0 == id));
        let mut contents = self.contents(id);
        contents.extend(data);
        match named {
            Some((path, _)) => self.may_hold(&path, id, contents),
            None => self.may_contain(id, contents),
        }
        self.volume.append(&file, data).await.unwrap();
    }

    /// Everything done so far is promised.
    pub async fn sync(&self) {
        let step = self.step.get();
        self.volume.sync().await.unwrap();
        self.syncs.borrow_mut().push((self.disk.logged(), step));
    }

    /// As `sync`, asked for one file.
    pub async fn sync_file(&self, path: &str) {
        let step = self.step.get();
        let file = self.volume.open(&self.at(path), &READ).await.unwrap();
        self.volume.sync_file(&file).await.unwrap();
        self.syncs.borrow_mut().push((self.disk.logged(), step));
    }

    /// What this writer did, without the volume.
    pub fn history(self) -> History {
        History {
            root: self.root,
            states: self.states.into_inner(),
            files: self.files.into_inner(),
            syncs: self.syncs.into_inner(),
        }
    }
}

pub struct History {
    root: String,
    states: Vec<Moment<Tree>>,
    files: Vec<Vec<Moment<Vec<u8>>>>,
    syncs: Vec<(usize, usize)>,
}

impl History {
    /// Whether this writer's part of what was found after a cut behind `at` events is one that may
    /// be there.
    pub fn allows(&self, found: &Found, at: usize) -> bool {
        let synced = self.syncs.iter().filter(|(logged, _)| *logged <= at);
        let synced = synced.map(|(_, step)| *step).max().unwrap();
        let inside = format!("{}/", self.root);
        let own: BTreeMap<&str, &Option<(Vec<u8>, u32)>> = found
            .iter()
            .filter(|(path, _)| path.starts_with(&inside))
            .map(|(path, data)| (&path[self.root.len()..], data))
            .collect();
        since(&self.states, synced, at).any(|tree| {
            tree.len() == own.len()
                && tree.iter().zip(&own).all(|((path, node), (found, data))| {
                    path == found
                        && match (node, data) {
                            (None, None) => true,
                            (Some((id, len, mode)), Some((data, found))) => {
                                data.len() == *len
                                    && mode == found
                                    && self.is_of(*id, data, synced, at)
                            }
                            _ => false,
                        }
                })
        })
    }

    /// Whether each sector is that of some version of the file since the sync; what lay behind the
    /// end of a version was zeros.
    fn is_of(&self, id: usize, data: &[u8], synced: usize, at: usize) -> bool {
        let versions: Vec<&Vec<u8>> = since(&self.files[id], synced, at).collect();
        data.chunks(512).enumerate().all(|(index, sector)| {
            versions.iter().any(|version| {
                let version = version.get(index * 512..).unwrap_or_default();
                let (kept, rest) = sector.split_at(sector.len().min(version.len()));
                version.starts_with(kept) && rest.iter().all(|byte| *byte == 0)
            })
        })
    }
}

/// The last moment up to step `synced` and all after it that began before the cut.
fn since<T>(moments: &[Moment<T>], synced: usize, at: usize) -> impl Iterator<Item = &T> {
    let from = moments.iter().rposition(|moment| moment.step <= synced).unwrap_or(0);
    moments[from..].iter().take_while(move |moment| moment.begun <= at).map(|moment| &moment.what)
}
