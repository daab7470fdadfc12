//! `fat mkdir`.
use super::Words;
use super::failure::Failure;
use super::paths::inside;
use super::volume::with;
use std::process::ExitCode;

const HELP: &str = "\
Makes directories in an image.

Usage: fat mkdir IMAGE PATH… [-p]

  -p, --parents  make those above it too, and take one that is there already
";

pub(super) fn run(words: &mut Words) -> Result<ExitCode, Failure> {
    let mut parents = false;
    let (image, operands) = words.image_and_rest(HELP, &mut |option, _| {
        let known = matches!(option, "-p" | "--parents");
        parents |= known;
        Ok(known)
    })?;
    if operands.is_empty() {
        return Err(Failure::usage("which directory? See `fat mkdir --help`".to_string()));
    }
    let mut paths = Vec::new();
    for operand in operands {
        paths.push(inside(operand)?);
    }
    with(&image, words.place, false, async |volume| {
        for path in &paths {
            if parents {
                volume.create_dirs(path).await?;
            } else {
                volume.create_dir(path).await?;
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}
