//! What the writers do.
use crate::common::*;
use crate::writer::Writer;

/// Every kind of change in a row, with many entries in one directory.
pub async fn scripted(w: &Writer<'_>) {
    w.mkdir("/documents").await;
    w.mkdir("/documents/inner folder with a long name").await;
    w.put("/stable", &pattern(1, 70_000)).await;
    w.sync().await;
    let named = |number: usize| format!("/documents/a file with a rather long name {number}.txt");
    for round in 0..2 {
        for number in 0..20 {
            w.put(&named(number), &pattern(number + round, 3000)).await;
        }
        if w.keeps_posix() {
            w.chmod(&named(3), 0o755).await;
            w.chmod(&named(7), 0o700).await;
            w.link("/documents/link", "a file with a rather long name 3.txt").await;
        }
        w.sync().await;
        w.put("/documents/new", &pattern(90 + round, 40_000)).await;
        w.sync_file("/documents/new").await;
        w.rename("/documents/new", &named(3)).await;
        w.append(&named(3), &pattern(5, 20_000)).await;
        w.write(&named(3), 700, &pattern(8, 5000)).await;
        w.sync().await;
        w.truncate(&named(3), 10_001).await;
        w.append(&named(3), &pattern(6, 9_000)).await;
        w.rename(&named(3), "/documents/inner folder with a long name/moved").await;
        for number in (0..20).filter(|number| *number != 3) {
            w.remove(&named(number)).await;
        }
        if w.keeps_posix() {
            w.remove("/documents/link").await;
        }
        w.put("/reuser", &pattern(round, 60_000)).await;
        w.sync().await;
        w.rename("/documents", "/elsewhere").await;
        w.mkdir("/documents").await;
        w.rename("/elsewhere/inner folder with a long name", "/documents/inner").await;
        w.sync().await;
        w.remove("/elsewhere").await;
        w.rename("/documents/inner", "/documents/inner folder with a long name").await;
    }
    w.sync().await;
}

const FILES: [&str; 8] = [
    "/a",
    "/dir/a",
    "/dir/a long name for a file",
    "/other dir/b",
    "/C",
    "/dir/inner/deep.txt",
    "/other dir/inner/x",
    "/dir/another of the long names that need several slots each",
];
const DIRS: [&str; 5] = ["/dir", "/other dir", "/dir/inner", "/other dir/inner", "/third"];

/// Operations at random, by which files grow in turns, shrink, are overwritten, take each other's
/// names and lose theirs while they are open.
pub async fn random(w: &Writer<'_>, steps: usize, seed: u64) {
    let mut random = Random::new(seed);
    for dir in &DIRS[..3] {
        w.mkdir(dir).await;
    }
    for step in 0..steps {
        let tree = w.tree();
        let path = FILES[random.below(FILES.len())];
        let to = FILES[random.below(FILES.len())];
        let data = pattern(step, 1 + random.below(9_000));
        let parent_is_there = |path: &str| {
            let parent = &path[..path.rfind('/').unwrap()];
            parent.is_empty() || tree.contains_key(parent)
        };
        let is_empty = |dir: &str| !tree.keys().any(|key| key.starts_with(&format!("{dir}/")));
        let kinds = if w.keeps_posix() { 22 } else { 16 };
        let mode = [0o755, 0o644, 0o600, 0o4711][step % 4];
        if w.is_link(path) {
            match random.below(3) {
                0 => w.remove(path).await,
                1 if parent_is_there(to) && to != path => w.rename(path, to).await,
                _ => (),
            }
            continue;
        }
        match (random.below(kinds), w.size(path)) {
            (0..=2, _) if parent_is_there(path) => w.put(path, &data).await,
            (3..=4, Some(_)) => w.append(path, &data).await,
            (5, Some(size)) => w.write(path, random.below(size + 2000), &data).await,
            (6, Some(size)) => w.truncate(path, random.below(size + 3000)).await,
            (7..=8, Some(_)) if parent_is_there(to) && to != path => w.rename(path, to).await,
            (9, Some(_)) if random.below(2) == 0 => w.remove(path).await,
            (10, Some(_)) if w.open.borrow().len() < 3 => w.keep_open(path).await,
            (11, _) => w.write_to_open(&data).await,
            (12, _) => {
                let (from, to) = (DIRS[random.below(5)], DIRS[random.below(5)]);
                let fits =
                    parent_is_there(to) && !format!("{to}/").starts_with(&format!("{from}/"));
                if tree.contains_key(from) && fits && (!tree.contains_key(to) || is_empty(to)) {
                    w.rename(from, to).await;
                }
            }
            (13, _) => {
                let dir = DIRS[random.below(5)];
                match tree.contains_key(dir) {
                    false if parent_is_there(dir) => w.mkdir(dir).await,
                    true if is_empty(dir) => w.remove(dir).await,
                    _ => (),
                }
            }
            (14, Some(_)) => w.sync_file(path).await,
            (15, _) => w.sync().await,
            (16..=18, Some(_)) => w.chmod(path, mode).await,
            (19, _) => w.chmod_open(mode).await,
            (20..=21, None) if parent_is_there(path) => {
                w.link(path, &"../target/".repeat(1 + step % 150)).await;
            }
            _ => (),
        }
    }
    w.sync().await;
}
