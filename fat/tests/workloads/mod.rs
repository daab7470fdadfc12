//! What clients do to a volume, and what comes of it.
use fat::{FatKind, File, FormatOptions, MountOptions, OpenOptions, Volume};

#[path = "../ground/mod.rs"]
mod ground;
pub use ground::{Count, Sparse as Disk, block_on as wait};
use ground::{READ, Random, WRITE};
#[path = "../sparse_exfat/mod.rs"]
mod sparse;
pub use sparse::sparse_exfat;

const PART: usize = 32 * 1024;
const FILE: usize = 256 << 20;

/// What a driver of Linux needs to write and to read 256 MiB in turn, to read at random, to create files, to
/// remove those that it knows, and to create, write and sync 100 files one by one. Without flushes.
pub type Linux = (&'static str, [Option<usize>; 6]);

/// Volumes, and what Linux' vfat needs there.
pub const KINDS: [(FatKind, u64, [Linux; 1]); 2] = [
    (FatKind::Fat16, 512 << 20, [vfat([421, 2169, 4087, 1028])]),
    (FatKind::Fat32, 2 << 30, [vfat([850, 2553, 4471, 1062])]),
];

const fn vfat(of: [usize; 4]) -> Linux {
    ("6.1", [Some(of[0]), Some(of[1]), Some(of[2]), Some(of[3]), None, None])
}

pub fn mount(disk: &Disk) -> Volume<Disk> {
    let volume = wait(Volume::mount(disk.clone(), &MountOptions::default())).unwrap();
    volume.set_time(1_700_000_000);
    volume
}

/// What something costs, and what it costs at least and costs drivers of Linux.
pub struct Cost {
    pub what: &'static str,
    pub count: Count,
    pub least: usize,
    pub linux: Vec<Option<usize>>,
}

/// What the file holds: one of 64 parts after the other.
fn parts() -> Vec<Vec<u8>> {
    let part = |n: usize| (0..PART).map(|at| (at ^ (at >> 8) ^ (n * 7)) as u8).collect();
    (0..64).map(part).collect()
}

fn open(volume: &Volume<Disk>, path: &str, options: &OpenOptions) -> File {
    wait(volume.open(path, options)).unwrap()
}

/// Runs all workloads on a new volume.
pub fn run(kind: FatKind, size: u64, linux: &[Linux]) -> Vec<Cost> {
    let disk = Disk::new(size);
    let format = FormatOptions { kind: Some(kind), ..FormatOptions::default() };
    wait(fat::format(&disk, &format, &mut |_, _| ())).unwrap();
    run_on(&disk, linux)
}

/// What Linux' exfat needs: the worse of two runs, of which one of 6.12 created files with 1,012.
pub const LINUX_EXFAT: [Linux; 2] = [
    ("6.12", [Some(289), Some(2113), Some(4097), Some(2010), Some(7), Some(413)]),
    ("7.2", [Some(127), Some(69), Some(4098), Some(2008), Some(5), Some(401)]),
];

/// As `run`, on an empty volume.
pub fn run_on(disk: &Disk, linux: &[Linux]) -> Vec<Cost> {
    let mut costs = Vec::new();
    let mut measure_after = |what,
                             least,
                             row: Option<usize>,
                             before: &dyn Fn(&Volume<Disk>),
                             run: &dyn Fn(&Volume<Disk>)| {
        // A volume that nothing is in memory of; mounting it does not count.
        let volume = mount(disk);
        before(&volume);
        let before = disk.count();
        run(&volume);
        let of = |(_, rows): &Linux| row.and_then(|row| rows[row]);
        let linux = linux.iter().map(of).collect();
        costs.push(Cost { what, count: disk.count().since(&before), least, linux });
        wait(volume.unmount()).unwrap();
    };
    let mut measure = |what, least, row, run: &dyn Fn(&Volume<Disk>)| {
        measure_after(what, least, row, &|_| (), run);
    };
    let largest = 1 << 20;
    let parts = parts();
    measure("write 256 MiB in turn, sync", FILE / largest, Some(0), &|volume| {
        let file = open(volume, "/big", &WRITE);
        for number in 0..FILE / PART {
            wait(volume.write(&file, (number * PART) as u64, &parts[number % 64])).unwrap();
        }
        wait(volume.sync_file(&file)).unwrap();
    });
    measure("read 256 MiB in turn", FILE / largest, Some(1), &|volume| {
        let file = open(volume, "/big", &READ);
        let mut buf = vec![0; PART];
        for number in 0..FILE / PART {
            wait(volume.read(&file, (number * PART) as u64, &mut buf)).unwrap();
            assert!(buf == parts[number % 64], "{number}");
        }
    });
    let places = || {
        let mut random = Random::of_state(88_172_645_463_325_252);
        (0..4096).map(move |_| random.below(FILE / 4096)).collect::<Vec<_>>()
    };
    let distinct = places().into_iter().collect::<std::collections::BTreeSet<_>>().len();
    measure("4,096 random reads of 4 KiB", distinct, Some(2), &|volume| {
        let file = open(volume, "/big", &READ);
        let mut buf = vec![0; 4096];
        for place in places() {
            wait(volume.read(&file, (place * 4096) as u64, &mut buf)).unwrap();
            let whole = &parts[place / (PART / 4096) % 64];
            assert!(buf == whole[place % (PART / 4096) * 4096..][..4096]);
        }
    });
    measure("4,096 random writes of 4 KiB, sync", distinct, None, &|volume| {
        let file = open(volume, "/big", &WRITE);
        for place in places() {
            wait(volume.write(&file, (place * 4096) as u64, &[7; 4096])).unwrap();
        }
        wait(volume.sync_file(&file)).unwrap();
    });
    let path = |number: usize| format!("/many/file number {number}");
    let volume = mount(disk);
    wait(volume.create_dir("/small")).unwrap();
    wait(volume.create_dir("/many")).unwrap();
    wait(volume.unmount()).unwrap();
    measure("create 1,000 files of 4 KiB, sync", 4096 * 1000 / largest + 1, Some(3), &|v| {
        for number in 0..1000 {
            let file = open(v, &path(number), &WRITE);
            wait(v.write(&file, 0, &[number as u8; 4096])).unwrap();
            file.close().unwrap();
        }
        wait(v.sync()).unwrap();
    });
    measure("read them", 4096 * 1000 / largest + 1, None, &|volume| {
        let mut buf = [0; 4097];
        for number in 0..1000 {
            let file = open(volume, &path(number), &READ);
            assert_eq!(wait(volume.read(&file, 0, &mut buf)).unwrap(), 4096);
            assert!(buf[..4096].iter().all(|byte| *byte == number as u8));
        }
    });
    measure("list and look at them", 1, None, &|volume| {
        let dir = wait(volume.open_dir("/many")).unwrap();
        let mut seen = 0;
        loop {
            let entries = wait(volume.read_dir(&dir, 100)).unwrap();
            if entries.is_empty() {
                break;
            }
            for entry in entries {
                wait(volume.metadata(&format!("/many/{}", entry.name))).unwrap();
                seen += 1;
            }
        }
        assert_eq!(seen, 1000);
    });
    measure("write and sync 100 of them", 300, None, &|volume| {
        for number in 0..100 {
            let file = open(volume, &path(number), &WRITE);
            wait(volume.write(&file, 0, &[1; 4096])).unwrap();
            wait(volume.sync_file(&file)).unwrap();
        }
    });
    measure("remove them, sync", 1, None, &|volume| {
        for number in 0..1000 {
            wait(volume.remove_file(&path(number))).unwrap();
        }
        wait(volume.sync()).unwrap();
    });
    measure("create 1,000 empty files, sync", 1, None, &|volume| {
        for number in 0..1000 {
            open(volume, &format!("/small/an empty file {number}"), &WRITE).close().unwrap();
        }
        wait(volume.sync()).unwrap();
    });
    measure("create, write 1 byte, sync; 100 times", 300, Some(5), &|volume| {
        for number in 0..100 {
            let file = open(volume, &format!("/small/one by one {number}"), &WRITE);
            wait(volume.write(&file, 0, &[1])).unwrap();
            wait(volume.sync_file(&file)).unwrap();
        }
    });
    let known = |volume: &Volume<Disk>| {
        for number in 0..1000 {
            wait(volume.metadata(&format!("/small/an empty file {number}"))).unwrap();
        }
    };
    measure_after("remove 1,000 known files, sync", 1, Some(4), &known, &|volume| {
        for number in 0..1000 {
            wait(volume.remove_file(&format!("/small/an empty file {number}"))).unwrap();
        }
        wait(volume.sync()).unwrap();
    });
    costs
}

/// A directory with as many files as one may get.
pub struct Large {
    pub disk: Disk,
    volume: Volume<Disk>,
}

impl Large {
    pub const FILES: usize = 50_000;

    pub fn new() -> Self {
        let disk = Disk::new(2 << 30);
        let format = FormatOptions { kind: Some(FatKind::Fat32), ..FormatOptions::default() };
        wait(fat::format(&disk, &format, &mut |_, _| ())).unwrap();
        Self::on(disk)
    }

    /// On an empty volume.
    pub fn on(disk: Disk) -> Self {
        let volume = mount(&disk);
        wait(volume.create_dir("/large")).unwrap();
        Self { disk, volume }
    }

    /// Short names, since FAT's largest directory has room for 65,536 slots.
    fn path(number: usize) -> String {
        format!("/large/F{number:07}")
    }

    pub fn create(&self, numbers: impl IntoIterator<Item = usize>) {
        for number in numbers {
            open(&self.volume, &Self::path(number), &WRITE).close().unwrap();
        }
    }

    pub fn look_up(&self, numbers: impl IntoIterator<Item = usize>) {
        for number in numbers {
            wait(self.volume.metadata(&Self::path(number))).unwrap();
        }
    }
}

/// Small files on a volume with so much memory for its directories that nothing forces a commit.
#[allow(dead_code)] // Of the bench.
pub struct Small(Volume<Disk>);

#[allow(dead_code)]
impl Small {
    pub fn new() -> Self {
        let disk = Disk::new(2 << 30);
        let format = FormatOptions { kind: Some(FatKind::Fat32), ..FormatOptions::default() };
        wait(fat::format(&disk, &format, &mut |_, _| ())).unwrap();
        let options = MountOptions { cache_bytes: 64 << 20, ..MountOptions::default() };
        let volume = wait(Volume::mount(disk, &options)).unwrap();
        wait(volume.create_dir("/small")).unwrap();
        Self(volume)
    }

    pub fn write(&self, numbers: impl IntoIterator<Item = usize>) {
        for number in numbers {
            let file = open(&self.0, &format!("/small/F{number:07}"), &WRITE);
            wait(self.0.write(&file, 0, &[7; 4096])).unwrap();
            file.close().unwrap();
        }
    }
}
