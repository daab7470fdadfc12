//! Random numbers: ChaCha20 (RFC 8439) seeded with SHA-256 over what RDSEED and RDRAND give. This
//! is where `getrandom` takes its bytes from.
use crate::cpu::{RandomInstructions, time_stamp};
use chacha20::ChaCha20Rng;
use core::{fmt, slice};
use rand_core::{Rng, SeedableRng};
use sha2::{Digest, Sha256};
use spin::{Mutex, Once};
use zeroize::Zeroizing;

/// How many 64-bit words of the CPU's go into a seed: RDRAND's output may hold less entropy than
/// it has bits, so this is four times the seed.
const SEED_WORDS: usize = 16;
/// The bytes that one seed gives at most.
const RESEED_AFTER: usize = 64 << 10;

/// The health tests of SP 800-90B, 4.4, for bytes of which half the bits are taken to be random, with a false alarm
/// in 2^30 starts: so many samples (4.3), the same one so often in a row (4.4.1), and in a window of so many the
/// first one so often (4.4.2).
const SAMPLES: usize = 1024;
const REPEATED: usize = 9;
const WINDOW: usize = 512;
const ALIKE: usize = 71;

static GENERATOR: Once<Mutex<Generator<RandomInstructions>>> = Once::new();

/// Why there are no random numbers.
#[derive(Debug, PartialEq, Eq)]
pub enum NoEntropy {
    NoInstruction,
    Failing,
    Unhealthy,
}

impl fmt::Display for NoEntropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoInstruction => {
                "no source of random numbers: the CPU has neither RDRAND nor RDSEED"
            }
            Self::Failing => "no source of random numbers: RDRAND and RDSEED give none",
            Self::Unhealthy => {
                "no source of random numbers: what RDRAND and RDSEED give fails the health tests"
            }
        })
    }
}

/// What cannot be foreseen.
trait Source {
    fn word(&mut self) -> Option<u64>;

    /// Something that is never the same, though it could be guessed.
    fn stamp(&mut self) -> u64;
}

impl Source for RandomInstructions {
    fn word(&mut self) -> Option<u64> {
        self.next()
    }

    fn stamp(&mut self) -> u64 {
        time_stamp()
    }
}

struct Generator<S> {
    source: S,
    chacha: ChaCha20Rng,
}

impl<S: Source> Generator<S> {
    fn new(mut source: S) -> Result<Self, NoEntropy> {
        check(&mut source)?;
        let chacha = seeded(&mut source, &[0; 32])?;
        Ok(Self { source, chacha })
    }

    /// Every call takes fresh entropy: what was asked for before it, or by a copy of this machine, tells nothing of
    /// the keys of a connection.
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), NoEntropy> {
        for piece in bytes.chunks_mut(RESEED_AFTER) {
            let mut chained = Zeroizing::new([0; 32]);
            self.chacha.fill_bytes(&mut *chained);
            self.chacha = seeded(&mut self.source, &chained)?;
            self.chacha.fill_bytes(piece);
        }
        Ok(())
    }
}

/// A generator whose seed depends on `chained`, on the source and on the time.
fn seeded(source: &mut impl Source, chained: &[u8; 32]) -> Result<ChaCha20Rng, NoEntropy> {
    let mut hash = Sha256::new();
    hash.update(chained);
    let mut last = None;
    for _ in 0..SEED_WORDS {
        let word = source.word().ok_or(NoEntropy::Failing)?;
        // A source that is stuck.
        if last.replace(word) == Some(word) {
            return Err(NoEntropy::Failing);
        }
        hash.update(word.to_le_bytes());
        hash.update(source.stamp().to_le_bytes());
    }
    let seed = Zeroizing::new(hash.finalize().into());
    Ok(ChaCha20Rng::from_seed(*seed))
}

