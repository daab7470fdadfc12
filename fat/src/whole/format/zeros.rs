//! Zeros on a disk.
use crate::{BlockDevice, DeviceError};
use alloc::vec;

const ZEROS: usize = 128 << 10;

/// Writes zeros. `progress` is told the bytes written.
pub(in crate::whole) async fn zero<D: BlockDevice>(
    device: &D,
    from: u64,
    to: u64,
    progress: &mut dyn FnMut(u64),
) -> Result<(), DeviceError> {
    let zeros = vec![0; ZEROS];
    let mut at = from;
    while at < to {
        let length = to.saturating_sub(at).min(ZEROS as u64);
        let piece = usize::try_from(length).ok().and_then(|length| zeros.get(..length));
        device.write(at, piece.unwrap_or_default()).await?;
        at = at.saturating_add(length);
        progress(at.saturating_sub(from));
    }
    Ok(())
}
