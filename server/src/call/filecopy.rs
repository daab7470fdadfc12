//! `qubes.Filecopy`: what `qvm-copy` sends goes into `/QubesIncoming/<source>/`. Nothing that is
//! there is replaced, and of a file that did not come whole nothing stays.
use super::line::{SharedLine, read, write};
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use core::fmt;
use fat::{Actor, BlockDevice, Change, Error, File, OpenOptions, Posix, Volume};
use log::{info, warn};
use qubes::filecopy::{Event, Receiver, Refused, errno};
use qubes::qrexec::exit;
use sftp::give_way;

const INCOMING: &str = "/QubesIncoming";

/// Why a copy ended before its end.
enum Failure {
    Refused(Refused),
    Volume(Error),
    Gone,
}

impl Failure {
    fn errno(&self) -> u32 {
        match self {
            Self::Refused(refused) => refused.errno,
            Self::Gone => errno::EREMOTEIO,
            Self::Volume(error) => match error {
                Error::NotFound => errno::ENOENT,
                Error::NotADirectory => errno::ENOTDIR,
                Error::IsADirectory => errno::EISDIR,
                Error::AlreadyExists => errno::EEXIST,
                Error::NoSpace | Error::FolderFull | Error::RootFull => errno::ENOSPC,
                Error::TooLarge => errno::EFBIG,
                Error::NameInvalid => errno::EILSEQ,
                Error::NameTooLong => errno::ENAMETOOLONG,
                Error::ReadOnly | Error::ReadOnlyFile => errno::EROFS,
                Error::Reserved | Error::Root | Error::NotMade => errno::EACCES,
                _ => errno::EIO,
            },
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refused) => refused.fmt(f),
            Self::Volume(error) => error.fmt(f),
            Self::Gone => f.write_str("the sender went away"),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Volume(error)
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

/// A file of which not everything has come.
struct Partial {
    file: File,
    path: String,
    written: u64,
    accessed: u32,
    modified: u32,
}

/// Receives from `source`, whose name dom0 vouches for. What has come is on the disk when the sender
/// is told so. `plain` is what files have for which nothing is kept.
pub async fn receive<D: BlockDevice>(
    line: &SharedLine,
    volume: &Volume<D>,
    source: &str,
    actor: &Rc<Actor>,
    plain: Posix,
) -> i32 {
    let mut receiver = Receiver::new(volume.keeps_posix());
    let folder = format!("{INCOMING}/{source}");
    let mut copy = Copy { volume, actor, plain, folder, partial: None, files: 0 };
    let result = match copy.run(line, &mut receiver).await {
        Ok(()) => volume.sync().await.map_err(Failure::Volume),
        Err(failure) => {
            copy.forget_partial().await;
            Err(failure)
        }
    };
    let (errno, why) = match result {
        Ok(()) => {
            info!("{} files came from {source}", copy.files);
            (0, None)
        }
        Err(failure) => {
            let why = match receiver.last_name() {
                "" => format!("{failure}"),
                name => format!("{}: {failure}", name.escape_debug()),
            };
            warn!("a copy from {source} ended: {why}");
            (failure.errno(), Some(why))
        }
    };
    // At once, whatever the sender still sends: as soon as this has ended its input is read to nobody.
    write(line, &receiver.result(errno)).await;
    match why {
        None => exit::OK,
        Some(why) => {
            line.borrow_mut().end_with(exit::FAILURE, &why);
            exit::FAILURE
        }
    }
}

struct Copy<'v, D: BlockDevice> {
    volume: &'v Volume<D>,
    /// It changes nothing but what it made.
    actor: &'v Rc<Actor>,
    plain: Posix,
    folder: String,
    partial: Option<Partial>,
    files: u64,
}

impl<D: BlockDevice> Copy<'_, D> {
    async fn run(&mut self, line: &SharedLine, receiver: &mut Receiver) -> Result<(), Failure> {
        for folder in [INCOMING, &self.folder] {
            self.directory(folder).await?;
        }
        while let Some(piece) = read(line).await {
            let mut rest = piece.as_slice();
            while !rest.is_empty() {
                let data = receiver.data(rest);
                let (taken, event) = if data.is_empty() {
                    receiver.push(rest)?
                } else {
                    self.write(data).await?;
                    (data.len(), receiver.took(data))
                };
                rest = rest.get(taken..).unwrap_or_default();
                for event in [event, receiver.empty_file()].into_iter().flatten() {
                    if self.handle(event).await? {
                        return Ok(());
                    }
                    give_way().await;
                }
            }
        }
        Err(Failure::Gone)
    }

