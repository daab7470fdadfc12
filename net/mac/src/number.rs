//! Numbers modulo 2^130 - 5, in limbs of 44, 44 and 42 bits. No step depends on a secret but through products and
//! sums.
use crate::BLOCK;

pub const LIMB: u32 = 44;
pub const TOP: u32 = 42;
pub const LIMB_MASK: u64 = (1 << LIMB) - 1;
pub const TOP_MASK: u64 = (1 << TOP) - 1;

/// A number below 2^131 or so: the limbs of its parts, each with a few bits to spare.
pub type Number = [u64; 3];

/// A product before it is carried.
pub type Product = [u128; 3];

/// A power of the key.
#[derive(Clone, Copy)]
pub struct Factor {
    pub limbs: Number,
    /// The upper limbs times 20: what comes out above 2^130 counts five times, and limbs do not end there.
    pub folded: [u64; 2],
}

impl Factor {
    pub fn new(limbs: Number) -> Self {
        let [_, one, two] = limbs;
        Self { limbs, folded: [one.wrapping_mul(20), two.wrapping_mul(20)] }
    }

    #[inline(always)]
    pub fn times(&self, number: Number) -> Product {
        let ([a, b, c], [r, s, t], [s20, t20]) = (number, self.limbs, self.folded);
        [
            sum([wide(a, r), wide(b, t20), wide(c, s20)]),
            sum([wide(a, s), wide(b, r), wide(c, t20)]),
            sum([wide(a, t), wide(b, s), wide(c, r)]),
        ]
    }
}

#[inline(always)]
fn wide(a: u64, b: u64) -> u128 {
    u128::from(a).wrapping_mul(u128::from(b))
}

#[inline(always)]
fn sum([a, b, c]: [u128; 3]) -> u128 {
    a.wrapping_add(b).wrapping_add(c)
}

#[inline(always)]
pub fn plus([a, b, c]: Number, [x, y, z]: Number) -> Number {
    [a.wrapping_add(x), b.wrapping_add(y), c.wrapping_add(z)]
}

#[inline(always)]
pub fn joined([a, b, c]: Product, [x, y, z]: Product) -> Product {
    [a.wrapping_add(x), b.wrapping_add(y), c.wrapping_add(z)]
}

/// Modulo 2^130 - 5, but for a bit or two.
#[inline(always)]
pub fn carried([a, b, c]: Product) -> Number {
    let b = b.wrapping_add(a >> LIMB);
    let c = c.wrapping_add(b >> LIMB);
    let low = (a as u64 & LIMB_MASK).wrapping_add(((c >> TOP) as u64).wrapping_mul(5));
    let middle = (b as u64 & LIMB_MASK).wrapping_add(low >> LIMB);
    [low & LIMB_MASK, middle, c as u64 & TOP_MASK]
}

/// A block as a number; `end` is the bit behind a whole one, none where the block has it in it.
#[inline(always)]
pub fn number(block: &[u8; BLOCK], end: u64) -> Number {
    let value = u128::from_le_bytes(*block);
    let limb = |shift: u32| (value >> shift) as u64;
    [limb(0) & LIMB_MASK, limb(LIMB) & LIMB_MASK, limb(2 * LIMB) | end << (128 - 2 * LIMB)]
}

/// What is left modulo 2^130 - 5, of that the lower 128 bits.
pub fn reduced([a, b, c]: Number) -> u128 {
    let c = c.wrapping_add(b >> LIMB);
    let a = a.wrapping_add((c >> TOP).wrapping_mul(5));
    let b = (b & LIMB_MASK).wrapping_add(a >> LIMB);
    let c = (c & TOP_MASK).wrapping_add(b >> LIMB);
    let (a, b) = (a & LIMB_MASK, b & LIMB_MASK);
    // The same less 2^130 - 5: it is to be taken if it reaches 2^130 with 5 more.
    let x = a.wrapping_add(5);
    let y = b.wrapping_add(x >> LIMB);
    let z = c.wrapping_add(y >> LIMB);
    let less = (z >> TOP).wrapping_neg();
    let pick = |stays: u64, taken: u64| u128::from(stays & !less | taken & less);
    let [a, b, c] = [pick(a, x & LIMB_MASK), pick(b, y & LIMB_MASK), pick(c, z & TOP_MASK)];
    a | b << LIMB | c << (2 * LIMB)
}
