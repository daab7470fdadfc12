//! Random operations against a simple model, one after the other and many at once.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // Tests may panic.
mod common;
use common::*;
use fat::{Change, Error, File, Posix, Volume};
use std::collections::BTreeMap;

const NAMES: [&str; 12] = [
    "a",
    "B",
    "readme.txt",
    "README.TXT.bak",
    "a longer name",
    "a longer name 2",
    "x:y",
    "dir",
    "Дом",
    "UPPER.BIN",
    "z.",
    "name with many many many characters in it so that it needs slots",
];

/// What there should be: directories are `None`.
type Tree = BTreeMap<String, Option<Vec<u8>>>;

/// What a symbolic link's target begins with, and no file's data.
const LINK: &str = "to nowhere/";
/// What files have for which no mode is kept.
const PLAIN: Posix = Posix { mode: 0o100_644, nanoseconds: 0, uid: 1000, gid: 1000 };

fn is_link(node: &Option<Option<Vec<u8>>>) -> bool {
    matches!(node, Some(Some(data)) if data.starts_with(LINK.as_bytes()))
}

/// The contents of a file, or the target of a link.
async fn read(volume: &Volume<Disk>, path: &str) -> Result<Vec<u8>, Error> {
    match volume.read_link(path).await {
        Ok(link) => Ok(link.target.into_bytes()),
        Err(_) => get(volume, path).await,
    }
}

struct Model<'a> {
    volume: &'a Volume<Disk>,
    root: String,
    tree: Tree,
    random: Random,
    open: Vec<(Option<String>, File, Vec<u8>)>,
    /// The modes that are kept, on a volume that keeps them.
    modes: BTreeMap<String, u32>,
}

