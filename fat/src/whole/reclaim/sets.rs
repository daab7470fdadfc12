//! As `walk`, of exFAT's sets of entries.
use super::walk::{MOST_WAITING, Place, Stop, Walk};
use crate::BlockDevice;
use crate::layout::entry::{ATTR_DIRECTORY, SLOT};
use crate::layout::exfat::set::{self, Kind};
use crate::whole::check::table::Link;
use alloc::vec;

/// How much of a directory is read at once.
const CHUNK: u64 = 16 << 10;

/// Whether the walk is inside a set.
#[derive(Default)]
struct Inside {
    /// Entries of the set that are still to come.
    left: u8,
    /// The next one says where its bytes are.
    is_second: bool,
    is_dir: bool,
}

impl<D: BlockDevice> Walk<'_, D> {
    pub(super) async fn tree_of_sets(&mut self) -> Result<(), Stop> {
        let first = self.geometry.root_cluster;
        let clusters = self.chain(first, u32::MAX).await?;
        self.folders.push(Place { first, clusters, contiguous: false });
        while let Some(folder) = self.folders.pop() {
            self.folder(folder).await?;
        }
        Ok(())
    }

    /// Takes the clusters of something that has `len` bytes.
    async fn claim(&mut self, first: u32, len: u64, contiguous: bool) -> Result<Place, Stop> {
        let clusters = len.div_ceil(self.geometry.cluster_size.max(1).into());
        let clusters = u32::try_from(clusters).unwrap_or(u32::MAX);
        let place = Place { first, clusters, contiguous };
        if !contiguous {
            if clusters > 0 && self.chain(first, clusters).await? < clusters {
                return Err(Stop::Unfit("a file has fewer clusters than its size needs"));
            }
            return Ok(place);
        }
        let end = first.saturating_add(clusters);
        if first < 2 || end > self.geometry.clusters.saturating_add(2) {
            return Err(Stop::Unfit("a cluster number is outside the volume"));
        }
        for cluster in first..end {
            if !self.owned.claim(cluster) {
                return Err(Stop::Unfit("a cluster has two owners"));
            }
        }
        Ok(place)
    }

    /// Reads a directory, whose clusters are taken already.
    async fn folder(&mut self, folder: Place) -> Result<(), Stop> {
        let (size, mut cluster) = (u64::from(self.geometry.cluster_size), folder.first);
        let mut inside = Inside::default();
        for _ in 0..folder.clusters {
            let before = u64::from(cluster.saturating_sub(2)).saturating_mul(size);
            let start = self.geometry.data_start.saturating_add(before);
            let mut bytes = vec![0; usize::try_from(size.min(CHUNK)).unwrap_or(0)];
            for at in (0..size).step_by(bytes.len().max(1)) {
                self.device.read(start.saturating_add(at), &mut bytes).await?;
                for entry in bytes.as_chunks::<SLOT>().0 {
                    if !self.set_entry(&mut inside, entry).await? {
                        return Ok(());
                    }
                }
            }
            cluster = match folder.contiguous {
                true => cluster.saturating_add(1),
                false => match self.table.link(cluster).await? {
                    Link::Next(next) => next,
                    _ => break,
                },
            };
        }
        if inside.left > 0 { Err(Stop::Unfit(CUT)) } else { Ok(()) }
    }

    /// Takes what an entry refers to. Returns whether there may be more behind it.
    async fn set_entry(&mut self, inside: &mut Inside, entry: &[u8; SLOT]) -> Result<bool, Stop> {
        let kind = set::kind(entry);
        if inside.left > 0 && kind != Kind::Stray
            || core::mem::take(&mut inside.is_second) && !set::is_stream(entry)
        {
            return Err(Stop::Unfit(CUT));
        }
        match kind {
            Kind::End => return Ok(false),
            Kind::Free | Kind::System(set::LABEL) => {}
            Kind::File(0) => return Err(Stop::Unfit(CUT)),
            Kind::File(more) => {
                let is_dir = entry[4] & ATTR_DIRECTORY != 0;
                *inside = Inside { left: more, is_second: true, is_dir };
            }
            Kind::Stray => {
                inside.left = inside.left.saturating_sub(1);
                let is_dir = core::mem::take(&mut inside.is_dir);
                if let Some((first, len, contiguous)) = set::allocation(entry) {
                    let place = self.claim(first, len, contiguous).await?;
                    if is_dir && self.folders.len() >= MOST_WAITING {
                        return Err(Stop::Unfit("there are too many directories"));
                    }
                    if is_dir {
                        self.folders.push(place);
                    }
                }
            }
            Kind::System(_) => {
                let (first, len) = set::place(entry);
                self.claim(first, len, false).await?;
            }
            Kind::Benign => {
                if let Some((first, len, contiguous)) = set::allocation_of_primary(entry) {
                    self.claim(first, len, contiguous).await?;
                }
            }
            Kind::Critical => return Err(Stop::Unfit("an unknown kind of entry")),
        }
        Ok(true)
    }
}

const CUT: &str = "a set of entries is cut short";
