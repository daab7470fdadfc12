use super::host::{Host, Request};
use crate::virtio::{DeviceType, VirtioDisk};
use alloc::boxed::Box;
use alloc::rc::Rc;
use core::cell::{Cell, RefCell};
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use fat::{BlockDevice, DeviceError};

const READ_ONLY: u64 = 1 << 5;
const BLOCK_SIZE: u64 = 1 << 6;
const FLUSH: u64 = 1 << 9;
const SIZE: usize = 2 << 20;

type Running<'a, T> = Pin<Box<dyn Future<Output = Result<T, DeviceError>> + 'a>>;

fn poll<T>(future: &mut Running<'_, T>) -> Option<Result<T, DeviceError>> {
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

/// A disk and its host, which has the sectors.
struct World {
    host: Host,
    disk: VirtioDisk<Host>,
    sectors: RefCell<Vec<u8>>,
    flushes: Cell<usize>,
    /// What the host says of each request.
    status: Cell<u8>,
}

impl World {
    fn new(features: u64) -> Self {
        let mut config = vec![0; 60];
        config[..8].copy_from_slice(&((SIZE / 512) as u64).to_le_bytes());
        config[20..24].copy_from_slice(&4096u32.to_le_bytes());
        let host = Host::new(DeviceType::Block, features, &config);
        let disk = VirtioDisk::start("vda", host.device()).unwrap();
        let sectors = RefCell::new((0..SIZE).map(|i| (i / 512 + i) as u8).collect());
        Self { host, disk, sectors, flushes: Cell::new(0), status: Cell::new(0) }
    }

    fn serve(&self, request: &Request) {
        let bytes = request.bytes();
        let kind = u32::from_le_bytes(bytes[..4].try_into().unwrap());
        let at = u64::from_le_bytes(bytes[8..16].try_into().unwrap()) as usize * 512;
        let sectors = &mut *self.sectors.borrow_mut();
        let status = self.status.get();
        let written = match kind {
            0 => {
                let length = request.writable[0].1;
                request.fill(&[&sectors[at..at + length], &[status]].concat())
            }
            1 => {
                sectors[at..at + bytes.len() - 16].copy_from_slice(&bytes[16..]);
                request.fill(&[status])
            }
            4 => {
                self.flushes.set(self.flushes.get() + 1);
                request.fill(&[status])
            }
            other => panic!("a request of type {other}"),
        };
        self.host.done(0, request.head.into(), written);
    }

    /// Runs it to its end; the host serves the last request first.
    fn run<T>(&self, mut future: Running<'_, T>) -> Result<T, DeviceError> {
        for _ in 0..1000 {
            if let Some(result) = poll(&mut future) {
                return result;
            }
            self.disk.poll();
            self.host.requests(0).iter().rev().for_each(|request| self.serve(request));
            self.disk.poll();
        }
        panic!("it never ends");
    }

    fn read(&self, offset: u64, length: usize) -> Result<Vec<u8>, DeviceError> {
        let mut data = vec![0; length];
        self.run(Box::pin(self.disk.read(offset, &mut data)))?;
        Ok(data)
    }
}

#[test]
fn what_is_written_is_read() {
    let world = World::new(FLUSH);
    assert_eq!((world.disk.sector_size(), world.disk.size()), (512, SIZE as u64));
    assert_eq!(world.read(512, 1024).unwrap(), world.sectors.borrow()[512..1536]);
    // More than one request, and more than fits in flight.
    let data: Vec<u8> = (0..SIZE - 512).map(|i| (i % 251) as u8).collect();
    world.run(Box::pin(world.disk.write(512, &data))).unwrap();
    assert_eq!(world.sectors.borrow()[512..], data);
    assert_eq!(world.read(0, SIZE).unwrap(), *world.sectors.borrow());
    world.run(Box::pin(world.disk.flush())).unwrap();
    assert_eq!(world.flushes.get(), 1);
}

#[test]
fn requests_of_many_are_in_flight_together() {
    let world = World::new(0);
    let mut buffers = vec![[0; 512]; 30];
    let reads = buffers.iter_mut().enumerate();
    let mut reads: Vec<Running<'_, ()>> =
        reads.map(|(i, b)| Box::pin(world.disk.read(i as u64 * 512, b)) as _).collect();
    assert!(reads.iter_mut().all(|read| poll(read).is_none()));
    world.disk.poll();
    assert_eq!(world.host.notified(0), 1, "one notification for all");
    let requests = world.host.requests(0);
    assert_eq!(requests.len(), 30);
    requests.iter().rev().for_each(|request| world.serve(request));
    assert!(world.disk.poll());
    assert!(reads.iter_mut().all(|read| poll(read) == Some(Ok(()))));
    drop(reads);
    assert_eq!(buffers.concat(), world.sectors.borrow()[..30 * 512]);
}

#[test]
fn all_get_their_turn_when_there_is_not_room_for_all() {
    let world = World::new(0);
    let mut buffers = vec![vec![0; 256 << 10]; 8];
    let reads = buffers.iter_mut().enumerate();
    let mut reads: Vec<Running<'_, ()>> =
        reads.map(|(i, b)| Box::pin(world.disk.read((i as u64) << 18, b)) as _).collect();
    let mut ended = [false; 8];
    for _ in 0..100 {
        for (read, ended) in reads.iter_mut().zip(&mut ended) {
            *ended = *ended || poll(read).is_some_and(|result| result == Ok(()));
        }
        world.disk.poll();
        world.host.requests(0).iter().for_each(|request| world.serve(request));
        world.disk.poll();
    }
    assert_eq!(ended, [true; 8]);
    drop(reads);
    assert_eq!(buffers.concat(), world.sectors.borrow()[..2 << 20]);
}

#[test]
fn features_are_heard() {
    let world = World::new(READ_ONLY | BLOCK_SIZE);
    assert_eq!((world.disk.sector_size(), world.disk.read_only()), (4096, true));
    assert_eq!(world.run(Box::pin(world.disk.write(0, &[0; 4096]))), Err(DeviceError::ReadOnly));
    assert_eq!(world.read(0, 512), Err(DeviceError::OutOfRange));
    assert_eq!(world.read(SIZE as u64, 4096), Err(DeviceError::OutOfRange));
    assert_eq!(world.read(u64::MAX - 4095, 4096), Err(DeviceError::OutOfRange));
    // No cache, nothing to ask for.
    world.run(Box::pin(world.disk.flush())).unwrap();
    assert_eq!((world.flushes.get(), world.host.accepted() & FLUSH), (0, 0));
}

#[test]
fn no_usable_disk_is_an_error() {
    for (sectors, block) in [(0, 512u32), (8, 0), (8, 513), (8, 8192), (u64::MAX, 512), (7, 4096)] {
        let mut config = vec![0; 60];
        config[..8].copy_from_slice(&u64::to_le_bytes(sectors));
        config[20..24].copy_from_slice(&block.to_le_bytes());
        let host = Host::new(DeviceType::Block, BLOCK_SIZE, &config);
        assert!(VirtioDisk::start("vda", host.device()).is_err(), "{sectors} {block}");
    }
    let short = Host::new(DeviceType::Block, 0, &[1]);
    assert!(VirtioDisk::start("vda", short.device()).is_err());
}

#[test]
fn an_error_of_the_host_is_one() {
    let world = World::new(FLUSH);
    for status in [1, 2, 0xff] {
        world.status.set(status);
        assert_eq!(world.read(0, 300 << 10), Err(DeviceError::Io));
        assert_eq!(world.run(Box::pin(world.disk.flush())), Err(DeviceError::Io));
    }
    world.status.set(0);
    assert!(world.read(0, 512).is_ok());
}

#[test]
fn a_read_that_nobody_waits_for_harms_nobody() {
    let world = World::new(0);
    let mut data = vec![0; 512];
    let mut read: Running<'_, ()> = Box::pin(world.disk.read(0, &mut data));
    assert!(poll(&mut read).is_none());
    drop(read);
    drop(data);
    assert_eq!(world.read(512, 512).unwrap(), world.sectors.borrow()[512..1024]);
}

#[test]
fn a_lie_ends_the_disk_and_nothing_else() {
    /// What the host says is done, and how much was written, for the request that it has.
    type Lie = fn(u16) -> (u32, u32);
    let lies: [Lie; 4] = [
        |_| (500, 1),
        |_| (u32::MAX, 1),
        |head| (u32::from(head) ^ 1, 1),
        |head| (head.into(), 9999),
    ];
    for lie in lies {
        let world = World::new(0);
        let mut data = vec![0; 512];
        let mut read: Running<'_, ()> = Box::pin(world.disk.read(0, &mut data));
        assert!(poll(&mut read).is_none());
        world.disk.poll();
        let (head, written) = lie(world.host.requests(0)[0].head);
        world.host.done(0, head, written);
        assert!(world.disk.poll());
        assert_eq!(poll(&mut read), Some(Err(DeviceError::Gone)));
        drop(read);
        assert_eq!(world.read(0, 512), Err(DeviceError::Gone));
    }
}

#[test]
fn an_answer_twice_is_a_lie() {
    let world = World::new(0);
    let mut data = vec![0; 512];
    let mut read: Running<'_, ()> = Box::pin(world.disk.read(0, &mut data));
    assert!(poll(&mut read).is_none());
    world.disk.poll();
    let request = world.host.requests(0).pop_front().unwrap();
    world.serve(&request);
    world.serve(&request);
    world.disk.poll();
    // The first answer came before the lie.
    assert!(matches!(poll(&mut read), Some(Ok(()) | Err(DeviceError::Gone))));
    drop(read);
    assert_eq!(world.read(0, 512), Err(DeviceError::Gone));
}

#[test]
fn sleep_is_not_begun_over_an_answer() {
    let world = Rc::new(World::new(0));
    let mut data = vec![0; 512];
    let mut read: Running<'_, ()> = Box::pin(world.disk.read(0, &mut data));
    assert!(poll(&mut read).is_none());
    world.disk.poll();
    assert!(!world.disk.arm(), "nothing is there yet");
    world.serve(&world.host.requests(0)[0]);
    assert!(world.disk.arm());
}
