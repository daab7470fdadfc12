//! A table of damage, done to a volume of each kind, and what comes of it. Nothing else is lost, and
//! what contradicts itself is never written to.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // Tests may panic.
mod common;
use common::*;
use fat::{Error, FatKind, Geometry, MountOptions, Volume};
use std::io::Write;

const VICTIM: &[u8; 11] = b"VICTIM     ";
const OTHER: &[u8; 11] = b"OTHER      ";
const EMPTY: &[u8; 11] = b"EMPTY      ";
const DIR: &[u8; 11] = b"DIR        ";
const SUB: &[u8; 11] = b"SUB        ";
const LONG: &[u8; 11] = b"ALONGN~1TXT";
const END: u32 = 0x0FFF_FFFF;
const BAD: u32 = 0x0FFF_FFF7;

/// A volume with files of 3 and 2 clusters, an empty one, one with a long name, and directories.
struct Image {
    disk: Disk,
    geometry: Geometry,
}

impl Image {
    fn new(disk: &Disk) -> Self {
        let volume = mount(disk);
        let cluster = volume.geometry().cluster_size as usize;
        block_on(async {
            put(&volume, "/GOOD", &pattern(1, 5000)).await.unwrap();
            for dir in ["/DIR", "/DIR/SUB"] {
                volume.create_dir(dir).await.unwrap();
            }
            put(&volume, "/VICTIM", &pattern(2, 3 * cluster)).await.unwrap();
            put(&volume, "/OTHER", &pattern(3, cluster + 1)).await.unwrap();
            put(&volume, "/EMPTY", b"").await.unwrap();
            put(&volume, "/A long name.txt", b"long").await.unwrap();
            put(&volume, "/DIR/INSIDE", b"inside").await.unwrap();
            volume.unmount().await.unwrap();
        });
        Self { disk: Disk::new(disk.image()), geometry: volume.geometry().clone() }
    }

    /// Where the short entry of this name is.
    fn entry(&self, name: &[u8; 11]) -> usize {
        let start = self.geometry.root_start.min(self.geometry.data_start) as usize;
        let data = self.disk.0.data.borrow();
        start + data[start..].chunks(32).position(|slot| slot.starts_with(name)).unwrap() * 32
    }

    fn first(&self, name: &[u8; 11]) -> u32 {
        let at = self.entry(name) + 26;
        let data = self.disk.0.data.borrow();
        u32::from(u16::from_le_bytes([data[at], data[at + 1]]))
    }

    fn set_first(&self, name: &[u8; 11], cluster: u32) {
        let at = self.entry(name);
        let [low, second, third, high] = cluster.to_le_bytes();
        self.disk.poke(at + 26, &[low, second]);
        self.disk.poke(at + 20, &[third, high]);
    }

    fn set_size(&self, name: &[u8; 11], size: u32) {
        self.disk.poke(self.entry(name) + 28, &size.to_le_bytes());
    }

    fn link(&self, cluster: u32, next: u32) {
        for copy in 0..u64::from(self.geometry.table_count) {
            let start = (self.geometry.table_start + copy * self.geometry.table_size) as usize;
            let cluster = cluster as usize;
            match self.geometry.kind {
                FatKind::Fat12 => {
                    let at = start + cluster + cluster / 2;
                    let old = {
                        let data = self.disk.0.data.borrow();
                        u16::from_le_bytes([data[at], data[at + 1]])
                    };
                    let next = next as u16 & 0xFFF;
                    let even = cluster.is_multiple_of(2);
                    let new = if even { old & 0xF000 | next } else { old & 0xF | next << 4 };
                    self.disk.poke(at, &new.to_le_bytes());
                }
                FatKind::Fat16 => self.disk.poke(start + cluster * 2, &(next as u16).to_le_bytes()),
                FatKind::Fat32 | FatKind::ExFat => {
                    self.disk.poke(start + cluster * 4, &next.to_le_bytes())
                }
            }
        }
    }

