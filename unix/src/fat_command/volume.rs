//! The volume in an image, for the length of one command.
use super::failure::Failure;
use super::paths::{join, split};
use crate::{Image, block_on};
use fat::{BlockDevice, DirEntry, Error, Metadata, MountOptions, Place};
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

pub(super) struct Volume {
    pub fat: fat::Volume<Image>,
    image: PathBuf,
}

/// Entries asked for at a time.
const MOST: usize = 256;

/// Mounts an image, does `work` and unmounts it, however the work ended: the image is then marked
/// as clean.
pub(super) fn with<T>(
    image: &Path,
    place: Place,
    read_only: bool,
    work: impl AsyncFnOnce(&Volume) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let failed = |error: &dyn Display| Failure::at(image, error);
    let disk = Image::open(image, read_only).map_err(|error| failed(&error))?;
    if disk.read_only() && !read_only {
        return Err(failed(&"it may not be written: check its owner and mode"));
    }
    block_on(async {
        let options = MountOptions { read_only, place, ..MountOptions::default() };
        let fat = fat::Volume::mount(disk, &options).await.map_err(|error| failed(&error))?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        fat.set_time(now.as_secs());
        if let (false, Some(reason)) = (read_only, fat.read_only()) {
            return Err(failed(&format!("it cannot be changed: {reason}")));
        }
        let volume = Volume { fat, image: image.to_path_buf() };
        let done = work(&volume).await;
        let unmounted = volume.fat.unmount().await;
        let done = done?;
        unmounted.map_err(|error| failed(&error))?;
        Ok(done)
    })
}

impl Volume {
    /// The failure that has to do with a path in the image.
    pub fn failure(&self, inside: &str, error: impl Display) -> Failure {
        Failure::inside(&self.image, inside, error)
    }

    /// What is at `path`, if anything is.
    pub async fn look(&self, path: &str) -> Result<Option<Metadata>, Failure> {
        match self.fat.metadata(path).await {
            Ok(metadata) => Ok(Some(metadata)),
            Err(Error::NotFound) => Ok(None),
            Err(error) => Err(self.failure(path, error)),
        }
    }

    pub async fn metadata(&self, path: &str) -> Result<Metadata, Failure> {
        self.fat.metadata(path).await.map_err(|error| self.failure(path, error))
    }

    /// Where a symbolic link leads; nothing of what is none, or is damaged.
    pub async fn target(&self, path: &str, metadata: &Metadata) -> Option<String> {
        if !metadata.is_link() {
            return None;
        }
        Some(self.fat.read_link(path).await.map_or_else(|e| format!("({e})"), |link| link.target))
    }

    /// The entries of a directory by name, without regard to case.
    pub async fn entries(&self, path: &str) -> Result<Vec<DirEntry>, Failure> {
        let failed = |error| self.failure(path, error);
        let dir = self.fat.open_dir(path).await.map_err(failed)?;
        let mut entries = Vec::new();
        loop {
            let mut more = self.fat.read_dir(&dir, MOST).await.map_err(failed)?;
            if more.is_empty() {
                break;
            }
            entries.append(&mut more);
        }
        entries.sort_by_cached_key(|entry| (entry.name.to_lowercase(), entry.name.clone()));
        Ok(entries)
    }

    /// Makes a directory and those above it that are missing.
    pub async fn create_dirs(&self, path: &str) -> Result<(), Failure> {
        let mut made = String::from("/");
        for name in path.split('/').filter(|name| !name.is_empty()) {
            made = join(&made, name);
            match self.look(&made).await? {
                Some(metadata) if metadata.is_dir => {}
                Some(_) => return Err(self.failure(&made, Error::NotADirectory)),
                None => self.create_dir(&made).await?,
            }
        }
        Ok(())
    }

    pub async fn create_dir(&self, path: &str) -> Result<(), Failure> {
        if split(path).is_none() {
            return Err(self.failure(path, Error::AlreadyExists));
        }
        self.fat.create_dir(path).await.map_err(|error| self.failure(path, error))
    }
}
