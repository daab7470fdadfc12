//! A disk in memory.
use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::ops::Range;
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use fat::{BlockDevice, DeviceError, FormatOptions};

/// A disk whose bytes outlive the volume on it: all clones share them.
#[derive(Clone)]
pub struct Ram(pub Rc<RefCell<Vec<u8>>>);

impl Ram {
    /// A disk with these bytes. What is less than a sector at the end is not used.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Rc::new(RefCell::new(bytes)))
    }

    /// A disk of `size` bytes, all zeros.
    pub fn zeros(size: usize) -> Self {
        Self::new(vec![0; size])
    }

    /// A disk of `size` bytes with an empty volume, of the kind that is usual for that size.
    ///
    /// # Panics
    /// When no volume fits.
    pub fn formatted(size: usize) -> Self {
        let ram = Self::zeros(size);
        let made = ready(fat::format(&ram, &FormatOptions::default(), &mut |_, _| ()));
        assert!(matches!(made, Some(Ok(_))), "a volume of {size} bytes: {made:?}");
        ram
    }
}

fn range(offset: u64, length: usize) -> Result<Range<usize>, DeviceError> {
    let start = usize::try_from(offset).map_err(|_| DeviceError::OutOfRange)?;
    Ok(start..start.checked_add(length).ok_or(DeviceError::OutOfRange)?)
}

impl BlockDevice for Ram {
    fn sector_size(&self) -> usize {
        512
    }

    fn size(&self) -> u64 {
        self.0.borrow().len() as u64 / 512 * 512
    }

    fn read_only(&self) -> bool {
        false
    }

    async fn read(&self, offset: u64, buf: &mut [u8]) -> Result<(), DeviceError> {
        let disk = self.0.borrow();
        let bytes = disk.get(range(offset, buf.len())?);
        buf.copy_from_slice(bytes.ok_or(DeviceError::OutOfRange)?);
        Ok(())
    }

    async fn write(&self, offset: u64, data: &[u8]) -> Result<(), DeviceError> {
        let mut disk = self.0.borrow_mut();
        let bytes = disk.get_mut(range(offset, data.len())?);
        bytes.ok_or(DeviceError::OutOfRange)?.copy_from_slice(data);
        Ok(())
    }

    async fn flush(&self) -> Result<(), DeviceError> {
        Ok(())
    }
}

/// The result of a future that waits for nothing but a disk in memory. None: it waits.
pub fn ready<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}
