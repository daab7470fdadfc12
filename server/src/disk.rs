//! From a disk to what is served: the volume, the host key and the users, as the log tells them.
use crate::host_key::{HostKey, Origin};
use crate::options::Options;
use crate::users::{self, ToldKeys};
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use fat::{BlockDevice, DeviceError, FormatError, FormatOptions, MountError, MountOptions, Volume};
use log::{info, warn};

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

/// Random bytes for what may have to be made.
#[derive(Clone, Copy)]
pub struct Random {
    pub volume_id: [u8; 4],
    pub host_key: [u8; 32],
}

/// What a server serves.
pub struct Ready<D: BlockDevice> {
    pub volume: Rc<Volume<D>>,
    pub host_key: HostKey,
    pub users: Vec<String>,
}

/// Mounts the volume on `device`, finds or makes the host key, looks who may log in, and says all of
/// it in the log. `time` is in seconds since 1970.
pub async fn prepare<D: BlockDevice>(
    device: D,
    options: &Options,
    random: &Random,
    time: u64,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Ready<D>, OpenError> {
    let volume_id = u32::from_ne_bytes(random.volume_id);
    let volume = open_volume(device, options, volume_id, time, progress).await?;
    let (kind, size) = (volume.geometry().kind, volume.geometry().size >> 20);
    match volume.read_only() {
        Some(reason) => warn!("serving a {kind:?} volume of {size} MiB read-only: {reason}"),
        None => info!("serving a {kind:?} volume of {size} MiB"),
    }
    let host_key = match &options.seed {
        Some(seed) => HostKey::from_text(seed),
        None => HostKey::of_volume(&volume, random.host_key).await,
    };
    let origin = match host_key.origin {
        Origin::Seed => "from --seed",
        Origin::Kept => "kept on the volume",
        Origin::Made => "new, kept on the volume",
        Origin::ForThisRun => "for this run alone",
    };
    info!("host key {} ({origin})", host_key.fingerprint);
    let users = users::found(&volume, options, &ToldKeys::new()).await;
    match users.as_slice() {
        [] => warn!(
            "nobody can log in yet: no usable key. Add one as {}.pub to the volume's root, as \
             `fat add` does, or give --key",
            options.user
        ),
        users => info!("users: {}", users.join(", ")),
    }
    Ok(Ready { volume: Rc::new(volume), host_key, users })
}

/// Mounts the volume on `device`.
async fn open_volume<D: BlockDevice>(
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
