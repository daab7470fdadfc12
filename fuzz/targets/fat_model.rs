//! Operations on a volume, against a simple model: results, contents, and what the check and, now and
//! then, fsck.fat say of the volume in the end.
#![no_main]
use client::Ram;
use fat::{Error, MountOptions, OpenOptions, Volume};
use fuzz::{formatted_as, wait};
use libfuzzer_sys::fuzz_target;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher};

/// Directories are `None`.
type Tree = BTreeMap<String, Option<Vec<u8>>>;

const NAMES: [&str; 8] =
    ["a", "B.TXT", "a longer name", "a longer name 2", "x:y", "Дом", "z.", "A B"];
/// Of this many inputs one is shown to fsck.fat as well.
const FSCK: u64 = 2048;

/// One operation: which, on what, whereto, and with how much.
type Operation = (u8, u8, u8, u16);

fn path(tree: &Tree, choice: u8) -> String {
    let (outer, inner) = (usize::from(choice) % 8, usize::from(choice) / 8 % 8);
    let dir = format!("/{}", NAMES[outer]);
    match tree.get(&dir) {
        Some(None) if choice >= 64 => format!("{dir}/{}", NAMES[inner]),
        _ => dir,
    }
}

fn data(seed: u16) -> Vec<u8> {
    (0..usize::from(seed) % 20_000)
        .map(|at| (at as u16).wrapping_mul(31).wrapping_add(seed) as u8)
        .collect()
}

fn has_children(tree: &Tree, path: &str) -> bool {
    tree.keys().any(|key| key.starts_with(&format!("{path}/")))
}

fn step(volume: &Volume<Ram>, tree: &mut Tree, (what, on, to, size): Operation) {
    let from = path(tree, on);
    let there = tree.get(&from).cloned();
    let how = OpenOptions { read: true, write: true, create: true, ..OpenOptions::default() };
    match what % 8 {
        0..=2 => {
            let result = wait(async {
                let file = volume.open(&from, &how).await?;
                if what % 8 == 2 {
                    return volume.set_len(&file, u64::from(size)).await;
                }
                volume.write(&file, u64::from(to) * 100, &data(size)).await
            });
            match (result, there) {
                (Err(Error::IsADirectory), Some(None)) => {}
                // What was written before it was full may be there.
                (Err(Error::NoSpace | Error::RootFull), old) => {
                    if wait(volume.metadata(&from)).is_ok() {
                        tree.insert(from, Some(old.flatten().unwrap_or_default()));
                    }
                }
                (Ok(()), old) => {
                    let mut contents = old.flatten().unwrap_or_default();
                    if what % 8 == 2 {
                        contents.resize(usize::from(size), 0);
                    } else if !data(size).is_empty() {
                        let (at, new) = (usize::from(to) * 100, data(size));
                        contents.resize(contents.len().max(at + new.len()), 0);
                        contents[at..at + new.len()].copy_from_slice(&new);
                    }
                    tree.insert(from, Some(contents));
                }
                (other, old) => panic!("{from}: {other:?} with {:?}", old.is_some()),
            }
        }
        3 => match (wait(volume.create_dir(&from)), there) {
            (Ok(()), None) => _ = tree.insert(from, None),
            (Err(Error::AlreadyExists), Some(_)) => {}
            (Err(Error::NoSpace | Error::RootFull), None) => {}
            (other, _) => panic!("mkdir {from}: {other:?}"),
        },
        4 => match (wait(volume.remove_file(&from)), there) {
            (Ok(()), Some(Some(_))) => _ = tree.remove(&from),
            (Err(Error::NotFound), None) | (Err(Error::IsADirectory), Some(None)) => {}
            (other, _) => panic!("rm {from}: {other:?}"),
        },
        5 => match (wait(volume.remove_dir(&from)), there) {
            (Ok(()), Some(None)) if !has_children(tree, &from) => _ = tree.remove(&from),
            (Err(Error::NotEmpty), Some(None)) => assert!(has_children(tree, &from)),
            (Err(Error::NotFound), None) | (Err(Error::NotADirectory), Some(Some(_))) => {}
            (other, _) => panic!("rmdir {from}: {other:?}"),
        },
        6 => {
            let to = path(tree, to);
            let result = wait(volume.rename(&from, &to, true));
            if result.is_err() {
                let ends = (tree.get(&from), tree.get(&to));
                let fine = match ends {
                    (None, _) | (Some(None), Some(Some(_))) | (Some(Some(_)), Some(None)) => true,
                    _ => has_children(tree, &to) || to.starts_with(&format!("{from}/")),
                };
                let full = [Err(Error::NoSpace), Err(Error::RootFull)];
                assert!(fine || full.contains(&result), "{from} to {to}: {result:?}");
                return;
            }
            if from == to {
                return;
            }
            let moved = |key: &String| *key == from || key.starts_with(&format!("{from}/"));
            for old in tree.keys().filter(|key| moved(key)).cloned().collect::<Vec<_>>() {
                let value = tree.remove(&old);
                tree.insert(format!("{to}{}", &old[from.len()..]), value.flatten());
            }
        }
        _ => wait(volume.sync()).expect("a disk in memory"),
    }
}

fn verify(volume: &Volume<Ram>, tree: &Tree) {
    for (path, value) in tree {
        match value {
            None => assert!(wait(volume.metadata(path)).expect("a directory").is_dir),
            Some(expected) => {
                let read = OpenOptions { read: true, ..OpenOptions::default() };
                let file = wait(volume.open(path, &read)).expect("a file");
                let mut found = vec![0; expected.len() + 1];
                let got = wait(volume.read(&file, 0, &mut found)).expect("its contents");
                assert!(found[..got] == expected[..], "{path}");
            }
        }
    }
}

fn fsck(ram: &Ram) {
    let path = std::env::temp_dir().join(format!("fuzz-fat-{}.img", std::process::id()));
    std::fs::write(&path, &*ram.0.borrow()).expect("a temporary file");
    let said =
        std::process::Command::new("fsck.fat").arg("-n").arg(&path).output().expect("fsck.fat");
    let _ = std::fs::remove_file(&path);
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stdout));
}

fuzz_target!(|input: (u8, Vec<Operation>)| {
    let (kind, operations) = input;
    let ram = match kind % 3 {
        0 => formatted_as(512 << 10),
        // With room for a journal.
        1 => formatted_as(5 << 20),
        _ => fuzz::exfat::blank(),
    };
    let mut tree = Tree::new();
    let volume = wait(Volume::mount(ram.clone(), &MountOptions::default())).expect("a volume");
    wait(volume.keep_journal()).expect("room for it, or none needed");
    let mut hash = DefaultHasher::new();
    for operation in operations {
        step(&volume, &mut tree, operation);
        hash.write(&[operation.0, operation.1, operation.2]);
    }
    verify(&volume, &tree);
    wait(volume.unmount()).expect("a disk in memory");
    drop(volume);
    wait(fat::check(&ram, &mut |problem| panic!("{problem}"), &mut |_, _| ())).expect("a volume");
    let again = wait(Volume::mount(ram.clone(), &MountOptions::default())).expect("a volume");
    verify(&again, &tree);
    if hash.finish().is_multiple_of(FSCK) && kind % 3 < 2 {
        fsck(&ram);
    }
});
