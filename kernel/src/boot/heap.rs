//! The global allocator: talc over the memory that the loader's map calls RAM.
use crate::boot::memory;
use crate::boot::pvh::Region;
use crate::budget::MINIMUM;
use core::fmt;
use spin::Mutex;
use talc::TalcLock;
use talc::source::Manual;

#[cfg_attr(not(test), global_allocator)]
static HEAP: TalcLock<Mutex<()>, Manual> = TalcLock::new(Manual);

/// Bytes in use now.
pub fn in_use() -> usize {
    HEAP.lock().counters().allocated_bytes
}

/// Less memory than the kernel needs, in bytes.
#[derive(Debug)]
pub struct TooSmall(u64);

impl fmt::Display for TooSmall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (found, needed) = (self.0 >> 10, MINIMUM >> 10);
        write!(f, "too little memory: {found} KiB are free for the heap, {needed} KiB are needed")
    }
}

/// Gives the RAM of the map to the allocator and says how many bytes that was.
///
/// # Safety
/// `ram` must be RAM that is mapped to itself and, outside the kernel's image, used by nothing; no
/// two regions overlap. It is called once, before the first allocation.
pub unsafe fn init(ram: &[Region]) -> Result<u64, TooSmall> {
    let image = memory::image();
    let free = || ram.iter().flat_map(|region| region.free_parts(&image));
    let size = free().fold(0, |sum: u64, part| sum.saturating_add(part.end - part.start));
    let mut heap = HEAP.lock();
    for part in free() {
        let (base, len) = (part.start as *mut u8, part.end - part.start);
        // SAFETY: by the contract of this function nothing else uses the region, and `free_parts`
        // left out the image. The result only matters to those who shrink a heap.
        let _ = unsafe { heap.claim(base, len as usize) };
    }
    // What is there is enough to say why it is not.
    if size < MINIMUM { Err(TooSmall(size)) } else { Ok(size) }
}

/// Whether anything can be allocated.
pub fn is_there() -> bool {
    HEAP.lock().counters().claimed_bytes > 0
}
