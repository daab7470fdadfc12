//! exFAT images made by mkfs.exfat and filled here, entry by entry, as the specification says; and the
//! verdict of fsck.exfat.
#![allow(dead_code)] // Each test uses its part.
#[allow(unused_imports)]
pub use super::common::mkfs_exfat as mkfs;
use super::common::{Disk, TempFile, block_on};
use fat::Geometry;
#[allow(unused_imports)]
pub use set::*;
use std::process::Command;

mod set;

/// What fsck.exfat says of an image, and whether it finds nothing wrong.
pub fn fsck(image: &[u8]) -> (bool, String) {
    let file = TempFile::new(image);
    let output = Command::new("fsck.exfat").arg("-n").arg(&file.0).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

pub struct Image {
    pub bytes: Vec<u8>,
    pub geometry: Geometry,
    next: u32,
}

/// A directory that is filled: its clusters, and the next free entry.
pub struct Dir {
    clusters: Vec<u32>,
    next: usize,
}

impl Image {
    pub fn new(bytes: Vec<u8>) -> Self {
        let geometry = block_on(Geometry::read(&Disk::new(bytes.clone()))).unwrap();
        let next = geometry.root_cluster + 1;
        Self { bytes, geometry, next }
    }

    pub fn root(&self) -> Dir {
        let at = self.place(self.geometry.root_cluster);
        let used = self.bytes[at..].chunks(32).position(|entry| entry[0] == 0).unwrap();
        Dir { clusters: vec![self.geometry.root_cluster], next: used }
    }

    pub fn place(&self, cluster: u32) -> usize {
        let before = u64::from(cluster - 2) * u64::from(self.geometry.cluster_size);
        usize::try_from(self.geometry.data_start + before).unwrap()
    }

    /// Where the table's entry of a cluster is.
    pub fn link_place(&self, cluster: u32) -> usize {
        usize::try_from(self.geometry.table_start).unwrap() + 4 * cluster as usize
    }

    fn link(&mut self, cluster: u32, next: u32) {
        let at = self.link_place(cluster);
        self.bytes[at..at + 4].copy_from_slice(&next.to_le_bytes());
    }

    /// Where the bitmap is: mkfs.exfat starts it at cluster 2.
    pub fn bitmap(&self) -> usize {
        self.place(2)
    }

    fn mark(&mut self, cluster: u32) {
        let at = self.bitmap() + (cluster - 2) as usize / 8;
        self.bytes[at] |= 1 << ((cluster - 2) % 8);
    }

    /// Takes clusters for `len` bytes, as `how` says.
    pub fn take(&mut self, len: u64, how: &How) -> Vec<u32> {
        let count = u32::try_from(len.div_ceil(self.geometry.cluster_size.into())).unwrap();
        let step = if how.chained { 2 } else { 1 };
        let clusters: Vec<u32> = (0..count).map(|at| self.next + at * step).collect();
        self.next += count * step;
        for (at, cluster) in clusters.iter().enumerate() {
            self.mark(*cluster);
            if how.chained {
                self.link(*cluster, clusters.get(at + 1).copied().unwrap_or(u32::MAX));
            }
        }
        clusters
    }

    /// Adds entries to a directory.
    pub fn put(&mut self, dir: &mut Dir, set: &[[u8; 32]]) {
        let size = self.geometry.cluster_size as usize;
        for entry in set {
            let byte = dir.next * 32;
            let at = self.place(dir.clusters[byte / size]) + byte % size;
            self.bytes[at..at + 32].copy_from_slice(entry);
            dir.next += 1;
        }
    }

    /// Where the next entry of a directory goes.
    pub fn end(&self, dir: &Dir) -> usize {
        let (byte, size) = (dir.next * 32, self.geometry.cluster_size as usize);
        self.place(dir.clusters[byte / size]) + byte % size
    }

    pub fn add(&mut self, dir: &mut Dir, name: &str, data: &[u8], how: &How) {
        let clusters = self.take(data.len() as u64, how);
        let size = self.geometry.cluster_size as usize;
        for (cluster, part) in clusters.iter().zip(data.chunks(size)) {
            let at = self.place(*cluster);
            self.bytes[at..at + part.len()].copy_from_slice(part);
        }
        let first = clusters.first().copied().unwrap_or(0);
        let contiguous = !how.chained && first != 0;
        let set = entries(name, data.len() as u64, first, contiguous, how);
        self.put(dir, &set);
    }

    /// Adds a directory with room for so many bytes of entries.
    pub fn add_dir(&mut self, dir: &mut Dir, name: &str, len: u64, how: &How) -> Dir {
        let clusters = self.take(len, how);
        let len = clusters.len() as u64 * u64::from(self.geometry.cluster_size);
        let how = How { attributes: 0x10, ..*how };
        let set = entries(name, len, clusters[0], !how.chained, &how);
        self.put(dir, &set);
        Dir { clusters, next: 0 }
    }

    pub fn disk(&self) -> Disk {
        Disk::new(self.bytes.clone())
    }
}
