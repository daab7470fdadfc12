//! Symbolic links: small files of exFAT whose bytes are the target. Nothing here follows one: no path leads
//! through it, and it is not opened. Who serves users asks where the first is on the way, and goes on by itself.
use crate::layout::dirent::Dirent;
use crate::layout::entry::ATTR_ARCHIVE;
use crate::layout::metadata::{MOST_OF_TARGET, Metadata};
use crate::layout::posix::Posix;
use crate::space::extents::Extents;
use crate::tree::actor::By;
use crate::tree::lookup::Found;
use crate::tree::path::Parent;
use crate::{BlockDevice, Error, Volume};
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

/// A symbolic link on the way along a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The path up to here leads to it.
    pub end: usize,
    pub target: String,
    pub metadata: Metadata,
}

impl<D: BlockDevice> Volume<D> {
    /// The first symbolic link on the way along a path; with `last` its last name counts, too.
    pub async fn first_link(&self, path: &str, last: bool) -> Result<Option<Link>, Error> {
        if !self.keeps_posix() {
            return Ok(None);
        }
        let _lock = self.memory.lock.shared().await;
        let mut directory = self.root().await?;
        let mut ancestors = Vec::new();
        let most =
            if last { path.len() } else { path.trim_end_matches('/').rfind('/').unwrap_or(0) };
        let mut end = 0usize;
        for name in path.get(..most).unwrap_or_default().split('/') {
            let start = end;
            end = start.saturating_add(name.len());
            let this = end;
            end = end.saturating_add(1);
            if name.is_empty() {
                continue;
            }
            let Some(found) = self.visible(&directory, name).await? else {
                return Ok(None);
            };
            let metadata = self.metadata_of(&found);
            if metadata.is_link() {
                let target = self.target_of(&found).await?;
                return Ok(Some(Link { end: this, target, metadata }));
            }
            if !metadata.is_dir {
                return Ok(None);
            }
            ancestors.push(directory.id);
            directory = self.enter(&found, &ancestors).await?;
        }
        Ok(None)
    }

    /// Where the symbolic link at a path leads.
    ///
    /// # Errors
    /// `NotALink`; `NoLinks` when the volume keeps none; `BadLink` for one whose bytes are no target.
    pub async fn read_link(&self, path: &str) -> Result<Link, Error> {
        self.must_keep_posix()?;
        let _lock = self.memory.lock.shared().await;
        let Some(Parent { directory, name, .. }) = self.parent(path).await? else {
            return Err(Error::NotALink);
        };
        let found = self.visible(&directory, name).await?.ok_or(Error::NotFound)?;
        let metadata = self.metadata_of(&found);
        if !metadata.is_link() {
            return Err(Error::NotALink);
        }
        let target = self.target_of(&found).await?;
        Ok(Link { end: path.len(), target, metadata })
    }

    async fn target_of(&self, found: &Found) -> Result<String, Error> {
        let len = found.entry.len();
        if found.entry.valid_len() < len || len > MOST_OF_TARGET {
            return Err(Error::BadLink);
        }
        let mut target = vec![0; usize::try_from(len).unwrap_or(0)];
        let extents = self.extents_of(&found.entry).await?;
        self.read_data(&extents, 0, &mut target).await?;
        if target.contains(&0) {
            return Err(Error::BadLink);
        }
        String::from_utf8(target).map_err(|_| Error::BadLink)
    }

    /// Makes a symbolic link, which is there with its whole target or not at all. Nothing need be where it
    /// leads to.
    pub async fn create_link_by(
        &self,
        path: &str,
        target: &str,
        owner: (u32, u32),
        by: By<'_>,
    ) -> Result<(), Error> {
        self.must_keep_posix()?;
        if target.is_empty() {
            return Err(Error::NotFound);
        }
        if target.len() as u64 > MOST_OF_TARGET || target.contains('\0') {
            return Err(Error::BadLink);
        }
        let _change = self.change_by(by).await?;
        let Some(Parent { directory, name, .. }) = self.parent(path).await? else {
            return Err(Error::AlreadyExists);
        };
        if self.claimable(&directory, name).await?.is_some() {
            return Err(Error::AlreadyExists);
        }
        let mut entry: Dirent = self.new_entry(ATTR_ARCHIVE);
        entry.set_posix(Some(Posix::link(owner)));
        let mut new = Extents::default();
        let made = self.store(&directory, name, target.as_bytes(), entry, None, &mut new).await;
        if made.is_err() {
            self.free_later(new.runs());
        }
        made?;
        self.touch_directory(&directory).await
    }
}