    /// True at the end.
    async fn handle(&mut self, event: Event) -> Result<bool, Failure> {
        match event {
            Event::Directory { path, accessed, modified } => {
                let path = format!("{}/{path}", self.folder);
                if !self.directory(&path).await? {
                    // As Qubes' own unpacker: after what is in it. One that was there keeps its times.
                    let times = (Some(u64::from(modified)), Some(u64::from(accessed)));
                    let by = Some(self.actor);
                    match self
                        .volume
                        .change_attributes(&path, Change::times(times.0, times.1), by)
                        .await
                    {
                        Err(Error::NotMade) => (),
                        result => result?,
                    }
                }
            }
            Event::File { path, length, mode, accessed, modified } => {
                self.check_room(length).await?;
                let path = format!("{}/{path}", self.folder);
                // As Qubes' own unpacker, the mode as it was sent.
                let posix = Posix::file(mode, self.plain.uid, self.plain.gid);
                let options = OpenOptions {
                    write: true,
                    create: true,
                    create_new: true,
                    posix: Some((posix, self.plain)),
                    ..OpenOptions::default()
                };
                let file = self.volume.open_by(&path, &options, Some(self.actor)).await?;
                self.partial = Some(Partial { file, path, written: 0, accessed, modified });
            }
            Event::Link { path, target } => {
                let path = format!("{}/{path}", self.folder);
                let owner = (self.plain.uid, self.plain.gid);
                self.volume.create_link_by(&path, &target, owner, Some(self.actor)).await?;
                self.files = self.files.saturating_add(1);
            }
            Event::FileEnd => {
                if let Some(Partial { file, accessed, modified, .. }) = &self.partial {
                    let times = (Some(u64::from(*modified)), Some(u64::from(*accessed)));
                    self.volume.set_file_times(file, times.0, times.1).await?;
                    self.files = self.files.saturating_add(1);
                }
                self.partial = None;
            }
            Event::End => return Ok(true),
        }
        Ok(false)
    }

    /// Makes a directory, unless it is there; whether it did.
    async fn directory(&self, path: &str) -> Result<bool, Failure> {
        match self.volume.create_dir_by(path, Some(self.actor)).await {
            Err(Error::AlreadyExists) if self.volume.metadata(path).await?.is_dir => Ok(false),
            result => Ok(result.map(|()| true)?),
        }
    }

    /// Refuses what will not fit before it is sent.
    async fn check_room(&self, length: u64) -> Result<(), Failure> {
        self.volume.fits(length)?;
        let space = self.volume.space().await?;
        let free = space.free_clusters.saturating_sub(self.actor.keeps());
        let free = u64::from(free).saturating_mul(space.cluster_size.into());
        if length > free { Err(Error::NoSpace.into()) } else { Ok(()) }
    }

    async fn write(&mut self, data: &[u8]) -> Result<(), Failure> {
        if let Some(partial) = &mut self.partial {
            self.volume.write(&partial.file, partial.written, data).await?;
            partial.written = partial.written.saturating_add(data.len() as u64);
        }
        Ok(())
    }

    async fn forget_partial(&mut self) {
        if let Some(Partial { file, path, .. }) = self.partial.take() {
            drop(file);
            if let Err(e) = self.volume.remove_file_by(&path, Some(self.actor)).await {
                warn!("{}: cannot be removed: {e}", path.escape_debug());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Linux calls it, since the sender prints its words for it.
    #[test]
    fn what_fails_has_the_number_that_linux_gives_it() {
        for (error, number) in [
            (Error::NotFound, 2),
            (Error::ReadOnly, 30),
            (Error::ReadOnlyFile, 30),
            (Error::Reserved, 13),
            (Error::Root, 13),
            (Error::NotMade, 13),
            (Error::AlreadyExists, 17),
            (Error::NotADirectory, 20),
            (Error::IsADirectory, 21),
            (Error::TooLarge, 27),
            (Error::NoSpace, 28),
            (Error::FolderFull, 28),
            (Error::RootFull, 28),
            (Error::NameTooLong, 36),
            (Error::NameInvalid, 84),
        ] {
            assert_eq!(Failure::from(error).errno(), number, "{error:?}");
        }
        assert_eq!(Failure::Gone.errno(), 121);
    }
}
