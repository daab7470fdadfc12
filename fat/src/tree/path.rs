//! From a path to a directory and a name in it.
use crate::layout::name;
use crate::tree::directory::Directory;
use crate::tree::lookup::Found;
use crate::{BlockDevice, Error, Metadata, Volume};
use alloc::rc::Rc;
use alloc::vec::Vec;

/// The server's own folder in the root directory: no path leads to it.
pub(crate) const SYSTEM_FOLDER: &str = ".mirage-sshfs";

/// Where a path ends.
pub(crate) struct Parent<'a> {
    pub(crate) directory: Rc<Directory>,
    pub(crate) name: &'a str,
    /// The directories passed on the way, `directory` included.
    pub(crate) ancestors: Vec<u32>,
}

impl<D: BlockDevice> Volume<D> {
    /// The directory that holds the last component of a path; nothing for the root itself. The lock
    /// is held.
    pub(crate) async fn parent<'a>(&self, path: &'a str) -> Result<Option<Parent<'a>>, Error> {
        let mut components = path.split('/').filter(|component| !component.is_empty()).peekable();
        let mut directory = self.root().await?;
        let mut ancestors = Vec::new();
        ancestors.push(directory.id);
        while let Some(name) = components.next() {
            if components.peek().is_none() {
                return Ok(Some(Parent { directory, name, ancestors }));
            }
            let found = self.visible(&directory, name).await?.ok_or(Error::NotFound)?;
            directory = self.enter(&found, &ancestors).await?;
            ancestors.push(directory.id);
        }
        Ok(None)
    }

    /// The directory that an entry stands for.
    pub(crate) async fn enter(
        &self,
        found: &Found,
        ancestors: &[u32],
    ) -> Result<Rc<Directory>, Error> {
        if !found.entry.is_dir() {
            return Err(Error::NotADirectory);
        }
        let cluster = found.entry.cluster(self.wide());
        if cluster == 0 || ancestors.contains(&cluster) {
            return Err(self.damage("a directory inside itself"));
        }
        let directory = self.directory_of(cluster, &found.entry).await?;
        directory.spot.set(Some(found.spot()));
        Ok(directory)
    }

    /// Whether this is the server's own folder, by whatever name it was found.
    pub(crate) fn is_reserved(&self, directory: &Directory, name: &str) -> bool {
        directory.id == self.root_id() && self.tree.case().same(name, SYSTEM_FOLDER)
    }

    /// Looks a name up as users may.
    pub(crate) async fn visible(
        &self,
        directory: &Directory,
        name: &str,
    ) -> Result<Option<Found>, Error> {
        let found = self.find(directory, name).await?;
        Ok(found.filter(|found| !self.is_reserved(directory, &found.name)))
    }

    /// Looks a name up that is going to be written.
    pub(crate) async fn claimable(
        &self,
        directory: &Directory,
        name: &str,
    ) -> Result<Option<Found>, Error> {
        name::encode(name)?;
        let found = self.find(directory, name).await?;
        let reserved = |name: &str| self.is_reserved(directory, name);
        if reserved(name) || found.as_ref().is_some_and(|found| reserved(&found.name)) {
            return Err(Error::Reserved);
        }
        Ok(found)
    }

    pub(crate) async fn directory_at(&self, path: &str) -> Result<Rc<Directory>, Error> {
        match self.parent(path).await? {
            None => self.root().await,
            Some(Parent { directory, name, ancestors }) => {
                let found = self.visible(&directory, name).await?.ok_or(Error::NotFound)?;
                self.enter(&found, &ancestors).await
            }
        }
    }

    /// What is known of a file or directory; of an open file what its writers have made of it.
    pub async fn metadata(&self, path: &str) -> Result<Metadata, Error> {
        let _lock = self.memory.lock.shared().await;
        let Some(Parent { directory, name, .. }) = self.parent(path).await? else {
            return Ok(Metadata::root());
        };
        let found = self.visible(&directory, name).await?.ok_or(Error::NotFound)?;
        Ok(self.metadata_of(&found))
    }

    pub(crate) fn metadata_of(&self, found: &Found) -> Metadata {
        self.in_utc(match self.files.at(found.place) {
            Some(node) => node.metadata(),
            None => Metadata::new(&found.entry, found.place),
        })
    }
}
