//! Whether a disk is blank, so that formatting it loses nothing.
use crate::{BlockDevice, DeviceError};
use alloc::vec;

/// Disks up to this size are read whole.
const WHOLE: u64 = 4 << 30;
/// Of larger ones this much at both ends, where partition tables with their backups, LVM, LUKS, RAID
/// and swap keep their headers, and file systems their superblocks.
const END: u64 = 1 << 30;
/// Between the ends a sample at each multiple of `STEP`: the copies of the superblocks of ext2 to
/// ext4 and of btrfs lie there.
const SAMPLE: u64 = 64 << 10;
const STEP: u64 = 64 << 20;
const REQUEST: u64 = 1 << 20;

/// Looks for the first byte that is not zero: where it is, or nothing when the disk counts as blank.
///
/// A disk of up to 4 GiB is read whole; of a larger one the first and the last GiB, and 64 KiB at
/// each multiple of 64 MiB between them.
///
/// # Errors
/// Those of the disk.
pub async fn first_byte<D: BlockDevice>(device: &D) -> Result<Option<u64>, DeviceError> {
    let sector = device.sector_size().max(1) as u64;
    let size = device.size() / sector * sector;
    if size <= WHOLE {
        return first_in(device, 0, size).await;
    }
    let last = size.saturating_sub(END);
    let middle = (END..last).step_by(usize::try_from(STEP).unwrap_or(usize::MAX));
    let parts = middle.map(|at| (at, at.saturating_add(SAMPLE).min(last)));
    for (from, to) in [(0, END)].into_iter().chain(parts).chain([(last, size)]) {
        if let Some(at) = first_in(device, from, to).await? {
            return Ok(Some(at));
        }
    }
    Ok(None)
}

async fn first_in<D: BlockDevice>(
    device: &D,
    from: u64,
    to: u64,
) -> Result<Option<u64>, DeviceError> {
    let zeros = vec![0; usize::try_from(REQUEST).unwrap_or(0)];
    let mut bytes = zeros.clone();
    let mut at = from;
    while at < to {
        let len = usize::try_from(to.saturating_sub(at).min(REQUEST)).unwrap_or(0);
        let part = bytes.get_mut(..len).unwrap_or_default();
        device.read(at, part).await?;
        // Comparing is much quicker than looking at each byte.
        if !zeros.starts_with(part)
            && let Some(found) = part.iter().position(|byte| *byte != 0)
        {
            return Ok(Some(at.saturating_add(found as u64)));
        }
        at = at.saturating_add(len as u64);
    }
    Ok(None)
}
