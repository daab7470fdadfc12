//! Partition tables: where on a disk its FAT volume may lie.
//!
//! MBR: fatgen103 knows the types; the table is that of the IBM PC, extended partitions included.
//! GPT: UEFI Specification 2.10, sections 5.2.3 "Protective MBR", 5.3.2 "GPT Header" and 5.3.3
//! "GPT Partition Entry Array". Blocks are sectors of the disk.
use crate::bytes::{u8_at, u16_at, u32_at, u64_at};
use crate::{BlockDevice, DeviceError, MountError};
use alloc::vec;
use alloc::vec::Vec;
use crc::{CRC_32_ISO_HDLC, Crc};

/// A part of a disk in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Region {
    pub(crate) start: u64,
    pub(crate) len: u64,
}

/// FAT12, FAT16 below 32 MiB, FAT16, FAT32, and the last two for disks with many cylinders.
const FAT_TYPES: [u8; 6] = [0x01, 0x04, 0x06, 0x0B, 0x0C, 0x0E];
const EXTENDED_TYPES: [u8; 3] = [0x05, 0x0F, 0x85];
const PROTECTIVE: u8 = 0xEE;
/// EBD0A0A2-B9E5-4433-87C0-68B6B72699C7 and C12A7328-F81F-11D2-BA4B-00A0C93EC93B as stored.
const BASIC_DATA: [u8; 16] = *b"\xA2\xA0\xD0\xEB\xE5\xB9\x33\x44\x87\xC0\x68\xB6\xB7\x26\x99\xC7";
const EFI_SYSTEM: [u8; 16] = *b"\x28\x73\x2A\xC1\x1F\xF8\xD2\x11\xBA\x4B\x00\xA0\xC9\x3E\xC9\x3B";
const SLOTS: usize = 446;
const SLOT: usize = 16;
/// The most partitions inside an extended one that are looked at.
const LOGICAL: usize = 64;
/// The most bytes of a GPT's array of entries; 16 KiB are usual.
const MOST_ENTRIES: u64 = 256 << 10;
const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);

const OUTSIDE: MountError =
    MountError::NotFat("a FAT partition lies outside the disk (was the disk cut short?)");
const BROKEN_GPT: MountError =
    MountError::NotFat("a GPT disk whose partition table and its backup are both damaged");

/// Whether a sector that is no boot sector of FAT looks like a partition table.
pub(crate) fn is_table(boot: &[u8]) -> bool {
    let mut slots = (0..4).map(|slot| SLOTS + SLOT * slot);
    let mut kinds = slots.clone().map(|at| u8_at(boot, at + 4));
    u16_at(boot, 510) == 0xAA55
        && slots.all(|at| u8_at(boot, at) & 0x7F == 0)
        && kinds.any(|kind| kind != 0)
}

/// The partitions that may hold a FAT volume, in the order of the table that starts with `boot`.
/// Every one lies inside the disk.
///
/// # Errors
/// `NotFat` for a table that is damaged and when the only FAT partitions lie outside the disk.
pub(crate) async fn find<D: BlockDevice>(
    device: &D,
    boot: &[u8],
) -> Result<Vec<Region>, MountError> {
    let disk = Disk { device, block: device.sector_size().max(1) as u64 };
    let slots = slots(boot);
    if slots.iter().any(|slot| slot.kind == PROTECTIVE) {
        return disk.gpt().await;
    }
    let (mut found, mut outside) = (Vec::new(), false);
    for slot in slots {
        let region = disk.region(slot.first.into(), slot.count.into());
        if FAT_TYPES.contains(&slot.kind) {
            found.extend(region);
            outside |= region.is_none();
        } else if EXTENDED_TYPES.contains(&slot.kind) && region.is_some() {
            disk.logical(slot, &mut found).await?;
        }
    }
    if found.is_empty() && outside { Err(OUTSIDE) } else { Ok(found) }
}

/// An entry of an MBR: type, first block, number of blocks.
#[derive(Clone, Copy)]
struct Slot {
    kind: u8,
    first: u32,
    count: u32,
}

fn slots(sector: &[u8]) -> [Slot; 4] {
    [0, 1, 2, 3].map(|slot| {
        let at = SLOTS + SLOT * slot;
        let kind = u8_at(sector, at + 4);
        Slot { kind, first: u32_at(sector, at + 8), count: u32_at(sector, at + 12) }
    })
}

