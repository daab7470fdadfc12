//! Whether another start of this volume had the same random state: then a machine was copied or set back after its
//! random numbers were drawn, or their source is none. The host key does not depend on it.
use alloc::vec::Vec;
use fat::{BlockDevice, Volume};
use log::debug;
use sha2::{Digest, Sha256};

/// The record's name in the system folder: tags, the latest first.
const RECORD: &str = "starts";

/// How many starts are remembered, and the bytes of each tag.
const STARTS: usize = 16;
const TAG: usize = 16;

/// Whether the volume remembers a start with this state, which is random bytes that nothing else is made of. If
/// not it does so from now on, if it can be written.
pub async fn is_known<D: BlockDevice>(volume: &Volume<D>, state: &[u8; 32]) -> bool {
    let hash = Sha256::new_with_prefix(b"mirage-sshfs start\0").chain_update(state).finalize();
    let tag = hash.get(..TAG).unwrap_or_default();
    let known = match volume.read_record(RECORD).await {
        Ok(known) => known.unwrap_or_default(),
        Err(e) => {
            debug!("the starts that the volume remembers cannot be read: {e}");
            return false;
        }
    };
    if known.chunks(TAG).any(|other| other == tag) {
        return true;
    }
    if volume.read_only().is_none() {
        let tags: Vec<u8> = tag.iter().chain(&known).copied().take(STARTS * TAG).collect();
        if let Err(e) = volume.write_record(RECORD, &tags).await {
            debug!("the volume cannot remember this start: {e}");
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use client::Ram;
    use fat::MountOptions;

    fn wait<T>(future: impl Future<Output = T>) -> T {
        client::ready(future).expect("a disk in memory answers at once")
    }

    /// A start of the volume on this disk.
    fn start(disk: &Ram, state: u8, read_only: bool) -> bool {
        let mount = MountOptions { read_only, ..MountOptions::default() };
        let volume = wait(Volume::mount(disk.clone(), &mount)).unwrap();
        let known = wait(is_known(&volume, &[state; 32]));
        wait(volume.unmount()).unwrap();
        known
    }

    #[test]
    fn a_state_that_comes_again_is_noticed_for_sixteen_starts() {
        let disk = Ram::formatted(8 << 20);
        assert!(!start(&disk, 0, false));
        // Copies of one state, and the volume of each.
        assert!(start(&disk, 0, false) && start(&disk, 0, true));
        for state in 1..16 {
            assert!(!start(&disk, state, false));
        }
        assert!(start(&disk, 0, true));
        assert!(!start(&disk, 16, true), "nothing is written of a read-only start");
        assert!(!start(&disk, 16, false));
        assert!(!start(&disk, 0, true), "it is long ago");
    }
}
