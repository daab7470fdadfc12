//! GHASH (SP 800-38D 6.4), the universal hash of AES-GCM: by products without carries where the processor has them,
//! else by the crate `ghash`. That one takes four products a block and turns blocks around byte by byte.
use crate::BLOCK;
#[cfg(target_arch = "x86_64")]
use crate::clmul::Powers;
use ghash::GHash;
use ghash::universal_hash::UniversalHash;

#[cfg(target_arch = "x86_64")]
cpufeatures::new!(has_clmul, "avx", "pclmulqdq");

/// A key, for any number of messages.
pub struct Ghash(Kind);

enum Kind {
    #[cfg(target_arch = "x86_64")]
    Products(Powers),
    Library(GHash),
}

impl Ghash {
    pub fn new(key: &[u8; BLOCK]) -> Self {
        #[cfg(target_arch = "x86_64")]
        if has_clmul::get() {
            // SAFETY: the processor says that it has both, and that the system keeps their registers.
            #[allow(unsafe_code)]
            return Self(Kind::Products(unsafe { Powers::new(key) }));
        }
        Self::by_library(key)
    }

    fn by_library(key: &[u8; BLOCK]) -> Self {
        Self(Kind::Library(GHash::new(&(*key).into())))
    }

    /// What comes of bytes in clear, encrypted ones, and the lengths of both.
    pub fn hash(&self, clear: &[u8], encrypted: &[u8]) -> [u8; BLOCK] {
        let bits = |bytes: &[u8]| u128::from((bytes.len() as u64).wrapping_mul(8));
        let lengths = (bits(clear) << 64 | bits(encrypted)).to_be_bytes();
        match &self.0 {
            // SAFETY: there are such powers only where the processor has what they are for.
            #[cfg(target_arch = "x86_64")]
            #[allow(unsafe_code)]
            Kind::Products(powers) => unsafe { powers.hash([clear, encrypted, &lengths]) },
            Kind::Library(key) => {
                let mut hash = key.clone();
                [clear, encrypted, &lengths].iter().for_each(|part| hash.update_padded(part));
                hash.finalize().into()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use alloc::vec::Vec;

    /// Test case 4 of the specification of GCM (McGrew and Viega), and its GHASH.
    #[test]
    fn the_example_of_the_specification() {
        let bytes = |number: u128| number.to_be_bytes();
        let key = bytes(0xb83b_5337_08bf_535d_0aa6_e529_80d5_3b78);
        let clear = [bytes(0xfeed_face_dead_beef_feed_face_dead_beef), bytes(0xabad_dad2 << 96)];
        let encrypted = [
            bytes(0x4283_1ec2_2177_7424_4b72_21b7_84d0_d49c),
            bytes(0xe3aa_212f_2c02_a4e0_35c1_7e23_29ac_a12e),
            bytes(0x21d5_14b2_5466_931c_7d8f_6a5a_ac84_aa05),
            bytes(0x1ba3_0b39_6a0a_ac97_3d58_e091 << 32),
        ];
        let (clear, encrypted) = (&clear.concat()[..20], &encrypted.concat()[..60]);
        let expected = bytes(0x698e_57f7_0e6e_cc7f_d946_3b72_60a9_ae5f);
        for key in [Ghash::new(&key), Ghash::by_library(&key)] {
            assert_eq!(key.hash(clear, encrypted), expected);
        }
    }

    #[test]
    fn the_library_says_the_same_of_every_length() {
        let mut dice = crate::tests::dice();
        for length in (0..700).chain([4096, 32_795]) {
            // Any, and mostly ones.
            for ones in [0, 240] {
                let mut byte = || if dice() < ones { 0xff } else { dice() };
                let key: [u8; BLOCK] = core::array::from_fn(|_| byte());
                let message: Vec<u8> = (0..length + 4).map(|_| byte()).collect();
                let (ours, theirs) = (Ghash::new(&key), Ghash::by_library(&key));
                for clear in [4, 4 + length] {
                    let (clear, encrypted) = message.split_at(clear);
                    assert_eq!(
                        ours.hash(clear, encrypted),
                        theirs.hash(clear, encrypted),
                        "{key:?} {length}"
                    );
                }
            }
        }
    }
}
