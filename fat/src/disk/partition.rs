//! Partition tables: where on a disk its volumes lie.
//!
//! MBR: fatgen103 knows the types; the table is that of the IBM PC, extended partitions included.
//! GPT: UEFI Specification 2.10, sections 5.2.3 "Protective MBR", 5.3.2 "GPT Header" and 5.3.3
//! "GPT Partition Entry Array". Blocks are sectors of the disk, or of the disk that an image is of.
use crate::bytes::{u8_at, u16_at, u32_at, u64_at};
use crate::{BlockDevice, DeviceError, MountError};
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;
use crc::{CRC_32_ISO_HDLC, Crc};

/// Which part of a disk is the volume.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// All of it, or the partition that holds FAT. Where both may be meant nothing is written.
    #[default]
    Found,
    /// All of it, whatever partition table there is.
    Whole,
    /// A partition of any type, numbered as in Linux: 1 to 4 in an MBR, from 5 on inside its extended
    /// one; of a GPT the place in its array, from 1 on.
    Partition(u32),
}

impl FromStr for Place {
    type Err = NoPlace;

    fn from_str(text: &str) -> Result<Self, NoPlace> {
        match text {
            "whole" => Ok(Self::Whole),
            _ => match text.parse() {
                Ok(number @ 1..) => Ok(Self::Partition(number)),
                _ => Err(NoPlace),
            },
        }
    }
}

/// A text that is no [`Place`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoPlace;

impl fmt::Display for NoPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("neither the number of a partition, from 1 on, nor `whole`")
    }
}

impl core::error::Error for NoPlace {}

/// A part of a disk in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Region {
    pub(crate) start: u64,
    pub(crate) len: u64,
}

impl Region {
    fn overlaps(&self, other: &Self) -> bool {
        self.start < other.start.saturating_add(other.len)
            && other.start < self.start.saturating_add(self.len)
    }
}

/// What a partition's type says; in this order they are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// One that FAT is usual in.
    Fat,
    Other,
    EfiSystem,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Partition {
    pub(crate) number: u32,
    pub(crate) kind: Kind,
    pub(crate) region: Region,
}

/// The partitions of a disk, all of which lie inside it.
#[derive(Debug, Default)]
pub(crate) struct Table {
    /// Those with types of FAT first, the EFI system partitions last, else in the order of their numbers.
    pub(crate) partitions: Vec<Partition>,
    /// An entry leads outside the disk.
    pub(crate) outside: bool,
    /// It is a GPT.
    pub(crate) guid: bool,
    /// Its blocks are not the sectors of the device.
    pub(crate) other_blocks: bool,
}

impl Table {
    /// Whether no entry contradicts another one or the disk.
    pub(crate) fn is_sane(&self) -> bool {
        !self.outside && self.partitions.iter().all(|partition| !self.overlap(partition))
    }

    /// Whether another partition lies where this one does.
    pub(crate) fn overlap(&self, partition: &Partition) -> bool {
        let others = self.partitions.iter().filter(|other| other.number != partition.number);
        others.into_iter().any(|other| other.region.overlaps(&partition.region))
    }

    fn add(&mut self, number: u32, kind: Kind, region: Option<Region>) {
        self.outside |= region.is_none();
        self.partitions.extend(region.map(|region| Partition { number, kind, region }));
    }
}

/// FAT12, FAT16 below 32 MiB, FAT16, exFAT or NTFS, FAT32, the last of FAT for disks with many cylinders,
/// and all of FAT hidden.
const FAT_TYPES: [u8; 13] =
    [0x01, 0x04, 0x06, 0x07, 0x0B, 0x0C, 0x0E, 0x11, 0x14, 0x16, 0x1B, 0x1C, 0x1E];
const EXTENDED_TYPES: [u8; 3] = [0x05, 0x0F, 0x85];
const EFI_TYPE: u8 = 0xEF;
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
/// The sectors of disks that are usual besides 512 bytes.
const LARGE_BLOCK: u64 = 4096;
const GPT: &[u8] = b"EFI PART";
const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);

/// Whether sector 0 has the form of a partition table.
pub(crate) fn is_table(boot: &[u8]) -> bool {
    let mut flags = (0..4).map(|slot| u8_at(boot, SLOTS + SLOT * slot));
    u16_at(boot, 510) == 0xAA55
        && flags.all(|flag| flag & 0x7F == 0)
        && slots(boot).iter().any(|slot| slot.kind != 0)
}

/// Whether it has entries that mean something also where sector 0 begins a volume. mkfs.fat and mformat
/// write one that begins at block 0 into the boot sectors of whole disks.
pub(crate) fn claims_disk(boot: &[u8]) -> bool {
    is_table(boot) && slots(boot).iter().any(|slot| slot.kind != 0 && slot.first != 0)
}

/// Whether there is the header of a GPT in block 1, of `start`, the first bytes of a disk.
pub(crate) fn has_gpt(start: &[u8], device_block: usize) -> bool {
    let header = |block| start.get(block..).is_some_and(|rest: &[u8]| rest.starts_with(GPT));
    header(device_block) || header(LARGE_BLOCK as usize)
}

