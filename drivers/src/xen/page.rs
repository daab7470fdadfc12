//! Memory pages that another domain may read and write at any time.
use alloc::alloc::{Layout, alloc_zeroed, dealloc};
use alloc::sync::Arc;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU8, AtomicU16, AtomicU64, Ordering};
use xen_sys::PAGE_SIZE;

const LAYOUT: Layout = match Layout::from_size_align(PAGE_SIZE, PAGE_SIZE) {
    Ok(layout) => layout,
    Err(_) => panic!("a page is a valid layout"),
};

/// One page of memory. It is never borrowed: bytes are copied in and out, by volatile accesses, so
/// that the compiler reads what another domain may change once and no more.
#[derive(Debug)]
pub struct Page {
    memory: Arc<Memory>,
}

/// Invariant: `start` is aligned to the size of a page, and the page there stays readable and
/// writable while this lives; no reference to it exists but to its atomics.
#[derive(Debug)]
struct Memory {
    start: NonNull<u8>,
    /// Whether it came from the heap.
    owned: bool,
}

// SAFETY: nothing in a page belongs to a thread: its memory is reached by volatile and atomic
// accesses alone, and outside the tests a page is never cloned, so one thread has it at a time.
unsafe impl Send for Page {}

impl Drop for Memory {
    fn drop(&mut self) {
        if self.owned {
            // SAFETY: `Page::new` allocated it with this layout, and only this frees it.
            unsafe { dealloc(self.start.as_ptr(), LAYOUT) }
        }
    }
}

// An Arc, so that a page can be sent: that its handles share a thread is promised above.
#[allow(clippy::arc_with_non_send_sync)]
impl Page {
    /// A zeroed page of the heap; None when there is no memory.
    pub fn new() -> Option<Self> {
        // SAFETY: the layout's size is not zero.
        let start = NonNull::new(unsafe { alloc_zeroed(LAYOUT) })?;
        Some(Self { memory: Arc::new(Memory { start, owned: true }) })
    }

    /// The page at an address that Xen filled, outside all memory that Rust knows.
    ///
    /// # Safety
    /// `frame << 12` must be mapped, readable and writable for as long as the page lives, and nothing
    /// else in the program may use that memory but by this type. (Where another domain lets it only
    /// be read, a write ends this domain, and nothing else.)
    pub(crate) unsafe fn at(frame: u64) -> Option<Self> {
        let start = usize::try_from(frame).ok()?.checked_mul(PAGE_SIZE)?;
        let start = NonNull::new(core::ptr::with_exposed_provenance_mut(start))?;
        Some(Self { memory: Arc::new(Memory { start, owned: false }) })
    }

    /// The same memory again, as the other domain sees it.
    #[cfg(test)]
    pub fn alias(&self) -> Self {
        Self { memory: self.memory.clone() }
    }

    /// The guest's frame number: its kernel maps memory to itself.
    pub fn frame(&self) -> u64 {
        (self.memory.start.as_ptr().expose_provenance() / PAGE_SIZE) as u64
    }

    /// Where a value of type T at `offset` lies, if it is inside the page and aligned.
    fn cell<T>(&self, offset: usize) -> Option<NonNull<T>> {
        let inside = offset.checked_add(size_of::<T>())? <= PAGE_SIZE;
        let aligned = offset.is_multiple_of(align_of::<T>());
        // SAFETY: `offset` is less than the page's size, so the result is inside the page.
        (inside && aligned).then(|| unsafe { self.memory.start.add(offset) }.cast())
    }

    /// T is one of the unsigned integers, for which every bit pattern is a value.
    fn read<T: Integer>(&self, offset: usize) -> Option<T> {
        let cell = self.cell::<T>(offset)?;
        // SAFETY: `cell` is aligned and inside the page, which lives as long as `self`; any bytes
        // are a valid integer.
        Some(unsafe { cell.read_volatile() })
    }

    fn write<T: Integer>(&self, offset: usize, value: T) -> bool {
        let Some(cell) = self.cell::<T>(offset) else {
            return false;
        };
        // SAFETY: as in `read`; there are no references that this could invalidate.
        unsafe { cell.write_volatile(value) };
        true
    }

    pub fn read_u8(&self, offset: usize) -> Option<u8> {
        self.read(offset)
    }

    /// None when `offset` is not aligned or the value not inside the page, here and below.
    pub fn read_u16(&self, offset: usize) -> Option<u16> {
        self.read(offset)
    }

    pub fn read_u32(&self, offset: usize) -> Option<u32> {
        self.read(offset)
    }

    pub fn read_u64(&self, offset: usize) -> Option<u64> {
        self.read(offset)
    }

    /// False when nothing was written, here and below.
    pub fn write_u8(&self, offset: usize, value: u8) -> bool {
        self.write(offset, value)
    }

    pub fn write_u16(&self, offset: usize, value: u16) -> bool {
        self.write(offset, value)
    }

    pub fn write_u32(&self, offset: usize, value: u32) -> bool {
        self.write(offset, value)
    }

    pub fn write_u64(&self, offset: usize, value: u64) -> bool {
        self.write(offset, value)
    }