/// The health tests at the start.
fn check(source: &mut impl Source) -> Result<(), NoEntropy> {
    let mut samples = [0; SAMPLES];
    for word in samples.chunks_exact_mut(8) {
        word.copy_from_slice(&source.word().ok_or(NoEntropy::Failing)?.to_le_bytes());
    }
    let repeats = samples.chunk_by(|a, b| a == b).any(|run| run.len() >= REPEATED);
    let alike = |window: &[u8]| window.iter().filter(|&byte| window.first() == Some(byte)).count();
    match repeats || samples.chunks(WINDOW).any(|window| alike(window) >= ALIKE) {
        true => Err(NoEntropy::Unhealthy),
        false => Ok(()),
    }
}

/// Tests the source and seeds the generator.
pub fn init() -> Result<(), NoEntropy> {
    let source = RandomInstructions::detect().ok_or(NoEntropy::NoInstruction)?;
    let generator = Generator::new(source)?;
    log::info!("random numbers: {SAMPLES} samples of {} passed the health tests", source.names());
    GENERATOR.call_once(|| Mutex::new(generator));
    Ok(())
}

/// getrandom's custom backend.
///
/// # Safety
/// `to` is valid for writes of `len` bytes.
#[unsafe(no_mangle)]
unsafe extern "Rust" fn __getrandom_v03_custom(
    to: *mut u8,
    len: usize,
) -> Result<(), getrandom::Error> {
    /// `init` has not run, or the CPU gives no more random numbers.
    const NO_ENTROPY: getrandom::Error = getrandom::Error::new_custom(1);
    let generator = GENERATOR.get().ok_or(NO_ENTROPY)?;
    // SAFETY: the caller vouches for `len` bytes at `to`; writing zeros first makes them a slice
    // of initialised bytes that nobody else holds during the call.
    let bytes = unsafe {
        to.write_bytes(0, len);
        slice::from_raw_parts_mut(to, len)
    };
    generator.lock().fill(bytes).map_err(|_| NO_ENTROPY)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words of a generator that anybody could run, with a mask.
    #[derive(Clone)]
    struct Fake(u64, u64);

    impl Source for Fake {
        fn word(&mut self) -> Option<u64> {
            self.0 = self.0.wrapping_add(1);
            let hash = Sha256::digest(self.0.to_le_bytes());
            hash.first_chunk().map(|bytes| u64::from_le_bytes(*bytes) & self.1)
        }

        fn stamp(&mut self) -> u64 {
            0
        }
    }

    struct Dry;

    impl Source for Dry {
        fn word(&mut self) -> Option<u64> {
            None
        }

        fn stamp(&mut self) -> u64 {
            0
        }
    }

    fn key(generator: &mut Generator<Fake>) -> [u8; 32] {
        let mut key = [0; 32];
        generator.fill(&mut key).unwrap();
        key
    }

    #[test]
    fn two_runs_of_one_snapshot_have_nothing_in_common() {
        let run = || Generator::new(Fake(1, u64::MAX)).ok().unwrap();
        let (mut first, mut second) = (run(), run());
        assert_eq!(key(&mut first), key(&mut second));
        second.source.0 = 1 << 40;
        assert_ne!(key(&mut first), key(&mut second));
    }

    #[test]
    fn a_long_request_is_filled_to_its_end() {
        let mut generator = Generator::new(Fake(7, u64::MAX)).ok().unwrap();
        let mut bytes = std::vec![0; 2 * RESEED_AFTER + 5];
        generator.fill(&mut bytes).unwrap();
        assert!(bytes.chunks(64).all(|part| part.iter().any(|&byte| byte != 0)));
    }

    #[test]
    fn sources_that_repeat_or_lean_are_found_and_good_ones_are_not() {
        for start in 0..200 {
            assert_eq!(check(&mut Fake(start << 32, u64::MAX)), Ok(()));
        }
        // Two bits of eight are random, one is, none.
        for mask in [0x1111_1111_1111_1111, 0x8080_8080_8080_8080, 0] {
            assert_eq!(check(&mut Fake(5, mask)), Err(NoEntropy::Unhealthy), "{mask:x}");
        }
        assert_eq!(check(&mut Dry), Err(NoEntropy::Failing));
    }
}
