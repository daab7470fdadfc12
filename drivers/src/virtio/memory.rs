//! Memory that devices reach: the kernel maps all of it to itself, so an address is the same for
//! both.
use alloc::alloc::{Layout, alloc_zeroed, dealloc};
use core::ptr::NonNull;
use virtio_drivers::{BufferDirection, Hal, PAGE_SIZE, PhysAddr};

pub struct Memory;

fn layout(pages: usize) -> Option<Layout> {
    Layout::from_size_align(pages.checked_mul(PAGE_SIZE)?, PAGE_SIZE).ok().filter(|l| l.size() > 0)
}

// SAFETY: `dma_alloc` gives zeroed pages of the heap, which are nobody else's until `dma_dealloc`.
// `mmio_phys_to_virt` gives the address itself, where its caller promises device memory.
unsafe impl Hal for Memory {
    /// Address 0: no memory.
    fn dma_alloc(pages: usize, _: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        // SAFETY: `layout` gives no layout of size zero.
        let start = layout(pages).and_then(|layout| NonNull::new(unsafe { alloc_zeroed(layout) }));
        match start {
            Some(start) => (start.as_ptr().expose_provenance() as u64, start),
            None => (0, NonNull::dangling()),
        }
    }

    unsafe fn dma_dealloc(_: PhysAddr, start: NonNull<u8>, pages: usize) -> i32 {
        if let Some(layout) = layout(pages) {
            // SAFETY: the caller has `start` from `dma_alloc` with as many pages, so this is its
            // layout.
            unsafe { dealloc(start.as_ptr(), layout) }
        }
        0
    }

    unsafe fn mmio_phys_to_virt(address: PhysAddr, _: usize) -> NonNull<u8> {
        let address = core::ptr::with_exposed_provenance_mut(address as usize);
        NonNull::new(address).unwrap_or(NonNull::dangling())
    }

    unsafe fn share(buffer: NonNull<[u8]>, _: BufferDirection) -> PhysAddr {
        buffer.as_ptr().cast::<u8>().expose_provenance() as u64
    }

    unsafe fn unshare(_: PhysAddr, _: NonNull<[u8]>, _: BufferDirection) {}
}
