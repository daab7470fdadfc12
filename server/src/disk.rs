//! From a disk to a mounted volume: blank disks are formatted when that was asked for.
use crate::options::Options;
use alloc::vec;
use core::fmt;
use fat::{BlockDevice, DeviceError, FormatError, FormatOptions, MountError, MountOptions, Volume};
use log::info;

/// Why a disk cannot be served.
#[derive(Debug)]
pub enum OpenError {
    Mount(MountError),
    Format(FormatError),
    /// All zeros, and formatting was not asked for.
    Blank,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mount(e @ MountError::NotFat(_)) => {
                write!(f, "{e}; `fat create` makes a disk image that can be served")
            }
            Self::Mount(e) => e.fmt(f),
            Self::Format(e) => write!(f, "cannot be formatted: {e}"),
            Self::Blank => f.write_str("a blank disk; --format-if-blank formats it"),
        }
    }
}

impl core::error::Error for OpenError {}

/// Mounts the volume on `device`.
pub async fn open_volume<D: BlockDevice>(
    device: D,
    options: &Options,
    volume_id: u32,
    time: u64,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Volume<D>, OpenError> {
    if is_blank(&device).await.map_err(|e| OpenError::Mount(MountError::Device(e)))? {
        if !options.format_if_blank || options.read_only {
            return Err(OpenError::Blank);
        }
        info!("the disk is blank: formatting {} MiB", device.size() >> 20);
        let format = FormatOptions { volume_id, time, ..FormatOptions::default() };
        fat::format(&device, &format, progress).await.map_err(OpenError::Format)?;
    }
    let mount = MountOptions { read_only: options.read_only, ..MountOptions::default() };
    let volume = Volume::mount(device, &mount).await.map_err(OpenError::Mount)?;
    volume.set_time(time);
    Ok(volume)
}

/// Whether the first and the last megabyte hold nothing but zeros: no file system and no partition
/// table has both.
async fn is_blank<D: BlockDevice>(device: &D) -> Result<bool, DeviceError> {
    const PART: u64 = 1 << 20;
    let sector = device.sector_size() as u64;
    let part = PART.min(device.size() / sector * sector);
    let mut bytes = vec![0; usize::try_from(part).unwrap_or_default()];
    for offset in [0, (device.size() / sector * sector).saturating_sub(part)] {
        device.read(offset, &mut bytes).await?;
        if bytes.iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
    }
    Ok(true)
}
