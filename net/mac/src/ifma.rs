//! Eight blocks at a time, one in each lane, with AVX-512's products of 52 bits (IFMA): a lane's sum is multiplied by the
//! eighth power of the key before its next block is added, and by the power that its last block needs at the end.
use crate::BLOCK;
use crate::number::{Factor, LIMB, LIMB_MASK, Number, TOP, TOP_MASK, carried};
use core::arch::x86_64::*;

const LANES: usize = 8;

/// Bytes that are taken at once.
pub const GROUP: usize = LANES * BLOCK;

/// Groups beyond the first that are worth the powers of the key.
pub const WORTH: usize = 3;

/// Which power of the key the last block of each lane is multiplied by: of two registers' blocks, those of one and the
/// other lie in turn.
const POWERS: [usize; LANES] = [8, 4, 7, 3, 6, 2, 5, 1];

/// A number in each lane.
type Lanes = [__m512i; 3];

/// A power of the key in each lane.
struct Factors {
    limbs: Lanes,
    /// As in `Factor`.
    folded: [__m512i; 2],
}

/// What comes of these groups of a message.
#[target_feature(enable = "avx512f,avx512ifma")]
pub fn blocks(key: Number, first: &[u8; GROUP], others: &[[u8; GROUP]]) -> Number {
    let (once, mut power) = (Factor::new(key), key);
    let mut powers = [key; LANES];
    for next in powers.iter_mut().skip(1) {
        power = carried(once.times(power));
        *next = power;
    }
    let last = powers.last().copied().unwrap_or(key);
    let eighth = factors(last.map(|limb| _mm512_set1_epi64(limb as i64)));
    let mut all = numbers(first);
    for group in others {
        all = plus(times(all, &eighth), numbers(group));
    }
    let of_lane = POWERS.map(|power| powers.get(power.wrapping_sub(1)).copied().unwrap_or(key));
    let limb = |limb: fn(&Number) -> u64| lanes(of_lane.each_ref().map(limb));
    let ends = factors([limb(|n| n[0]), limb(|n| n[1]), limb(|n| n[2])]);
    let sums = times(all, &ends).map(|limb| _mm512_reduce_add_epi64(limb) as u64);
    carried(sums.map(u128::from))
}

#[target_feature(enable = "avx512f,avx512ifma")]
#[inline]
fn lanes([a, b, c, d, e, f, g, h]: [u64; LANES]) -> __m512i {
    let [a, b, c, d] = [a, b, c, d].map(|lane| lane as i64);
    let [e, f, g, h] = [e, f, g, h].map(|lane| lane as i64);
    _mm512_set_epi64(h, g, f, e, d, c, b, a)
}

#[target_feature(enable = "avx512f,avx512ifma")]
#[inline]
fn factors(limbs: Lanes) -> Factors {
    let [_, one, two] = limbs;
    Factors { limbs, folded: [twenty(one), twenty(two)] }
}

/// Twenty times a number.
#[target_feature(enable = "avx512f,avx512ifma")]
#[inline]
fn twenty(a: __m512i) -> __m512i {
    _mm512_add_epi64(_mm512_slli_epi64::<4>(a), _mm512_slli_epi64::<2>(a))
}

/// The blocks of a group as numbers, with the bit behind each.
#[target_feature(enable = "avx512f,avx512ifma")]
#[inline]
fn numbers(group: &[u8; GROUP]) -> Lanes {
    let (words, _) = group.as_chunks::<8>();
    let mut halves = [[0; LANES]; 2];
    for (to, from) in halves.as_flattened_mut().iter_mut().zip(words) {
        *to = u64::from_le_bytes(*from);
    }
    let [one, other] = halves;
    let (one, other) = (lanes(one), lanes(other));
    let (low, high) = (_mm512_unpacklo_epi64(one, other), _mm512_unpackhi_epi64(one, other));
    let mask = _mm512_set1_epi64(LIMB_MASK as i64);
    let end = _mm512_set1_epi64(1 << (128 - 2 * LIMB));
    let middle =
        _mm512_or_si512(_mm512_srli_epi64::<LIMB>(low), _mm512_slli_epi64::<{ 64 - LIMB }>(high));
    [
        _mm512_and_si512(low, mask),
        _mm512_and_si512(middle, mask),
        _mm512_or_si512(_mm512_srli_epi64::<{ 2 * LIMB - 64 }>(high), end),
    ]
}

#[target_feature(enable = "avx512f,avx512ifma")]
#[inline]
fn plus([a, b, c]: Lanes, [x, y, z]: Lanes) -> Lanes {
    [_mm512_add_epi64(a, x), _mm512_add_epi64(b, y), _mm512_add_epi64(c, z)]
}

/// Products modulo 2^130 - 5, but for a bit or two. Limbs may have 46 bits.
#[target_feature(enable = "avx512f,avx512ifma")]
#[inline]
fn times([a, b, c]: Lanes, by: &Factors) -> Lanes {
    let ([r, s, t], [s20, t20]) = (by.limbs, by.folded);
    let low = |[x, y, z]: Lanes| {
        let sum = _mm512_madd52lo_epu64(_mm512_setzero_si512(), a, x);
        _mm512_madd52lo_epu64(_mm512_madd52lo_epu64(sum, b, y), c, z)
    };
    // What is above 52 bits, times 2^8: so it counts for the next limb, which begins at 44.
    let high = |[x, y, z]: Lanes| {
        let sum = _mm512_madd52hi_epu64(_mm512_setzero_si512(), a, x);
        _mm512_slli_epi64::<8>(_mm512_madd52hi_epu64(_mm512_madd52hi_epu64(sum, b, y), c, z))
    };
    let (first, second, third) = ([r, t20, s20], [s, r, t20], [t, s, r]);
    // What is above 2^132 counts twenty times. The sums stay below 2^57.
    let a = _mm512_add_epi64(low(first), twenty(high(third)));
    let b = _mm512_add_epi64(low(second), high(first));
    let c = _mm512_add_epi64(low(third), high(second));
    let (mask, top) = (_mm512_set1_epi64(LIMB_MASK as i64), _mm512_set1_epi64(TOP_MASK as i64));
    let b = _mm512_add_epi64(b, _mm512_srli_epi64::<LIMB>(a));
    let c = _mm512_add_epi64(c, _mm512_srli_epi64::<LIMB>(b));
    let over = _mm512_srli_epi64::<TOP>(c);
    let five = _mm512_add_epi64(over, _mm512_slli_epi64::<2>(over));
    [
        _mm512_add_epi64(_mm512_and_si512(a, mask), five),
        _mm512_and_si512(b, mask),
        _mm512_and_si512(c, top),
    ]
}
