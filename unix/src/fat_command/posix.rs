//! `fat posix` and `fat plain`.
use super::failure::Failure;
use super::volume::with;
use super::{Words, output};
use fat::Error;
use std::process::ExitCode;

const POSIX_HELP: &str = "\
Makes an exFAT volume keep permission bits, owners and symbolic links from now on.

Usage: fat posix IMAGE

Files that need it get one more entry in their folder, which systems that do not know it should leave
alone. Linux before 6.12 does not: it hides such files and loses what is written to them. Before such a
system writes the volume, `fat plain` takes the entries off.
";

const PLAIN_HELP: &str = "\
Takes off an exFAT volume what `fat posix` has it keep: permission bits and owners are lost, symbolic links
become small files with their targets in them. Any system may write the volume afterwards.

Usage: fat plain IMAGE
";

pub(super) fn posix(words: &mut Words) -> Result<ExitCode, Failure> {
    change(words, POSIX_HELP, true)
}

pub(super) fn plain(words: &mut Words) -> Result<ExitCode, Failure> {
    change(words, PLAIN_HELP, false)
}

fn change(words: &mut Words, help: &'static str, posix: bool) -> Result<ExitCode, Failure> {
    let (image, rest) = words.image_and_rest(help, &mut |_, _| Ok(false))?;
    if !rest.is_empty() {
        return Err(Failure::usage("one image at a time: see --help".to_string()));
    }
    with(&image, words.place, false, async |volume| {
        let failed = |error: Error| match error {
            Error::NoLinks => {
                Failure::at(&image, "a volume of FAT keeps no modes, owners and links")
            }
            error => Failure::at(&image, error),
        };
        if posix {
            // Also here a power cut must not leave half of a change.
            volume.fat.keep_journal().await.map_err(failed)?;
            volume.fat.mark_posix().await.map_err(failed)?;
            return Ok(ExitCode::SUCCESS);
        }
        let taken = volume.fat.unmark_posix().await.map_err(failed)?;
        let entries = output::count(taken, "entry", "entries");
        Ok(output::print(&format!("{}: {entries} taken off\n", image.display()))?)
    })
}
