//! Random numbers: ChaCha20 (RFC 8439) seeded with SHA-256 over what RDSEED and RDRAND give. This
//! is where `getrandom` takes its bytes from.
use crate::cpu::{RandomInstructions, time_stamp};
use chacha20::ChaCha20Rng;
use core::{fmt, slice};
use rand_core::{Rng, SeedableRng};
use sha2::{Digest, Sha256};
use spin::{Mutex, Once};

/// How many 64-bit words of the CPU's go into a seed: RDRAND's output may hold less entropy than
/// it has bits, so this is four times the seed.
const SEED_WORDS: usize = 16;
/// The bytes that one seed gives.
const RESEED_AFTER: usize = 64 << 10;

static GENERATOR: Once<Mutex<Generator>> = Once::new();

/// Why there are no random numbers.
#[derive(Debug)]
pub enum NoEntropy {
    NoInstruction,
    Failing,
}

impl fmt::Display for NoEntropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoInstruction => {
                "no source of random numbers: the CPU has neither RDRAND nor RDSEED"
            }
            Self::Failing => "no source of random numbers: RDRAND and RDSEED give none",
        })
    }
}

struct Generator {
    source: RandomInstructions,
    chacha: ChaCha20Rng,
    left: usize,
}

impl Generator {
    fn new(source: RandomInstructions) -> Result<Self, NoEntropy> {
        let chacha = seeded(source, [0; 32])?;
        Ok(Self { source, chacha, left: RESEED_AFTER })
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), NoEntropy> {
        for piece in bytes.chunks_mut(RESEED_AFTER) {
            if piece.len() > self.left {
                let mut chained = [0; 32];
                self.chacha.fill_bytes(&mut chained);
                self.chacha = seeded(self.source, chained)?;
                self.left = RESEED_AFTER;
            }
            self.chacha.fill_bytes(piece);
            self.left = self.left.saturating_sub(piece.len());
        }
        Ok(())
    }
}

/// A generator whose seed depends on `chained`, on the CPU's random numbers and on the time.
fn seeded(source: RandomInstructions, chained: [u8; 32]) -> Result<ChaCha20Rng, NoEntropy> {
    let mut hash = Sha256::new();
    hash.update(chained);
    let mut last = None;
    for _ in 0..SEED_WORDS {
        let word = source.next().ok_or(NoEntropy::Failing)?;
        // A source that is stuck.
        if last.replace(word) == Some(word) {
            return Err(NoEntropy::Failing);
        }
        hash.update(word.to_le_bytes());
        hash.update(time_stamp().to_le_bytes());
    }
    Ok(ChaCha20Rng::from_seed(hash.finalize().into()))
}

/// Seeds the generator.
pub fn init() -> Result<(), NoEntropy> {
    let source = RandomInstructions::detect().ok_or(NoEntropy::NoInstruction)?;
    let generator = Generator::new(source)?;
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