impl Model<'_> {
    fn path(&mut self) -> String {
        let mut path = self.root.clone();
        for _ in 0..1 + self.random.below(3) {
            path = path + "/" + NAMES[self.random.below(NAMES.len())];
            if !matches!(self.tree.get(&path), Some(None)) {
                break;
            }
        }
        path
    }

    fn parent_exists(&self, path: &str) -> bool {
        let parent = &path[..path.rfind('/').unwrap()];
        parent == self.root || matches!(self.tree.get(parent), Some(None))
    }

    fn has_children(&self, path: &str) -> bool {
        let inside = format!("{path}/");
        self.tree.keys().any(|key| key.starts_with(&inside))
    }

    fn open_here(&mut self, path: &str) -> Option<&mut (Option<String>, File, Vec<u8>)> {
        self.open.iter_mut().find(|(name, _, _)| name.as_deref() == Some(path))
    }

    async fn step(&mut self) {
        let path = self.path();
        let there = self.tree.get(&path).cloned();
        let kinds = if self.volume.keeps_posix() { 15 } else { 12 };
        match self.random.below(kinds) {
            0..=2 | 8 if is_link(&there) => {
                assert_eq!(put(self.volume, &path, b"x").await, Err(Error::IsALink));
            }
            12..=13 => self.chmod(path, there).await,
            14 => {
                let target = LINK.to_string() + &"x".repeat(self.random.below(3000));
                let made = self.volume.create_link_by(&path, &target, (1000, 1000), None).await;
                if there.is_none() && self.parent_exists(&path) {
                    made.unwrap();
                    self.tree.insert(path, Some(target.into_bytes()));
                } else {
                    assert!(made.is_err());
                }
            }
            0..=2 => {
                let data = pattern(self.random.below(99), self.random.below(30_000));
                let result = put(self.volume, &path, &data).await;
                match there {
                    Some(None) => assert_eq!(result, Err(Error::IsADirectory)),
                    _ if !self.parent_exists(&path) => assert!(result.is_err()),
                    _ => {
                        result.unwrap();
                        if let Some(open) = self.open_here(&path) {
                            open.2.clone_from(&data);
                        }
                        self.tree.insert(path, Some(data));
                    }
                }
            }
            3 => {
                let result = self.volume.create_dir(&path).await;
                if there.is_some() {
                    assert_eq!(result, Err(Error::AlreadyExists));
                } else if self.parent_exists(&path) {
                    result.unwrap();
                    self.tree.insert(path, None);
                } else {
                    assert!(result.is_err());
                }
            }
            4 => {
                let result = self.volume.remove_file(&path).await;
                if matches!(there, Some(Some(_))) {
                    result.unwrap();
                    if let Some(open) = self.open_here(&path) {
                        open.0 = None;
                    }
                    self.tree.remove(&path);
                    self.modes.remove(&path);
                } else {
                    assert!(result.is_err());
                }
            }
            5 => {
                let result = self.volume.remove_dir(&path).await;
                match there {
                    Some(None) if self.has_children(&path) => {
                        assert_eq!(result, Err(Error::NotEmpty));
                    }
                    Some(None) => {
                        result.unwrap();
                        self.tree.remove(&path);
                    }
                    _ => assert!(result.is_err()),
                }
            }
            6..=7 => self.rename(path).await,
            8 => {
                if let Some(Some(_)) = there
                    && self.open.len() < 4
                    && self.open_here(&path).is_none()
                {
                    let file = self.volume.open(&path, &WRITE).await.unwrap();
                    self.open.push((Some(path), file, there.flatten().unwrap()));
                } else if !self.open.is_empty() {
                    let at = self.random.below(self.open.len());
                    let (_, file, data) = self.open.remove(at);
                    assert!(read_file(self.volume, &file).await.unwrap() == data);
                }
            }
            9 if !self.open.is_empty() => {
                let index = self.random.below(self.open.len());
                let at = self.random.below(60_000);
                let data = pattern(at, 1 + self.random.below(20_000));
                let len = self.random.below(60_000);
                let resize = self.random.below(3) == 0;
                let (name, file, model) = &mut self.open[index];
                if resize {
                    self.volume.set_len(file, len as u64).await.unwrap();
                    model.resize(len, 0);
                } else {
                    self.volume.write(file, at as u64, &data).await.unwrap();
                    model.resize(model.len().max(at + data.len()), 0);
                    model[at..at + data.len()].copy_from_slice(&data);
                }
                if let Some(name) = name {
                    self.tree.insert(name.clone(), Some(model.clone()));
                }
            }
            10 if self.random.below(4) == 0 => self.volume.sync().await.unwrap(),
            _ => match (there, read(self.volume, &path).await) {
                (Some(Some(data)), found) => assert!(found.unwrap() == data, "{path}"),
                (_, found) => assert!(found.is_err()),
            },
        }
    }

    /// Of a file, by its name or while it is open; nothing is kept of folders and links.
    async fn chmod(&mut self, path: String, there: Option<Option<Vec<u8>>>) {
        let mode = [0o755, 0o644, 0o640, 0o4711][self.random.below(4)];
        let by_handle = self.random.below(2) == 0;
        let volume = self.volume;
        let done = match self.open_here(&path).filter(|_| by_handle) {
            Some((_, file, _)) => {
                volume.change_file(file, Change::posix(Some(mode), None, PLAIN)).await
            }
            None => {
                volume.change_attributes(&path, Change::posix(Some(mode), None, PLAIN), None).await
            }
        };
        match there {
            None => assert!(done.is_err()),
            Some(Some(_)) if !is_link(&there) => {
                done.unwrap();
                match mode {
                    0o644 => _ = self.modes.remove(&path),
                    _ => _ = self.modes.insert(path, mode),
                }
            }
            _ => done.unwrap(),
        }
    }

    async fn rename(&mut self, from: String) {
        let to = self.path();
        let result = self.volume.rename(&from, &to, true).await;
        let inside = format!("{from}/");
        let source = self.tree.get(&from).cloned();
        let target = self.tree.get(&to).cloned();
        let fits = match (&source, &target) {
            (None, _) => false,
            _ if from == to => true,
            (Some(None), Some(None)) => !self.has_children(&to),
            (Some(source), Some(target)) => source.is_some() && target.is_some(),
            (Some(_), None) => true,
        };
        if !fits || to.starts_with(&inside) || !self.parent_exists(&to) {
            assert!(result.is_err(), "{from} {to}");
            return;
        }
        result.unwrap();
        if from == to {
            return;
        }
        if let Some(open) = self.open_here(&to) {
            open.0 = None;
        }
        let moved: Vec<String> = self
            .tree
            .keys()
            .filter(|key| **key == from || key.starts_with(&inside))
            .cloned()
            .collect();
        for old in moved {
            let new = to.clone() + &old[from.len()..];
            let value = self.tree.remove(&old).unwrap();
            match self.modes.remove(&old) {
                Some(mode) => _ = self.modes.insert(new.clone(), mode),
                None => _ = self.modes.remove(&new),
            }
            if let Some(open) = self.open_here(&old) {
                open.0 = Some(new.clone());
            }
            self.tree.insert(new, value);
        }
    }

    async fn verify(&self, volume: &Volume<Disk>) {
        let dirs = self.tree.iter().filter(|(_, value)| value.is_none()).map(|(path, _)| path);
        for dir in dirs.chain([&self.root]) {
            let inside = format!("{dir}/");
            let mut expected: Vec<&str> = self
                .tree
                .keys()
                .filter_map(|key| key.strip_prefix(&inside))
                .filter(|rest| !rest.contains('/'))
                .collect();
            expected.sort_unstable();
            assert_eq!(list(volume, dir).await.unwrap(), expected, "{dir}");
        }
        for (path, data) in &self.tree {
            if let Some(data) = data {
                assert!(read(volume, path).await.unwrap() == *data, "{path}");
                let posix = volume.metadata(path).await.unwrap().posix;
                let mode = posix.map(|posix| posix.permissions());
                let link = Some(0o777).filter(|_| is_link(&Some(Some(data.clone()))));
                assert_eq!(mode, link.or(self.modes.get(path).copied()), "{path}");
            }
        }
    }
}