/// The partitions of a disk whose sector 0 has the form of a table.
///
/// # Errors
/// `NotFat` for a GPT that is damaged, and so is its backup.
pub(crate) async fn read<D: BlockDevice>(device: &D, boot: &[u8]) -> Result<Table, MountError> {
    let disk = Disk { device, block: device.sector_size().max(1) as u64 };
    let slots = slots(boot);
    let mut table = if slots.iter().any(|slot| slot.kind == PROTECTIVE) {
        disk.gpt().await?
    } else {
        disk.mbr(&slots).await?
    };
    table.partitions.sort_by_key(|partition| (partition.kind, partition.number));
    Ok(table)
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

impl Slot {
    fn kind(&self) -> Kind {
        match self.kind {
            kind if FAT_TYPES.contains(&kind) => Kind::Fat,
            EFI_TYPE => Kind::EfiSystem,
            _ => Kind::Other,
        }
    }
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

    async fn mbr(&self, slots: &[Slot; 4]) -> Result<Table, MountError> {
        let mut table = Table::default();
        for (slot, number) in slots.iter().zip(1..).filter(|(slot, _)| slot.kind != 0) {
            let region = self.region(slot.first.into(), slot.count.into());
            if !EXTENDED_TYPES.contains(&slot.kind) {
                table.add(number, slot.kind(), region);
            } else if region.is_some() {
                self.logical(slot, &mut table).await?;
            } else {
                table.outside = true;
            }
        }
        Ok(table)
    }

    /// Adds the partitions inside an extended one: a chain of tables, of which each holds a
    /// partition, counted from the table, and the next table, counted from the first. A chain goes
    /// up only, so that none is endless.
    async fn logical(&self, extended: &Slot, found: &mut Table) -> Result<(), MountError> {
        let base = u64::from(extended.first);
        let end = base.saturating_add(extended.count.into());
        let mut table = base;
        let others = found.partitions.iter().filter(|partition| partition.number > 4).count();
        let mut number = u32::try_from(others).unwrap_or(0).saturating_add(5);
        for _ in 0..LOGICAL {
            let sector = self.blocks(table, self.block).await?;
            if u16_at(&sector, 510) != 0xAA55 {
                break;
            }
            let [partition, next, ..] = slots(&sector);
            let first = table.saturating_add(partition.first.into());
            if partition.kind != 0 && partition.first > 0 {
                let region = self.region(first, partition.count.into());
                found.add(number, partition.kind(), region);
                number = number.saturating_add(1);
            }
            let following = base.saturating_add(next.first.into());
            if !EXTENDED_TYPES.contains(&next.kind) || following <= table || following >= end {
                break;
            }
            table = following;
        }
        Ok(())
    }

    /// The partitions of the GPT at block 1, or of its backup in the last block. An image of a disk with
    /// larger sectors has them elsewhere.
    async fn gpt(&self) -> Result<Table, MountError> {
        let blocks = [self.block, LARGE_BLOCK];
        let blocks = blocks.get(..1 + usize::from(self.block < LARGE_BLOCK)).unwrap_or_default();
        let last = |block: &u64| (self.device.size() / block).saturating_sub(1);
        let headers = blocks.iter().map(|block| (*block, 1));
        let backups = blocks.iter().map(|block| (*block, last(block)));
        for (block, header) in headers.chain(backups) {
            let disk = Disk { device: self.device, block };
            match disk.gpt_at(header).await {
                Ok(Some(table)) => {
                    if header != 1 {
                        log::warn!("the partition table is damaged, its backup is used");
                    }
                    return Ok(Table { other_blocks: disk.block != self.block, ..table });
                }
                Ok(None) | Err(DeviceError::OutOfRange) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(MountError::NotFat("a GPT disk whose partition table and its backup are both damaged"))
    }

    /// The partitions of the GPT whose header is in this block; nothing when it is not intact.
    async fn gpt_at(&self, header: u64) -> Result<Option<Table>, DeviceError> {
        let sector = self.blocks(header, self.block).await?;
        let mut summed = sector.get(..u32_at(&sector, 12) as usize).unwrap_or_default().to_vec();
        let sum = u32_at(&sector, 16);
        if let Some(field) = summed.get_mut(16..20) {
            field.fill(0);
        }
        let intact = sector.starts_with(GPT)
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
        let mut table = Table { guid: true, ..Table::default() };
        for (entry, number) in array.chunks_exact(usize::try_from(size).unwrap_or(128)).zip(1..) {
            let kind = match entry.first_chunk::<16>() {
                None | Some([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]) => continue,
                Some(&BASIC_DATA) => Kind::Fat,
                Some(&EFI_SYSTEM) => Kind::EfiSystem,
                Some(_) => Kind::Other,
            };
            let (first, last) = (u64_at(entry, 32), u64_at(entry, 40));
            let count = last.checked_sub(first).and_then(|count| count.checked_add(1));
            table.add(number, kind, count.and_then(|count| self.region(first, count)));
        }
        Ok(Some(table))
    }
}
