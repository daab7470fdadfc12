//! `fat check`.
use super::failure::Failure;
use super::{Words, output};
use crate::{Image, Progress, block_on};
use fat::{FatKind, Geometry};
use std::io::{BufWriter, Write};
use std::process::ExitCode;

const HELP: &str = "\
Looks for damage in an image. Nothing is changed: to repair, run fsck.fat on it, or fsck.exfat.

Usage: fat check IMAGE

The exit code is 0 when all is well, 1 when there are problems, 2 when the image could not be
checked.
";

pub(super) fn run(words: &mut Words) -> Result<ExitCode, Failure> {
    let (path, rest) = words.image_and_rest(HELP, &mut |_, _| Ok(false))?;
    if !rest.is_empty() {
        return Err(Failure::usage("one image at a time: see `fat check --help`".to_string()));
    }
    let not_checked =
        |error: &dyn std::fmt::Display| Failure::NotChecked(format!("{}: {error}", path.display()));
    let image = Image::open(&path, true).map_err(|error| not_checked(&error))?;
    let mut progress = Progress::new("checking");
    let mut problems = BufWriter::new(std::io::stdout().lock());
    let mut written = Ok(());
    let checked = block_on(fat::check_at(
        &image,
        words.place,
        &mut |problem| {
            if written.is_ok() {
                written = writeln!(problems, "{}", output::plain(&problem.to_string()));
            }
        },
        &mut |done, total| progress.show(done, total),
    ));
    drop(progress);
    let summary = checked.map_err(|error| not_checked(&error))?;
    let kind =
        block_on(Geometry::read_at(&image, words.place)).map_err(|error| not_checked(&error))?.kind;
    let repair = if kind == FatKind::ExFat { "fsck.exfat -p" } else { "fsck.fat -a" };
    let damaged = ExitCode::from(u8::from(summary.problems > 0));
    let files = output::count(summary.files.into(), "file", "files");
    let directories = output::count(summary.directories.into(), "directory", "directories");
    let more = match (summary.links, summary.modes) {
        (0, 0) => String::new(),
        (links, modes) => {
            let links = output::count(links.into(), "symbolic link", "symbolic links");
            format!(" (of them {links}, {modes} with a mode or an owner of their own)")
        }
    };
    let verdict = match summary.problems {
        0 => "clean".to_string(),
        number => {
            let problems = output::count(number.into(), "problem", "problems");
            format!("{problems} (to repair: {repair} {})", path.display())
        }
    };
    let said = written.and_then(|()| {
        writeln!(
            problems,
            "{}: {verdict}: {files}{more}, {directories}, {} of {} clusters of {kind} in use",
            path.display(),
            summary.used,
            summary.clusters
        )?;
        problems.flush()
    });
    match said {
        // The verdict stands even when nobody reads it to the end.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(damaged),
        Err(error) => Err(error.into()),
        Ok(()) => Ok(damaged),
    }
}