fn model<'a>(volume: &'a Volume<Disk>, root: &str, seed: u64) -> Model<'a> {
    Model {
        volume,
        root: root.into(),
        tree: Tree::new(),
        random: Random::new(seed),
        open: Vec::new(),
        modes: BTreeMap::new(),
    }
}

const POSIX: &str = "exFAT with modes and links";

/// What everybody says of a volume; fsck.exfat of Debian 12 once the entries that it does not know are off.
fn check(disk: &Disk) {
    let mut problems = Vec::new();
    let report = &mut |problem: &fat::Problem| problems.push(problem.to_string());
    block_on(fat::check(disk, report, &mut |_, _| ())).unwrap();
    assert_eq!(problems, [""; 0]);
    let plain = Disk::new(disk.image());
    let volume = mount(&plain);
    if volume.keeps_posix() {
        block_on(async {
            volume.unmark_posix().await.unwrap();
            volume.unmount().await.unwrap();
        });
    }
    assert_eq!(fsck(&plain.image()), "");
}

#[test]
fn one_after_the_other() {
    let large_sectors = ("4 KiB sectors", mkfs(40 * 1024, &["-F", "16", "-S", "4096", "-s", "1"]));
    let exfat = || Disk::new(mkfs_exfat(8 << 10, &["-c", "512", "-b", "4K"]));
    let exfats = [("exFAT", exfat()), (POSIX, exfat())];
    for (kind, disk) in kinds().into_iter().chain([large_sectors]).chain(exfats) {
        for seed in 1..=4 {
            println!("{kind}, seed {seed}");
            let disk = Disk::new(disk.image());
            let volume = mount(&disk);
            if seed % 2 == 0 {
                block_on(volume.write_record("r", b"x")).unwrap();
            }
            if kind == POSIX {
                block_on(volume.mark_posix()).unwrap();
            }
            let mut model = model(&volume, "", seed);
            block_on(async {
                for _ in 0..1500 {
                    model.step().await;
                }
                model.open.clear();
                volume.unmount().await.unwrap();
            });
            check(&disk);
            block_on(model.verify(&mount(&disk)));
        }
    }
}

#[test]
fn many_at_once() {
    let exfat = |kind| (kind, Disk::new(mkfs_exfat(16 << 10, &["-c", "1K"])));
    for (kind, disk) in kinds().into_iter().chain(["exFAT", POSIX].map(exfat)) {
        println!("{kind}");
        let volume = mount(&disk);
        if kind == POSIX {
            block_on(volume.mark_posix()).unwrap();
        }
        block_on(volume.write_record("r", b"x")).unwrap();
        for client in 0..4 {
            block_on(volume.create_dir(&format!("/client {client}"))).unwrap();
        }
        disk.0.slow.set(true);
        let steps = if kind == "FAT12" { 150 } else { 500 };
        let models = std::cell::RefCell::new(Vec::new());
        run_all(
            (0..4)
                .map(|client| {
                    let (volume, models) = (&volume, &models);
                    Box::pin(async move {
                        let mut model = model(volume, &format!("/client {client}"), client + 10);
                        for _ in 0..steps {
                            // A volume of 2 MiB may be full.
                            model.step().await;
                        }
                        model.open.clear();
                        model.verify(volume).await;
                        models.borrow_mut().push(model);
                    }) as _
                })
                .collect(),
        );
        disk.0.slow.set(false);
        block_on(volume.unmount()).unwrap();
        check(&disk);
        let again = mount(&disk);
        for model in models.borrow().iter() {
            block_on(model.verify(&again));
        }
    }
}
