//! Moving files and directories.
use crate::layout::dirent::Dirent;
use crate::tree::actor::By;
use crate::tree::lookup::Found;
use crate::tree::path::Parent;
use crate::{BlockDevice, Error, Volume};

impl<D: BlockDevice> Volume<D> {
    /// Moves a file or directory. With `replace` an existing file at `to`, or an empty directory
    /// when a directory is moved, makes way for it in the same moment, as POSIX asks; its name keeps
    /// the case it had. Without, it is an error. A new spelling of the same name is always allowed.
    pub async fn rename(&self, from: &str, to: &str, replace: bool) -> Result<(), Error> {
        self.rename_by(from, to, replace, None).await
    }

    /// As `rename`, on behalf of one who may change less than everything: both what moves, with all that
    /// is in it, and what makes way must be his.
    pub async fn rename_by(
        &self,
        from: &str,
        to: &str,
        replace: bool,
        by: By<'_>,
    ) -> Result<(), Error> {
        let _change = self.change_by(by).await?;
        let source = self.parent(from).await?.ok_or(Error::Root)?;
        let target = self.parent(to).await?.ok_or(Error::Root)?;
        let found = self.visible(&source.directory, source.name).await?.ok_or(Error::NotFound)?;
        let occupied = self.claimable(&target.directory, target.name).await?;
        if found.entry.is_dir() && target.ancestors.contains(&found.entry.cluster(self.wide())) {
            return Err(Error::IntoItself);
        }
        if occupied.is_some()
            && !replace
            && occupied.as_ref().map(|there| there.place) != Some(found.place)
        {
            return Err(Error::AlreadyExists);
        }
        self.may_move(&found, &source.ancestors, by).await?;
        match occupied {
            Some(there) if there.place == found.place => {
                if found.name == target.name {
                    return Ok(());
                }
                self.move_entry(&source, &found, &target).await?;
            }
            Some(there) => {
                self.tree.actors.may_change(Some(there.place), by)?;
                self.replace(&source, &found, &target, &there).await?;
                self.tree.actors.touched(there.place, by);
            }
            None => self.move_entry(&source, &found, &target).await?,
        }
        self.touch_directory(&source.directory).await?;
        self.touch_directory(&target.directory).await
    }

    /// The entry with what an open file knows better.
    fn current(&self, found: &Found) -> Dirent {
        self.files.at(found.place).map_or(found.entry, |node| node.settled())
    }

    async fn move_entry(
        &self,
        source: &Parent<'_>,
        found: &Found,
        target: &Parent<'_>,
    ) -> Result<(), Error> {
        let entry = self.current(found);
        let same = source.directory.id == target.directory.id;
        let new = match self.insert(&target.directory, target.name, entry).await {
            // The slots of the old name may do.
            Err(Error::NoSpace | Error::FolderFull | Error::RootFull)
                if same && !Self::has_others(&entry) =>
            {
                self.erase(&source.directory, found).await?;
                match self.insert(&target.directory, target.name, entry).await {
                    Ok(new) => return self.moved(found, &new, target, false).await,
                    Err(error) => {
                        let old = self.insert(&source.directory, &found.name, entry).await?;
                        self.moved(found, &old, source, false).await?;
                        return Err(error);
                    }
                }
            }
            inserted => inserted?,
        };
        self.erase(&source.directory, found).await?;
        self.moved(found, &new, target, !same).await
    }

    /// Rewrites the target's short entry in place: one sector says who owns the name.
    async fn replace(
        &self,
        source: &Parent<'_>,
        found: &Found,
        target: &Parent<'_>,
        there: &Found,
    ) -> Result<(), Error> {
        let mut entry = self.current(found);
        let others = Self::has_others(&entry) || Self::has_others(&there.entry);
        if !others {
            entry.take_name(&there.entry);
        }
        let new;
        match (found.entry.is_dir(), there.entry.is_dir()) {
            (true, false) => return Err(Error::NotADirectory),
            (false, true) => return Err(Error::IsADirectory),
            (true, true) => {
                let replaced = self.enter(there, &target.ancestors).await?;
                // An ancestor of the source cannot be empty.
                if !self.is_empty(&replaced).await? {
                    return Err(Error::NotEmpty);
                }
                new = self.put_over(target, there, entry, others).await?;
                self.forget(&replaced);
            }
            (false, false) => {
                let clusters = self.clusters_to_free(there).await?;
                new = self.put_over(target, there, entry, others).await?;
                self.unlink_node(there.place, &clusters);
            }
        }
        self.erase(&source.directory, found).await?;
        self.moved(found, &new, target, source.directory.id != target.directory.id).await
    }

    /// Puts an entry in the place of another. With `others` either has more than its name: a new set
    /// takes along what is its own, and what the old one had goes.
    async fn put_over(
        &self,
        target: &Parent<'_>,
        there: &Found,
        entry: Dirent,
        others: bool,
    ) -> Result<Found, Error> {
        if !others {
            self.write_entry(there.place, &entry).await?;
            return Ok(Found { entry, ..there.clone() });
        }
        let new = self.insert(&target.directory, &there.name, entry).await?;
        self.free_others(&there.entry).await?;
        self.erase(&target.directory, there).await?;
        Ok(new)
    }

    /// Takes along what belongs to a moved entry: the open file, the `..` of a directory.
    async fn moved(
        &self,
        old: &Found,
        new: &Found,
        target: &Parent<'_>,
        dots: bool,
    ) -> Result<(), Error> {
        self.files.moved(old.place, new.place, &new.entry, self.home(&target.directory));
        if new.entry.is_dir() {
            self.tree.moved(new);
        }
        if dots && new.entry.is_dir() {
            self.set_dots(new.entry.cluster(self.wide()), &target.directory).await?;
        }
        Ok(())
    }
}