    /// Copies bytes from `offset` on; false, and nothing copied, when they are not all inside.
    pub fn copy_out(&self, offset: usize, to: &mut [u8]) -> bool {
        if !contains(offset, to.len()) {
            return false;
        }
        let (head, rest) = to.split_at_mut(unaligned_bytes(offset, to.len()));
        let (words, tail) = rest.as_chunks_mut::<8>();
        let mut at = offset;
        for byte in head {
            *byte = self.read(at).unwrap_or_default();
            at = at.saturating_add(1);
        }
        for word in words {
            *word = self.read::<u64>(at).unwrap_or_default().to_ne_bytes();
            at = at.saturating_add(8);
        }
        for byte in tail {
            *byte = self.read(at).unwrap_or_default();
            at = at.saturating_add(1);
        }
        true
    }

    /// Copies bytes to `offset` on; false, and nothing copied, when they would not all be inside.
    pub fn copy_in(&self, offset: usize, from: &[u8]) -> bool {
        if !contains(offset, from.len()) {
            return false;
        }
        let (head, rest) = from.split_at(unaligned_bytes(offset, from.len()));
        let (words, tail) = rest.as_chunks::<8>();
        let mut at = offset;
        for &byte in head {
            self.write(at, byte);
            at = at.saturating_add(1);
        }
        for &word in words {
            self.write(at, u64::from_ne_bytes(word));
            at = at.saturating_add(8);
        }
        for &byte in tail {
            self.write(at, byte);
            at = at.saturating_add(1);
        }
        true
    }

    /// Sets every byte.
    pub fn fill(&self, byte: u8) {
        for at in (0..PAGE_SIZE).step_by(8) {
            self.write(at, u64::from_ne_bytes([byte; 8]));
        }
    }

    fn atomic_u64(&self, offset: usize) -> Option<&AtomicU64> {
        let cell = self.cell::<u64>(offset)?;
        // SAFETY: `cell` is aligned and inside the page, which lives as long as `self`. Volatile
        // accesses to the same word are single instructions on this architecture.
        Some(unsafe { AtomicU64::from_ptr(cell.as_ptr()) })
    }

    /// Clears bits and returns what was there before.
    pub fn clear_bits_u64(&self, offset: usize, bits: u64) -> Option<u64> {
        Some(self.atomic_u64(offset)?.fetch_and(!bits, Ordering::SeqCst))
    }

    fn atomic_u8(&self, offset: usize) -> Option<&AtomicU8> {
        let cell = self.cell::<u8>(offset)?;
        // SAFETY: as in `atomic_u64`.
        Some(unsafe { AtomicU8::from_ptr(cell.as_ptr()) })
    }

    /// Sets bits and returns what was there before.
    pub fn set_bits_u8(&self, offset: usize, bits: u8) -> Option<u8> {
        Some(self.atomic_u8(offset)?.fetch_or(bits, Ordering::SeqCst))
    }

    /// Clears bits and returns what was there before.
    pub fn clear_bits_u8(&self, offset: usize, bits: u8) -> Option<u8> {
        Some(self.atomic_u8(offset)?.fetch_and(!bits, Ordering::SeqCst))
    }

    /// Writes `new` where `old` is; false when something else is there.
    pub fn compare_exchange_u16(&self, offset: usize, old: u16, new: u16) -> bool {
        let Some(cell) = self.cell::<u16>(offset) else {
            return false;
        };
        // SAFETY: as in `atomic_u64`.
        let atomic = unsafe { AtomicU16::from_ptr(cell.as_ptr()) };
        atomic.compare_exchange(old, new, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }
}

trait Integer: Copy + Default {}
impl Integer for u8 {}
impl Integer for u16 {}
impl Integer for u32 {}
impl Integer for u64 {}

fn contains(offset: usize, length: usize) -> bool {
    offset.checked_add(length).is_some_and(|end| end <= PAGE_SIZE)
}

/// Bytes before the first word of 8 that is aligned in the page.
fn unaligned_bytes(offset: usize, length: usize) -> usize {
    (offset.wrapping_neg() % 8).min(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_whole_at_every_offset() {
        let page = Page::new().unwrap();
        let data: Vec<u8> = (0..40).collect();
        for offset in 0..24 {
            for length in 0..40 {
                page.fill(0xee);
                assert!(page.copy_in(offset, &data[..length]));
                let mut all = [0; PAGE_SIZE];
                assert!(page.copy_out(0, &mut all));
                assert_eq!(all[offset..offset + length], data[..length]);
                assert!(all[..offset].iter().chain(&all[offset + length..]).all(|&b| b == 0xee));
                let mut out = vec![0; length];
                assert!(page.copy_out(offset, &mut out));
                assert_eq!(out, data[..length]);
            }
        }
    }

    #[test]
    fn nothing_outside_the_page_is_touched() {
        let page = Page::new().unwrap();
        assert!(!page.copy_in(PAGE_SIZE - 3, &[1; 4]));
        assert!(!page.copy_out(usize::MAX, &mut [0; 4]));
        assert_eq!(page.read_u8(PAGE_SIZE - 1), Some(0));
        assert_eq!(page.read_u8(PAGE_SIZE), None);
        assert_eq!(page.read_u32(PAGE_SIZE - 2), None);
        assert_eq!(page.read_u32(2), None);
        assert!(!page.write_u64(usize::MAX - 7, 1));
    }

    #[test]
    fn frames_are_page_numbers() {
        let page = Page::new().unwrap();
        assert!(page.write_u64(0, 77));
        assert_eq!(page.alias().read_u64(0), Some(77));
        assert_ne!(page.frame(), Page::new().unwrap().frame());
    }
}