    fn mark_dirty(&self) {
        let byte = if self.geometry.kind == FatKind::Fat32 { 0x41 } else { 0x25 };
        let old = self.disk.0.data.borrow()[byte];
        self.disk.poke(byte, &[old | 1]);
    }
}

fn small_kinds() -> [(&'static str, Disk); 3] {
    [
        ("FAT12", mkfs(2048, &["-F", "12"])),
        ("FAT16", mkfs(4400, &["-F", "16", "-s", "1"])),
        ("FAT32", mkfs(4400, &["-F", "32", "-s", "1"])),
    ]
}

enum Outcome {
    /// The mount fails with these words.
    Refused(&'static str),
    /// Nothing is changed from the start, for this reason.
    Longer(&'static str),
    /// The volume is served; touching the path gives this error, and from then on nothing is
    /// changed any more.
    ReadOnly(&'static str, &'static str),
    /// Everything else is served and can be written; this is how the damaged part looks. After a
    /// power cut, or by use alone, it is repaired.
    Served(fn(&Volume<Disk>)),
}
use Outcome::{Longer, ReadOnly, Refused, Served};

type Damage = fn(&Image);

/// What was done, and what comes of it.
const TABLE: [(&str, Damage, Outcome); 22] = [
    (
        "a file's chain loops",
        |i| i.link(i.first(VICTIM) + 2, i.first(VICTIM)),
        ReadOnly("/VICTIM", "a cluster chain loops"),
    ),
    (
        "a directory's chain loops",
        |i| i.link(i.first(DIR), i.first(DIR)),
        ReadOnly("/DIR", "a cluster chain loops"),
    ),
    (
        "a directory contains itself",
        |i| i.set_first(SUB, i.first(DIR)),
        ReadOnly("/DIR/SUB", "a directory inside itself"),
    ),
    (
        "a directory without a cluster",
        |i| i.set_first(SUB, 0),
        ReadOnly("/DIR/SUB", "a directory inside itself"),
    ),
    (
        "two files share a cluster",
        |i| i.link(i.first(OTHER), i.first(VICTIM) + 1),
        Served(|v| {
            // Until one of them goes: the other is then left alone, and with it all else.
            block_on(async {
                v.remove_file("/VICTIM").await.unwrap();
                v.sync().await.unwrap();
                let error = v.remove_file("/OTHER").await.unwrap_err();
                assert_eq!(error, Error::Damaged("a chain runs into a free cluster"));
            });
        }),
    ),
    (
        "a file without a cluster",
        |i| i.set_first(VICTIM, 0),
        ReadOnly("/VICTIM", "a file longer than its cluster chain"),
    ),
    (
        "a file at cluster 1",
        |i| i.set_first(VICTIM, 1),
        ReadOnly("/VICTIM", "a cluster number outside the volume"),
    ),
    (
        "a file behind the last cluster",
        |i| i.set_first(VICTIM, i.geometry.clusters + 2),
        ReadOnly("/VICTIM", "a cluster number outside the volume"),
    ),
    (
        "a size beyond the chain",
        |i| i.set_size(VICTIM, u32::MAX),
        ReadOnly("/VICTIM", "a file longer than its cluster chain"),
    ),
    (
        "a size of one cluster more than the chain",
        |i| i.set_size(VICTIM, 3 * i.geometry.cluster_size + 1),
        ReadOnly("/VICTIM", "a file longer than its cluster chain"),
    ),
    (
        "a chain into a free cluster",
        |i| i.link(i.first(VICTIM) + 1, 0),
        ReadOnly("/VICTIM", "a chain runs into a free cluster"),
    ),
    (
        "a chain into a bad cluster",
        |i| i.link(i.first(VICTIM) + 1, BAD),
        ReadOnly("/VICTIM", "a chain runs into a bad cluster"),
    ),
    (
        "a link to cluster 1",
        |i| i.link(i.first(VICTIM) + 1, 1),
        ReadOnly("/VICTIM", "a cluster chain leaves the volume"),
    ),
    (
        "a link behind the last cluster",
        |i| i.link(i.first(VICTIM), i.geometry.clusters + 2),
        ReadOnly("/VICTIM", "a cluster chain leaves the volume"),
    ),
    (
        "both totals zero",
        |i| {
            i.disk.poke(19, &[0, 0]);
            i.disk.poke(32, &[0; 4]);
        },
        Refused("the volume has no sectors"),
    ),
    (
        "tables larger than the volume",
        |i| match i.geometry.kind {
            FatKind::Fat32 => i.disk.poke(36, &[0xFF; 4]),
            _ => i.disk.poke(22, &[0xFF; 2]),
        },
        Refused("the tables lie outside the volume"),
    ),
    (
        "a cluster of no sectors",
        |i| i.disk.poke(13, &[0]),
        Refused("the boot sector makes no sense"),
    ),
    (
        "an image cut short",
        |i| {
            let half = i.disk.0.data.borrow().len() / 2;
            i.disk.0.data.borrow_mut().truncate(half);
        },
        Longer("it is longer than its disk (was the disk cut short?)"),
    ),
    (
        "noise in the second table and in FSInfo",
        |i| {
            let second = (i.geometry.table_start + i.geometry.table_size) as usize;
            i.disk.poke(second + 4, &pattern(7, 300));
            if let Some(info) = i.geometry.fs_info {
                i.disk.poke(info as usize, &pattern(8, 512));
            }
        },
        Served(|v| {
            assert_eq!(block_on(get(v, "/VICTIM")).unwrap()[..9], pattern(2, 9));
            assert!(block_on(v.space()).unwrap().free_clusters > 100);
        }),
    ),
    (
        "a long name that is not that of its entry",
        |i| i.disk.poke(i.entry(LONG) - 32 + 13, &[0x55]),
        Served(|v| {
            let names = block_on(list(v, "/")).unwrap();
            assert!(names.contains(&"ALONGN~1.TXT".into()), "{names:?}");
            assert_eq!(block_on(get(v, "/alongn~1.txt")).unwrap(), b"long");
        }),
    ),
    (
        "two entries of one name",
        |i| i.disk.poke(i.entry(OTHER), VICTIM),
        Served(|v| {
            let names = block_on(list(v, "/")).unwrap();
            assert_eq!(names.iter().filter(|name| *name == "VICTIM").count(), 2);
            // The first is the one that is meant, until it is gone.
            let first = block_on(get(v, "/VICTIM")).unwrap();
            assert_eq!(first[..9], pattern(2, 9));
            block_on(v.remove_file("/VICTIM")).unwrap();
            assert_eq!(block_on(get(v, "/VICTIM")).unwrap()[..9], pattern(3, 9));
        }),
    ),
    (
        "an empty file with a cluster",
        |i| {
            i.link(300, END);
            i.set_first(EMPTY, 300);
        },
        Served(|v| {
            let free = || block_on(v.space()).unwrap().free_clusters;
            let before = free();
            block_on(async {
                let file = v.open("/EMPTY", &WRITE).await.unwrap();
                v.set_file_times(&file, Some(NOW), None).await.unwrap();
                drop(file);
                v.sync().await.unwrap();
            });
            // Whatever changes the entry gives the cluster back, unless a repair has done so.
            assert!(free() >= before);
            block_on(v.remove_file("/EMPTY")).unwrap();
        }),
    ),
];

fn run(image: &Image, what: &str, outcome: &Outcome) {
    let mounted = block_on(Volume::mount(image.disk.clone(), &MountOptions::default()));
    let volume = match (mounted, outcome) {
        (Err(error), Refused(words)) => {
            assert!(error.to_string().contains(words), "{what}: {error}");
            return;
        }
        (Err(error), _) => panic!("{what}: {error}"),
        (Ok(_), Refused(words)) => panic!("{what}: not refused: {words}"),
        (Ok(volume), _) => volume,
    };
    volume.set_time(NOW);
    let good = |volume: &Volume<Disk>| {
        assert!(block_on(get(volume, "/GOOD")).unwrap() == pattern(1, 5000), "{what}");
    };
    good(&volume);
    match outcome {
        Refused(_) => {}
        Longer(words) => block_on(async {
            assert_eq!(volume.read_only(), Some(*words), "{what}");
            let before = image.disk.image();
            assert_eq!(put(&volume, "/new", b"x").await, Err(Error::ReadOnly), "{what}");
            assert_eq!(list(&volume, "/DIR").await.unwrap(), ["INSIDE", "SUB"], "{what}");
            volume.unmount().await.unwrap();
            assert!(image.disk.image() == before, "{what}");
        }),
        ReadOnly(path, words) => block_on(async {
            let error = match volume.metadata(path).await.unwrap().is_dir {
                true => volume.open_dir(path).await.map(drop).unwrap_err(),
                false => volume.open(path, &READ).await.map(drop).unwrap_err(),
            };
            let Error::Damaged(why) = error else { panic!("{what}: {error}") };
            assert_eq!((why, volume.read_only()), (*words, Some(*words)), "{what}");
            let before = image.disk.image();
            assert_eq!(put(&volume, "/new", b"x").await, Err(Error::ReadOnly), "{what}");
            assert_eq!(volume.remove_file("/VICTIM").await, Err(Error::ReadOnly), "{what}");
            volume.unmount().await.unwrap();
            assert!(image.disk.image() == before, "{what}");
        }),
        Served(look) => {
            assert_eq!(volume.read_only(), None, "{what}");
            block_on(put(&volume, "/new", &pattern(4, 9000))).unwrap();
            look(&volume);
            assert!(block_on(get(&volume, "/new")).unwrap() == pattern(4, 9000), "{what}");
            block_on(volume.unmount()).unwrap();
        }
    }
    good(&volume);
    good(&mount(&image.disk));
}

#[test]
fn each_damage_has_its_outcome() {
    let mut cases = 0;
    for (kind, disk) in small_kinds() {
        for (damage, do_it, outcome) in &TABLE {
            for dirty in [false, true] {
                let image = Image::new(&Disk::new(disk.image()));
                do_it(&image);
                if dirty {
                    image.mark_dirty();
                }
                run(&image, &format!("{kind}, {damage}, dirty: {dirty}"), outcome);
            }
            cases += 1;
        }
    }
    writeln!(std::io::stderr(), "damaged images: {cases}, each with its outcome").unwrap();
    assert_eq!(cases, 66);
}

/// A repair at the mount or the use of the file leaves nothing to be found.
#[test]
fn an_empty_file_gives_its_clusters_back() {
    for (kind, disk) in small_kinds() {
        for dirty in [false, true] {
            let image = Image::new(&Disk::new(disk.image()));
            image.link(300, 301);
            image.link(301, END);
            image.set_first(EMPTY, 300);
            if dirty {
                image.mark_dirty();
            }
            let volume = mount(&image.disk);
            if !dirty {
                block_on(volume.set_times("/EMPTY", Some(NOW), None)).unwrap();
                let file = block_on(volume.open("/EMPTY", &WRITE)).unwrap();
                block_on(volume.set_file_times(&file, Some(NOW + 2), None)).unwrap();
            }
            block_on(volume.unmount()).unwrap();
            // FAT32 warns of so small a volume, and its count of free clusters may be the old one.
            let report = fsck(&image.disk.image());
            let fine = report.is_empty() || kind == "FAT32";
            assert!(fine && !report.contains("EMPTY"), "{kind}, dirty: {dirty}: {report}");
        }
    }
}
