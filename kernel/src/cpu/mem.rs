//! The C memory functions that compiled code calls (C11 7.24); the compiler's own library has none
//! for this target. Short pieces go by overlapping loads and stores, long ones by `rep movsb` and
//! `rep stosb` where those are faster: today's CPUs move 16 KiB in half the time so, an emulated one goes
//! byte by byte. The tests have those of the host beside them.
use core::arch::naked_asm;
use core::sync::atomic::{AtomicUsize, Ordering};

/// The bytes from which on `rep movsb` and `rep stosb` are taken.
static REP_FROM: AtomicUsize = AtomicUsize::new(REP_WINS);

/// Below, their start costs more than they gain.
const REP_WINS: usize = 2048;

/// Measures which way is faster here. `time` counts up at any rate.
pub fn choose(time: impl Fn() -> u64) {
    let (from, mut to) = (alloc::vec![0u8; 4 * REP_WINS], alloc::vec![0u8; 4 * REP_WINS]);
    // The least of some: the first of each finds cold caches, and all but one may be interrupted.
    let mut least = |rep_from| {
        REP_FROM.store(rep_from, Ordering::Relaxed);
        let mut once = || {
            let began = time();
            to.copy_from_slice(core::hint::black_box(&from));
            core::hint::black_box(&mut to);
            time().wrapping_sub(began)
        };
        (0..5).map(|_| once()).min()
    };
    let (rep, blocks) = (least(REP_WINS), least(usize::MAX));
    REP_FROM.store(if rep <= blocks { REP_WINS } else { usize::MAX }, Ordering::Relaxed);
}

/// # Safety
/// As C's memcpy.
#[cfg_attr(not(test), unsafe(no_mangle))]
#[unsafe(naked)]
pub unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
    naked_asm!(
        "mov rax, rdi",
        "cmp rdx, 16",
        "jb 4f",
        "cmp rdx, [rip + {rep_from}]",
        "jae 3f",
        // Blocks of 64 and of 16 bytes, and a last one of 16 that may overlap them.
        "movups xmm0, [rsi + rdx - 16]",
        "lea r8, [rdi + rdx - 16]",
        "8:",
        "cmp rdx, 64",
        "jbe 2f",
        "movups xmm1, [rsi]",
        "movups xmm2, [rsi + 16]",
        "movups xmm3, [rsi + 32]",
        "movups xmm4, [rsi + 48]",
        "movups [rdi], xmm1",
        "movups [rdi + 16], xmm2",
        "movups [rdi + 32], xmm3",
        "movups [rdi + 48], xmm4",
        "add rsi, 64",
        "add rdi, 64",
        "sub rdx, 64",
        "jmp 8b",
        "2:",
        "cmp rdx, 16",
        "jbe 9f",
        "movups xmm1, [rsi]",
        "movups [rdi], xmm1",
        "add rsi, 16",
        "add rdi, 16",
        "sub rdx, 16",
        "jmp 2b",
        "9:",
        "movups [r8], xmm0",
        "ret",
        "3:",
        "mov rcx, rdx",
        "rep movsb",
        "ret",
        // Less than 16 bytes: all loads come before the stores, so this is memmove as well.
        "4:",
        "cmp edx, 8",
        "jb 5f",
        "mov rcx, [rsi]",
        "mov r8, [rsi + rdx - 8]",
        "mov [rdi], rcx",
        "mov [rdi + rdx - 8], r8",
        "ret",
        "5:",
        "cmp edx, 4",
        "jb 6f",
        "mov ecx, [rsi]",
        "mov r8d, [rsi + rdx - 4]",
        "mov [rdi], ecx",
        "mov [rdi + rdx - 4], r8d",
        "ret",
        // The first, the middle and the last byte are all of 1 to 3.
        "6:",
        "test edx, edx",
        "jz 7f",
        "mov r10, rdx",
        "shr r10, 1",
        "movzx ecx, byte ptr [rsi]",
        "movzx r9d, byte ptr [rsi + r10]",
        "movzx r8d, byte ptr [rsi + rdx - 1]",
        "mov [rdi], cl",
        "mov [rdi + r10], r9b",
        "mov [rdi + rdx - 1], r8b",
        "7:",
        "ret",
        rep_from = sym REP_FROM,
    )
}

