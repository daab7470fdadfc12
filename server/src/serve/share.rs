//! The volume as SFTP sees it: paths and attributes one way, errors and status codes the other.
use crate::keys::access::Access;
use crate::limits::Reserve;
use crate::shown::Shown;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::Cell;
use fat::{
    Actor, BlockDevice, Change, DirEntry, Error, FatKind, Metadata, OpenOptions, Posix, Volume,
};
use sftp::{Attributes, Files, Link, Name, OpenFlags, StatVfs, Status, StatusCode, give_way};

const S_IFDIR: u32 = 0o040_000;
const S_IFREG: u32 = 0o100_000;
const S_IFLNK: u32 = 0o120_000;

/// `ST_RDONLY` and `ST_NOSUID` of statvfs@openssh.com.
const ST_RDONLY: u64 = 1;
const ST_NOSUID: u64 = 2;

const NOT_ITS_OWN: Status =
    Status::new(StatusCode::PermissionDenied, "this key sees only what it adds");

/// The volume, or a folder of it, as one user may see and change it.
pub struct Share<D> {
    volume: Rc<Volume<D>>,
    access: Access,
    shown: Shown,
    /// In whose name the volume is changed; none may change everything.
    actor: Option<Rc<Actor>>,
}

pub struct Dir {
    dir: fat::Dir,
    path: String,
    dots_told: Cell<bool>,
}

impl<D: BlockDevice> Share<D> {
    pub fn new(volume: Rc<Volume<D>>, access: Access, shown: Shown) -> Self {
        let actor = access.add_only.then(|| volume.actor(true, 0));
        Self { volume, access, shown, actor }
    }

    /// Leaves the part of the volume free that is only for those without restrictions.
    pub fn with_reserve(mut self, reserve: Reserve) -> Self {
        if !self.access.is_unrestricted() {
            self.actor = Some(reserve.actor(&self.volume, self.access.add_only));
        }
        self
    }

    fn by(&self) -> Option<&Rc<Actor>> {
        self.actor.as_ref()
    }

    /// The user's path as the volume's. It has no `..`, so it stays below the user's root.
    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.access.root)
    }

    /// As `at`, of what is opened as a file or changed. The user's root is neither a file nor the
    /// user's to change, no more than the volume's: that is named in its place.
    fn entry(&self, path: &str) -> String {
        if path == "/" { path.into() } else { self.at(path) }
    }

    /// As `entry`, when the user may change anything.
    fn entry_to_change(&self, path: &str) -> Result<String, Status> {
        let entry = self.entry(path);
        let denied = |why| Status::new(StatusCode::PermissionDenied, why);
        self.access.may_change(&entry).map_err(denied)?;
        Ok(entry)
    }

    /// Fails when the user may not know of what was found.
    fn check_seen(&self, found: &Metadata) -> Result<(), Status> {
        let own = || self.by().is_some_and(|actor| actor.has_made(found));
        if self.access.write_only && !own() { Err(NOT_ITS_OWN) } else { Ok(()) }
    }

    /// What is known of what the user may know of; of his root always.
    async fn seen(&self, path: &str) -> Result<Metadata, Status> {
        let found = self.volume.metadata(&self.at(path)).await.map_err(status)?;
        if path != "/" {
            self.check_seen(&found)?;
        }
        Ok(found)
    }

    /// What is kept of attributes, but for a size. A volume that keeps no owner and no mode keeps the owner's
    /// write bit: the rest is accepted, because clients take a refusal for a failed upload.
    fn change(&self, attributes: &Attributes) -> Change {
        let Attributes { owner, permissions, times, .. } = *attributes;
        let keeps = self.volume.keeps_posix();
        Change {
            modified: times.map(|(_, modified)| modified.into()),
            accessed: times.map(|(accessed, _)| accessed.into()),
            read_only: permissions.filter(|_| !keeps).map(read_only),
            posix: (keeps && (owner.is_some() || permissions.is_some()))
                .then(|| (permissions, owner, self.shown.plain())),
        }
    }

    /// What a file that is made gets, as open(2) has it, and what it would have without.
    fn new_posix(&self, attributes: &Attributes) -> (Posix, Posix) {
        let plain = self.shown.plain();
        let Shown { umask, fmask, .. } = self.shown;
        let mode = attributes.permissions.unwrap_or(0o666) & !fmask.unwrap_or(umask);
        let (uid, gid) = attributes.owner.unwrap_or((plain.uid, plain.gid));
        (Posix::file(mode, uid, gid), plain)
    }

    /// As Linux' vfat shows what has no modes: any file may be run. What is kept is shown as it is.
    fn attributes_of(&self, metadata: &Metadata) -> Attributes {
        let Shown { uid, gid, umask, fmask, dmask } = self.shown;
        let most = if self.volume.keeps_posix() { 0o666 } else { 0o777 };
        let mode = match (metadata.posix, metadata.is_dir, metadata.read_only) {
            // A directory's read-only bit means nothing in FAT.
            (_, true, _) => S_IFDIR | 0o777 & !dmask.unwrap_or(umask),
            (Some(_), ..) if metadata.is_link() => S_IFLNK | 0o777,
            (Some(posix), ..) => S_IFREG | posix.permissions(),
            (None, _, false) => S_IFREG | most & !fmask.unwrap_or(umask),
            (None, _, true) => S_IFREG | most & 0o555 & !fmask.unwrap_or(umask),
        };
        let (uid, gid) = metadata.posix.map_or((uid, gid), |posix| (posix.uid, posix.gid));
        let seconds = |t: u64| u32::try_from(t).unwrap_or(u32::MAX);
        Attributes {
            size: Some(metadata.len),
            owner: Some((uid, gid)),
            permissions: Some(mode),
            times: Some((seconds(metadata.accessed), seconds(metadata.modified))),
        }
    }
}

