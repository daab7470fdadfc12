//! The server's ed25519 key: from `--seed`, or made once and kept in the volume's system folder.
use crate::keys::key::{ed25519_blob, fingerprint};
use alloc::string::String;
use ed25519_compact::{KeyPair, Seed};
use fat::{BlockDevice, Volume};
use log::{error, warn};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The record's name in the system folder.
const RECORD: &str = "host-key";

const VERSION: u8 = 1;

/// The record: postcard with a CRC-32 behind it.
#[derive(Serialize, Deserialize)]
struct Kept {
    version: u8,
    seed: [u8; 32],
}

/// Where the key comes from, in the words of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    Seed,
    Kept,
    Made,
    /// The volume cannot keep it: clients will see another key after the next start.
    ForThisRun,
}

/// The host key as net needs it, and what to print of it.
pub struct HostKey {
    pub net: net::HostKey,
    /// The fingerprint as OpenSSH prints it.
    pub fingerprint: String,
    pub origin: Origin,
}

impl HostKey {
    fn new(seed: [u8; 32], origin: Origin) -> Self {
        let public = KeyPair::from_seed(Seed::new(seed)).pk;
        Self {
            net: net::HostKey::from_seed(&seed),
            fingerprint: fingerprint(&ed25519_blob(&public)),
            origin,
        }
    }

    /// The key that `--seed` stands for: the same on every machine and volume.
    pub fn from_text(text: &str) -> Self {
        let mut hash = Sha256::new_with_prefix(b"mirage-sshfs host key\0");
        hash.update(text.as_bytes());
        Self::new(hash.finalize().into(), Origin::Seed)
    }

    /// The key that the volume keeps, or a new one made of `random`, which is then kept.
    pub async fn of_volume<D: BlockDevice>(volume: &Volume<D>, random: [u8; 32]) -> Self {
        match volume.read_record(RECORD).await {
            Ok(Some(record)) => match decode(&record) {
                Some(seed) => return Self::new(seed, Origin::Kept),
                None => error!("the host key on the volume is damaged; making a new one"),
            },
            Ok(None) => (),
            Err(e) => error!("cannot read the host key on the volume: {e}"),
        }
        if volume.read_only().is_some() {
            warn!("the volume is read-only: this host key is for this run alone, or give --seed");
            return Self::new(random, Origin::ForThisRun);
        }
        let kept = match encode(&random) {
            Some(record) => volume.write_record(RECORD, &record).await,
            None => Err(fat::Error::NoSpace),
        };
        match kept {
            Ok(()) => Self::new(random, Origin::Made),
            Err(e) => {
                error!("cannot keep the host key on the volume: {e}");
                Self::new(random, Origin::ForThisRun)
            }
        }
    }
}

fn checksum() -> crc::Digest<'static, u32> {
    static CRC: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);
    CRC.digest()
}

fn encode(seed: &[u8; 32]) -> Option<alloc::vec::Vec<u8>> {
    postcard::to_allocvec_crc32(&Kept { version: VERSION, seed: *seed }, checksum()).ok()
}

fn decode(record: &[u8]) -> Option<[u8; 32]> {
    let kept: Kept = postcard::from_bytes_crc32(record, checksum()).ok()?;
    (kept.version == VERSION).then_some(kept.seed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_always_gives_the_same_key_and_another_seed_another() {
        let fingerprint = |text| HostKey::from_text(text).fingerprint;
        assert_eq!(fingerprint("correct horse"), fingerprint("correct horse"));
        assert_ne!(fingerprint("correct horse"), fingerprint("correct horsf"));
    }

    #[test]
    fn a_damaged_record_is_noticed() {
        let record = encode(&[7; 32]).unwrap();
        assert_eq!(decode(&record), Some([7; 32]));
        for i in 0..record.len() {
            let mut bad = record.clone();
            bad[i] ^= 4;
            assert_eq!(decode(&bad), None, "byte {i}");
        }
        assert_eq!(decode(&[]), None);
    }
}
