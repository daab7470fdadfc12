//! Changing time stamps and the read-only attribute, of a path or of an open file.
use crate::file::node::{File, Node};
use crate::tree::actor::By;
use crate::tree::directory::Directory;
use crate::tree::lookup::Found;
use crate::tree::path::Parent;
use crate::tree::posix::{Change, Edit};
use crate::{BlockDevice, Error, Volume};
use alloc::rc::Rc;

impl<D: BlockDevice> Volume<D> {
    /// Sets the times, in Unix seconds, of a file or directory. The root has none to set: a
    /// success that changes nothing.
    pub async fn set_times(
        &self,
        path: &str,
        modified: Option<u64>,
        accessed: Option<u64>,
    ) -> Result<(), Error> {
        self.change_attributes(path, Change::times(modified, accessed), None).await
    }

    /// Sets or clears the read-only attribute of a file or directory.
    pub async fn set_read_only(&self, path: &str, read_only: bool) -> Result<(), Error> {
        let change = Change { read_only: Some(read_only), ..Change::default() };
        self.change_attributes(path, change, None).await
    }

    /// Sets times, the read-only attribute, permission bits and owners, on behalf of one who may change less
    /// than everything. The root has nothing to set.
    pub async fn change_attributes(
        &self,
        path: &str,
        change: Change,
        by: By<'_>,
    ) -> Result<(), Error> {
        self.edit(path, by, Edit::Change(self.on_disk(change)?)).await
    }

    /// As `change_attributes`, of an open file; what is open for writing stays so.
    pub async fn change_file(&self, file: &File, change: Change) -> Result<(), Error> {
        self.edit_file(file, Edit::Change(self.on_disk(change)?)).await
    }

    /// As `set_times`, of an open file.
    pub async fn set_file_times(
        &self,
        file: &File,
        modified: Option<u64>,
        accessed: Option<u64>,
    ) -> Result<(), Error> {
        self.change_file(file, Change::times(modified, accessed)).await
    }

    /// With its times as stamps on the disk say them.
    fn on_disk(&self, change: Change) -> Result<Change, Error> {
        if change.posix.is_some() {
            self.must_keep_posix()?;
        }
        let stamp = |unix: Option<u64>| unix.map(|unix| self.to_stamp(unix));
        Ok(Change { modified: stamp(change.modified), accessed: stamp(change.accessed), ..change })
    }

    async fn edit(&self, path: &str, by: By<'_>, change: Edit) -> Result<(), Error> {
        let _change = self.change_by(by).await?;
        let Some(Parent { directory, name, .. }) = self.parent(path).await? else {
            return Ok(());
        };
        let found = self.visible(&directory, name).await?.ok_or(Error::NotFound)?;
        self.tree.actors.may_change(Some(found.place), by)?;
        self.tree.actors.touched(found.place, by);
        self.edit_found(&directory, &found, change).await
    }

    /// Changes what an entry says, or the node of a file that is open. The lock is held exclusively.
    pub(crate) async fn edit_found(
        &self,
        directory: &Rc<Directory>,
        found: &Found,
        change: Edit,
    ) -> Result<(), Error> {
        match self.files.at(found.place) {
            Some(node) => self.edit_node(&node, Some((directory, found)), change).await,
            None => {
                let mut entry = found.entry;
                change.apply(&mut entry);
                self.rewrite(directory, found, entry).await.map(drop)
            }
        }
    }

    async fn edit_file(&self, file: &File, change: Edit) -> Result<(), Error> {
        // After the writes that are under way, whose time stamp would overwrite this one.
        let _lock = file.node.lock.exclusive().await;
        let _change = self.change_by(file.by.as_ref()).await?;
        self.may_change_file(file)?;
        let (place, home) = {
            let state = file.node.state.borrow();
            (state.place, state.home.clone())
        };
        if let Some(place) = place {
            self.tree.actors.touched(place, file.by.as_ref());
        }
        let found = match (place, &home) {
            (Some(place), Some(home)) => self.set_at_place(home, place).await?,
            _ => None,
        };
        let there = home.as_ref().zip(found.as_ref());
        self.edit_node(&file.node, there, change).await
    }

    /// Changes what a node says. Where an entry is on the disk it is `there`, and moves when it needs another
    /// place.
    async fn edit_node(
        &self,
        node: &Rc<Node>,
        there: Option<(&Rc<Directory>, &Found)>,
        change: Edit,
    ) -> Result<(), Error> {
        let (entry, has_posix) = {
            let state = node.state.borrow();
            let mut entry = state.entry;
            change.apply(&mut entry);
            (state.settled_as(entry), state.entry.has_posix())
        };
        let moved = match there {
            Some((directory, found)) if entry.has_posix() != has_posix => {
                Some((directory, found, self.rewrite(directory, found, entry).await?))
            }
            None if entry.has_posix() != has_posix && !node.is_orphan() => {
                return Err(self.damage("an open file without its entry"));
            }
            _ => None,
        };
        let mut state = node.state.borrow_mut();
        // Once more: a write may have set the time meanwhile.
        change.apply(&mut state.entry);
        self.soil(node, &mut state);
        drop(state);
        if let Some((directory, found, new)) = moved {
            self.files.moved(found.place, new.place, &new.entry, self.home(directory));
        }
        Ok(())
    }
}
