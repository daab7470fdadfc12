//! Following every directory and chain to note who owns which cluster, without changing anything.
use crate::layout::entry::{Entry, Kind, SLOT};
use crate::whole::check::table::{Link, Owned, Table};
use crate::whole::reclaim::notes::{Copies, Notes};
use crate::{BlockDevice, DeviceError, FatKind, Geometry};
use alloc::vec;
use alloc::vec::Vec;

/// The most directories that wait for their turn, and the most chains that are cut.
pub(super) const MOST_WAITING: usize = 65_536;
/// The most bytes of a directory.
const MOST_DIRECTORY: u32 = 2 << 20;
const DOT: &[u8; 11] = b".          ";
const DOT_DOT: &[u8; 11] = b"..         ";

/// Why nothing is repaired.
pub(crate) enum Stop {
    Device(DeviceError),
    /// The disk contradicts itself, or it is too much.
    Unfit(&'static str),
}

impl From<DeviceError> for Stop {
    fn from(error: DeviceError) -> Self {
        Self::Device(error)
    }
}

/// The clusters of a directory of exFAT.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) first: u32,
    pub(super) clusters: u32,
    pub(super) contiguous: bool,
}

/// A walk through the tree that notes who owns which cluster.
pub(crate) struct Walk<'a, D> {
    pub(super) device: &'a D,
    pub(super) geometry: &'a Geometry,
    pub table: Table<'a, D>,
    pub owned: Owned,
    pub copies: Copies<'a, D>,
    pub notes: Notes,
    /// First clusters of directories that were met and are not read yet.
    waiting: Vec<u32>,
    /// As `waiting`, of exFAT.
    pub(super) folders: Vec<Place>,
    /// Clusters that are the last that a file needs and not the last of its chain.
    pub ends: Vec<u32>,
    /// Where the entries of empty files are that have clusters.
    pub empty: Vec<u64>,
    /// The first clusters of what is behind those ends, and of what empty files have.
    surplus: Vec<u32>,
}

impl<'a, D: BlockDevice> Walk<'a, D> {
    /// Follows everything from the root, with so many bytes for a bit for each cluster and for the notes.
    pub async fn take(device: &'a D, geometry: &'a Geometry, most: usize) -> Result<Self, Stop> {
        if ((geometry.clusters / 8) as usize).saturating_add(Notes::bytes(geometry)) > most {
            return Err(Stop::Unfit("it has more clusters than there is memory for"));
        }
        let mut walk = Self {
            device,
            geometry,
            table: Table::new(device, geometry, geometry.active_table.unwrap_or(0)),
            owned: Owned::new(geometry.clusters),
            copies: Copies::new(device, geometry),
            notes: Notes::new(geometry),
            waiting: Vec::new(),
            folders: Vec::new(),
            ends: Vec::new(),
            empty: Vec::new(),
            surplus: Vec::new(),
        };
        walk.tree().await?;
        Ok(walk)
    }

    /// What the table says of a cluster. A page that comes into memory for that is compared with its copies.
    async fn link(&mut self, cluster: u32) -> Result<Link, Stop> {
        let link = self.table.link(cluster).await?;
        let fresh = self.table.take_fresh().filter(|page| !self.notes.get(*page).read);
        if let Some(page) = fresh
            && let Some(bytes) = self.table.page(page)
        {
            let differs = self.copies.differ(page, bytes).await?;
            self.notes.set(&self.table, page, bytes, differs);
        }
        Ok(link)
    }

    fn wide(&self) -> bool {
        self.geometry.kind == FatKind::Fat32
    }

    async fn tree(&mut self) -> Result<(), Stop> {
        if self.geometry.kind == FatKind::ExFat {
            self.tree_of_sets().await?;
        } else if self.wide() {
            let root = self.geometry.root_cluster;
            self.directory_chain(root).await?;
            self.directory(root, true).await?;
        } else {
            self.fixed_root().await?;
        }
        while let Some(first) = self.waiting.pop() {
            self.directory(first, false).await?;
        }
        // Nothing contradicts: the surplus is nobody's.
        for mut cluster in core::mem::take(&mut self.surplus) {
            loop {
                self.owned.release(cluster);
                match self.link(cluster).await? {
                    Link::Next(next) if !self.geometry.is_split(cluster) => cluster = next,
                    _ => break,
                }
            }
        }
        Ok(())
    }

