//! A new exFAT volume: where its regions go, and what is in them. "exFAT file system specification" 3, 4, 5
//! and 7.
use super::error::FormatError;
use super::zeros::zero;
use crate::layout::exfat::boot::{Boot, MOST_CLUSTERS, SECTORS};
use crate::layout::exfat::set::{self, BITMAP, UPCASE};
use crate::layout::exfat::{sum32, upcase};
use crate::{BlockDevice, FatKind};
use alloc::vec;
use alloc::vec::Vec;

/// The least of all volumes.
const LEAST: u64 = 1 << 20;
/// Where the regions of large volumes begin at multiples of; those of small ones at multiples of less.
const LARGEST_BOUNDARY: u64 = 1 << 20;
const LEAST_BOUNDARY: u64 = 4096;
/// Between the table and the clusters there is room for the table of a volume so many times as large, in
/// at most this part of the volume, but at least twice: it can grow so far without moving a cluster.
const TIMES: u64 = 64;
const PART: u64 = 128;
/// A guest of 32 MiB repairs volumes of so many clusters.
const USUAL_MOST: u64 = 1 << 26;
const LARGEST_CLUSTER: u64 = 32 << 20;

/// What every new volume has clusters for, in this order from cluster 2 on.
struct System {
    bitmap: u64,
    upcase: Vec<u8>,
}

/// The layout of a volume of `size` bytes.
pub(super) fn choose(size: u64, bytes_per_sector: u64, serial: u32) -> Result<Boot, FormatError> {
    let kind = FatKind::ExFat;
    let too_small = FormatError::TooSmall { kind, least: LEAST };
    let size = size.saturating_sub(size.checked_rem(bytes_per_sector).unwrap_or(0));
    if size < LEAST {
        return Err(too_small);
    }
    let cluster_size = cluster_size(size).max(bytes_per_sector);
    let boundary = (size / 256).clamp(LEAST_BOUNDARY, LARGEST_BOUNDARY);
    let boundary = (boundary.checked_ilog2()).map_or(LEAST_BOUNDARY, |shift| 1 << shift);
    // The main boot region and its copy.
    let boot = SECTORS.saturating_mul(2).saturating_mul(bytes_per_sector);
    let table_start = boot.next_multiple_of(boundary);
    let table_for = |clusters: u64| clusters.saturating_add(2).saturating_mul(4);
    let most = size.saturating_sub(table_start).checked_div(cluster_size).unwrap_or(0);
    let later = table_for(most.saturating_mul(TIMES)).min(table_for(USUAL_MOST)).min(size / PART);
    let room = table_for(most.saturating_mul(2)).max(later);
    let data_start = table_start.saturating_add(room).next_multiple_of(boundary);
    let clusters = size.saturating_sub(data_start).checked_div(cluster_size).unwrap_or(0);
    let table_size = table_for(clusters).next_multiple_of(bytes_per_sector);
    let too_large = FormatError::TooLarge {
        kind,
        most: u64::from(MOST_CLUSTERS).saturating_mul(LARGEST_CLUSTER),
    };
    let narrow = |number: u64| u32::try_from(number).map_err(|_| too_large);
    narrow(data_start.checked_div(bytes_per_sector).unwrap_or(0))?;
    let boot = Boot {
        size,
        bytes_per_sector: narrow(bytes_per_sector)?,
        cluster_size: narrow(cluster_size)?,
        table_start,
        table_size,
        data_start,
        clusters: narrow(clusters).ok().filter(|it| *it <= MOST_CLUSTERS).ok_or(too_large)?,
        root_cluster: 0,
        serial,
    };
    let system = System::of(&boot);
    let root_cluster = narrow(system.before_root(cluster_size).saturating_add(2))?;
    if u64::from(root_cluster) > clusters {
        return Err(too_small);
    }
    Ok(Boot { root_cluster, ..boot })
}

