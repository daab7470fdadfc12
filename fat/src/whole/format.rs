//! Making a new volume. fatgen103, "FAT Volume Initialization" and "FAT32 FSInfo"; exFAT's are made in
//! `exfat`.
mod error;
mod exfat;
mod layout;
pub(super) mod zeros;

use crate::bytes::put;
use crate::{BlockDevice, DeviceError, FatKind, Geometry, MountError, Place};
use alloc::vec;
pub use error::FormatError;
use layout::{Layout, TABLES};
use zeros::zero;

/// How a new volume is to be.
#[derive(Clone, Debug)]
pub struct FormatOptions {
    /// `None`: exFAT above 32 GiB, FAT32 from 512 MiB, FAT16 below, FAT12 where FAT16 would have too few
    /// clusters.
    pub kind: Option<FatKind>,
    /// The volume's label, from [`volume_label`]; `NO NAME` for none.
    pub label: [u8; 11],
    /// A number to tell volumes apart, best a random one.
    pub volume_id: u32,
    /// Unix seconds, the date of the label.
    pub time: u64,
}

impl Default for FormatOptions {
    fn default() -> Self {
        Self { kind: None, label: *NO_LABEL, volume_id: 0, time: 0 }
    }
}

impl FormatOptions {
    /// Whether a disk of `size` bytes in sectors of `sector_size` can be formatted so.
    ///
    /// # Errors
    /// `TooSmall`, `TooLarge`.
    pub fn fits(&self, size: u64, sector_size: usize) -> Result<(), FormatError> {
        let bytes_per_sector = sector_size.max(512) as u64;
        if self.is_exfat(size) {
            return exfat::choose(size, bytes_per_sector, self.volume_id).map(|_| ());
        }
        Layout::choose(self.kind, size, bytes_per_sector).map(|_| ())
    }

    /// Whether a disk of `size` bytes gets an exFAT volume.
    fn is_exfat(&self, size: u64) -> bool {
        self.kind.map_or(size > MOST_OF_FAT, |kind| kind == FatKind::ExFat)
    }
}

/// The label field for `text`: upper case, padded with spaces. `None` when it is longer than 11
/// characters or holds one that a label cannot have (only ASCII is taken, since what another
/// character looks like depends on the reader's code page).
pub fn volume_label(text: &str) -> Option<[u8; 11]> {
    let text = text.trim_end_matches(' ');
    let allowed = |byte: u8| matches!(byte, b' '..=b'~') && !b"\"*+,./:;<=>?[\\]|".contains(&byte);
    if text.len() > 11 || text.starts_with(' ') || !text.bytes().all(allowed) {
        return None;
    }
    if text.is_empty() {
        return Some(*NO_LABEL);
    }
    let mut label = [b' '; 11];
    for (to, from) in label.iter_mut().zip(text.bytes()) {
        *to = from.to_ascii_uppercase();
    }
    Some(label)
}

