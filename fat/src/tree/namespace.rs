//! Making directories, removing files and directories.
use crate::layout::dirent::Dirent;
use crate::layout::entry::{ATTR_DIRECTORY, SLOT};
use crate::space::extents::Extents;
use crate::space::pending::Freed;
use crate::tree::actor::By;
use crate::tree::directory::Directory;
use crate::tree::lookup::Found;
use crate::tree::path::Parent;
use crate::{BlockDevice, Error, Volume};

impl<D: BlockDevice> Volume<D> {
    /// Makes an empty directory; its parent must exist.
    pub async fn create_dir(&self, path: &str) -> Result<(), Error> {
        self.create_dir_by(path, None).await
    }

    /// As `create_dir`, on behalf of one who may change less than everything.
    pub async fn create_dir_by(&self, path: &str, by: By<'_>) -> Result<(), Error> {
        let _change = self.change_by(by).await?;
        let Some(Parent { directory, name, .. }) = self.parent(path).await? else {
            return Err(Error::AlreadyExists);
        };
        if self.claimable(&directory, name).await?.is_some() {
            return Err(Error::AlreadyExists);
        }
        self.make_dir(&directory, name, ATTR_DIRECTORY).await?;
        self.touch_directory(&directory).await
    }

    /// Makes a directory under a name that is not there. The lock is held exclusively.
    pub(crate) async fn make_dir(
        &self,
        parent: &Directory,
        name: &str,
        attributes: u8,
    ) -> Result<Found, Error> {
        let new = self.directory_cluster(None).await?;
        let mut entry = self.new_entry(attributes);
        let mut head = [0; 2 * SLOT];
        match &mut entry {
            Dirent::Fat(entry) => {
                entry.set_cluster(new.first());
                entry.set_name(*b".          ", 0);
                let mut above = *entry;
                above.set_name(*b"..         ", 0);
                above.set_cluster(self.dots_cluster(parent));
                head.copy_from_slice([entry.0, above.0].as_flattened());
            }
            Dirent::ExFat(set) => {
                let size = self.geometry.cluster_size.into();
                set.set_data(new.first(), size, size, true);
            }
        }
        let made = match self.write_cluster(new.first(), &head).await {
            Ok(()) => self.insert(parent, name, entry).await,
            Err(error) => Err(error),
        };
        if made.is_err() {
            self.free_later(new.runs());
        }
        made
    }

    /// What `..` says in a directory inside this one: 0 for the root.
    pub(crate) fn dots_cluster(&self, parent: &Directory) -> u32 {
        if parent.id == self.root_id() { 0 } else { parent.id }
    }

    /// Removes a file, also one with the read-only attribute, as POSIX does. Who has it open keeps
    /// it; its clusters become free when the last `File` is dropped.
    pub async fn remove_file(&self, path: &str) -> Result<(), Error> {
        self.remove_file_by(path, None).await
    }

    /// As `remove_file`, on behalf of one who may change less than everything.
    pub async fn remove_file_by(&self, path: &str, by: By<'_>) -> Result<(), Error> {
        let _change = self.change_by(by).await?;
        let Some(Parent { directory, name, .. }) = self.parent(path).await? else {
            return Err(Error::IsADirectory);
        };
        let found = self.visible(&directory, name).await?.ok_or(Error::NotFound)?;
        self.tree.actors.may_change(Some(found.place), by)?;
        self.remove_found(&directory, &found).await
    }

    /// Removes the entry of a file. The data stay until the last open `File` is dropped.
    pub(crate) async fn remove_found(
        &self,
        directory: &Directory,
        found: &Found,
    ) -> Result<(), Error> {
        if found.entry.is_dir() {
            return Err(Error::IsADirectory);
        }
        let clusters = self.clusters_to_free(found).await?;
        self.free_others(&found.entry).await?;
        self.erase(directory, found).await?;
        self.unlink_node(found.place, &clusters);
        self.touch_directory(directory).await
    }

    /// The clusters of a file that nobody has open.
    pub(crate) async fn clusters_to_free(&self, found: &Found) -> Result<Freed, Error> {
        let first = found.entry.cluster(self.wide());
        if first == 0 || self.files.at(found.place).is_some() {
            return Ok(Freed::Runs(Extents::default()));
        }
        match self.extents_of(&found.entry).await {
            Err(Error::TooManyExtents) => {
                let count = found.entry.len().div_ceil(self.geometry.cluster_size.max(1).into());
                let count = u32::try_from(count).unwrap_or(u32::MAX);
                Ok(Freed::Chain(first, count))
            }
            chain => Ok(Freed::Runs(chain?)),
        }
    }

    /// Parts a file from its entry: an open one lives on without a name.
    pub(crate) fn unlink_node(&self, place: u64, clusters: &Freed) {
        if !self.files.unlink(place) {
            self.free_file(clusters);
        }
    }

    /// Removes an empty directory.
    pub async fn remove_dir(&self, path: &str) -> Result<(), Error> {
        self.remove_dir_by(path, None).await
    }

    /// As `remove_dir`, on behalf of one who may change less than everything.
    pub async fn remove_dir_by(&self, path: &str, by: By<'_>) -> Result<(), Error> {
        let _change = self.change_by(by).await?;
        let Some(Parent { directory, name, ancestors }) = self.parent(path).await? else {
            return Err(Error::Root);
        };
        let found = self.visible(&directory, name).await?.ok_or(Error::NotFound)?;
        self.tree.actors.may_change(Some(found.place), by)?;
        let removed = self.enter(&found, &ancestors).await?;
        if !self.is_empty(&removed).await? {
            return Err(Error::NotEmpty);
        }
        self.free_others(&found.entry).await?;
        self.erase(&directory, &found).await?;
        self.forget(&removed);
        self.touch_directory(&directory).await
    }

    pub(crate) async fn is_empty(&self, directory: &Directory) -> Result<bool, Error> {
        Ok(self.next_entry(directory, &mut 0).await?.is_none())
    }

    /// The entries of orphans that were closed meanwhile go for good.
    pub(crate) fn sweep_orphans(&self) {
        for node in self.files.take_closed_orphans() {
            self.free_later(&node.take_clusters());
        }
    }

    /// Sets the entry of a directory, which starts at `cluster`, that says where it lies. exFAT has none.
    pub(crate) async fn set_dots(&self, cluster: u32, parent: &Directory) -> Result<(), Error> {
        if self.is_exfat() {
            return Ok(());
        }
        let place = self.cluster_offset(cluster).saturating_add(32);
        let mut dots = self.read_entry(place).await?;
        if dots.name() == *b"..         " {
            dots.set_cluster(self.dots_cluster(parent));
            self.write_slot(place, &dots).await?;
        }
        Ok(())
    }
}
