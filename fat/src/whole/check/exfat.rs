//! Checking an exFAT volume: the boot region and its copy, every set of entries, every cluster, the
//! bitmap. Works on one bit for each cluster, 1 MiB of table, and the names of the directories.
use super::posix;
use super::problem::Problem;
use super::state::Summary;
use super::table::{Link, Owned, Table};
use crate::bytes::u8_at;
use crate::layout::case::Case;
use crate::layout::entry::SLOT;
use crate::layout::exfat::boot::{DIRTY, FLAGS, SECTORS};
use crate::layout::exfat::set::{self, Kind, Named, Set};
use crate::layout::exfat::sum16;
use crate::layout::exfat::upcase::{MOST_BYTES, Upcase};
use crate::layout::name;
use crate::{BlockDevice, Geometry, MountError};
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

/// How much of a directory or the bitmap is read at once.
const CHUNK: u64 = 64 << 10;
/// The most bytes of a directory.
const MOST_DIRECTORY: u64 = 256 << 20;
/// The most entries of one directory that are told to be wrong by themselves.
const MOST_BAD: usize = 1000;

/// Something that has clusters.
#[derive(Clone, Copy)]
struct Place {
    first: u32,
    /// How many it needs; none when only the end of its chain tells.
    clusters: Option<u32>,
    contiguous: bool,
}

struct Folder {
    path: String,
    place: Place,
}

struct Check<'a, D> {
    device: &'a D,
    geometry: &'a Geometry,
    table: Table<'a, D>,
    owned: Owned,
    waiting: Vec<Folder>,
    followed: u32,
    summary: Summary,
    upcase: Option<Upcase>,
    case: Case,
    report: &'a mut dyn FnMut(&Problem),
    progress: &'a mut dyn FnMut(u64, u64),
}

