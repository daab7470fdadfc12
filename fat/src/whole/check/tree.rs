//! Following every directory and chain from the root.
use super::directory::{self, Named};
use super::problem::Problem;
use super::state::{Check, Folder};
use super::table::Link;
use crate::layout::entry::{Entry, SLOT};
use crate::layout::name;
use crate::{BlockDevice, FatKind, MountError};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

/// What came of following a chain.
struct Chain {
    /// Its clusters, so far as they are its own.
    clusters: u32,
    /// Whether it ended with an end mark.
    whole: bool,
}

const MOST_SLOTS: u32 = 65_536;
const DOT: &[u8; 11] = b".          ";
const DOT_DOT: &[u8; 11] = b"..         ";

impl<D: BlockDevice> Check<'_, D> {
    /// Follows everything from the root, directories in the order in which they are met last.
    pub(super) async fn tree(&mut self) -> Result<(), MountError> {
        let (first, clusters) = match self.geometry.kind {
            FatKind::Fat32 => {
                let first = self.geometry.root_cluster;
                (first, self.directory_chain("/", first).await?)
            }
            _ => (0, 0),
        };
        self.folders.push(Folder { name: String::new(), parent: 0, first, clusters });
        let mut waiting = vec![0];
        while let Some(number) = waiting.pop() {
            for child in self.folder(number).await? {
                waiting.push(self.folders.len());
                self.folders.push(child);
            }
        }
        Ok(())
    }

    /// Follows a directory's chain: how many of its clusters are to be read.
    async fn directory_chain(&mut self, path: &str, first: u32) -> Result<u32, MountError> {
        let bytes = MOST_SLOTS.saturating_mul(SLOT as u32);
        let most = bytes.div_ceil(self.geometry.cluster_size.max(1));
        let chain = self.chain(path, first).await?;
        if chain.clusters > most {
            self.problem(Problem::DirectoryTooLong { path: path.to_string() });
        }
        Ok(chain.clusters.min(most))
    }

    /// The path of an entry of a directory, of at most the last 64 names.
    fn path(&self, mut folder: usize, name: &str) -> String {
        let mut names = vec![name];
        while folder != 0 && names.len() < 64 {
            let Some(at) = self.folders.get(folder) else {
                break;
            };
            names.push(&at.name);
            folder = at.parent;
        }
        names.push(if folder == 0 { "" } else { "…" });
        names.reverse();
        names.join("/")
    }

    /// Reads a directory that is on the list: at most 2 MiB.
    async fn read(&mut self, number: usize) -> Result<Vec<u8>, MountError> {
        let fixed = number == 0 && self.geometry.kind != FatKind::Fat32;
        if fixed {
            let sector = u64::from(self.geometry.bytes_per_sector);
            let used = u64::from(self.geometry.root_entries).saturating_mul(SLOT as u64);
            let whole = usize::try_from(used.next_multiple_of(sector)).unwrap_or(0);
            let mut bytes = vec![0; whole];
            self.device.read(self.geometry.root_start, &mut bytes).await?;
            bytes.truncate(usize::try_from(used).unwrap_or(whole));
            return Ok(bytes);
        }
        let size = usize::try_from(self.geometry.cluster_size).unwrap_or(0);
        let mut bytes = Vec::new();
        let Some(&Folder { first, clusters, .. }) = self.folders.get(number) else {
            return Ok(bytes);
        };
        let mut cluster = first;
        for _ in 0..clusters {
            let start = bytes.len();
            bytes.resize(start.saturating_add(size), 0);
            let before = u64::from(cluster.saturating_sub(2));
            let offset =
                before.saturating_mul(size as u64).saturating_add(self.geometry.data_start);
            self.device.read(offset, bytes.get_mut(start..).unwrap_or_default()).await?;
            match self.table.link(cluster).await? {
                Link::Next(next) => cluster = next,
                _ => break,
            }
        }
        Ok(bytes)
    }

    /// Checks the entries of one directory; the directories among them come back.
    async fn folder(&mut self, number: usize) -> Result<Vec<Folder>, MountError> {
        let bytes = self.read(number).await?;
        let mut broken = Vec::new();
        let entries = directory::entries(&bytes, &mut |slot| broken.push(slot));
        drop(bytes);
        let own = if number == 0 {
            "/".to_string()
        } else {
            self.path(number, "").trim_end_matches('/').to_string()
        };
        for slot in broken {
            self.problem(Problem::BrokenLongName { path: own.clone(), slot });
        }
        if !self.dots_are_right(number, &entries) {
            self.problem(Problem::BadDots { path: own });
        }
        let mut names: BTreeMap<u32, Vec<&str>> = BTreeMap::new();
        let mut short_names = BTreeSet::new();
        let mut children = Vec::new();
        for Named { name, entry } in &entries {
            let short = entry.name();
            if short == *DOT || short == *DOT_DOT {
                continue;
            }
            let path = self.path(number, name);
            let alike = names.entry(name::hash(name)).or_default();
            let known = alike.iter().any(|other| name::same(other, name));
            alike.push(name);
            if !short_names.insert(short) || known {
                self.problem(Problem::DuplicateName { path: path.clone() });
            }
            if entry.is_dir() {
                let (first, clusters) = self.directory_entry(&path, entry).await?;
                if clusters > 0 {
                    children.push(Folder { name: name.clone(), parent: number, first, clusters });
                }
            } else {
                self.file_entry(path, entry).await?;
            }
        }
        Ok(children)
    }

    /// `.` and `..` are the first two entries of every directory but the root.
    fn dots_are_right(&self, number: usize, entries: &[Named]) -> bool {
        let is = |named: &Named, name: &[u8; 11]| named.entry.name() == *name;
        let dots = entries.iter().filter(|named| is(named, DOT) || is(named, DOT_DOT)).count();
        let Some(folder) = self.folders.get(number).filter(|_| number != 0) else {
            return dots == 0;
        };
        let wide = self.geometry.kind == FatKind::Fat32;
        // The root is 0 in a `..`, though some write its cluster.
        let right_parent = |cluster| match folder.parent {
            0 => cluster == 0 || wide && cluster == self.geometry.root_cluster,
            parent => self.folders.get(parent).is_some_and(|parent| parent.first == cluster),
        };
        matches!(entries, [dot, dot_dot, ..]
            if dots == 2
                && is(dot, DOT) && dot.entry.is_dir() && dot.entry.cluster(wide) == folder.first
                && is(dot_dot, DOT_DOT) && dot_dot.entry.is_dir() && right_parent(dot_dot.entry.cluster(wide)))
    }

    /// The directory's first cluster, and how many of its clusters are to be read.
    async fn directory_entry(
        &mut self,
        path: &str,
        entry: &Entry,
    ) -> Result<(u32, u32), MountError> {
        self.summary.directories = self.summary.directories.saturating_add(1);
        if entry.len() != 0 {
            self.problem(Problem::DirectorySize { path: path.to_string(), size: entry.len() });
        }
        let first = entry.cluster(self.geometry.kind == FatKind::Fat32);
        Ok((first, self.directory_chain(path, first).await?))
    }

    async fn file_entry(&mut self, path: String, entry: &Entry) -> Result<(), MountError> {
        self.summary.files = self.summary.files.saturating_add(1);
        let needed = entry.len().div_ceil(self.geometry.cluster_size.max(1));
        let first = entry.cluster(self.geometry.kind == FatKind::Fat32);
        if first == 0 && needed == 0 {
            return Ok(());
        }
        let chain = self.chain(&path, first).await?;
        if !chain.whole {
            return Ok(()); // said already
        }
        let clusters = chain.clusters;
        if clusters < needed {
            self.problem(Problem::TooShort { path, clusters, needed });
        } else if clusters > needed {
            self.problem(Problem::TooLong { path, clusters, needed });
        }
        Ok(())
    }

    /// Follows a chain and takes its clusters, up to the first that is not its own.
    async fn chain(&mut self, path: &str, first: u32) -> Result<Chain, MountError> {
        let path = || path.to_string();
        let mut chain = Chain { clusters: 0, whole: false };
        if !(2..=self.geometry.clusters.saturating_add(1)).contains(&first) {
            self.problem(Problem::BadFirstCluster { path: path(), cluster: first });
            return Ok(chain);
        }
        let (mut cluster, mut before) = (first, 0);
        loop {
            let link = self.table.link(cluster).await?;
            if matches!(link, Link::Free | Link::Bad) {
                // The entry or the cluster before leads to one that is not in use.
                self.problem(match before {
                    0 => Problem::BadFirstCluster { path: path(), cluster },
                    _ => Problem::BadLink { path: path(), cluster: before, next: cluster },
                });
                return Ok(chain);
            }
            if !self.owned.claim(cluster) {
                let own = self.leads_to(first, chain.clusters, cluster).await?;
                self.problem(match own {
                    true => Problem::Loop { path: path(), cluster },
                    false => Problem::CrossLink { path: path(), cluster },
                });
                return Ok(chain);
            }
            self.followed = self.followed.saturating_add(1);
            if self.followed.is_multiple_of(8192) {
                self.progress(self.summary.clusters);
            }
            chain.clusters = chain.clusters.saturating_add(1);
            match link {
                Link::Next(next) => (before, cluster) = (cluster, next),
                Link::Outside(next) => {
                    self.problem(Problem::BadLink { path: path(), cluster, next });
                    return Ok(chain);
                }
                _ => {
                    chain.whole = true;
                    return Ok(chain);
                }
            }
        }
    }

    /// Whether `wanted` is among the first `clusters` of the chain from `first`.
    async fn leads_to(
        &mut self,
        first: u32,
        clusters: u32,
        wanted: u32,
    ) -> Result<bool, MountError> {
        let mut cluster = first;
        for _ in 0..clusters {
            if cluster == wanted {
                return Ok(true);
            }
            let Link::Next(next) = self.table.link(cluster).await? else {
                break;
            };
            cluster = next;
        }
        Ok(false)
    }
}