struct Disk<'a, D> {
    device: &'a D,
    /// Bytes in a block.
    block: u64,
}

impl<D: BlockDevice> Disk<'_, D> {
    /// Blocks as a region, when there are any, block 0 is not among them and all are on the disk.
    fn region(&self, first: u64, count: u64) -> Option<Region> {
        let start = first.checked_mul(self.block)?;
        let len = count.checked_mul(self.block)?;
        let fits = first > 0 && len > 0 && start.checked_add(len)? <= self.device.size();
        fits.then_some(Region { start, len })
    }

    async fn blocks(&self, first: u64, bytes: u64) -> Result<Vec<u8>, DeviceError> {
        let outside = DeviceError::OutOfRange;
        let len = bytes.checked_next_multiple_of(self.block).ok_or(outside)?;
        let region = self.region(first, len / self.block).ok_or(outside)?;
        let mut data = vec![0; usize::try_from(region.len).map_err(|_| outside)?];
        self.device.read(region.start, &mut data).await?;
        Ok(data)
    }

    /// Adds the FAT partitions inside an extended one: a chain of tables, of which each holds a
    /// partition, counted from the table, and the next table, counted from the first. A chain goes
    /// up only, so that none is endless.
    async fn logical(&self, extended: Slot, found: &mut Vec<Region>) -> Result<(), MountError> {
        let base = u64::from(extended.first);
        let end = base.saturating_add(extended.count.into());
        let mut table = base;
        for _ in 0..LOGICAL {
            let sector = self.blocks(table, self.block).await?;
            if u16_at(&sector, 510) != 0xAA55 {
                break;
            }
            let [partition, next, ..] = slots(&sector);
            let first = table.saturating_add(partition.first.into());
            if FAT_TYPES.contains(&partition.kind) && partition.first > 0 {
                found.extend(self.region(first, partition.count.into()));
            }
            let following = base.saturating_add(next.first.into());
            if !EXTENDED_TYPES.contains(&next.kind) || following <= table || following >= end {
                break;
            }
            table = following;
        }
        Ok(())
    }

    /// The partitions of the GPT at block 1, or of its backup in the last block.
    async fn gpt(&self) -> Result<Vec<Region>, MountError> {
        let last = (self.device.size() / self.block).saturating_sub(1);
        for header in [1, last] {
            match self.gpt_at(header).await {
                Ok(Some(found)) => return Ok(found),
                Ok(None) | Err(DeviceError::OutOfRange) => {}
                Err(error) => return Err(error.into()),
            }
            if header == 1 {
                log::warn!("the partition table is damaged; trying its backup");
            }
        }
        Err(BROKEN_GPT)
    }

    /// The partitions of the GPT whose header is in this block; nothing when it is not intact.
    async fn gpt_at(&self, header: u64) -> Result<Option<Vec<Region>>, DeviceError> {
        let sector = self.blocks(header, self.block).await?;
        let mut summed = sector.get(..u32_at(&sector, 12) as usize).unwrap_or_default().to_vec();
        let sum = u32_at(&sector, 16);
        if let Some(field) = summed.get_mut(16..20) {
            field.fill(0);
        }
        let intact = sector.starts_with(b"EFI PART")
            && summed.len() >= 92
            && CRC.checksum(&summed) == sum
            && u64_at(&sector, 24) == header;
        let (count, size) = (u64::from(u32_at(&sector, 80)), u64::from(u32_at(&sector, 84)));
        let bytes = count.saturating_mul(size);
        if !intact || size < 128 || !size.is_power_of_two() || bytes > MOST_ENTRIES || count == 0 {
            return Ok(None);
        }
        let mut array = self.blocks(u64_at(&sector, 72), bytes).await?;
        array.truncate(usize::try_from(bytes).unwrap_or(0));
        if CRC.checksum(&array) != u32_at(&sector, 88) {
            return Ok(None);
        }
        let found = array.chunks_exact(usize::try_from(size).unwrap_or(128)).filter_map(|entry| {
            let kind = entry.first_chunk::<16>()?;
            let (first, last) = (u64_at(entry, 32), u64_at(entry, 40));
            let count = last.checked_sub(first)?.checked_add(1)?;
            let known = *kind == BASIC_DATA || *kind == EFI_SYSTEM;
            if known { self.region(first, count) } else { None }
        });
        Ok(Some(found.collect()))
    }
}
