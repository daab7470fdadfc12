//! `fat list` and `fat cat`.
use super::failure::Failure;
use super::paths::{inside, join, split};
use super::volume::{Volume, with};
use super::{Words, output};
use fat::{Error, Metadata, OpenOptions};
use std::io::{BufWriter, StdoutLock, Write, stdout};
use std::process::ExitCode;

const LIST_HELP: &str = "\
Lists a directory of an image: size, time (UTC) and name. A directory's name ends with `/`. Behind a
symbolic link's name stands where it leads.

Usage: fat list IMAGE [DIRECTORY] [-r]

  -r, --recursive  list what is inside its directories too
";

pub(super) fn run(words: &mut Words) -> Result<ExitCode, Failure> {
    let mut recursive = false;
    let (image, operands) = words.image_and_rest(LIST_HELP, &mut |option, _| {
        let known = matches!(option, "-r" | "-R" | "--recursive");
        recursive |= known;
        Ok(known)
    })?;
    let mut paths = Vec::new();
    for operand in operands {
        paths.push(inside(operand)?);
    }
    if paths.is_empty() {
        paths.push("/".to_string());
    }
    with(&image, words.place, true, async |volume| {
        let mut output = BufWriter::new(stdout().lock());
        for path in &paths {
            let metadata = volume.metadata(path).await?;
            if metadata.is_dir {
                list(volume, path, recursive, &mut output).await?;
            } else {
                let (_, name) = split(path).unwrap_or(("/", path));
                line(&mut output, name, &metadata, volume.target(path, &metadata).await)?;
            }
        }
        output.flush()?;
        Ok(ExitCode::SUCCESS)
    })
}

/// Each directory's contents follow it, named from the directory that was asked for.
async fn list(
    volume: &Volume,
    path: &str,
    recursive: bool,
    output: &mut BufWriter<StdoutLock<'_>>,
) -> Result<(), Failure> {
    // The last is next: a directory's entries go on in reverse.
    let mut waiting = vec![(path.to_string(), String::new(), None)];
    while let Some((path, name, metadata)) = waiting.pop() {
        let is_root = metadata.is_none();
        if let Some(metadata) = &metadata {
            line(output, &name, metadata, volume.target(&path, metadata).await)?;
        }
        let is_dir = metadata.is_none_or(|metadata: Metadata| metadata.is_dir);
        if is_root || recursive && is_dir {
            for entry in volume.entries(&path).await?.into_iter().rev() {
                let shown = if is_root { entry.name.clone() } else { join(&name, &entry.name) };
                waiting.push((join(&path, &entry.name), shown, Some(entry.metadata)));
            }
        }
    }
    Ok(())
}

fn line(
    to: &mut impl Write,
    name: &str,
    metadata: &Metadata,
    target: Option<String>,
) -> Result<(), Failure> {
    let name = output::plain(name);
    let time = output::time(metadata.modified);
    if metadata.is_dir {
        writeln!(to, "{:>10}  {time}  {name}/", "-")?;
    } else {
        let target = target.map(|target| format!(" -> {}", output::plain(&target)));
        writeln!(to, "{:>10}  {time}  {name}{}", metadata.len, target.unwrap_or_default())?;
    }
    Ok(())
}

const CAT_HELP: &str = "\
Writes files of an image to standard output.

Usage: fat cat IMAGE PATH…
";

const PIECE: usize = 1 << 20;

pub(super) fn cat(words: &mut Words) -> Result<ExitCode, Failure> {
    let (image, operands) = words.image_and_rest(CAT_HELP, &mut |_, _| Ok(false))?;
    let mut paths = Vec::new();
    for operand in operands {
        paths.push(inside(operand)?);
    }
    if paths.is_empty() {
        return Err(Failure::usage("which file? See `fat cat --help`".to_string()));
    }
    with(&image, words.place, true, async |volume| {
        let mut output = stdout().lock();
        let mut piece = vec![0; PIECE];
        for path in &paths {
            let failed = |error: Error| volume.failure(path, error);
            let options = OpenOptions { read: true, ..OpenOptions::default() };
            let file = volume.fat.open(path, &options).await.map_err(failed)?;
            let mut offset = 0u64;
            loop {
                let length = volume.fat.read(&file, offset, &mut piece).await.map_err(failed)?;
                if length == 0 {
                    break;
                }
                output.write_all(piece.get(..length).unwrap_or_default())?;
                offset = offset.saturating_add(length as u64);
            }
        }
        output.flush()?;
        Ok(ExitCode::SUCCESS)
    })
}