impl<D: BlockDevice> Files for Share<D> {
    type File = fat::File;
    type Dir = Dir;

    fn now(&self) -> u64 {
        self.volume.now()
    }

    async fn open(
        &self,
        path: &str,
        flags: OpenFlags,
        attributes: &Attributes,
    ) -> Result<fat::File, Status> {
        let create = flags.contains(OpenFlags::CREAT);
        let options = OpenOptions {
            read: flags.contains(OpenFlags::READ),
            write: flags.intersects(OpenFlags::WRITE | OpenFlags::APPEND),
            create,
            create_new: create && flags.contains(OpenFlags::EXCL),
            truncate: flags.contains(OpenFlags::TRUNC),
            posix: Some(self.new_posix(attributes)),
        };
        // Of the times of a new file nothing is taken: clients set those when they have written it.
        let entry = match options.write || create || options.truncate {
            true => self.entry_to_change(path)?,
            false => self.entry(path),
        };
        let file = self.volume.open_by(&entry, &options, self.by()).await.map_err(status)?;
        if options.read {
            self.check_seen(&self.volume.file_metadata(&file))?;
        }
        Ok(file)
    }

    async fn read(&self, file: &fat::File, offset: u64, buf: &mut [u8]) -> Result<usize, Status> {
        let read = self.volume.read(file, offset, buf).await.map_err(status)?;
        // Now, so that what somebody else wrote meanwhile is not told.
        self.check_seen(&self.volume.file_metadata(file))?;
        Ok(read)
    }

    async fn write(&self, file: &fat::File, offset: u64, data: &[u8]) -> Result<(), Status> {
        self.volume.write(file, offset, data).await.map_err(write_status)
    }

    async fn append(&self, file: &fat::File, data: &[u8]) -> Result<(), Status> {
        self.volume.append(file, data).await.map_err(write_status)
    }

    async fn close(&self, file: fat::File) -> Result<(), Status> {
        file.close().map_err(status)
    }

    fn is_same_file(&self, a: &fat::File, b: &fat::File) -> bool {
        a.is_same_as(b)
    }

    async fn stat(&self, path: &str) -> Result<Attributes, Status> {
        Ok(self.attributes_of(&self.seen(path).await?))
    }

    fn has_links(&self) -> Result<(), Status> {
        let why = match self.volume.geometry().kind {
            _ if self.volume.keeps_posix() => return Ok(()),
            FatKind::ExFat => "this volume keeps no symbolic links: `fat posix` has it keep them",
            _ => "FAT has no symbolic links",
        };
        Err(Status::new(StatusCode::OpUnsupported, why))
    }

