//! Poly1305 (RFC 8439 2.5) of a whole message: eight blocks at a time where the processor multiplies and adds numbers
//! of 52 bits in vectors, else four. The crate `poly1305` takes as long for a packet of 64 bytes as this does for one
//! of 4 KiB, and a third longer for one of 32 KiB without those vectors; the tests compare what comes out.
#![no_std]
#![deny(unsafe_code)]

#[cfg(test)]
extern crate alloc;

#[cfg(target_arch = "x86_64")]
mod clmul;
mod ghash;
#[cfg(target_arch = "x86_64")]
mod ifma;
mod number;

pub use crate::ghash::Ghash;
use crate::number::{Factor, Number, carried, joined, number, plus, reduced};

/// Bytes of a block, and of a tag.
pub const BLOCK: usize = 16;

/// What the clamped half of a key keeps (2.5.1).
const CLAMP: u128 = 0x0fff_fffc_0fff_fffc_0fff_fffc_0fff_ffff;

/// Blocks that are multiplied before their sum is carried: each with its own power of the key.
const TOGETHER: usize = 4;

/// The tag of a message; a key is for one message only.
pub fn tag(key: &[u8; 32], message: &[u8]) -> [u8; BLOCK] {
    let (multiplier, added) = halves(key);
    let key = number(&(multiplier & CLAMP).to_le_bytes(), 0);
    let first = Factor::new(key);
    let (mut all, message) = in_vectors(key, message);
    let (blocks, rest) = message.as_chunks::<BLOCK>();
    let (groups, blocks) = blocks.as_chunks::<TOGETHER>();
    if !groups.is_empty() {
        let power = |before: &Factor| Factor::new(carried(before.times(key)));
        let second = power(&first);
        let third = power(&second);
        let fourth = power(&third);
        for [a, b, c, d] in groups {
            let a = fourth.times(plus(all, number(a, 1)));
            let [b, c] = [third.times(number(b, 1)), second.times(number(c, 1))];
            let d = first.times(number(d, 1));
            all = carried(joined(joined(a, b), joined(c, d)));
        }
    }
    for block in blocks {
        all = carried(first.times(plus(all, number(block, 1))));
    }
    if !rest.is_empty() {
        let mut last = [0; BLOCK];
        last.iter_mut().zip(rest.iter().chain(&[1])).for_each(|(to, from)| *to = *from);
        all = carried(first.times(plus(all, number(&last, 0))));
    }
    reduced(all).wrapping_add(added).to_le_bytes()
}

fn halves(key: &[u8; 32]) -> (u128, u128) {
    let (halves, _) = key.as_chunks::<BLOCK>();
    match halves {
        [first, second] => (u128::from_le_bytes(*first), u128::from_le_bytes(*second)),
        _ => (0, 0),
    }
}

/// What comes of as many blocks as are worth it, and the rest of the message.
#[cfg(target_arch = "x86_64")]
fn in_vectors(key: Number, message: &[u8]) -> (Number, &[u8]) {
    cpufeatures::new!(has_ifma, "avx512f", "avx512ifma");
    let (groups, rest) = message.as_chunks::<{ ifma::GROUP }>();
    match groups {
        [first, others @ ..] if others.len() >= ifma::WORTH && has_ifma::get() => {
            // SAFETY: the processor says that it has both, and that the system keeps their registers.
            #[allow(unsafe_code)]
            let all = unsafe { ifma::blocks(key, first, others) };
            (all, rest)
        }
        _ => ([0; 3], message),
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn in_vectors(_: Number, message: &[u8]) -> (Number, &[u8]) {
    ([0; 3], message)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use alloc::vec::Vec;
    use poly1305::universal_hash::KeyInit;

    /// Bytes that are the same each time.
    pub(crate) fn dice() -> impl FnMut() -> u8 {
        let mut state = 1u64;
        move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as u8
        }
    }

    /// Bytes, and how often each comes.
    type Parts<'p> = &'p [(u8, usize)];

    fn parted(parts: Parts) -> Vec<u8> {
        parts.iter().flat_map(|(byte, count)| core::iter::repeat_n(*byte, *count)).collect()
    }

    fn key(parts: Parts) -> [u8; 32] {
        parted(parts).try_into().unwrap()
    }

    #[test]
    fn the_example_of_rfc_8439_2_5_2() {
        let key = b"\x85\xd6\xbe\x78\x57\x55\x6d\x33\x7f\x44\x52\xfe\x42\xd5\x06\xa8\
                    \x01\x03\x80\x8a\xfb\x0d\xb2\xfd\x4a\xbf\xf6\xaf\x41\x49\xf5\x1b";
        assert_eq!(
            &tag(key, b"Cryptographic Forum Research Group"),
            b"\xa8\x06\x1d\xc1\x30\x51\x36\xc6\xc2\x2b\x8b\xaf\x0c\x01\x27\xa9"
        );
    }

    /// Sums that reach 2^128, 2^130 and 2^130 - 5.
    #[test]
    fn the_carries_of_rfc_8439_a_3() {
        let (one, two) = (key(&[(1, 1), (0, 31)]), key(&[(2, 1), (0, 31)]));
        let cases: [([u8; 32], Parts, Parts); 6] = [
            (key(&[(0, 32)]), &[(0, 64)], &[(0, 16)]),
            (two, &[(0xff, 16)], &[(3, 1), (0, 15)]),
            (key(&[(2, 1), (0, 15), (0xff, 16)]), &[(2, 1), (0, 15)], &[(3, 1), (0, 15)]),
            (one, &[(0xff, 16), (0xf0, 1), (0xff, 15), (0x11, 1), (0, 15)], &[(5, 1), (0, 15)]),
            (one, &[(0xff, 16), (0xfb, 1), (0xfe, 15), (1, 16)], &[(0, 16)]),
            (two, &[(0xfd, 1), (0xff, 15)], &[(0xfa, 1), (0xff, 15)]),
        ];
        for (key, message, expected) in cases {
            assert_eq!(tag(&key, &parted(message)).as_slice(), parted(expected));
        }
    }

    #[test]
    fn another_library_says_the_same_of_every_length_and_of_bytes_that_carry() {
        let mut dice = dice();
        for length in (0..1200).chain([4096, 32_795]) {
            // Mostly ones, mostly zeros, and any.
            for ones in [240, 16, 128] {
                let mut byte = || match dice() {
                    draw if draw < ones => 0xff,
                    _ if ones == 128 => dice(),
                    _ => 0,
                };
                let mut key = [0; 32];
                key.iter_mut().for_each(|to| *to = byte());
                let message: Vec<u8> = (0..length).map(|_| byte()).collect();
                let theirs = poly1305::Poly1305::new((&key).into()).compute_unpadded(&message);
                assert_eq!(tag(&key, &message), theirs.as_slice(), "{key:?} {length}");
            }
        }
    }
}