pub(super) async fn check<D: BlockDevice>(
    device: &D,
    geometry: &Geometry,
    report: &mut dyn FnMut(&Problem),
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Summary, MountError> {
    let mut check = Check {
        device,
        geometry,
        table: Table::new(device, geometry, 0),
        owned: Owned::new(geometry.clusters),
        waiting: Vec::new(),
        followed: 0,
        summary: Summary { clusters: geometry.clusters, ..Summary::default() },
        upcase: None,
        case: Case::default(),
        report,
        progress,
    };
    check.boot_region().await?;
    let root = Place { first: geometry.root_cluster, clusters: None, contiguous: false };
    let root = check.take("/", root).await?;
    let bitmap = check.system_entries(root).await?;
    check.waiting.push(Folder { path: String::new(), place: root });
    while let Some(folder) = check.waiting.pop() {
        check.folder(&folder).await?;
    }
    check.bitmap(bitmap).await?;
    Ok(check.summary)
}

impl<D: BlockDevice> Check<'_, D> {
    fn problem(&mut self, problem: Problem) {
        self.summary.problems = self.summary.problems.saturating_add(1);
        (self.report)(&problem);
    }

    fn bad_set(&mut self, path: &str, slot: u32, why: &'static str) {
        let path = if path.is_empty() { "/" } else { path }.to_string();
        self.problem(Problem::BadSet { path, slot, why });
    }

    fn cluster_size(&self) -> u64 {
        u64::from(self.geometry.cluster_size.max(1))
    }

    fn is_cluster(&self, cluster: u32) -> bool {
        (2..=self.geometry.clusters.saturating_add(1)).contains(&cluster)
    }

    async fn boot_region(&mut self) -> Result<(), MountError> {
        let len = u64::from(self.geometry.bytes_per_sector).saturating_mul(SECTORS);
        let mut main = vec![0; usize::try_from(len).unwrap_or(0)];
        let mut copy = main.clone();
        self.device.read(self.geometry.start, &mut main).await?;
        self.device.read(self.geometry.start.saturating_add(len), &mut copy).await?;
        if u8_at(&main, FLAGS) & DIRTY != 0 {
            self.problem(Problem::Dirty);
        }
        // The flags and the percentage in use change in the first alone.
        for at in [FLAGS, FLAGS + 1, 112] {
            for region in [&mut main, &mut copy] {
                if let Some(byte) = region.get_mut(at) {
                    *byte = 0;
                }
            }
        }
        if main != copy {
            self.problem(Problem::BackupBootDiffers);
        }
        Ok(())
    }

    /// Takes the clusters of something. What comes back has as many as are its own.
    async fn take(&mut self, path: &str, place: Place) -> Result<Place, MountError> {
        let path = || path.to_string();
        let mut clusters = 0u32;
        let taken = |clusters| Place { clusters: Some(clusters), ..place };
        if place.clusters == Some(0) {
            return Ok(place);
        }
        let mut cluster = place.first;
        if !self.is_cluster(cluster) {
            self.problem(Problem::BadFirstCluster { path: path(), cluster });
            return Ok(taken(0));
        }
        loop {
            if !self.owned.claim(cluster) {
                self.problem(Problem::CrossLink { path: path(), cluster });
                return Ok(taken(clusters));
            }
            clusters = clusters.saturating_add(1);
            self.followed = self.followed.saturating_add(1);
            if self.followed.is_multiple_of(8192) {
                (self.progress)(self.followed.into(), self.geometry.clusters.into());
            }
            let next = match self.next(place, cluster, clusters).await? {
                Link::Next(next) if self.is_cluster(next) => next,
                Link::End => break,
                Link::Next(next) | Link::Outside(next) => {
                    self.problem(Problem::BadLink { path: path(), cluster, next });
                    return Ok(taken(clusters));
                }
                Link::Free | Link::Bad => {
                    self.problem(Problem::BadLink { path: path(), cluster, next: 0 });
                    return Ok(taken(clusters));
                }
            };
            cluster = next;
        }
        match place.clusters {
            Some(needed) if clusters < needed => {
                self.problem(Problem::TooShort { path: path(), clusters, needed });
            }
            Some(needed) if clusters > needed => {
                self.problem(Problem::TooLong { path: path(), clusters, needed });
                clusters = needed;
            }
            _ => {}
        }
        Ok(taken(clusters))
    }

    /// What follows a cluster, which is number `count` of its file, from 1.
    async fn next(&mut self, place: Place, cluster: u32, count: u32) -> Result<Link, MountError> {
        if !place.contiguous {
            return Ok(self.table.link(cluster).await?);
        }
        let last = place.clusters.is_none_or(|clusters| count >= clusters);
        Ok(if last { Link::End } else { Link::Next(cluster.saturating_add(1)) })
    }

    /// Calls `f` with the bytes of something, a piece after the other, until it is enough.
    async fn read(
        &mut self,
        place: Place,
        mut f: impl FnMut(&[u8]) -> bool,
    ) -> Result<(), MountError> {
        let (mut cluster, size) = (place.first, self.cluster_size());
        for count in 1..=place.clusters.unwrap_or(0) {
            let before = u64::from(cluster.saturating_sub(2)).saturating_mul(size);
            let start = self.geometry.data_start.saturating_add(before);
            let mut done = 0u64;
            while done < size {
                let len = size.saturating_sub(done).min(CHUNK);
                let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
                self.device.read(start.saturating_add(done), &mut bytes).await?;
                if !f(&bytes) {
                    return Ok(());
                }
                done = done.saturating_add(len);
            }
            match self.next(place, cluster, count).await? {
                Link::Next(next) => cluster = next,
                _ => break,
            }
        }
        Ok(())
    }

    fn of_len(&self, first: u32, len: u64, contiguous: bool) -> Place {
        let clusters = u32::try_from(len.div_ceil(self.cluster_size())).unwrap_or(u32::MAX);
        Place { first, clusters: Some(clusters), contiguous }
    }

    /// The bitmap, the up-case table, and what must not be there.
    async fn system_entries(&mut self, root: Place) -> Result<Option<Place>, MountError> {
        let (mut bitmaps, mut tables) = (Vec::new(), Vec::new());
        self.read(root, |bytes| {
            for entry in bytes.as_chunks::<SLOT>().0 {
                match set::kind(entry) {
                    Kind::End => return false,
                    Kind::System(set::BITMAP) if bitmaps.len() < 2 => bitmaps.push(*entry),
                    Kind::System(set::UPCASE) if tables.len() < 2 => tables.push(*entry),
                    _ => {}
                }
            }
            true
        })
        .await?;
        let needed = u64::from(self.geometry.clusters).div_ceil(8);
        let mut bitmap = None;
        if let [entry] = bitmaps.as_slice() {
            let (first, len) = set::place(entry);
            let place = self.of_len(first, len, false);
            let taken = self.take("the bitmap", place).await?;
            bitmap = Some(taken).filter(|taken| taken.clusters == place.clusters && len == needed);
        }
        if bitmap.is_none() {
            self.problem(Problem::BadSystem { what: "the allocation bitmap" });
        }
        if let [entry] = tables.as_slice() {
            let (first, len) = set::place(entry);
            let place = self.of_len(first, len, false);
            let taken = self.take("the up-case table", place).await?;
            let mut table = Vec::new();
            if len <= MOST_BYTES {
                self.read(taken, |bytes| {
                    table.extend_from_slice(bytes);
                    true
                })
                .await?;
            }
            table.truncate(usize::try_from(len).unwrap_or(0));
            self.upcase = Upcase::parse(&table, set::table_sum(entry));
            if let Some(table) = Upcase::parse(&table, set::table_sum(entry)) {
                self.case = Case::of_table(table);
            }
        }
        if self.upcase.is_none() {
            self.problem(Problem::BadSystem { what: "the up-case table" });
        }
        Ok(bitmap)
    }

    async fn folder(&mut self, folder: &Folder) -> Result<(), MountError> {
        let root = folder.path.is_empty();
        let (mut sets, mut bad) = (Vec::new(), Vec::new());
        let (mut pending, mut left) = (Vec::new(), 0u8);
        let mut slot = 0u32;
        self.read(folder.place, |bytes| {
            for entry in bytes.as_chunks::<SLOT>().0 {
                let kind = set::kind(entry);
                if left > 0 && kind == Kind::Stray {
                    pending.push(*entry);
                    left = left.saturating_sub(1);
                    if left == 0 {
                        sets.push((slot, core::mem::take(&mut pending)));
                    }
                } else {
                    if left > 0 {
                        bad.push((slot, "a set of entries is cut short"));
                        (left, pending) = (0, Vec::new());
                    }
                    match kind {
                        Kind::End => return false,
                        Kind::File(0) => bad.push((slot, "a set of one entry")),
                        Kind::File(more) => (left, pending) = (more, vec![*entry]),
                        Kind::Stray => bad.push((slot, "an entry without its set")),
                        Kind::Critical => bad.push((slot, "an unknown kind of entry")),
                        Kind::System(_) if !root => {
                            bad.push((slot, "an entry that belongs to the root directory"));
                        }
                        Kind::Free | Kind::Benign | Kind::System(_) => {}
                    }
                }
                slot = slot.saturating_add(1);
            }
            true
        })
        .await?;
        if left > 0 {
            bad.push((slot, "a set of entries is cut short"));
        }
        for (slot, why) in bad.into_iter().take(MOST_BAD) {
            self.bad_set(&folder.path, slot, why);
        }
        let mut names = BTreeSet::new();
        for (slot, entries) in sets {
            match Named::read(&entries) {
                Ok(named) => {
                    let others = entries.get(named.set.known()..).unwrap_or_default();
                    self.set(folder, slot, &named, others, &mut names).await?;
                    for other in others {
                        if let Some((first, len, contiguous)) = set::allocation(other) {
                            self.take(&folder.path, self.of_len(first, len, contiguous)).await?;
                        }
                    }
                }
                Err(why) => self.bad_set(&folder.path, slot, why),
            }
        }
        Ok(())
    }

    async fn set(
        &mut self,
        folder: &Folder,
        slot: u32,
        named: &Named,
        others: &[[u8; SLOT]],
        names: &mut BTreeSet<Vec<u16>>,
    ) -> Result<(), MountError> {
        let set: Set = named.set;
        let shown = name::decode(&named.units);
        let text = shown.clone().unwrap_or_else(|| String::from_utf16_lossy(&named.units));
        let path = format!("{}/{text}", folder.path);
        if shown.is_none() {
            self.bad_set(&path, slot, "its name cannot be one");
        }
        if !named.sum_is_right {
            self.bad_set(&path, slot, "the checksum of its entries is wrong");
        }
        if set.is_valid_too_long() {
            self.bad_set(&path, slot, "more of its bytes are valid than it has");
        }
        if let Some(upcase) = &self.upcase {
            let upper: Vec<u16> = named.units.iter().map(|unit| upcase.unit(*unit)).collect();
            let hash = sum16(upper.iter().flat_map(|unit| unit.to_le_bytes()));
            if hash != set.name_hash() {
                self.bad_set(&path, slot, "the hash of its name is wrong");
            }
            if !names.insert(upper) {
                self.problem(Problem::DuplicateName { path: path.clone() });
            }
        }
        let place = self.of_len(set.cluster(), set.len(), set.is_contiguous());
        let is_dir = set.attributes() & crate::layout::entry::ATTR_DIRECTORY != 0;
        let count = if is_dir { &mut self.summary.directories } else { &mut self.summary.files };
        *count = count.saturating_add(1);
        let taken = self.take(&path, place).await?;
        match posix::find(&set, others) {
            posix::Found::None => {}
            posix::Found::File => self.summary.modes = self.summary.modes.saturating_add(1),
            posix::Found::Link => {
                self.summary.links = self.summary.links.saturating_add(1);
                self.target(&path, slot, taken, set.len()).await?;
            }
            posix::Found::Wrong(why) => self.bad_set(&path, slot, why),
        }
        if is_dir {
            if set.len() == 0 || !set.len().is_multiple_of(self.cluster_size()) {
                self.bad_set(&path, slot, "a directory that is not whole clusters");
            }
            let most = u32::try_from(MOST_DIRECTORY / self.cluster_size()).unwrap_or(u32::MAX);
            if taken.clusters.is_some_and(|clusters| clusters > most) {
                self.bad_set(&path, slot, "a directory of more than 256 MiB");
            } else {
                self.waiting.push(Folder { path, place: taken });
            }
        }
        Ok(())
    }

    /// Reads where a symbolic link leads.
    async fn target(
        &mut self,
        path: &str,
        slot: u32,
        place: Place,
        len: u64,
    ) -> Result<(), MountError> {
        let (len, mut target) = (usize::try_from(len).unwrap_or(0), Vec::new());
        self.read(place, |bytes| {
            let left = len.saturating_sub(target.len()).min(bytes.len());
            target.extend_from_slice(bytes.get(..left).unwrap_or_default());
            target.len() < len
        })
        .await?;
        if !posix::is_target(&target) {
            self.bad_set(path, slot, posix::BAD_TARGET);
        }
        Ok(())
    }

    /// Compares the bitmap with what was met.
    async fn bitmap(&mut self, bitmap: Option<Place>) -> Result<(), MountError> {
        let Some(bitmap) = bitmap else { return Ok(()) };
        let end = self.geometry.clusters.saturating_add(2);
        let owned = core::mem::replace(&mut self.owned, Owned::new(0));
        let (mut cluster, mut used, mut unmarked, mut leaked) = (2u32, 0u32, 0u32, 0u32);
        self.read(bitmap, |bytes| {
            for bit in bytes.iter().flat_map(|byte| (0..8).map(move |bit| byte >> bit & 1 != 0)) {
                if cluster >= end {
                    return false;
                }
                let has = owned.has(cluster);
                used = used.saturating_add(bit.into());
                unmarked = unmarked.saturating_add((has && !bit).into());
                leaked = leaked.saturating_add((bit && !has).into());
                cluster = cluster.saturating_add(1);
            }
            true
        })
        .await?;
        self.summary.used = used;
        self.summary.free = self.geometry.clusters.saturating_sub(used);
        if unmarked > 0 {
            self.problem(Problem::Unmarked { clusters: unmarked });
        }
        if leaked > 0 {
            self.problem(Problem::Leaked { clusters: leaked });
        }
        Ok(())
    }
}
