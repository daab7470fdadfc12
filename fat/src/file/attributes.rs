//! Changing time stamps and the read-only attribute, of a path or of an open file.
use crate::file::node::File;
use crate::layout::dirent::Dirent;
use crate::layout::entry::ATTR_READ_ONLY;
use crate::tree::actor::By;
use crate::tree::path::Parent;
use crate::{BlockDevice, Error, Volume};

impl<D: BlockDevice> Volume<D> {
    /// Sets the times, in Unix seconds, of a file or directory. The root has none to set: a
    /// success that changes nothing.
    pub async fn set_times(
        &self,
        path: &str,
        modified: Option<u64>,
        accessed: Option<u64>,
    ) -> Result<(), Error> {
        self.set_times_by(path, modified, accessed, None).await
    }

    /// As `set_times`, on behalf of one who may change less than everything.
    pub async fn set_times_by(
        &self,
        path: &str,
        modified: Option<u64>,
        accessed: Option<u64>,
        by: By<'_>,
    ) -> Result<(), Error> {
        let stamp = |unix: Option<u64>| unix.map(|unix| self.to_stamp(unix));
        self.edit(path, by, |entry| set_times(entry, stamp(modified), stamp(accessed))).await
    }

    /// Sets or clears the read-only attribute of a file or directory.
    pub async fn set_read_only(&self, path: &str, read_only: bool) -> Result<(), Error> {
        self.set_read_only_by(path, read_only, None).await
    }

    /// As `set_read_only`, on behalf of one who may change less than everything.
    pub async fn set_read_only_by(
        &self,
        path: &str,
        read_only: bool,
        by: By<'_>,
    ) -> Result<(), Error> {
        self.edit(path, by, |entry| set_read_only(entry, read_only)).await
    }

    /// As `set_times`, of an open file.
    pub async fn set_file_times(
        &self,
        file: &File,
        modified: Option<u64>,
        accessed: Option<u64>,
    ) -> Result<(), Error> {
        let stamp = |unix: Option<u64>| unix.map(|unix| self.to_stamp(unix));
        self.edit_file(file, |entry| set_times(entry, stamp(modified), stamp(accessed))).await
    }

    /// As `set_read_only`, of an open file; what is open for writing stays so.
    pub async fn set_file_read_only(&self, file: &File, read_only: bool) -> Result<(), Error> {
        self.edit_file(file, |entry| set_read_only(entry, read_only)).await
    }

    async fn edit(
        &self,
        path: &str,
        by: By<'_>,
        change: impl FnOnce(&mut Dirent),
    ) -> Result<(), Error> {
        let _change = self.change_by(by).await?;
        let Some(Parent { directory, name, .. }) = self.parent(path).await? else {
            return Ok(());
        };
        let mut found = self.visible(&directory, name).await?.ok_or(Error::NotFound)?;
        self.tree.actors.may_change(Some(found.place), by)?;
        self.tree.actors.touched(found.place, by);
        let node = self.files.at(found.place);
        match node {
            Some(node) => {
                let mut state = node.state.borrow_mut();
                change(&mut state.entry);
                self.soil(&node, &mut state);
                Ok(())
            }
            None => {
                change(&mut found.entry);
                self.write_entry(found.place, &found.entry).await
            }
        }
    }

    async fn edit_file(&self, file: &File, change: impl FnOnce(&mut Dirent)) -> Result<(), Error> {
        // After the writes that are under way, whose time stamp would overwrite this one.
        let _lock = file.node.lock.exclusive().await;
        let _change = self.change_by(file.by.as_ref()).await?;
        self.may_change_file(file)?;
        let mut state = file.node.state.borrow_mut();
        if let Some(place) = state.place {
            self.tree.actors.touched(place, file.by.as_ref());
        }
        change(&mut state.entry);
        self.soil(&file.node, &mut state);
        Ok(())
    }
}

fn set_times(entry: &mut Dirent, modified: Option<u64>, accessed: Option<u64>) {
    if let Some(modified) = modified {
        entry.set_modified(modified);
    }
    if let Some(accessed) = accessed {
        entry.set_accessed(accessed);
    }
}

fn set_read_only(entry: &mut Dirent, read_only: bool) {
    let attributes = entry.attributes() & !ATTR_READ_ONLY;
    entry.set_attributes(if read_only { attributes | ATTR_READ_ONLY } else { attributes });
}