/// Makes the whole disk one empty volume; what was on it is lost. The boot sector is cleared
/// first and written last, so that a disk whose formatting was cut off is not taken for a volume.
/// `progress` is told the bytes written and the bytes to write.
///
/// # Errors
/// `TooSmall` and `TooLarge` come before anything is written.
pub async fn format<D: BlockDevice>(
    device: &D,
    options: &FormatOptions,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Geometry, FormatError> {
    if device.read_only() {
        return Err(FormatError::Device(DeviceError::ReadOnly));
    }
    let bytes_per_sector = device.sector_size().max(512) as u64;
    let boot = if options.is_exfat(device.size()) {
        let layout = exfat::choose(device.size(), bytes_per_sector, options.volume_id)?;
        let label = options.label.trim_ascii_end();
        let label = if options.label == *NO_LABEL { &[] } else { label };
        let label = core::str::from_utf8(label).unwrap_or_default();
        exfat::write(device, &layout, label, progress).await?
    } else {
        let layout = Layout::choose(options.kind, device.size(), bytes_per_sector)?;
        write_fat(device, &layout, options, progress).await?
    };
    device.flush().await?;
    device.write(0, &boot).await?;
    device.flush().await?;
    Geometry::read_at(device, Place::Whole).await.map_err(|error| match error {
        MountError::Device(error) => FormatError::Device(error),
        error => FormatError::NotKept(error),
    })
}

/// Writes all of a FAT volume but its boot sector, which is returned.
async fn write_fat<D: BlockDevice>(
    device: &D,
    layout: &Layout,
    options: &FormatOptions,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<vec::Vec<u8>, FormatError> {
    let bytes_per_sector = layout.bytes_per_sector;
    // Reserved sectors, tables and the root directory, wherever it is.
    let mut end = layout.data_start();
    if layout.kind == FatKind::Fat32 {
        end = end.saturating_add(layout.cluster_size);
    }
    zero(device, 0, end, &mut |done| progress(done, end)).await?;
    device.flush().await?;

    let sector_size = usize::try_from(bytes_per_sector).unwrap_or(512);
    let first_entries: &[u8] = match layout.kind {
        FatKind::Fat12 => &[MEDIA, 0xFF, 0xFF],
        FatKind::Fat16 => &[MEDIA, 0xFF, 0xFF, 0xFF],
        // The third is the end mark of the root directory.
        FatKind::Fat32 | FatKind::ExFat => {
            &[MEDIA, 0xFF, 0xFF, 0x0F, 0xFF, 0xFF, 0xFF, 0x0F, 0xFF, 0xFF, 0xFF, 0x0F]
        }
    };
    let mut sector = vec![0; sector_size];
    put(&mut sector, 0, first_entries);
    for table in 0..TABLES {
        let at = layout.reserved.saturating_add(layout.table_size.saturating_mul(table));
        device.write(at, &sector).await?;
    }
    if options.label != *NO_LABEL {
        sector.fill(0);
        put(&mut sector, 0, &label_entry(options));
        // The data area starts with FAT32's root directory and follows the others'.
        device.write(layout.root_start(), &sector).await?;
    }
    let boot = boot_sector(layout, options, sector_size);
    if layout.kind == FatKind::Fat32 {
        let info = fs_info(layout, sector_size);
        for number in [FS_INFO, BACKUP_BOOT.saturating_add(FS_INFO)] {
            device.write(u64::from(number).saturating_mul(bytes_per_sector), &info).await?;
        }
        device.write(u64::from(BACKUP_BOOT).saturating_mul(bytes_per_sector), &boot).await?;
    }
    Ok(boot)
}

/// fatgen103, "Boot Sector and BPB Structure".
fn boot_sector(layout: &Layout, options: &FormatOptions, sector_size: usize) -> vec::Vec<u8> {
    let wide = layout.kind == FatKind::Fat32;
    let in_sectors = |bytes: u64| bytes.checked_div(layout.bytes_per_sector).unwrap_or(0);
    let total = in_sectors(layout.size);
    let short_total = if wide { 0 } else { u16::try_from(total).unwrap_or(0) };
    let long_total = if short_total == 0 { total as u32 } else { 0 };
    let table = in_sectors(layout.table_size) as u32;
    // Nothing goes by cylinders any more, but mtools refuses a volume that is not whole tracks.
    let track = (1..=63).rev().find(|track| total.checked_rem(*track) == Some(0)).unwrap_or(1);

    let mut boot = vec![0; sector_size];
    put(&mut boot, 0, if wide { b"\xEB\x58\x90" } else { b"\xEB\x3C\x90" });
    put(&mut boot, 3, b"MIRAGE  ");
    put(&mut boot, 11, &(layout.bytes_per_sector as u16).to_le_bytes());
    put(&mut boot, 13, &[in_sectors(layout.cluster_size) as u8]);
    put(&mut boot, 14, &(in_sectors(layout.reserved) as u16).to_le_bytes());
    put(&mut boot, 16, &[TABLES as u8]);
    put(&mut boot, 17, &((layout.root_size / 32) as u16).to_le_bytes());
    put(&mut boot, 19, &short_total.to_le_bytes());
    put(&mut boot, 21, &[MEDIA]);
    put(&mut boot, 24, &(track as u16).to_le_bytes());
    put(&mut boot, 26, &HEADS.to_le_bytes());
    put(&mut boot, 32, &long_total.to_le_bytes());
    let (extended, code) = if wide {
        put(&mut boot, 36, &table.to_le_bytes());
        put(&mut boot, 44, &2u32.to_le_bytes()); // the root directory's cluster
        put(&mut boot, 48, &FS_INFO.to_le_bytes());
        put(&mut boot, 50, &BACKUP_BOOT.to_le_bytes());
        (64, 90)
    } else {
        put(&mut boot, 22, &(table as u16).to_le_bytes());
        (36, 62)
    };
    let name: &[u8; 8] = match layout.kind {
        FatKind::Fat12 => b"FAT12   ",
        FatKind::Fat16 => b"FAT16   ",
        FatKind::Fat32 | FatKind::ExFat => b"FAT32   ",
    };
    let mut fields = [0; 26];
    put(&mut fields, 0, &[0x80, 0, 0x29]); // a hard disk; an identifier, a label and a name follow
    put(&mut fields, 3, &options.volume_id.to_le_bytes());
    put(&mut fields, 7, &options.label);
    put(&mut fields, 18, name);
    put(&mut boot, extended, &fields);
    // A machine that boots from here goes on to its next disk: int 0x18; hlt; jmp to the hlt.
    put(&mut boot, code, &[0xCD, 0x18, 0xF4, 0xEB, 0xFD]);
    put(&mut boot, 510, &[0x55, 0xAA]);
    boot
}

/// fatgen103, "FAT32 FSInfo Sector Structure".
fn fs_info(layout: &Layout, sector_size: usize) -> vec::Vec<u8> {
    let free = layout.clusters.saturating_sub(1) as u32; // the root directory has one
    let mut info = vec![0; sector_size];
    put(&mut info, 0, b"RRaA");
    put(&mut info, 484, b"rrAa");
    put(&mut info, 488, &free.to_le_bytes());
    put(&mut info, 492, &3u32.to_le_bytes());
    put(&mut info, 510, &[0x55, 0xAA]);
    info
}

/// The root directory's entry that holds the label.
fn label_entry(options: &FormatOptions) -> [u8; 32] {
    let mut entry = [0; 32];
    put(&mut entry, 0, &options.label);
    put(&mut entry, 11, &[0x08]);
    let (date, time, _) = crate::layout::time::to_fat(options.time);
    put(&mut entry, 22, &time.to_le_bytes());
    put(&mut entry, 24, &date.to_le_bytes());
    entry
}

const NO_LABEL: &[u8; 11] = b"NO NAME    ";
const MEDIA: u8 = 0xF8;
const HEADS: u16 = 255;
const FS_INFO: u16 = 1;
const BACKUP_BOOT: u16 = 6;
/// Larger volumes are exFAT, as Windows has it.
const MOST_OF_FAT: u64 = 32 << 30;
