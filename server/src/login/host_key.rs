//! The server's ed25519 key, and the ECDSA key of `--nist-algorithms`: from `--seed`, or made once and kept in
//! the volume's system folder.
use crate::keys::key::fingerprint;
use alloc::string::String;
use core::fmt;
use fat::{BlockDevice, Volume};
use log::{error, warn};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

/// The records' names in the system folder.
const RECORD: &str = "host-key";
const ECDSA_RECORD: &str = "ecdsa-key";

const VERSION: u8 = 1;

/// What a key is made of: overwritten when it is not needed any more.
pub type Secret = Zeroizing<[u8; 32]>;

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

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Seed => "from --seed",
            Self::Kept => "kept on the volume",
            Self::Made => "new, kept on the volume",
            Self::ForThisRun => "for this run alone",
        })
    }
}

/// The host key as net needs it, and what to print of it.
pub struct HostKey {
    pub net: net::HostKey,
    /// The fingerprint as OpenSSH prints it.
    pub fingerprint: String,
}

impl HostKey {
    fn new(seed: &Secret) -> Self {
        let net = net::HostKey::from_seed(seed);
        let fingerprint = fingerprint(&net.ed25519_blob());
        Self { net, fingerprint }
    }

    /// The key that `--seed` stands for: the same on every machine and volume.
    pub fn from_text(text: &str) -> Self {
        Self::new(&derived(b"mirage-sshfs host key\0", text))
    }

    /// Adds the ECDSA key that `--seed` stands for, and gives its fingerprint.
    pub fn add_ecdsa_from_text(&mut self, text: &str) -> String {
        self.add_ecdsa(derived(b"mirage-sshfs ECDSA host key\0", text))
    }

    /// What no key has for its number, one of 2^32, is hashed until one has it.
    fn add_ecdsa(&mut self, mut seed: Secret) -> String {
        loop {
            match self.net.add_ecdsa(&seed) {
                Some(blob) => return fingerprint(&blob),
                None => *seed = Sha256::digest(*seed).into(),
            }
        }
    }

    /// The key that the volume keeps, or a new one made of `random`, which is then kept.
    pub async fn of_volume<D: BlockDevice>(volume: &Volume<D>, random: &Secret) -> (Self, Origin) {
        let (seed, origin) = kept(volume, RECORD, random).await;
        (Self::new(&seed), origin)
    }

    /// Adds the ECDSA key in the same way, and gives its fingerprint.
    pub async fn add_ecdsa_of_volume<D: BlockDevice>(
        &mut self,
        volume: &Volume<D>,
        random: &Secret,
    ) -> (String, Origin) {
        let (seed, origin) = kept(volume, ECDSA_RECORD, random).await;
        (self.add_ecdsa(seed), origin)
    }
}

fn derived(label: &[u8], text: &str) -> Secret {
    Zeroizing::new(Sha256::new_with_prefix(label).chain_update(text.as_bytes()).finalize().into())
}

/// What this record keeps; `random`, which is then kept, when there is none yet.
async fn kept<D: BlockDevice>(
    volume: &Volume<D>,
    record: &str,
    random: &Secret,
) -> (Secret, Origin) {
    match volume.read_record(record).await {
        Ok(Some(bytes)) => match decode(&Zeroizing::new(bytes)) {
            Some(seed) => return (seed, Origin::Kept),
            None => error!("the {record} on the volume is damaged; making a new one"),
        },
        Ok(None) => (),
        Err(e) => error!("cannot read the {record} on the volume: {e}"),
    }
    if volume.read_only().is_some() {
        warn!("the volume is read-only: this {record} is for this run alone, or give --seed");
        return (random.clone(), Origin::ForThisRun);
    }
    let result = match encode(random) {
        Some(bytes) => volume.write_record(record, &bytes).await,
        None => Err(fat::Error::NoSpace),
    };
    match result {
        Ok(()) => (random.clone(), Origin::Made),
        Err(e) => {
            error!("cannot keep the {record} on the volume: {e}");
            (random.clone(), Origin::ForThisRun)
        }
    }
}

fn checksum() -> crc::Digest<'static, u32> {
    static CRC: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);
    CRC.digest()
}

fn encode(seed: &[u8; 32]) -> Option<Zeroizing<alloc::vec::Vec<u8>>> {
    let mut kept = Kept { version: VERSION, seed: *seed };
    let bytes = postcard::to_allocvec_crc32(&kept, checksum()).ok();
    kept.seed.zeroize();
    bytes.map(Zeroizing::new)
}

fn decode(record: &[u8]) -> Option<Secret> {
    let kept: Kept = postcard::from_bytes_crc32(record, checksum()).ok()?;
    (kept.version == VERSION).then(|| Zeroizing::new(kept.seed))
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
    fn every_seed_has_an_ecdsa_key_and_none_is_for_two() {
        let mut key = HostKey::from_text("correct horse");
        let first = key.add_ecdsa_from_text("correct horse");
        assert_ne!(first, key.fingerprint);
        assert_eq!(first, key.add_ecdsa_from_text("correct horse"));
        assert_ne!(first, key.add_ecdsa_from_text("correct horsf"));
        // The order of the group and zero are no private keys (FIPS 186-5, A.2).
        assert_ne!(key.add_ecdsa([0; 32].into()), key.add_ecdsa([0xff; 32].into()));
    }

    #[test]
    fn a_damaged_record_is_noticed() {
        let record = encode(&[7; 32]).unwrap();
        assert_eq!(decode(&record), Some([7; 32].into()));
        for i in 0..record.len() {
            let mut bad = record.clone();
            bad[i] ^= 4;
            assert_eq!(decode(&bad), None, "byte {i}");
        }
        assert_eq!(decode(&[]), None);
    }
}
