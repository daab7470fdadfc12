//! From a disk to what is served: the volume, the host key and the users, as the log tells them.
use crate::login::host_key::{HostKey, Origin, Secret};
use crate::login::starts;
use crate::login::users::{self, ToldKeys};
use crate::options::{IfBlank, Options};
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use fat::{
    BlockDevice, DeviceError, FatKind, FormatError, FormatOptions, Geometry, MountError,
    MountOptions, Place, Volume,
};
use log::{info, warn};

/// Why a disk cannot be served.
#[derive(Debug)]
pub enum OpenError {
    Mount(MountError),
    Format(FormatError),
    /// It begins with zeros, and formatting was not asked for.
    Blank,
    /// It begins with zeros, but there is something at this byte.
    NotBlank(u64),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mount(e @ (MountError::NotFat(_) | MountError::Foreign { .. })) => {
                write!(f, "{e}; `fat create` makes a disk image that can be served")
            }
            Self::Mount(e) => e.fmt(f),
            Self::Format(e) => write!(f, "cannot be formatted: {e}"),
            Self::Blank => f.write_str("a blank disk; --format-if-blank formats it"),
            Self::NotBlank(at) => {
                write!(f, "the disk is not formatted: it begins blank, but byte {at} is not zero")
            }
        }
    }
}

impl core::error::Error for OpenError {}

/// Random bytes for what may have to be made.
#[derive(Default)]
pub struct Random {
    pub volume_id: [u8; 4],
    pub host_key: Secret,
    pub ecdsa_key: Secret,
    /// What tells this start from others; nothing is made of it.
    pub state: [u8; 32],
}

/// What a server serves.
pub struct Ready<D: BlockDevice> {
    pub volume: Rc<Volume<D>>,
    pub host_key: HostKey,
    pub users: Vec<String>,
}

/// Mounts the volume on `device`, finds or makes the host key, looks who may log in, and says all of
/// it in the log. `told` is the keys that the machine knows of already, `time` is in seconds since 1970,
/// and `memory` says what the volume may use.
pub async fn prepare<D: BlockDevice>(
    device: D,
    options: &Options,
    memory: &MountOptions,
    told: &ToldKeys,
    random: &Random,
    time: u64,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Ready<D>, OpenError> {
    let volume_id = u32::from_ne_bytes(random.volume_id);
    let volume = open_volume(device, options, memory, volume_id, time, progress).await?;
    let (kind, size) = (volume.geometry().kind, volume.geometry().size >> 20);
    let place = if volume.geometry().start > 0 { " in a partition" } else { "" };
    let keeps = if volume.keeps_posix() { ", which keeps modes, owners and links" } else { "" };
    let a = if kind == FatKind::ExFat { "an" } else { "a" };
    match volume.read_only() {
        Some(reason) => warn!("serving {a} {kind} volume of {size} MiB{place} read-only: {reason}"),
        None => info!("serving {a} {kind} volume of {size} MiB{place}{keeps}"),
    }
    let (mut host_key, origin) = match &options.seed {
        Some(seed) => (HostKey::from_text(seed), Origin::Seed),
        None => HostKey::of_volume(&volume, &random.host_key).await,
    };
    info!("host key {} ({origin})", host_key.fingerprint);
    if options.nist_algorithms {
        let (fingerprint, origin) = match &options.seed {
            Some(seed) => (host_key.add_ecdsa_from_text(seed), Origin::Seed),
            None => host_key.add_ecdsa_of_volume(&volume, &random.ecdsa_key).await,
        };
        info!("ECDSA host key {fingerprint} ({origin})");
    }
    if starts::is_known(&volume, &random.state).await {
        warn!(
            "another start of this volume had the same random state, as a copy of a running machine has, or one \
             that was set back: keys of connections may repeat. Start it anew, and not from a saved state"
        );
    }
    let users = users::found(&volume, options, told).await;
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

/// Whether the disk takes no write of the volume's first sector, which has to change with the first change of
/// all. What is there is written again.
async fn refuses_start<D: BlockDevice>(device: &D, place: Place) -> bool {
    let Ok(geometry) = Geometry::read_at(device, place).await else {
        return false;
    };
    let mut sector = alloc::vec![0; device.sector_size()];
    let only_reads = device.read_only() || geometry.read_only.is_some();
    if only_reads || device.read(geometry.start, &mut sector).await.is_err() {
        return false;
    }
    device.write(geometry.start, &sector).await == Err(DeviceError::Io)
}

/// How a blank disk is formatted.
fn new_volume<D: BlockDevice>(
    device: &D,
    if_blank: IfBlank,
    volume_id: u32,
    time: u64,
) -> FormatOptions {
    let format = |kind| FormatOptions { kind, volume_id, time, ..FormatOptions::default() };
    let exfat = format(Some(FatKind::ExFat));
    // The least size of exFAT is 1 MiB.
    if if_blank == IfBlank::ExFat && exfat.fits(device.size(), device.sector_size()).is_ok() {
        return exfat;
    }
    // Without a kind a large one would be exFAT.
    format((device.size() >= 512 << 20).then_some(FatKind::Fat32))
}

/// Mounts the volume on `device`.
async fn open_volume<D: BlockDevice>(
    device: D,
    options: &Options,
    memory: &MountOptions,
    volume_id: u32,
    time: u64,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Volume<D>, OpenError> {
    let read = Geometry::read_at(&device, options.place).await;
    let mut is_new_exfat = false;
    if read.err() == Some(MountError::Blank) {
        if options.if_blank == IfBlank::Refuse || options.read_only {
            return Err(OpenError::Blank);
        }
        info!("the disk begins blank: reading it to be sure that it is");
        let first = fat::first_byte(&device).await;
        if let Some(at) = first.map_err(|e| OpenError::Mount(MountError::Device(e)))? {
            return Err(OpenError::NotBlank(at));
        }
        let format = new_volume(&device, options.if_blank, volume_id, time);
        is_new_exfat = format.kind == Some(FatKind::ExFat);
        let fat = if is_new_exfat { "exFAT" } else { "FAT" };
        info!("the disk is blank: formatting {} MiB with {fat}", device.size() >> 20);
        fat::format(&device, &format, progress).await.map_err(OpenError::Format)?;
    }
    let refused = !options.read_only && refuses_start(&device, options.place).await;
    if refused {
        warn!(
            "the disk refuses to be written where its volume begins, so it is served read-only; a disk of \
             cloud-hypervisor's needs image_type=raw"
        );
    }
    let mount = MountOptions {
        read_only: options.read_only || refused,
        place: options.place,
        time_offset: options.time_offset,
        ..memory.clone()
    };
    let mut volume = Volume::mount(device, &mount).await.map_err(OpenError::Mount)?;
    if options.grow && volume.geometry().room > volume.geometry().size {
        let kind = volume.geometry().kind;
        match volume.grow().await {
            Ok(None) => {}
            Ok(Some(grown)) => {
                let why = grown.limit(kind);
                info!("the volume grew from {} to {} MiB{why}", grown.from >> 20, grown.to >> 20);
            }
            Err(e) => warn!("{e}"),
        }
        volume = Volume::mount(volume.into_device(), &mount).await.map_err(OpenError::Mount)?;
    }
    volume.set_time(time);
    if volume.read_only().is_none()
        && let Err(e) = volume.keep_journal().await
    {
        warn!("no journal, so that a power cut can undo part of a change: {e}");
    }
    if is_new_exfat && let Err(e) = volume.mark_posix().await {
        warn!("the new volume keeps no modes, owners and links: {e}");
    }
    Ok(volume)
}
