//! The disk and the interface against a tender that does what Solo5's does, and one that refuses.
use super::*;
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use core::cell::{Cell, RefCell};
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use fat::{BlockDevice, DeviceError};
use smoltcp::phy::{Device, RxToken, TxToken};
use smoltcp::time::Instant;

const DISK: u64 = 2;
const NET: u64 = 1;

#[derive(Default)]
struct Fake {
    sectors: RefCell<Vec<u8>>,
    refuses: Cell<Option<Refusal>>,
    came: RefCell<VecDeque<Vec<u8>>>,
    went: RefCell<Vec<Vec<u8>>>,
}

impl Fake {
    /// As hvt_module_blk.c checks a request.
    fn range(&self, offset: u64, len: usize) -> Result<core::ops::Range<usize>, Refusal> {
        if let Some(refusal) = self.refuses.get() {
            return Err(refusal);
        }
        let size = self.sectors.borrow().len();
        let start = offset as usize;
        if start >= size || len > size - start {
            Err(Refusal::Invalid)
        } else {
            Ok(start..start + len)
        }
    }
}

impl Tender for Fake {
    fn wall_time(&self) -> u64 {
        0
    }

    fn poll(&self, _: u64) {}

    fn read_block(&self, device: u64, offset: u64, data: &mut [u8]) -> Result<(), Refusal> {
        assert_eq!(device, DISK);
        data.copy_from_slice(&self.sectors.borrow()[self.range(offset, data.len())?]);
        Ok(())
    }

    fn write_block(&self, device: u64, offset: u64, data: &[u8]) -> Result<(), Refusal> {
        assert_eq!(device, DISK);
        let range = self.range(offset, data.len())?;
        self.sectors.borrow_mut()[range].copy_from_slice(data);
        Ok(())
    }

    fn read_net(&self, device: u64, frame: &mut [u8]) -> Result<usize, Refusal> {
        assert_eq!(device, NET);
        let came = self.came.borrow_mut().pop_front().ok_or(Refusal::Again)?;
        let len = came.len().min(frame.len());
        frame[..len].copy_from_slice(&came[..len]);
        Ok(len)
    }

    fn write_net(&self, device: u64, frame: &[u8]) -> Result<(), Refusal> {
        assert_eq!(device, NET);
        self.went.borrow_mut().push(frame.to_vec());
        Ok(())
    }
}

/// Nothing is ever waited for.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it waits"),
    }
}

fn disk(sectors: usize) -> (Rc<Fake>, Solo5Disk) {
    let fake = Rc::new(Fake::default());
    *fake.sectors.borrow_mut() = (0..sectors * 512).map(|i| (i / 512) as u8).collect();
    let disk = Solo5Disk::new(fake.clone(), DISK, sectors as u64 * 512, 512).unwrap();
    (fake, disk)
}

#[test]
fn what_is_written_is_on_the_disk_at_once() {
    let (fake, disk) = disk(100);
    now(disk.write(512, &[7; 1024])).unwrap();
    assert_eq!(fake.sectors.borrow()[512..1536], [7; 1024]);
    let mut data = [0; 1024];
    now(disk.read(1024, &mut data)).unwrap();
    assert_eq!((data[0], data[512]), (7, 3));
    now(disk.flush()).unwrap();
}

#[test]
fn the_tender_is_not_asked_for_what_is_not_there() {
    let (_, disk) = disk(8);
    for (offset, len) in
        [(0, 8 * 512 + 512), (8 * 512, 512), (1, 512), (0, 100), (u64::MAX - 511, 512)]
    {
        assert_eq!(
            now(disk.write(offset, &vec![0; len])),
            Err(DeviceError::OutOfRange),
            "{offset} {len}"
        );
        assert_eq!(now(disk.read(offset, &mut vec![0; len])), Err(DeviceError::OutOfRange));
    }
    assert_eq!(now(disk.read(8 * 512, &mut [])), Ok(()));
}

#[test]
fn a_refusal_is_an_error() {
    let (fake, disk) = disk(8);
    for refusal in [Refusal::Again, Refusal::Other] {
        fake.refuses.set(Some(refusal));
        assert_eq!(now(disk.read(0, &mut [0; 512])), Err(DeviceError::Io));
        assert_eq!(now(disk.write(0, &[0; 512])), Err(DeviceError::Io));
    }
}

#[test]
fn a_disk_that_cannot_be_is_refused() {
    let new =
        |size, sector| Solo5Disk::new(Rc::new(Fake::default()), DISK, size, sector).map(|_| ());
    for (size, sector_size) in
        [(0, 512), (511, 512), (4096, 0), (4096, 256), (1 << 20, 32768), (4096, 513)]
    {
        assert_eq!(new(size, sector_size), Err(BadDisk { size, sector_size }));
    }
    assert_eq!(new(4096, 4096), Ok(()));
}

#[test]
fn frames_come_and_go() {
    let fake = Rc::new(Fake::default());
    let mut net = Solo5Net::new(fake.clone(), NET, [2, 0, 0, 0, 0, 1], 0);
    assert_eq!(net.capabilities().max_transmission_unit, 1514);
    assert!(net.receive(Instant::ZERO).is_none());
    for len in [60, 1514, 1518] {
        fake.came.borrow_mut().push_back(vec![len as u8; len]);
        let (frame, room) = net.receive(Instant::ZERO).unwrap();
        frame.consume(|frame| assert_eq!(frame, vec![len as u8; len]));
        room.consume(len, |frame| frame.fill(9));
        assert_eq!(fake.went.borrow_mut().pop(), Some(vec![9; len]));
    }
    // Nothing of the frame before is left in a shorter one.
    net.transmit(Instant::ZERO).unwrap().consume(60, |_| ());
    assert_eq!(fake.went.borrow_mut().pop(), Some(vec![0; 60]));
}

#[test]
fn mtus_are_bounded() {
    for (said, mtu) in [(0, 1500), (1, 576), (1500, 1500), (9000, 9000), (u16::MAX, 9000)] {
        let net = Solo5Net::new(Rc::new(Fake::default()), NET, [0; 6], said);
        assert_eq!(net.capabilities().max_transmission_unit, mtu + 14);
    }
}
