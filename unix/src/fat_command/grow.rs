//! `fat grow`.
use super::failure::Failure;
use super::{Words, output, size};
use crate::{Image, block_on};
use fat::{MountOptions, Volume};
use std::fs::File;
use std::path::Path;
use std::process::ExitCode;

const HELP: &str = "\
Makes the file system of an image as large as the image, or its partition, has become. A power cut
meanwhile loses nothing: whatever uses the image next completes it.

Usage: fat grow IMAGE [SIZE]

SIZE makes the image that large first: 1G, 65536K, or a number of bytes.
";

pub(super) fn run(words: &mut Words) -> Result<ExitCode, Failure> {
    let (path, rest) = words.image_and_rest(HELP, &mut |_, _| Ok(false))?;
    let wanted = match rest.as_slice() {
        [] => None,
        [wanted] => Some(size::parse(&wanted.to_string_lossy()).map_err(Failure::usage)?),
        _ => return Err(Failure::usage("one image at a time: see `fat grow --help`".to_string())),
    };
    let failed = |error: &dyn std::fmt::Display| Failure::at(&path, error);
    let mut image = Image::open(&path, false).map_err(|error| failed(&error))?;
    if let Some(wanted) = wanted {
        lengthen(&path, wanted)?;
        drop(image);
        image = Image::open(&path, false).map_err(|error| failed(&error))?;
    }
    let (grown, kind) = block_on(async {
        let options = MountOptions { place: words.place, ..MountOptions::default() };
        let mounted = Volume::mount(image, &options).await;
        let volume = mounted.map_err(|error| failed(&error))?;
        let grown = volume.grow().await.map_err(|error| failed(&error))?;
        Ok::<_, Failure>((grown, volume.geometry().kind))
    })?;
    let Some(grown) = grown else {
        return Err(failed(&"there is no room to grow into: make the image larger first"));
    };
    let limit = grown.limit(kind);
    let (from, to) = (output::size(grown.from), output::size(grown.to));
    Ok(output::print(&format!("{}: from {from} to {to}{limit}\n", path.display()))?)
}

/// Makes an image file larger, never smaller. It is open, and so locked.
fn lengthen(path: &Path, wanted: u64) -> Result<(), Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::at(path, error);
    let file = File::options().write(true).open(path).map_err(|error| failed(&error))?;
    let there = file.metadata().map_err(|error| failed(&error))?;
    if !there.is_file() {
        return Err(failed(&"a block device has its own size: leave the size out"));
    }
    if wanted < there.len() || !wanted.is_multiple_of(512) {
        return Err(failed(&"SIZE is a multiple of 512 bytes and no smaller than the image"));
    }
    file.set_len(wanted).map_err(|error| failed(&error))
}
