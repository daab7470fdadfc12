//! exFAT images as users of `fat` and of the server meet them.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // Tests may panic.
#[path = "../../fat/tests/exfat_image/set.rs"]
mod set;

use set::{PLAIN, entries};
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

/// An image made by mkfs.exfat, with `hello.txt` in it.
fn image(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("exfat-{name}-{}.img", std::process::id()));
    fs::File::create(&path).unwrap().set_len(8 << 20).unwrap();
    let made = Command::new("mkfs.exfat").args(["-c", "4K", "-L", "CARD"]).arg(&path).output();
    let made = made.unwrap_or_else(|error| panic!("mkfs.exfat is needed for this test: {error}"));
    assert!(made.status.success());
    let mut bytes = fs::read(&path).unwrap();
    let field = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    let (heap, root) = (field(88) * 512, field(96));
    let place = |cluster: usize| heap + (cluster - 2) * 4096;
    let free = bytes[place(root)..].chunks(32).position(|entry| entry[0] == 0).unwrap();
    let text = b"Hello from a camera\n";
    let entry = entries("hello.txt", text.len() as u64, root as u32 + 1, true, &PLAIN).concat();
    let at = place(root) + free * 32;
    bytes[at..at + entry.len()].copy_from_slice(&entry);
    let at = place(root + 1);
    bytes[at..at + text.len()].copy_from_slice(text);
    bytes[heap + (root - 1) / 8] |= 1 << ((root - 1) % 8);
    fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn fat_makes_exfat_images_that_others_take() {
    for (name, words) in
        [("made", &["8M", "--type", "exfat", "--label", "Card 7"] as &[&str]), ("large", &["33G"])]
    {
        let image = std::env::temp_dir().join(format!("exfat-{name}-{}.img", std::process::id()));
        let (code, said) = fat(&["create"], &image, words);
        assert!(code == Some(0) && said.contains("exFAT"), "{said}");
        let (code, said) = fat(&["add"], &image, &["Cargo.toml"]);
        assert!(code == Some(0), "{said}");
        let verdict = Command::new("fsck.exfat").arg("-n").arg(&image).output().unwrap();
        assert!(verdict.status.success(), "{verdict:?}");
        let (code, said) = fat(&["check"], &image, &[]);
        assert!(code == Some(0) && said.contains("clean") && said.contains("exFAT"), "{said}");
        fs::remove_file(image).unwrap();
    }
}

#[test]
fn fat_makes_volumes_that_keep_modes_and_links_and_plain_ones_of_them() {
    let image = std::env::temp_dir().join(format!("exfat-posix-{}.img", std::process::id()));
    let (code, said) = fat(&["create"], &image, &["8M", "--type", "16", "--posix"]);
    assert!(code == Some(2) && said.contains("exFAT") && !image.exists(), "{code:?} {said}");
    let (code, said) = fat(&["create"], &image, &["8M", "--posix"]);
    assert!(code == Some(0) && said.contains("exFAT"), "{said}");
    let marked = fs::read(&image).unwrap();
    for (command, expected) in [("plain", "0 entries taken off"), ("posix", ""), ("check", "clean")]
    {
        let (code, said) = fat(&[command], &image, &[]);
        assert!(code == Some(0) && said.contains(expected), "{command}: {said}");
        assert!(command != "plain" || marked != fs::read(&image).unwrap(), "the mark comes off");
    }
    let verdict = Command::new("fsck.exfat").arg("-n").arg(&image).output().unwrap();
    assert!(verdict.status.success(), "{verdict:?}");
    let (code, _) = fat(&["create"], &image, &["8M", "--type", "12", "--force"]);
    assert_eq!(code, Some(0));
    let (code, said) = fat(&["posix"], &image, &[]);
    assert!(code == Some(1) && said.contains("keeps no modes"), "{code:?} {said}");
    fs::remove_file(image).unwrap();
}

fn fat(words: &[&str], image: &PathBuf, more: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fat"));
    let Output { status, stdout, stderr } =
        command.args(words).arg(image).args(more).output().unwrap();
    let said = [stdout, stderr].concat();
    (status.code(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn fat_looks_into_exfat_images_and_changes_them() {
    let image = image("fat");
    assert_eq!(fat(&["cat"], &image, &["hello.txt"]), (Some(0), "Hello from a camera\n".into()));
    let (code, said) = fat(&["list"], &image, &[]);
    assert!(code == Some(0) && said.contains("hello.txt"), "{said}");
    let (code, said) = fat(&["check"], &image, &[]);
    assert!(code == Some(0) && said.contains("clean") && said.contains("exFAT"), "{said}");
    for (word, more) in [("rm", "hello.txt"), ("mkdir", "new"), ("add", "Cargo.toml")] {
        let (code, said) = fat(&[word], &image, &[more]);
        assert!(code == Some(0), "{word}: {said}");
    }
    let there = fs::read_to_string("Cargo.toml").unwrap();
    assert_eq!(fat(&["cat"], &image, &["cargo.TOML"]), (Some(0), there.clone()));
    let (code, said) = fat(&["list"], &image, &[]);
    assert!(code == Some(0) && said.contains("new") && !said.contains("hello"), "{said}");
    let verdict = Command::new("fsck.exfat").arg("-n").arg(&image).output().unwrap();
    assert!(verdict.status.success(), "{verdict:?}");
    let (code, said) = fat(&["grow"], &image, &["16M"]);
    assert!(code == Some(0) && said.contains("from 8 MiB to 16 MiB"), "{said}");
    assert_eq!(fat(&["cat"], &image, &["cargo.TOML"]), (Some(0), there));
    let verdict = Command::new("fsck.exfat").arg("-n").arg(&image).output().unwrap();
    assert!(verdict.status.success(), "{verdict:?}");
    // Damage is told, with who repairs it.
    let mut bytes = fs::read(&image).unwrap();
    bytes[106] = 2;
    fs::write(&image, bytes).unwrap();
    let (code, said) = fat(&["check"], &image, &[]);
    assert!(code == Some(1) && said.contains("fsck.exfat"), "{said}");
    fs::remove_file(image).unwrap();
}
