//! Which part of a disk is its volume. What is in doubt is never resolved towards writing.
//!
//! Many disks say more than one thing of themselves: sfdisk, gdisk and Windows leave what is in the
//! first 446 bytes, so the boot sector of a volume that was there before stays under a partition table.
use crate::disk::foreign::{self, NEAR};
use crate::disk::partition::{self, Kind, Partition, Place, Region, Table};
use crate::layout::exfat::boot;
use crate::layout::geometry::BOOT_SECTOR;
use crate::{BlockDevice, DeviceError, Geometry, MountError};
use alloc::vec;
use alloc::vec::Vec;

const UNDER_A_TABLE: &str = "a partition table lies over the volume: --partition whole serves the \
                             volume, --partition 1 the first partition";
const UNDER_A_GPT: &str = "a GUID partition table lies over the volume: --partition whole serves the \
                           volume and gives the table up";
const OVERLAPPING: &str = "another partition lies over this one: --partition N decides for one";
const LARGE_BLOCKS: &str = "the partition table counts in other sectors than the disk's: --partition N \
                            says that it is right";
const ISO: &str =
    "the disk is an ISO 9660 file system as well: --partition N decides for the partition";
const BESIDE: &str = "there are marks of another file system beside it: --partition N, or whole for \
                      the whole disk, says that it is FAT";
const OUTSIDE: MountError =
    MountError::NotFat("a partition lies outside the disk (was the disk cut short?)");
/// Partitions that hold no FAT whose contents are looked at more closely, to be named.
const LOOKS: usize = 16;

impl Geometry {
    /// As `read_at`, of a place that is found.
    ///
    /// # Errors
    /// As there.
    pub async fn read<D: BlockDevice>(device: &D) -> Result<Self, MountError> {
        Self::read_at(device, Place::Found).await
    }

    /// Finds the volume of a disk and checks its boot sector. Nothing in it is believed: a value that
    /// comes back has every region inside the disk.
    ///
    /// `Place::Found` takes the first partition with a FAT volume, of whatever type, those with types of
    /// FAT first and EFI system partitions only when there is nothing else; where no partition table
    /// is, the whole disk. A protective entry of GPT means GPT. An MBR wins over the boot sector that it
    /// shares sector 0 with when its entries are sane and one of them begins with FAT or exFAT. Other
    /// doubts are noted in `read_only`.
    ///
    /// # Errors
    /// `Device` when the disk cannot be read, `NotFat` for anything but an intact boot sector,
    /// `Foreign` for what is recognised as something else, `NoPartition`, and `Unsupported` for a FAT
    /// variant that is not served.
    pub async fn read_at<D: BlockDevice>(device: &D, place: Place) -> Result<Self, MountError> {
        let sector = device.sector_size();
        if device.size() < sector.max(BOOT_SECTOR) as u64 {
            return Err(MountError::NotFat("the disk is empty"));
        }
        let disk = Disk { device, sector };
        let whole = Region { start: 0, len: device.size() };
        let start = disk.start_of(whole).await?;
        let bare = Self::parse(&start, sector, whole);
        match place {
            Place::Whole => disk.named(bare, whole).await,
            Place::Found => disk.found(bare, &start).await,
            Place::Partition(number) if partition::is_table(&start) => {
                let table = partition::read(device, &start).await?;
                let mut partitions = table.partitions.iter();
                let region = partitions.find(|partition| partition.number == number);
                let region = region.ok_or(MountError::NoPartition(number))?.region;
                let parsed = Self::parse(&disk.start_of(region).await?, sector, region);
                disk.named(parsed, region).await
            }
            Place::Partition(number) => Err(MountError::NoPartition(number)),
        }
    }
}

type Parsed = Result<Geometry, MountError>;

struct Disk<'a, D> {
    device: &'a D,
    sector: usize,
}