/// As Windows and mkfs.exfat choose it; above 8 TiB larger, so that a small machine can repair the volume.
fn cluster_size(size: u64) -> u64 {
    const MIB: u64 = 1 << 20;
    const GIB: u64 = 1 << 30;
    let mut cluster: u64 = match size {
        size if size <= 256 * MIB => 4 << 10,
        size if size <= 32 * GIB => 32 << 10,
        _ => 128 << 10,
    };
    while size.checked_div(cluster).unwrap_or(0) > USUAL_MOST && cluster < LARGEST_CLUSTER {
        cluster = cluster.saturating_mul(2);
    }
    cluster
}

impl System {
    fn of(boot: &Boot) -> Self {
        Self { bitmap: u64::from(boot.clusters).div_ceil(8), upcase: upcase::usual() }
    }

    /// How many clusters the bitmap has, and how many the up-case table.
    fn clusters(&self, cluster_size: u64) -> [u64; 2] {
        [self.bitmap, self.upcase.len() as u64].map(|len| len.div_ceil(cluster_size.max(1)))
    }

    fn before_root(&self, cluster_size: u64) -> u64 {
        self.clusters(cluster_size).iter().fold(0, |sum, clusters| sum.saturating_add(*clusters))
    }
}

/// Writes all but the first sector, which is returned.
pub(super) async fn write<D: BlockDevice>(
    device: &D,
    boot: &Boot,
    label: &str,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Vec<u8>, FormatError> {
    let cluster_size = u64::from(boot.cluster_size);
    let system = System::of(boot);
    let used = system.before_root(cluster_size).saturating_add(1);
    let heap_end = boot.data_start.saturating_add(used.saturating_mul(cluster_size));
    let table_end = boot.table_start.saturating_add(boot.table_size);
    // Other systems leave marks in the first MiB. The room behind the table is nobody's.
    let first_end = table_end.max(LARGEST_BOUNDARY).min(boot.data_start);
    let total = first_end.saturating_add(heap_end.saturating_sub(boot.data_start));
    zero(device, 0, first_end, &mut |done| progress(done, total)).await?;
    zero(device, boot.data_start, heap_end, &mut |done| {
        progress(first_end.saturating_add(done), total);
    })
    .await?;
    device.flush().await?;

    let [bitmap, upcase] = system.clusters(cluster_size);
    let sector = u64::from(boot.bytes_per_sector);
    let put = async |at: u64, bytes: &[u8]| {
        let mut sectors = bytes.to_vec();
        let len = (bytes.len() as u64).next_multiple_of(sector);
        sectors.resize(usize::try_from(len).unwrap_or(0), 0);
        device.write(at, &sectors).await
    };
    let mut table: Vec<u32> = vec![0xFFFF_FFF8, u32::MAX];
    for clusters in [bitmap, upcase, 1] {
        for left in (0..clusters).rev() {
            let next = u32::try_from(table.len()).unwrap_or(0).saturating_add(1);
            table.push(if left == 0 { u32::MAX } else { next });
        }
    }
    let table: Vec<u8> = table.iter().flat_map(|entry| entry.to_le_bytes()).collect();
    put(boot.table_start, &table).await?;

    let mut bits = vec![0xFF; usize::try_from(used / 8).unwrap_or(0)];
    bits.push(0xFF_u8.checked_shr(8u32.saturating_sub((used % 8) as u32)).unwrap_or(0));
    put(boot.data_start, &bits).await?;
    let upcase_at = boot.data_start.saturating_add(bitmap.saturating_mul(cluster_size));
    put(upcase_at, &system.upcase).await?;

    let label: Vec<u16> = label.encode_utf16().take(11).collect();
    let upcase_first = u32::try_from(bitmap).unwrap_or(0).saturating_add(2);
    let sum = sum32(0, system.upcase.iter().copied());
    let root = [
        set::label_entry(&label),
        set::system_entry(BITMAP, 2, system.bitmap, 0),
        set::system_entry(UPCASE, upcase_first, system.upcase.len() as u64, sum),
    ];
    let root_at = upcase_at.saturating_add(upcase.saturating_mul(cluster_size));
    put(root_at, root.as_flattened()).await?;

    let region = boot.region();
    device.write(region.len() as u64, &region).await?;
    let (first, rest) = region.split_at_checked(boot.bytes_per_sector as usize).unwrap_or_default();
    device.write(sector, rest).await?;
    Ok(first.to_vec())
}
