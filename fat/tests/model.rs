//! Random operations against a simple model, one after the other and many at once.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // Tests may panic.
mod common;
use common::*;
use fat::{Error, File, Volume};
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

struct Model<'a> {
    volume: &'a Volume<Disk>,
    root: String,
    tree: Tree,
    random: Random,
    open: Vec<(Option<String>, File, Vec<u8>)>,
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
        match self.random.below(12) {
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
            _ => match (there, get(self.volume, &path).await) {
                (Some(Some(data)), found) => assert!(found.unwrap() == data, "{path}"),
                (_, found) => assert!(found.is_err()),
            },
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
                assert!(get(volume, path).await.unwrap() == *data, "{path}");
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
    }
}

#[test]
fn one_after_the_other() {
    let large_sectors = ("4 KiB sectors", mkfs(40 * 1024, &["-F", "16", "-S", "4096", "-s", "1"]));
    let exfat = ("exFAT", Disk::new(mkfs_exfat(8 << 10, &["-c", "512", "-b", "4K"])));
    for (kind, disk) in kinds().into_iter().chain([large_sectors, exfat]) {
        for seed in 1..=4 {
            println!("{kind}, seed {seed}");
            let disk = Disk::new(disk.image());
            let volume = mount(&disk);
            if seed % 2 == 0 {
                block_on(volume.write_record("r", b"x")).unwrap();
            }
            let mut model = model(&volume, "", seed);
            block_on(async {
                for _ in 0..1500 {
                    model.step().await;
                }
                model.open.clear();
                volume.unmount().await.unwrap();
            });
            assert_eq!(fsck(&disk.image()), "");
            let again = mount(&disk);
            block_on(async {
                for (path, data) in &model.tree {
                    if let Some(data) = data {
                        assert!(get(&again, path).await.unwrap() == *data, "{path}");
                    }
                }
            });
        }
    }
}

#[test]
fn many_at_once() {
    let exfat = ("exFAT", Disk::new(mkfs_exfat(16 << 10, &["-c", "1K"])));
    for (kind, disk) in kinds().into_iter().chain([exfat]) {
        println!("{kind}");
        let volume = mount(&disk);
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
        assert_eq!(fsck(&disk.image()), "");
        let again = mount(&disk);
        for model in models.borrow().iter() {
            block_on(model.verify(&again));
        }
    }
}