impl<D: BlockDevice> Disk<'_, D> {
    /// The boot sector of what may be a volume, and what follows it.
    async fn start_of(&self, region: Region) -> Result<Vec<u8>, DeviceError> {
        let sector = self.sector.max(1);
        let whole = |len: u64| {
            let len = usize::try_from(region.len.min(len)).unwrap_or(0) / sector * sector;
            len.max(sector)
        };
        let mut start = vec![0; whole(NEAR)];
        self.device.read(region.start, &mut start).await?;
        // exFAT's boot region is longer where sectors are larger than 512 bytes.
        let needed = boot::region_len(&start).map_or(0, whole);
        if needed > start.len() {
            start.resize(needed, 0);
            self.device.read(region.start, &mut start).await?;
        }
        Ok(start)
    }

    async fn found(&self, bare: Parsed, start: &[u8]) -> Parsed {
        let whole = Region { start: 0, len: self.device.size() };
        let is_volume = matches!(bare, Ok(_) | Err(MountError::Growing(_)));
        if is_volume && !partition::claims_disk(start) {
            let gpt = partition::has_gpt(start, self.sector).then_some(UNDER_A_GPT);
            return doubted(bare, gpt.or(foreign::beside_fat(start).map(|_| BESIDE)));
        }
        if !partition::is_table(start) {
            return self.named(bare, whole).await;
        }
        let table = match partition::read(self.device, start).await {
            Err(MountError::NotFat(_)) if is_volume => return doubted(bare, Some(UNDER_A_GPT)),
            table => table?,
        };
        if is_volume && !table.guid && !(table.is_sane() && self.begins_one(&table).await?) {
            return doubted(bare, Some(UNDER_A_TABLE));
        }
        // The same for what is no FAT.
        let other = !table.guid && !table.is_sane() && foreign::named(start).is_some();
        doubted(self.partition(&table).await, other.then_some(UNDER_A_TABLE))
    }

    /// Whether a partition begins with FAT or exFAT.
    async fn begins_one(&self, table: &Table) -> Result<bool, DeviceError> {
        for Partition { region, .. } in &table.partitions {
            let start = self.start_of(*region).await?;
            match Geometry::parse(&start, self.sector, *region) {
                Ok(_) | Err(MountError::Growing(_)) => return Ok(true),
                // A damaged one counts too.
                Err(_) if boot::is_exfat(&start) => return Ok(true),
                Err(_) => {}
            }
        }
        Ok(false)
    }

    /// The first partition with a FAT volume.
    async fn partition(&self, table: &Table) -> Parsed {
        let mut why = None;
        for partition in &table.partitions {
            let region = partition.region;
            let start = self.start_of(region).await?;
            let parsed = Geometry::parse(&start, self.sector, region);
            if matches!(parsed, Ok(_) | Err(MountError::Growing(_))) {
                let doubt = self.doubt(table, partition, &start).await?;
                return doubted(parsed, doubt);
            }
            let known = partition.kind == Kind::Fat || boot::is_exfat(&start);
            why = why.or(parsed.err().filter(|_| known));
        }
        for Partition { number, region, .. } in table.partitions.iter().take(LOOKS) {
            if let Some(what) = foreign::look(self.device, region.start, region.len).await?
                && (what != foreign::EXFAT || why.is_none())
            {
                return Err(MountError::Foreign { what, partition: Some(*number) });
            }
        }
        Err(match why {
            None if table.outside => OUTSIDE,
            None => MountError::NotFat("a partitioned disk without a FAT volume"),
            Some(MountError::Blank) => MountError::NotFat("the partition is blank"),
            Some(why) => why,
        })
    }

    /// Why the volume that begins a partition must not be written.
    async fn doubt(
        &self,
        table: &Table,
        partition: &Partition,
        start: &[u8],
    ) -> Result<Option<&'static str>, DeviceError> {
        if table.other_blocks {
            return Ok(Some(LARGE_BLOCKS));
        }
        if table.overlap(partition) {
            return Ok(Some(OVERLAPPING));
        }
        if foreign::beside_fat(start).is_some() {
            return Ok(Some(BESIDE));
        }
        let iso = partition.kind != Kind::Fat && foreign::is_optical(self.device).await?;
        Ok(iso.then_some(ISO))
    }

    /// What was read of a region, or the name of what is there instead.
    async fn named(&self, parsed: Parsed, region: Region) -> Parsed {
        let partition = (region.start > 0).then_some(());
        match parsed {
            Ok(_) | Err(MountError::Growing(_) | MountError::Unsupported(_)) => parsed,
            Err(why) => match foreign::look(self.device, region.start, region.len).await? {
                // What is wrong with it says more.
                Some(foreign::EXFAT) => Err(why),
                Some(what) => Err(MountError::Foreign { what, partition: None }),
                None if partition.is_some() && why == MountError::Blank => {
                    Err(MountError::NotFat("the partition is blank"))
                }
                None => Err(why),
            },
        }
    }
}

/// Nothing is written to what is in doubt, so that it is not grown either.
fn doubted(parsed: Parsed, doubt: Option<&'static str>) -> Parsed {
    match (parsed, doubt) {
        (Ok(geometry), Some(why)) => Ok(Geometry { read_only: Some(why), ..geometry }),
        (Err(MountError::Growing(_)), Some(why)) => Err(MountError::Unsupported(why)),
        (parsed, _) => parsed,
    }
}