    /// Takes the clusters of a chain of which the first `keep` are needed, and counts them.
    pub(super) async fn chain(&mut self, first: u32, keep: u32) -> Result<u32, Stop> {
        let (mut cluster, mut count) = (first, 0u32);
        loop {
            if !(2..=self.geometry.clusters.saturating_add(1)).contains(&cluster) {
                return Err(Stop::Unfit("a cluster number is outside the volume"));
            }
            let link = self.link(cluster).await?;
            if !self.owned.claim(cluster) {
                return Err(Stop::Unfit("a cluster has two owners"));
            }
            count = count.saturating_add(1);
            // Behind what a file needs such an entry may be half of one and half of another.
            let is_half = count >= keep && self.geometry.is_split(cluster);
            if matches!(link, Link::Free | Link::Bad | Link::Outside(_)) && !is_half {
                return Err(Stop::Unfit("a chain has no end"));
            }
            if count == keep && link != Link::End {
                if self.ends.len() >= MOST_WAITING {
                    return Err(Stop::Unfit("too many chains are longer than their file"));
                }
                self.ends.push(cluster);
            }
            match link {
                Link::Next(next) if !is_half => {
                    if count == keep {
                        self.surplus.push(next);
                    }
                    cluster = next;
                }
                _ => return Ok(count),
            }
        }
    }

    async fn directory_chain(&mut self, first: u32) -> Result<(), Stop> {
        let clusters = self.chain(first, u32::MAX).await?;
        if clusters > MOST_DIRECTORY.div_ceil(self.geometry.cluster_size.max(1)) {
            return Err(Stop::Unfit("a directory is larger than 2 MiB"));
        }
        Ok(())
    }

    async fn fixed_root(&mut self) -> Result<(), Stop> {
        let used = u64::from(self.geometry.root_entries).saturating_mul(SLOT as u64);
        let whole = used.next_multiple_of(u64::from(self.geometry.bytes_per_sector.max(1)));
        let mut bytes = vec![0; usize::try_from(whole).unwrap_or(0)];
        self.device.read(self.geometry.root_start, &mut bytes).await?;
        bytes.truncate(usize::try_from(used).unwrap_or(0));
        self.entries(&bytes, self.geometry.root_start).await.map(|_| ())
    }

    /// Reads a directory whose chain is known to be whole, a cluster at a time.
    async fn directory(&mut self, first: u32, root: bool) -> Result<(), Stop> {
        let size = u64::from(self.geometry.cluster_size);
        let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
        let mut cluster = first;
        loop {
            let before = u64::from(cluster.saturating_sub(2));
            let offset = before.saturating_mul(size).saturating_add(self.geometry.data_start);
            self.device.read(offset, &mut bytes).await?;
            let mut slots = bytes.as_slice();
            if cluster == first && !root {
                slots = self.after_dots(&bytes, first)?;
            }
            let skipped = bytes.len().saturating_sub(slots.len()) as u64;
            if !self.entries(slots, offset.saturating_add(skipped)).await? {
                return Ok(());
            }
            match self.link(cluster).await? {
                Link::Next(next) => cluster = next,
                _ => return Ok(()),
            }
        }
    }

    /// A directory that does not begin with itself and its parent is none.
    fn after_dots<'b>(&self, bytes: &'b [u8], first: u32) -> Result<&'b [u8], Stop> {
        let (slots, _) = bytes.as_chunks::<SLOT>();
        let is = |slot: &[u8; SLOT], name: &[u8; 11]| {
            let entry = Entry(*slot);
            entry.kind() == Kind::Short && entry.is_dir() && entry.name() == *name
        };
        match slots {
            [dot, dot_dot, rest @ ..]
                if is(dot, DOT)
                    && is(dot_dot, DOT_DOT)
                    && Entry(*dot).cluster(self.wide()) == first =>
            {
                Ok(rest.as_flattened())
            }
            _ => Err(Stop::Unfit("a directory has no . and ..")),
        }
    }

    /// Takes what the entries, which lie at `place`, refer to. Returns whether there may be more
    /// behind these.
    async fn entries(&mut self, bytes: &[u8], place: u64) -> Result<bool, Stop> {
        for (slot, at) in bytes.as_chunks::<SLOT>().0.iter().zip((place..).step_by(SLOT)) {
            let entry = Entry(*slot);
            match entry.kind() {
                Kind::End => return Ok(false),
                Kind::Short => self.entry(&entry, at).await?,
                Kind::Free | Kind::Long | Kind::Label => {}
            }
        }
        Ok(true)
    }

    async fn entry(&mut self, entry: &Entry, place: u64) -> Result<(), Stop> {
        let first = entry.cluster(self.wide());
        if entry.is_dir() {
            if self.waiting.len() >= MOST_WAITING {
                return Err(Stop::Unfit("there are too many directories"));
            }
            self.directory_chain(first).await?;
            self.waiting.push(first);
            return Ok(());
        }
        let needed = entry.len().div_ceil(self.geometry.cluster_size.max(1));
        if needed == 0 && first != 0 {
            if self.empty.len() >= MOST_WAITING {
                return Err(Stop::Unfit("too many empty files have clusters"));
            }
            self.empty.push(place);
            self.surplus.push(first);
        }
        if (first != 0 || needed != 0) && self.chain(first, needed).await? < needed {
            return Err(Stop::Unfit("a file has fewer clusters than its size needs"));
        }
        Ok(())
    }
}
