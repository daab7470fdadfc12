//! A disk in memory.
use alloc::vec;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use fat::{BlockDevice, DeviceError};

pub struct Ram(RefCell<Vec<u8>>);

impl Ram {
    /// A disk of `size` bytes, all zeros.
    pub fn new(size: usize) -> Self {
        Self(RefCell::new(vec![0; size]))
    }
}

impl BlockDevice for Ram {
    fn sector_size(&self) -> usize {
        512
    }

    fn size(&self) -> u64 {
        self.0.borrow().len() as u64
    }

    fn read_only(&self) -> bool {
        false
    }

    async fn read(&self, offset: u64, buf: &mut [u8]) -> Result<(), DeviceError> {
        let disk = self.0.borrow();
        let bytes = disk.get(offset as usize..).and_then(|rest| rest.get(..buf.len()));
        buf.copy_from_slice(bytes.ok_or(DeviceError::OutOfRange)?);
        Ok(())
    }

    async fn write(&self, offset: u64, data: &[u8]) -> Result<(), DeviceError> {
        let mut disk = self.0.borrow_mut();
        let bytes = disk.get_mut(offset as usize..).and_then(|rest| rest.get_mut(..data.len()));
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
