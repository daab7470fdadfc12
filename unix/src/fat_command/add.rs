//! `fat add`.
use super::Words;
use super::failure::Failure;
use super::paths::{inside, join};
use super::volume::{Volume, with};
use crate::Progress;
use fat::{Error, OpenOptions};
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::UNIX_EPOCH;

const HELP: &str = "\
Copies files into an image, and directories with all that is in them. A file of the same name is
replaced once its successor is complete. Times are kept.

Usage: fat add IMAGE FILE… [--to DIRECTORY]

  --to DIRECTORY  where in the image, the root when it is not given; made when it is missing
";

pub(super) fn run(words: &mut Words) -> Result<ExitCode, Failure> {
    let mut to = "/".to_string();
    let (image, files) = words.image_and_rest(HELP, &mut |option, words| {
        let known = matches!(option, "--to" | "-t");
        if known {
            to = inside(words.value()?.into())?;
        }
        Ok(known)
    })?;
    if files.is_empty() {
        return Err(Failure::usage("which files? See `fat add --help`".to_string()));
    }
    // All names are looked at before anything is changed.
    let mut sources = Vec::new();
    for file in files {
        let path = PathBuf::from(file);
        let kind = path.metadata().map_err(|error| Failure::at(&path, error))?;
        if !kind.is_file() && !kind.is_dir() {
            return Err(Failure::at(&path, "neither a file nor a directory"));
        }
        let whole = path.canonicalize().map_err(|error| Failure::at(&path, error))?;
        // `.` and `dir/..` have names too, once they are whole; a link keeps its own.
        let name = path.file_name().or(whole.file_name()).unwrap_or_default();
        let name = name.to_os_string().into_string()?;
        let size = if kind.is_dir() { 0 } else { kind.len() };
        sources.push(Source { path, name, is_dir: kind.is_dir(), size });
    }
    let itself = image.metadata().map(|image| identity(&image)).ok();
    with(&image, words.place, false, async |volume| {
        volume.create_dirs(&to).await?;
        let mut adding = Adding {
            volume,
            progress: Progress::new("adding"),
            done: 0,
            total: sources.iter().map(|source| source.size).sum(),
            piece: vec![0; PIECE],
            skipped: false,
            itself,
        };
        for source in sources {
            adding.add(source, &to).await?;
        }
        if adding.skipped { Err(Failure::Said) } else { Ok(ExitCode::SUCCESS) }
    })
}

const PIECE: usize = 1 << 20;
/// What a file is called until it is complete.
const UNFINISHED: &str = ".fat-add.tmp";

/// What tells a file of the host from every other.
fn identity(metadata: &std::fs::Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

struct Source {
    path: PathBuf,
    /// What it is called in the image.
    name: String,
    is_dir: bool,
    size: u64,
}

struct Adding<'a> {
    volume: &'a Volume,
    progress: Progress,
    done: u64,
    /// Bytes of the files found so far.
    total: u64,
    piece: Vec<u8>,
    /// Whether something was left out.
    skipped: bool,
    /// The image, which may lie in a directory that is added to it.
    itself: Option<(u64, u64)>,
}

impl Adding<'_> {
    async fn add(&mut self, source: Source, to: &str) -> Result<(), Failure> {
        let mut waiting = vec![(source, to.to_string())];
        while let Some((source, to)) = waiting.pop() {
            let inside = join(&to, &source.name);
            if !source.is_dir {
                self.add_file(&source.path, &to, &inside).await?;
                continue;
            }
            self.volume.create_dirs(&inside).await?;
            for child in self.children(&source.path)? {
                waiting.push((child, inside.clone()));
            }
        }
        Ok(())
    }

    /// What is in a directory of the host and can be in an image.
    fn children(&mut self, directory: &Path) -> Result<Vec<Source>, Failure> {
        let failed = |error| Failure::at(directory, error);
        let mut children = Vec::new();
        for entry in directory.read_dir().map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let path = entry.path();
            let kind = entry.file_type().map_err(|error| Failure::at(&path, error))?;
            // A link to a file becomes the file; one to a directory might lead back here.
            let metadata = path
                .metadata()
                .ok()
                .filter(|at| at.is_file() && self.itself != Some(identity(at)) || kind.is_dir());
            let (Some(metadata), Ok(name)) = (metadata, entry.file_name().into_string()) else {
                eprintln!(
                    "fat: {}: left out: no file or directory that FAT can hold",
                    path.display()
                );
                self.skipped = true;
                continue;
            };
            let size = if kind.is_dir() { 0 } else { metadata.len() };
            self.total = self.total.saturating_add(size);
            children.push(Source { path, name, is_dir: kind.is_dir(), size });
        }
        children.sort_by(|a, b| b.name.cmp(&a.name)); // the last is taken first
        Ok(children)
    }

    /// Copies one file to `inside`; by way of another name when there is one to be replaced, which
    /// is lost only when its successor is complete.
    async fn add_file(&mut self, source: &Path, to: &str, inside: &str) -> Result<(), Failure> {
        let volume = self.volume;
        let mut from = File::open(source).map_err(|error| Failure::at(source, error))?;
        let metadata = from.metadata().map_err(|error| Failure::at(source, error))?;
        let target = match volume.look(inside).await? {
            Some(old) if old.is_dir => return Err(volume.failure(inside, Error::IsADirectory)),
            Some(old) if old.read_only => return Err(volume.failure(inside, Error::ReadOnlyFile)),
            Some(_) => join(to, UNFINISHED),
            None => inside.to_string(),
        };
        let modified =
            metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let modified = modified.map(|time| time.as_secs());
        let copied = self.copy(&mut from, &target, modified).await;
        // The name that the user knows, not that of an unfinished file.
        let mut done = copied.map_err(|failure| match failure {
            CopyFailure::Source(error) => Failure::at(source, error),
            CopyFailure::Volume(error) => volume.failure(inside, error),
        });
        if done.is_ok() && target != inside {
            let renamed = volume.fat.rename(&target, inside, true).await;
            done = renamed.map_err(|error| volume.failure(inside, error));
        }
        if done.is_err() {
            // Nothing is left of what could not be finished.
            let _ = volume.fat.remove_file(&target).await;
        }
        done
    }

    async fn copy(
        &mut self,
        from: &mut File,
        to: &str,
        modified: Option<u64>,
    ) -> Result<(), CopyFailure> {
        let fat = &self.volume.fat;
        let options =
            OpenOptions { write: true, create: true, truncate: true, ..OpenOptions::default() };
        let file = fat.open(to, &options).await?;
        let mut offset = 0u64;
        loop {
            let length = from.read(&mut self.piece)?;
            let Some(piece) = self.piece.get(..length).filter(|piece| !piece.is_empty()) else {
                break;
            };
            fat.write(&file, offset, piece).await?;
            offset = offset.saturating_add(length as u64);
            self.done = self.done.saturating_add(length as u64);
            self.progress.show(self.done.min(self.total), self.total);
        }
        // Before it takes the place of another.
        fat.write_out(&file).await?;
        Ok(fat.set_file_times(&file, modified, None).await?)
    }
}

/// Which side of a copy failed.
enum CopyFailure {
    Source(std::io::Error),
    Volume(Error),
}

impl From<std::io::Error> for CopyFailure {
    fn from(error: std::io::Error) -> Self {
        Self::Source(error)
    }
}

impl From<Error> for CopyFailure {
    fn from(error: Error) -> Self {
        Self::Volume(error)
    }
}
