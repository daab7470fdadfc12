//! Where the kernel's image lies, and the memory that the loader filled.
use crate::boot::physical::Physical;
use core::ops::Range;
use core::slice;

// Set by linker.ld; only their addresses mean anything.
unsafe extern "C" {
    static __image_start: u8;
    static __image_end: u8;
    static __text_start: u8;
    static __text_end: u8;
    static __rodata_start: u8;
    static __rodata_end: u8;
    static __stack_guard: u8;
    static __stack_bottom: u8;
}

fn between(start: *const u8, end: *const u8) -> Range<u64> {
    start.addr() as u64..end.addr() as u64
}

/// Everything that the kernel's ELF occupies, the stack included.
pub fn image() -> Range<u64> {
    between(&raw const __image_start, &raw const __image_end)
}

pub fn text() -> Range<u64> {
    between(&raw const __text_start, &raw const __text_end)
}

pub fn read_only_data() -> Range<u64> {
    between(&raw const __rodata_start, &raw const __rodata_end)
}

/// The page below the stack.
pub fn stack_guard() -> Range<u64> {
    between(&raw const __stack_guard, &raw const __stack_bottom)
}

/// What the loader left in memory outside the kernel's image.
pub struct Loaded(());

impl Loaded {
    /// # Safety
    /// While it lives nothing may write to memory outside the kernel's image, and the low 4 GiB
    /// are mapped to themselves.
    pub unsafe fn new() -> Self {
        Self(())
    }
}

/// Overwrites what the loader left, for it holds a secret.
///
/// # Safety
/// `Loaded` read so many bytes at this address, is gone, and nobody else uses them.
pub unsafe fn wipe(address: u64, len: usize) {
    for at in 0..len {
        // SAFETY: the caller's promise: it is mapped memory, and not the kernel's.
        unsafe { (address as *mut u8).add(at).write_volatile(0) }
    }
}

impl Physical for Loaded {
    fn bytes(&self, address: u64, len: u64) -> Option<&[u8]> {
        let end = address.checked_add(len)?;
        let image = image();
        let in_image = address < image.end && image.start < end;
        if address == 0 || end > 1 << 32 || in_image {
            return None;
        }
        // SAFETY: the range is not null, lies in the mapped low 4 GiB and outside the image, so
        // that by the contract of `new` nothing writes to it while the slice lives. Bytes have no
        // invalid values and need no alignment.
        Some(unsafe { slice::from_raw_parts(address as *const u8, len as usize) })
    }
}