/// # Safety
/// As C's memmove.
#[cfg_attr(not(test), unsafe(no_mangle))]
#[unsafe(naked)]
pub unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
    naked_asm!(
        "cmp rdx, 16",
        "jb {memcpy}",
        // memcpy goes forward: right unless `to` lies within the source.
        "mov rcx, rdi",
        "sub rcx, rsi",
        "cmp rcx, rdx",
        "jae {memcpy}",
        "mov rax, rdi",
        "movups xmm0, [rsi]",
        "2:",
        "cmp rdx, 16",
        "jbe 3f",
        "movups xmm1, [rsi + rdx - 16]",
        "movups [rdi + rdx - 16], xmm1",
        "sub rdx, 16",
        "jmp 2b",
        "3:",
        "movups [rdi], xmm0",
        "ret",
        memcpy = sym memcpy,
    )
}

/// # Safety
/// As C's memset.
#[cfg_attr(not(test), unsafe(no_mangle))]
#[unsafe(naked)]
pub unsafe extern "C" fn memset(to: *mut u8, byte: i32, len: usize) -> *mut u8 {
    naked_asm!(
        "mov rax, rdi",
        "movzx esi, sil",
        "mov r8, 0x0101010101010101",
        "imul rsi, r8",
        "cmp rdx, 16",
        "jb 4f",
        "cmp rdx, [rip + {rep_from}]",
        "jae 3f",
        "movq xmm0, rsi",
        "punpcklqdq xmm0, xmm0",
        "lea r8, [rdi + rdx - 16]",
        "8:",
        "cmp rdx, 64",
        "jbe 2f",
        "movups [rdi], xmm0",
        "movups [rdi + 16], xmm0",
        "movups [rdi + 32], xmm0",
        "movups [rdi + 48], xmm0",
        "add rdi, 64",
        "sub rdx, 64",
        "jmp 8b",
        "2:",
        "cmp rdi, r8",
        "jae 9f",
        "movups [rdi], xmm0",
        "add rdi, 16",
        "jmp 2b",
        "9:",
        "movups [r8], xmm0",
        "ret",
        "3:",
        "mov r9, rax",
        "mov eax, esi",
        "mov rcx, rdx",
        "rep stosb",
        "mov rax, r9",
        "ret",
        "4:",
        "cmp edx, 8",
        "jb 5f",
        "mov [rdi], rsi",
        "mov [rdi + rdx - 8], rsi",
        "ret",
        "5:",
        "cmp edx, 4",
        "jb 6f",
        "mov [rdi], esi",
        "mov [rdi + rdx - 4], esi",
        "ret",
        "6:",
        "test edx, edx",
        "jz 7f",
        "mov r10, rdx",
        "shr r10, 1",
        "mov [rdi], sil",
        "mov [rdi + r10], sil",
        "mov [rdi + rdx - 1], sil",
        "7:",
        "ret",
        rep_from = sym REP_FROM,
    )
}

/// # Safety
/// As C's memcmp.
#[cfg_attr(not(test), unsafe(no_mangle))]
#[unsafe(naked)]
pub unsafe extern "C" fn memcmp(a: *const u8, b: *const u8, len: usize) -> i32 {
    naked_asm!(
        "2:",
        "cmp rdx, 8",
        "jb 3f",
        "mov rcx, [rdi]",
        "mov r8, [rsi]",
        "cmp rcx, r8",
        "jne 4f",
        "add rdi, 8",
        "add rsi, 8",
        "sub rdx, 8",
        "jmp 2b",
        "3:",
        "xor eax, eax",
        "test rdx, rdx",
        "jz 5f",
        "movzx eax, byte ptr [rdi]",
        "movzx ecx, byte ptr [rsi]",
        "sub eax, ecx",
        "jnz 5f",
        "inc rdi",
        "inc rsi",
        "dec rdx",
        "jmp 3b",
        // The first byte that differs is the most significant one of the swapped words.
        "4:",
        "bswap rcx",
        "bswap r8",
        "cmp rcx, r8",
        "sbb eax, eax",
        "or eax, 1",
        "5:",
        "ret",
    )
}