    async fn first_link(&self, path: &str, last: bool) -> Result<Option<Link>, Status> {
        let link = self.volume.first_link(&self.at(path), last).await.map_err(status)?;
        let Some(fat::Link { end, target, metadata }) = link else {
            return Ok(None);
        };
        // A link in the place of the user's root, or above it, leads nowhere.
        let Some(end) = end.checked_sub(self.access.root.len()).filter(|end| *end > 0) else {
            return Ok(None);
        };
        self.check_seen(&metadata)?;
        Ok(Some(Link { end, target }))
    }

    async fn read_link(&self, path: &str) -> Result<String, Status> {
        let link = self.volume.read_link(&self.entry(path)).await.map_err(status)?;
        self.check_seen(&link.metadata)?;
        Ok(link.target)
    }

    async fn make_link(&self, path: &str, target: &str) -> Result<(), Status> {
        let entry = self.entry_to_change(path)?;
        let owner = (self.shown.uid, self.shown.gid);
        self.volume.create_link_by(&entry, target, owner, self.by()).await.map_err(status)
    }

    async fn fstat(&self, file: &fat::File) -> Result<Attributes, Status> {
        let found = self.volume.file_metadata(file);
        self.check_seen(&found)?;
        Ok(self.attributes_of(&found))
    }

    async fn setstat(&self, path: &str, attributes: &Attributes) -> Result<(), Status> {
        let (shown, by) = (path, self.by());
        let path = &self.entry_to_change(path)?;
        if let Some(size) = attributes.size {
            let options = OpenOptions { write: true, ..OpenOptions::default() };
            let file = self.volume.open_by(path, &options, by).await.map_err(status)?;
            self.volume.set_len(&file, size).await.map_err(status)?;
        }
        let change = self.change(attributes);
        match change.is_none() {
            true if attributes.size.is_none() => self.seen(shown).await.map(drop),
            true => Ok(()),
            false => self.volume.change_attributes(path, change, by).await.map_err(status),
        }
    }

    async fn fsetstat(&self, file: &fat::File, attributes: &Attributes) -> Result<(), Status> {
        self.entry_to_change("/")?;
        if let Some(size) = attributes.size {
            self.volume.set_len(file, size).await.map_err(status)?;
        }
        let change = self.change(attributes);
        match change.is_none() {
            true => Ok(()),
            false => self.volume.change_file(file, change).await.map_err(status),
        }
    }

    async fn opendir(&self, path: &str) -> Result<Dir, Status> {
        self.seen(path).await?;
        let path = self.at(path);
        let dir = self.volume.open_dir(&path).await.map_err(status)?;
        Ok(Dir { dir, path, dots_told: Cell::new(false) })
    }

    async fn readdir(&self, dir: &Dir, most: usize) -> Result<Vec<Name>, Status> {
        let mut names = Vec::new();
        if !dir.dots_told.replace(true) {
            let own = self.volume.metadata(&dir.path).await.map_err(status)?;
            for name in [".", ".."] {
                names.push(Name { name: name.into(), attributes: self.attributes_of(&own) });
            }
        }
        loop {
            let entries = self.volume.read_dir(&dir.dir, most).await.map_err(status)?;
            let is_end = entries.is_empty();
            let seen = entries.into_iter().filter(|entry| self.check_seen(&entry.metadata).is_ok());
            names.extend(seen.map(|DirEntry { name, metadata }| Name {
                name,
                attributes: self.attributes_of(&metadata),
            }));
            // None at all would say that it is the end.
            if is_end || !names.is_empty() {
                return Ok(names);
            }
            give_way().await;
        }
    }

    async fn remove(&self, path: &str) -> Result<(), Status> {
        let entry = self.entry_to_change(path)?;
        self.volume.remove_file_by(&entry, self.by()).await.map_err(status)
    }

    async fn mkdir(&self, path: &str, _attributes: &Attributes) -> Result<(), Status> {
        let entry = self.entry_to_change(path)?;
        self.volume.create_dir_by(&entry, self.by()).await.map_err(status)
    }

    async fn rmdir(&self, path: &str) -> Result<(), Status> {
        let entry = self.entry_to_change(path)?;
        self.volume.remove_dir_by(&entry, self.by()).await.map_err(status)
    }

    async fn rename(&self, from: &str, to: &str, replace: bool) -> Result<(), Status> {
        let (from, to) = (self.entry_to_change(from)?, self.entry_to_change(to)?);
        self.volume.rename_by(&from, &to, replace, self.by()).await.map_err(status)
    }

