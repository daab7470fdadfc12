//! What lies on a disk that is no FAT volume, by the marks that `libblkid` and `file` go by too.
use crate::bytes::u32_at;
use crate::{BlockDevice, DeviceError};
use alloc::vec;

struct Mark {
    /// Its bytes are at this offset.
    at: usize,
    bytes: &'static [u8],
    name: &'static str,
    /// Whether a boot sector of FAT may lie in front of it: what the system that left it did not wipe.
    beside_fat: bool,
}

const fn mark(at: usize, bytes: &'static [u8], name: &'static str, beside_fat: bool) -> Mark {
    Mark { at, bytes, name, beside_fat }
}

/// What is served when it is whole.
pub(crate) const EXFAT: &str = "an exFAT volume";

/// In the order of the disk.
const MARKS: [Mark; 13] = [
    mark(0, b"LUKS\xBA\xBE", "a LUKS volume", false),
    mark(0, b"XFSB", "an XFS file system", false),
    mark(3, b"EXFAT   ", EXFAT, false),
    mark(3, b"NTFS    ", "an NTFS volume", false),
    mark(3, b"-FVE-FS-", "a BitLocker volume", false),
    mark(512, b"LABELONE", "an LVM volume", true),
    mark(EXT, b"\x53\xEF", "an ext2, ext3 or ext4 file system", true),
    mark(4086, b"SWAPSPACE2", "Linux swap", false),
    mark(4096, b"\xFC\x4E\x2B\xA9\x01", "a member of a RAID", true),
    mark(OPTICAL, b"CD001", "an ISO 9660 file system", true),
    mark(OPTICAL, b"BEA01", "a UDF file system", true),
    mark(65_600, b"_BHRfS_M", "a btrfs file system", true),
    mark(65_588, b"ReIsEr", "a ReiserFS file system", true),
];
/// Where a superblock of ext has its magic number.
const EXT: usize = 1080;
/// Where the first descriptor of ISO 9660 and UDF has its name.
const OPTICAL: usize = 32_769;
/// So much of a volume holds all marks that lie near its start, and all marks.
pub(crate) const NEAR: u64 = 8 << 10;
const ALL: u64 = 68 << 10;

impl Mark {
    fn is_in(&self, start: &[u8]) -> bool {
        let there = start.get(self.at..).is_some_and(|rest| rest.starts_with(self.bytes));
        // Two bytes are soon there by accident: blocks of 1 to 64 KiB, revision 0 or 1.
        let plausible = self.at != EXT || u32_at(start, 1048) <= 6 && u32_at(start, 1100) <= 1;
        there && plausible
    }
}

/// What the first bytes of a volume say that it is.
pub(crate) fn named(start: &[u8]) -> Option<&'static str> {
    MARKS.iter().find(|mark| mark.is_in(start)).map(|mark| mark.name)
}

/// What lies there besides the boot sector of FAT that was found.
pub(crate) fn beside_fat(start: &[u8]) -> Option<&'static str> {
    MARKS.iter().find(|mark| mark.beside_fat && mark.is_in(start)).map(|mark| mark.name)
}

/// Whether the disk is an image for optical discs, of which some are for memory sticks, too.
pub(crate) async fn is_optical<D: BlockDevice>(device: &D) -> Result<bool, DeviceError> {
    let mut sector = vec![0; device.sector_size().max(512)];
    if (OPTICAL as u64).saturating_add(sector.len() as u64) > device.size() {
        return Ok(false);
    }
    let inside = OPTICAL % sector.len();
    device.read((OPTICAL.saturating_sub(inside)) as u64, &mut sector).await?;
    let there = sector.get(inside..).unwrap_or_default();
    let mut marks = MARKS.iter().filter(|mark| mark.at == OPTICAL);
    Ok(marks.any(|mark| there.starts_with(mark.bytes)))
}

/// As `named`, of `len` bytes at `start` of the disk.
pub(crate) async fn look<D: BlockDevice>(
    device: &D,
    start: u64,
    len: u64,
) -> Result<Option<&'static str>, DeviceError> {
    let sector = device.sector_size().max(1) as u64;
    let len = len.min(ALL) / sector * sector;
    let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
    if !bytes.is_empty() {
        device.read(start, &mut bytes).await?;
    }
    Ok(named(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    #[test]
    fn every_mark_is_named_and_half_of_one_is_not() {
        for mark in MARKS {
            let mut start = vec![0; 68 << 10];
            assert_eq!(named(&start), None);
            start[mark.at..mark.at + mark.bytes.len()].copy_from_slice(mark.bytes);
            assert_eq!(named(&start), Some(mark.name));
            assert_eq!(beside_fat(&start).is_some(), mark.beside_fat, "{}", mark.name);
            start[mark.at + mark.bytes.len() - 1] ^= 1;
            assert_eq!(named(&start), None, "{}", mark.name);
            assert_eq!(named(&start[..mark.at + 1]), None, "{}", mark.name);
        }
    }

    #[test]
    fn an_entry_of_a_table_is_no_superblock() {
        let mut start = vec![0; 2048];
        start[EXT..EXT + 2].copy_from_slice(b"\x53\xEF");
        start[1048..1052].copy_from_slice(&0x0120_011Fu32.to_le_bytes());
        assert_eq!(named(&start), None);
    }
}
