//! Damage done to good volumes, byte by byte: a check names it, and fsck.fat agrees.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // Tests may panic.
mod image_file;

use fat::{BlockDevice, FatKind, FormatOptions, Geometry, Problem, Summary};
use image_file::{ImageFile, block_on, run};
use std::process::Command;

const MIB: u64 = 1 << 20;
const KINDS: [FatKind; 3] = [FatKind::Fat12, FatKind::Fat16, FatKind::Fat32];

/// A volume with `/ONE.BIN` (3 clusters), `/TWO.BIN` (2), `/EMPTY`, `/Folder/A long name.txt` (1)
/// and `/Folder/DEEP`, and the means to damage it.
struct Volume {
    image: ImageFile,
    geometry: Geometry,
}

impl Volume {
    fn new(kind: FatKind) -> Self {
        let size = [(FatKind::Fat12, MIB), (FatKind::Fat16, 16 * MIB), (FatKind::Fat32, 40 * MIB)];
        let (_, size) = size.into_iter().find(|(of, _)| *of == kind).unwrap();
        let image = ImageFile::new(size, 512);
        let options = FormatOptions { kind: Some(kind), ..FormatOptions::default() };
        let geometry = block_on(fat::format(&image, &options, &mut |_, _| {})).unwrap();
        let volume = Self { image, geometry };
        let cluster = volume.geometry.cluster_size as usize;
        volume.mtools("mmd", &["::Folder", "::Folder/DEEP"], &[]);
        for (to, length) in [
            ("::ONE.BIN", 3 * cluster),
            ("::TWO.BIN", cluster + 1),
            ("::EMPTY", 0),
            ("::Folder/A long name.txt", 10),
        ] {
            volume.mtools("mcopy", &["-", to], &vec![b'x'; length]);
        }
        assert_eq!(volume.image.fsck().0, 0);
        volume
    }

    fn mtools(&self, program: &str, arguments: &[&str], input: &[u8]) {
        let path = self.image.path().with_extension("in");
        std::fs::write(&path, input).unwrap();
        let mut command = Command::new(program);
        command.arg("-i").arg(self.image.path()).args(arguments);
        let (code, said) = run(command.stdin(std::fs::File::open(&path).unwrap()));
        std::fs::remove_file(path).unwrap();
        assert_eq!(code, 0, "{said}");
    }

    fn check(&self) -> (Summary, Vec<Problem>) {
        let mut problems = Vec::new();
        let summary = block_on(fat::check(
            &self.image,
            &mut |problem| problems.push(problem.clone()),
            &mut |_, _| {},
        ));
        let summary = summary.unwrap();
        assert_eq!(summary.problems as usize, problems.len());
        (summary, problems)
    }

    /// What is found, in words; fsck.fat must find something too.
    fn found(&self) -> String {
        let (_, problems) = self.check();
        let (code, said) = self.image.fsck();
        // It fails for what it would repair; of some things it speaks without failing.
        let spoke = said.lines().count() > 2;
        assert!(
            code == 1 || spoke,
            "fsck.fat finds nothing where the check finds {problems:?}: {said}"
        );
        problems.iter().map(|problem| format!("{problem}\n")).collect()
    }

    /// Where the short entry of an 11-byte name is on the disk.
    fn entry(&self, name: &[u8; 11]) -> u64 {
        let bytes = std::fs::read(self.image.path()).unwrap();
        let start = self.geometry.root_start.max(self.geometry.table_start) as usize;
        let at = bytes[start..].chunks(32).position(|slot| slot.starts_with(name));
        (start + at.unwrap() * 32) as u64
    }

    fn bytes<const N: usize>(&self, at: u64) -> [u8; N] {
        let mut sector = [0; 512];
        block_on(self.image.read(at / 512 * 512, &mut sector)).unwrap();
        sector[(at % 512) as usize..][..N].try_into().unwrap()
    }

