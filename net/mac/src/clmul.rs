//! GHASH by products without carries. Blocks are taken with their bytes turned around and as POLYVAL's (RFC 8452 3 and
//! appendix A), so that no bits need be; each of several blocks is multiplied by its own power of the key, and their
//! sum is reduced once. A product needs three multiplications (Karatsuba's way).
use crate::BLOCK;
use core::arch::x86_64::*;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Blocks whose products are reduced together.
const TOGETHER: usize = 8;

/// The upper half of POLYVAL's polynomial, x^128 + x^127 + x^126 + x^121 + 1.
const POLYNOMIAL: i64 = 0xc2 << 56;

/// A number, and the sum of its halves.
#[derive(Clone, Copy, Zeroize)]
struct Factor {
    number: u128,
    halves: u64,
}

/// The powers of a key, the highest first.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Powers([Factor; TOGETHER]);

/// A product before it is reduced, or the sum of several: the lowest and the highest 128 bits, and what
/// belongs in the middle of both, to which those two are yet to be added.
#[derive(Clone, Copy)]
struct Product {
    low: __m128i,
    high: __m128i,
    middle: __m128i,
}

impl Factor {
    fn new(number: u128) -> Self {
        Self { number, halves: (number >> 64) as u64 ^ number as u64 }
    }
}

impl Powers {
    #[target_feature(enable = "avx,pclmulqdq")]
    pub fn new(key: &[u8; BLOCK]) -> Self {
        // Times x, since a block's bits are in the other order (appendix A).
        let key = u128::from_be_bytes(*key);
        let over = (key >> 127) * (1 | (POLYNOMIAL as u64 as u128) << 64);
        let key = Factor::new(key << 1 ^ over);
        let mut powers = [key; TOGETHER];
        let mut power = key.number;
        for to in powers.iter_mut().rev().skip(1) {
            power = to_number(reduced(product(from_number(power), &key)));
            *to = Factor::new(power);
        }
        Self(powers)
    }

    /// What comes of these parts, each filled up with zeros.
    #[target_feature(enable = "avx,pclmulqdq")]
    pub fn hash(&self, parts: [&[u8]; 3]) -> [u8; BLOCK] {
        let mut sum = _mm_setzero_si128();
        for part in parts {
            let (blocks, rest) = part.as_chunks::<BLOCK>();
            let (groups, blocks) = blocks.as_chunks::<TOGETHER>();
            for group in groups {
                sum = self.with(sum, group);
            }
            sum = self.with(sum, blocks);
            let mut last = [0; BLOCK];
            last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
            if !rest.is_empty() {
                sum = self.with(sum, &[last]);
            }
        }
        to_number(sum).to_be_bytes()
    }

    /// The sum after some more blocks, `TOGETHER` at most.
    #[target_feature(enable = "avx,pclmulqdq")]
    #[inline]
    fn with(&self, sum: __m128i, blocks: &[[u8; BLOCK]]) -> __m128i {
        let powers = self.0.get(TOGETHER.saturating_sub(blocks.len())..).unwrap_or_default();
        let mut blocks = blocks.iter().zip(powers);
        let Some((block, power)) = blocks.next() else { return sum };
        let mut all = product(_mm_xor_si128(sum, from_block(block)), power);
        for (block, power) in blocks {
            let one = product(from_block(block), power);
            all = Product {
                low: _mm_xor_si128(all.low, one.low),
                high: _mm_xor_si128(all.high, one.high),
                middle: _mm_xor_si128(all.middle, one.middle),
            };
        }
        reduced(all)
    }
}

#[target_feature(enable = "avx,pclmulqdq")]
#[inline]
fn product(number: __m128i, by: &Factor) -> Product {
    let power = from_number(by.number);
    let halves = _mm_xor_si128(number, swapped(number));
    Product {
        low: _mm_clmulepi64_si128::<0x00>(number, power),
        high: _mm_clmulepi64_si128::<0x11>(number, power),
        middle: _mm_clmulepi64_si128::<0x00>(halves, _mm_cvtsi64_si128(by.halves as i64)),
    }
}

/// A product divided by x^128, which is how POLYVAL multiplies.
#[target_feature(enable = "avx,pclmulqdq")]
#[inline]
fn reduced(Product { low, high, middle }: Product) -> __m128i {
    let middle = _mm_xor_si128(middle, _mm_xor_si128(low, high));
    let low = _mm_xor_si128(low, _mm_slli_si128::<8>(middle));
    let high = _mm_xor_si128(high, _mm_srli_si128::<8>(middle));
    // Twice, 64 bits are made zero by a multiple of the polynomial.
    let polynomial = _mm_set_epi64x(0, POLYNOMIAL);
    let once = |low| _mm_xor_si128(swapped(low), _mm_clmulepi64_si128::<0x00>(low, polynomial));
    _mm_xor_si128(high, once(once(low)))
}

#[target_feature(enable = "avx,pclmulqdq")]
#[inline]
fn swapped(number: __m128i) -> __m128i {
    _mm_shuffle_epi32::<0b01_00_11_10>(number)
}

#[target_feature(enable = "avx,pclmulqdq")]
#[inline]
fn from_number(number: u128) -> __m128i {
    _mm_set_epi64x((number >> 64) as i64, number as i64)
}

#[target_feature(enable = "avx,pclmulqdq")]
#[inline]
fn from_block(block: &[u8; BLOCK]) -> __m128i {
    let order = _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    _mm_shuffle_epi8(from_number(u128::from_le_bytes(*block)), order)
}

#[target_feature(enable = "avx,pclmulqdq")]
#[inline]
fn to_number(number: __m128i) -> u128 {
    let high = _mm_extract_epi64::<1>(number) as u64;
    u128::from(high) << 64 | u128::from(_mm_cvtsi128_si64(number) as u64)
}