/// # Safety
/// As memcmp; the sign of the result means nothing.
#[cfg_attr(not(test), unsafe(no_mangle))]
#[unsafe(naked)]
pub unsafe extern "C" fn bcmp(a: *const u8, b: *const u8, len: usize) -> i32 {
    naked_asm!("jmp {memcmp}", memcmp = sym memcmp)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every length around the limits of the short paths, and long ones.
    fn lengths() -> impl Iterator<Item = usize> {
        (0..=150).chain([1000]).chain(REP_WINS - 2..=REP_WINS + 2).chain([5000])
    }

    fn pattern(len: usize) -> std::vec::Vec<u8> {
        (0..len).map(|i| (i * 7 + i / 256 + 1) as u8).collect()
    }

    #[test]
    fn the_faster_way_is_taken() {
        let took = |rep, blocks| {
            let (now, calls) = (core::cell::Cell::new(0u64), core::cell::Cell::new(0));
            choose(|| {
                let step =
                    if REP_FROM.load(Ordering::Relaxed) == usize::MAX { blocks } else { rep };
                calls.set(calls.get() + 1);
                now.replace(now.get() + step)
            });
            assert!(calls.get() >= 4);
            REP_FROM.load(Ordering::Relaxed)
        };
        assert_eq!(took(10, 20), REP_WINS);
        assert_eq!(took(20, 10), usize::MAX);
        REP_FROM.store(REP_WINS, Ordering::Relaxed);
    }

    #[test]
    fn memcpy_copies_exactly_its_length() {
        for len in lengths() {
            let from = pattern(len);
            let mut to = vec![0xee; len + 32];
            // SAFETY: 16 + len bytes fit into `to`.
            let returned = unsafe { memcpy(to[16..].as_mut_ptr(), from.as_ptr(), len) };
            assert_eq!(returned, to[16..].as_mut_ptr());
            assert_eq!(&to[16..16 + len], from);
            assert!(to[..16].iter().chain(&to[16 + len..]).all(|&b| b == 0xee), "{len}");
        }
    }

    #[test]
    fn memmove_copies_whatever_overlaps() {
        for len in lengths() {
            for (from, to) in
                [(0, 1), (1, 0), (0, 8), (8, 0), (0, 17), (17, 0), (0, 100), (100, 0), (5, 5)]
            {
                let mut bytes = pattern(len + 100);
                let mut expected = bytes.clone();
                for (i, byte) in bytes[from..from + len].iter().enumerate() {
                    expected[to + i] = *byte;
                }
                let start = bytes.as_mut_ptr();
                // SAFETY: both ranges lie within `bytes`.
                unsafe { memmove(start.add(to), start.add(from), len) };
                assert_eq!(bytes, expected, "{len} bytes from {from} to {to}");
            }
        }
    }

    #[test]
    fn memset_sets_exactly_its_length() {
        for len in lengths() {
            let mut bytes = vec![0xee; len + 32];
            // SAFETY: 16 + len bytes fit into `bytes`. C converts the value to unsigned char.
            let returned = unsafe { memset(bytes[16..].as_mut_ptr(), 0x1a5, len) };
            assert_eq!(returned, bytes[16..].as_mut_ptr());
            assert!(bytes[16..16 + len].iter().all(|&b| b == 0xa5), "{len}");
            assert!(bytes[..16].iter().chain(&bytes[16 + len..]).all(|&b| b == 0xee), "{len}");
        }
    }

    #[test]
    fn memcmp_orders_by_the_first_difference() {
        for len in lengths() {
            let a = pattern(len);
            // SAFETY: both are `len` bytes long.
            assert_eq!(unsafe { memcmp(a.as_ptr(), a.clone().as_ptr(), len) }, 0);
            for at in 0..len {
                let mut b = a.clone();
                b[at] = b[at].wrapping_add(0x80);
                if at + 1 < len {
                    b[at + 1] = !b[at + 1];
                }
                // SAFETY: both are `len` bytes long.
                let order = unsafe { memcmp(a.as_ptr(), b.as_ptr(), len) };
                assert_eq!(order.signum(), if a < b { -1 } else { 1 }, "{len} {at}");
                // SAFETY: both are `len` bytes long.
                assert_ne!(unsafe { bcmp(a.as_ptr(), b.as_ptr(), len) }, 0);
            }
        }
    }
}
