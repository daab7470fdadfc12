//! `fat create`.
use super::failure::Failure;
use super::{Word, Words, output, size};
use crate::{Image, Progress, block_on};
use fat::{BlockDevice, FatKind, FormatOptions, MountOptions, Volume};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

const HELP: &str = "\
Makes an image with an empty FAT or exFAT file system. The file takes no room until it is filled.

Usage: fat create [IMAGE [SIZE]] [OPTIONS]

IMAGE is disk.img when it is not given.

  --size SIZE   64M (the default), 1G, 65536K, or a number of bytes
  --type TYPE   12, 16, 32, exfat, or auto (the default): FAT16 below 512M, FAT32 up to 32G, exFAT above
  --posix       have it keep permission bits, owners and symbolic links, which exFAT alone can: see
                `fat posix --help`
  --label NAME  the name of the volume, at most 11 characters
  --force       take the place of a file that exists, or format a block device; what is on it
                is lost
";

pub(super) fn run(words: &mut Words) -> Result<ExitCode, Failure> {
    words.help = HELP;
    let (mut image, mut wanted, mut force, mut posix) = (None, None, false, false);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut options = FormatOptions {
        time: now.as_secs(),
        // Like DOS: no two volumes are made at the same moment.
        volume_id: (now.as_secs() as u32).rotate_left(16) ^ now.subsec_nanos(),
        ..FormatOptions::default()
    };
    while let Some(word) = words.next()? {
        match word {
            Word::Operand(operand) if image.is_none() => image = Some(PathBuf::from(operand)),
            Word::Operand(operand) => set_size(&mut wanted, &operand.into_string()?)?,
            Word::Option(option) => match option.as_str() {
                "--size" | "-s" => set_size(&mut wanted, &words.value()?)?,
                "--type" | "-t" => options.kind = kind(&words.value()?)?,
                "--label" | "-n" => options.label = label(&words.value()?)?,
                "--force" | "-f" => force = true,
                "--posix" => posix = true,
                other => return words.unknown(other),
            },
        }
    }
    if posix && *options.kind.get_or_insert(FatKind::ExFat) != FatKind::ExFat {
        return Err(Failure::usage("--posix is for exFAT: FAT keeps nothing of it".to_string()));
    }
    let path = image.unwrap_or_else(|| PathBuf::from("disk.img"));
    let made = make(&path, wanted, force, &options)?;
    let mut progress = Progress::new("formatting");
    let formatted =
        block_on(fat::format(&made.image, &options, &mut |done, total| progress.show(done, total)));
    drop(progress);
    let failed = |error: &dyn std::fmt::Display| {
        if made.new {
            // Better none than one that looks finished.
            let _ = std::fs::remove_file(&path);
        }
        Failure::at(&path, error)
    };
    let geometry = formatted.map_err(|error| failed(&error))?;
    if posix {
        block_on(async {
            let mounted = Volume::mount(made.image, &MountOptions::default()).await;
            let volume = mounted.map_err(|error| failed(&error))?;
            volume.set_time(options.time);
            let marked = async {
                volume.keep_journal().await?;
                volume.mark_posix().await?;
                volume.unmount().await
            };
            marked.await.map_err(|error| failed(&error))
        })?;
    }
    Ok(output::print(&format!(
        "{}: {}, {}\n",
        path.display(),
        geometry.kind,
        output::size(geometry.size)
    ))?)
}

fn set_size(wanted: &mut Option<u64>, text: &str) -> Result<(), Failure> {
    let size = size::parse(text).map_err(Failure::usage)?;
    match wanted.replace(size) {
        Some(other) if other != size => {
            Err(Failure::usage("more than one size is given".to_string()))
        }
        _ => Ok(()),
    }
}

fn kind(text: &str) -> Result<Option<FatKind>, Failure> {
    match text.to_ascii_lowercase().trim_start_matches("fat") {
        "12" => Ok(Some(FatKind::Fat12)),
        "16" => Ok(Some(FatKind::Fat16)),
        "32" => Ok(Some(FatKind::Fat32)),
        "exfat" => Ok(Some(FatKind::ExFat)),
        "auto" => Ok(None),
        _ => Err(Failure::usage(format!("{text}: no type of FAT: use 12, 16, 32, exfat or auto"))),
    }
}

fn label(text: &str) -> Result<[u8; 11], Failure> {
    fat::volume_label(text).ok_or_else(|| {
        Failure::usage(format!(
            "{text}: no label: use at most 11 letters, digits, spaces, `-` or `_`"
        ))
    })
}

/// An image to be formatted.
struct Made {
    image: Image,
    /// Whether the file is there only since now.
    new: bool,
}

fn make(
    path: &Path,
    wanted: Option<u64>,
    force: bool,
    options: &FormatOptions,
) -> Result<Made, Failure> {
    let there = path.metadata();
    let new = there.is_err();
    if let Ok(there) = there
        && there.file_type().is_block_device()
    {
        if !force {
            return Err(Failure::at(path, "a block device: use --force to format it"));
        }
        if wanted.is_some() {
            return Err(Failure::at(path, "a block device has its own size: leave the size out"));
        }
        let image = Image::open(path, false).map_err(|error| Failure::at(path, error))?;
        return Ok(Made { image, new });
    }
    let size = wanted.unwrap_or(64 << 20);
    // Before an old image is given up.
    options
        .fits(size, 512)
        .map_err(|error| Failure::at(path, format!("{} is {error}", output::size(size))))?;
    let image = Image::create(path, size, force).map_err(|error| Failure::at(path, error))?;
    debug_assert_eq!(image.size(), size);
    Ok(Made { image, new })
}
