//! A device's registers, each read and written in its own width: monitors refuse any other (4.1.3.1).
use core::ptr::with_exposed_provenance_mut;

/// Registers by their offsets. What lies outside reads as zero and is not written.
pub trait Registers {
    fn byte(&self, at: usize) -> u8;
    fn half(&self, at: usize) -> u16;
    fn word(&self, at: usize) -> u32;
    fn set_byte(&mut self, at: usize, value: u8);
    fn set_half(&mut self, at: usize, value: u16);
    fn set_word(&mut self, at: usize, value: u32);

    /// Bytes of them.
    fn size(&self) -> usize;
}

/// Registers that are in memory.
pub struct Mapped {
    start: usize,
    len: usize,
}

impl Mapped {
    /// # Safety
    /// The memory is a device's and mapped; reading and writing its registers changes no memory that the
    /// program uses, but for what the device is told to.
    pub unsafe fn new(start: usize, len: usize) -> Self {
        Self { start, len }
    }

    fn place<T>(&self, at: usize) -> Option<*mut T> {
        let inside = at.checked_add(size_of::<T>()).is_some_and(|end| end <= self.len);
        let place = self.start.checked_add(at)?;
        let fits = inside && place != 0 && place.is_multiple_of(align_of::<T>());
        fits.then(|| with_exposed_provenance_mut(place))
    }

    fn read<T: Default>(&self, at: usize) -> T {
        match self.place(at) {
            // SAFETY: inside the registers, aligned, and a number, of which every value is one.
            Some(place) => unsafe { core::ptr::read_volatile::<T>(place) },
            None => T::default(),
        }
    }

    fn write<T>(&mut self, at: usize, value: T) {
        if let Some(place) = self.place(at) {
            // SAFETY: inside the registers and aligned; `new` has a promise of what a write does.
            unsafe { core::ptr::write_volatile::<T>(place, value) }
        }
    }
}

impl Registers for Mapped {
    fn byte(&self, at: usize) -> u8 {
        self.read(at)
    }

    fn half(&self, at: usize) -> u16 {
        self.read(at)
    }

    fn word(&self, at: usize) -> u32 {
        self.read(at)
    }

    fn set_byte(&mut self, at: usize, value: u8) {
        self.write(at, value);
    }

    fn set_half(&mut self, at: usize, value: u16) {
        self.write(at, value);
    }

    fn set_word(&mut self, at: usize, value: u32) {
        self.write(at, value);
    }

    fn size(&self) -> usize {
        self.len
    }
}
