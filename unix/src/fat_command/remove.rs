//! `fat rm`.
use super::Words;
use super::failure::Failure;
use super::paths::{inside, join, split};
use super::volume::{Volume, with};
use std::process::ExitCode;

const HELP: &str = "\
Removes files from an image, and with -r directories with all that is in them.

Usage: fat rm IMAGE PATH… [-r]

  -r, --recursive  remove directories too
";

pub(super) fn run(words: &mut Words) -> Result<ExitCode, Failure> {
    let mut recursive = false;
    let (image, operands) = words.image_and_rest(HELP, &mut |option, _| {
        let known = matches!(option, "-r" | "-R" | "--recursive");
        recursive |= known;
        Ok(known)
    })?;
    if operands.is_empty() {
        return Err(Failure::usage("what is to be removed? See `fat rm --help`".to_string()));
    }
    let mut paths = Vec::new();
    for operand in operands {
        let path = inside(operand)?;
        if split(&path).is_none() {
            return Err(Failure::usage("the root directory stays: name what is in it".to_string()));
        }
        paths.push(path);
    }
    with(&image, words.place, false, async |volume| {
        for path in &paths {
            let is_dir = volume.metadata(path).await?.is_dir;
            match (is_dir, recursive) {
                (true, true) => remove_tree(volume, path).await?,
                (true, false) => {
                    return Err(volume.failure(path, "a directory: use -r to remove it"));
                }
                (false, _) => remove_file(volume, path).await?,
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// Directories are emptied before they are removed.
async fn remove_tree(volume: &Volume, path: &str) -> Result<(), Failure> {
    let mut waiting = vec![(path.to_string(), false)];
    while let Some((path, emptied)) = waiting.pop() {
        if emptied {
            volume.fat.remove_dir(&path).await.map_err(|error| volume.failure(&path, error))?;
            continue;
        }
        let entries = volume.entries(&path).await?;
        waiting.push((path.clone(), true));
        for entry in entries {
            let inside = join(&path, &entry.name);
            if entry.metadata.is_dir {
                waiting.push((inside, false));
            } else {
                remove_file(volume, &inside).await?;
            }
        }
    }
    Ok(())
}

async fn remove_file(volume: &Volume, path: &str) -> Result<(), Failure> {
    volume.fat.remove_file(path).await.map_err(|error| volume.failure(path, error))
}