    async fn statvfs(&self) -> Result<StatVfs, Status> {
        let space = self.volume.space().await.map_err(status)?;
        let keeps = self.by().map_or(0, |actor| actor.keeps());
        let left = space.free_clusters.saturating_sub(keeps);
        let read_only = self.access.read_only || self.volume.read_only().is_some();
        Ok(StatVfs {
            block_size: space.cluster_size.into(),
            fragment_size: space.cluster_size.into(),
            blocks: space.total_clusters.into(),
            blocks_free: space.free_clusters.into(),
            blocks_available: left.into(),
            // FAT has no inodes: a file needs a cluster and a place in its directory.
            files: space.total_clusters.into(),
            files_free: space.free_clusters.into(),
            files_available: left.into(),
            id: self.volume.geometry().volume_id.into(),
            flags: if read_only { ST_RDONLY | ST_NOSUID } else { ST_NOSUID },
            name_max: 255,
        })
    }

    async fn fsync(&self, file: &fat::File) -> Result<(), Status> {
        self.volume.sync_file(file).await.map_err(status)
    }
}

fn read_only(mode: u32) -> bool {
    mode & 0o200 == 0
}

/// Status codes are the user interface: sshfs shows the user an errno made of the code alone.
fn status(error: Error) -> Status {
    let (code, message) = match error {
        Error::NotFound => (StatusCode::NoSuchFile, ""),
        Error::NotADirectory => (StatusCode::NoSuchFile, "not a directory"),
        Error::ReadOnly => (StatusCode::PermissionDenied, "the volume is read-only"),
        Error::ReadOnlyFile => (StatusCode::PermissionDenied, "the file is read-only"),
        Error::NotOpenForThis => (StatusCode::PermissionDenied, "the file is not open for this"),
        Error::NotMade => (
            StatusCode::PermissionDenied,
            "this key may only add: it was there before, or others have touched it",
        ),
        Error::Reserved => (StatusCode::PermissionDenied, "the name is the server's own"),
        Error::Root => (StatusCode::PermissionDenied, "the root directory cannot be changed"),
        Error::NameInvalid => (StatusCode::BadMessage, "the name cannot be kept"),
        Error::NameTooLong => (StatusCode::BadMessage, "the name is too long"),
        Error::AlreadyExists => (StatusCode::Failure, "it exists already"),
        Error::NotEmpty => (StatusCode::Failure, "the directory is not empty"),
        Error::IsADirectory => (StatusCode::Failure, "it is a directory"),
        Error::IntoItself => (StatusCode::Failure, "a directory cannot be moved into itself"),
        Error::NoSpace => (StatusCode::NoSpaceOnFilesystem, "no space left on the volume"),
        Error::FolderFull => (
            StatusCode::NoSpaceOnFilesystem,
            "the folder is full: FAT has 65,536 places in one, and a long name takes 2 to 21",
        ),
        Error::RootFull => (
            StatusCode::NoSpaceOnFilesystem,
            "the root folder is full: on FAT12 and FAT16 its size is fixed, other folders have room",
        ),
        Error::TooLarge => (StatusCode::Failure, "FAT files end at 4 GiB - 1 byte"),
        Error::IsALink => (StatusCode::Failure, "it is a symbolic link"),
        // EINVAL, as OpenSSH has it.
        Error::NotALink => (StatusCode::BadMessage, "not a symbolic link"),
        Error::BadLink => (StatusCode::BadMessage, "no target of a symbolic link"),
        Error::NoLinks => (StatusCode::OpUnsupported, "the volume keeps no symbolic links"),
        Error::TooManyExtents => (StatusCode::Failure, "the file is too fragmented"),
        Error::Damaged(_) => (StatusCode::NoMedia, "the volume is damaged"),
        Error::Device(_) => (StatusCode::NoMedia, "the disk reported an error"),
    };
    Status { code, message }
}

/// sshfs makes EIO of any code for a WRITE, so here the plain `Failure` is enough for it, and the
/// programs that show their user the code know that one.
fn write_status(error: Error) -> Status {
    let status = status(error);
    match status.code {
        StatusCode::NoSpaceOnFilesystem => Status { code: StatusCode::Failure, ..status },
        _ => status,
    }
}