    fn first_cluster(&self, name: &[u8; 11]) -> u32 {
        u32::from(u16::from_le_bytes(self.bytes(self.entry(name) + 26)))
    }

    fn set_first_cluster(&self, name: &[u8; 11], cluster: u32) {
        self.image.patch(self.entry(name) + 26, &(cluster as u16).to_le_bytes());
    }

    /// Sets an entry in both tables.
    fn link(&self, cluster: u32, next: u32) {
        for table in 0..2 {
            self.link_in(table, cluster, next);
        }
    }

    fn link_in(&self, table: u64, cluster: u32, next: u32) {
        let cluster = u64::from(cluster);
        let start = self.geometry.table_start + table * self.geometry.table_size;
        match self.geometry.kind {
            FatKind::Fat12 => {
                let at = start + cluster * 3 / 2;
                let [low, high] = [self.bytes::<1>(at)[0], self.bytes::<1>(at + 1)[0]];
                let old = u16::from_le_bytes([low, high]);
                let next = next as u16 & 0xFFF;
                let new =
                    if cluster % 2 == 0 { old & 0xF000 | next } else { old & 0xF | next << 4 };
                self.image.patch(at, &new.to_le_bytes());
            }
            FatKind::Fat16 => self.image.patch(start + cluster * 2, &(next as u16).to_le_bytes()),
            FatKind::Fat32 | FatKind::ExFat => {
                self.image.patch(start + cluster * 4, &(next & 0x0FFF_FFFF).to_le_bytes())
            }
        }
    }
}

const ONE: &[u8; 11] = b"ONE     BIN";
const TWO: &[u8; 11] = b"TWO     BIN";
const FOLDER: &[u8; 11] = b"FOLDER     ";
const DEEP: &[u8; 11] = b"DEEP       ";
const END: u32 = u32::MAX;

/// Does `damage` to a volume of each kind: each of `words` is among what is found.
fn finds(damage: impl Fn(&Volume), words: &[&str]) {
    for kind in KINDS {
        let volume = Volume::new(kind);
        damage(&volume);
        let found = volume.found();
        for words in words {
            assert!(found.contains(words), "{kind}: {found}");
        }
    }
}

#[test]
fn a_good_volume_is_clean() {
    for kind in KINDS {
        let volume = Volume::new(kind);
        let (summary, problems) = volume.check();
        assert_eq!(problems, []);
        assert_eq!((summary.files, summary.directories), (4, 2));
        let root = u32::from(kind == FatKind::Fat32);
        assert_eq!(summary.used, 3 + 2 + 1 + 2 + root);
        assert_eq!(summary.free + summary.used, summary.clusters);
        let (_, said) = volume.image.fsck();
        assert!(
            said.contains(&format!("{}/{} clusters", summary.used, summary.clusters)),
            "{said}"
        );
    }
}

#[test]
fn a_good_volume_of_mkfs_is_clean() {
    let image = ImageFile::new(64 * MIB, 512);
    let (code, said) =
        run(Command::new("mkfs.fat").args(["-F", "32", "-n", "LABEL"]).arg(image.path()));
    assert_eq!(code, 0, "{said}");
    let problems = block_on(fat::check(&image, &mut |problem| panic!("{problem}"), &mut |_, _| {}));
    assert_eq!(problems.unwrap().files, 0);
}

#[test]
fn loops() {
    finds(
        |volume| {
            let first = volume.first_cluster(ONE);
            volume.link(first + 2, first + 1);
        },
        &["/ONE.BIN: its clusters form a loop, back to cluster"],
    );
}

#[test]
fn directory_loops() {
    // A directory inside itself is a cross-link, a chain of a directory that loops is a loop.
    finds(
        |volume| volume.set_first_cluster(DEEP, volume.first_cluster(FOLDER)),
        &["/Folder/DEEP: shares cluster", "1 clusters are in use by no file"],
    );
    finds(
        |volume| volume.link(volume.first_cluster(FOLDER), volume.first_cluster(FOLDER)),
        &["/Folder: its clusters form a loop"],
    );
}

