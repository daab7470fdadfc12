//! Large disks in memory with a volume of mkfs.exfat.
use super::ground::Sparse;
use std::fs::File;
use std::io::Read;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// A disk with an empty volume made by mkfs.exfat, which writes to the first 128 MiB alone.
pub fn sparse_exfat(size: u64, arguments: &[&str]) -> Sparse {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("exfat-{}-{number}.img", std::process::id()));
    File::create(&path).unwrap().set_len(size).unwrap();
    let made = Command::new("mkfs.exfat").args(arguments).arg(&path).output();
    let made = made.unwrap_or_else(|error| panic!("mkfs.exfat is needed: {error}"));
    assert!(made.status.success(), "{made:?}");
    let mut bytes = Vec::new();
    File::open(&path).unwrap().take(128 << 20).read_to_end(&mut bytes).unwrap();
    std::fs::remove_file(path).unwrap();
    let disk = Sparse::new(size);
    disk.put(0, &bytes);
    disk
}
