//! A disk in memory, for the targets that need a volume.
use fat::{BlockDevice, DeviceError, FormatOptions};
use std::cell::RefCell;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

#[derive(Clone)]
pub struct Ram(pub Rc<RefCell<Vec<u8>>>);

impl Ram {
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Rc::new(RefCell::new(bytes)))
    }

    /// A formatted disk of 512 KiB.
    pub fn formatted() -> Self {
        thread_local! {
            static DISK: Vec<u8> = {
                let ram = Ram::new(vec![0; 512 << 10]);
                let options = FormatOptions::default();
                wait(fat::format(&ram, &options, &mut |_, _| ())).expect("a disk in memory");
                ram.0.take()
            };
        }
        Self::new(DISK.with(Clone::clone))
    }
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
        let at = usize::try_from(offset).map_err(|_| DeviceError::OutOfRange)?;
        let disk = self.0.borrow();
        let part = at.checked_add(buf.len()).and_then(|end| disk.get(at..end));
        buf.copy_from_slice(part.ok_or(DeviceError::OutOfRange)?);
        Ok(())
    }
    async fn write(&self, offset: u64, data: &[u8]) -> Result<(), DeviceError> {
        let at = usize::try_from(offset).map_err(|_| DeviceError::OutOfRange)?;
        let mut disk = self.0.borrow_mut();
        let part = at.checked_add(data.len()).and_then(|end| disk.get_mut(at..end));
        part.ok_or(DeviceError::OutOfRange)?.copy_from_slice(data);
        Ok(())
    }
    async fn flush(&self) -> Result<(), DeviceError> {
        Ok(())
    }
}

/// Runs a future that waits for nothing outside, and gives way a bounded number of times.
pub fn wait<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    for _ in 0..1_000_000 {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return value;
        }
    }
    panic!("it waits for ever");
}