#[test]
fn cross_links() {
    finds(
        |volume| volume.link(volume.first_cluster(TWO), volume.first_cluster(ONE) + 1),
        &["shares cluster", "1 clusters are in use by no file or directory"],
    );
}

#[test]
fn sizes_that_do_not_fit_the_chain() {
    finds(
        |volume| volume.image.patch(volume.entry(ONE) + 28, &1u32.to_le_bytes()),
        &["/ONE.BIN: has 3 clusters, more than the 1 of its size"],
    );
    finds(
        |volume| volume.image.patch(volume.entry(ONE) + 28, &u32::MAX.to_le_bytes()),
        &["/ONE.BIN: has 3 clusters, but its size needs"],
    );
    finds(
        |volume| volume.image.patch(volume.entry(TWO) + 28, &0u32.to_le_bytes()),
        &["/TWO.BIN: has 2 clusters, more than the 0 of its size"],
    );
}

#[test]
fn bad_first_clusters() {
    for cluster in [1, 0xFFF0] {
        finds(
            |volume| {
                volume.set_first_cluster(ONE, cluster);
                volume.image.patch(volume.entry(ONE) + 20, &[(cluster >> 15) as u8, 0]);
            },
            &["/ONE.BIN: starts at cluster", "3 clusters are in use by no file"],
        );
    }
    finds(|volume| volume.set_first_cluster(ONE, 0), &["/ONE.BIN: has no cluster"]);
    finds(|volume| volume.set_first_cluster(DEEP, 0), &["/Folder/DEEP: has no cluster"]);
    finds(
        |volume| volume.link(volume.first_cluster(TWO), 0),
        &["/TWO.BIN: starts at", "not in use"],
    );
}

#[test]
fn bad_links() {
    finds(
        |volume| volume.link(volume.first_cluster(ONE) + 1, 0),
        &["/ONE.BIN: ends at cluster", "not in use"],
    );
    finds(
        |volume| volume.link(volume.first_cluster(ONE), 1),
        &["/ONE.BIN: ends at", "a link to 1,"],
    );
}

#[test]
fn leaked_clusters() {
    finds(
        |volume| {
            volume.link(300, 301);
            volume.link(301, END);
        },
        &["2 clusters are in use by no file or directory"],
    );
}

#[test]
fn tables_that_differ() {
    finds(
        |volume| volume.link_in(1, volume.first_cluster(ONE), 0),
        &["table 2 differs from the one in use at 1 clusters"],
    );
}

#[test]
fn dots_that_lead_elsewhere() {
    // fsck.fat looks at the clusters of dots only when it has reason to: no second opinion.
    for kind in KINDS {
        let volume = Volume::new(kind);
        let cluster = u64::from(volume.first_cluster(DEEP) - 2);
        let start = volume.geometry.data_start + cluster * u64::from(volume.geometry.cluster_size);
        let told = |volume: &Volume| {
            volume.check().1 == [Problem::BadDots { path: "/Folder/DEEP".into() }]
        };
        assert_eq!(&volume.bytes::<11>(start + 32), b"..         ");
        let (dot, dot_dot) = (volume.bytes::<2>(start + 26), volume.bytes::<2>(start + 58));
        volume.image.patch(start + 26, &[0x70, 0]);
        assert!(told(&volume));
        volume.image.patch(start + 26, &dot);
        volume.image.patch(start + 58, &[0, 0]);
        assert!(told(&volume));
        volume.image.patch(start + 58, &dot_dot);
        assert_eq!(volume.check().1, []);
        volume.image.patch(start, b"DOT");
        assert!(volume.check().1.contains(&Problem::BadDots { path: "/Folder/DEEP".into() }));
    }
}

#[test]
fn broken_long_names() {
    let short = b"ALONGN~1TXT";
    // The set is two slots: its second part first.
    finds(
        |volume| volume.image.patch(volume.entry(short) - 32 + 13, &[0]),
        &["/Folder: parts of a long name without a file before entry"],
    );
    finds(
        |volume| volume.image.patch(volume.entry(short), b"B"),
        &["/Folder: parts of a long name"],
    );
    finds(
        |volume| volume.image.patch(volume.entry(short), &[0xE5]),
        &["/Folder: parts of a long name", "1 clusters"],
    );
    for kind in KINDS {
        let volume = Volume::new(kind);
        volume.image.patch(volume.entry(short) - 32, &[2]);
        assert!(matches!(&volume.check().1[..], [Problem::BrokenLongName { .. }, ..]));
    }
}

#[test]
fn duplicate_names() {
    finds(
        |volume| volume.image.patch(volume.entry(TWO), ONE),
        &["/ONE.BIN: a second entry of this name"],
    );
}

#[test]
fn a_volume_that_was_not_unmounted() {
    finds(
        |volume| {
            volume.image.patch(if volume.geometry.kind == FatKind::Fat32 { 65 } else { 37 }, &[1])
        },
        &["was not unmounted"],
    );
    let volume = Volume::new(FatKind::Fat16);
    volume.link(1, 0x7FFF);
    assert_eq!(volume.check().1, [Problem::Dirty]);
}

#[test]
fn what_fat32_keeps_beside_the_tables() {
    let volume = Volume::new(FatKind::Fat32);
    volume.image.patch(512 + 488, &7u32.to_le_bytes());
    assert!(volume.found().contains("but FSInfo says 7"));

    let volume = Volume::new(FatKind::Fat32);
    volume.image.patch(512 + 484, b"no");
    assert!(volume.found().contains("FSInfo sector is damaged"));

    let volume = Volume::new(FatKind::Fat32);
    volume.image.patch(6 * 512 + 44, &[9]);
    assert!(volume.found().contains("copy of the boot sector differs"));
}

#[test]
fn a_directory_with_a_size() {
    finds(
        |volume| volume.image.patch(volume.entry(FOLDER) + 28, &[1]),
        &["/Folder: a directory with a size (1 bytes)"],
    );
}

/// No damage makes a check hang or panic, or count more clusters than there are.
#[test]
fn every_check_ends() {
    let mut random = 0x9E37_79B9_7F4A_7C15u64;
    let mut next = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    for kind in KINDS {
        let volume = Volume::new(kind);
        let good = std::fs::read(volume.image.path()).unwrap();
        let used = volume.geometry.data_start + 16 * u64::from(volume.geometry.cluster_size);
        for _ in 0..if kind == FatKind::Fat32 { 30 } else { 200 } {
            let mut bad = good[..used as usize].to_vec();
            let tables =
                volume.geometry.table_start as usize..volume.geometry.table_start as usize + 64;
            for _ in 0..1 + next() % 64 {
                let at = match next() % 3 {
                    0 => next() as usize % bad.len(),
                    1 => tables.start + next() as usize % tables.len(),
                    _ => {
                        used as usize
                            - 1
                            - next() as usize % (used - volume.geometry.root_start) as usize
                    }
                };
                bad[at] = [next() as u8, 0, 0xFF, 3, 4, b'.'][next() as usize % 6];
            }
            volume.image.patch(0, &bad);
            let mut last = (0, 0);
            let mut said = |problem: &Problem| assert!(problem.to_string().len() < 20_000);
            let mut progress = |done, total| {
                assert!(done <= total && done >= last.0);
                last = (done, total);
            };
            let checked = fat::check(&volume.image, &mut said, &mut progress);
            if let Ok(summary) = block_on(checked) {
                assert_eq!(summary.used + summary.free + summary.bad, summary.clusters);
            }
        }
    }
}

#[test]
fn what_is_no_volume_is_not_checked() {
    let image = ImageFile::new(MIB, 512);
    let said = block_on(fat::check(&image, &mut |_| {}, &mut |_, _| {})).unwrap_err();
    assert_eq!(said.to_string(), "not a FAT volume: the disk is blank");
}
