//! The disk against backends that are honest, slow, gone, or lie.
use super::*;
use crate::xen::fake::blkback::{BACK, Blkback, FRONT, Vices};
use crate::xen::fake::random::Random;
use crate::xen::fake::world::World;
use std::collections::VecDeque;
use std::io::Write as _;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

mod again;

const SECTORS: usize = 8192;

struct Rig {
    world: World,
    back: RefCell<Blkback>,
    disk: Blkfront,
}

impl Rig {
    /// A disk that is not connected yet; `set` changes its backend.
    fn start(seed: u64, set: impl FnOnce(&mut Blkback)) -> Self {
        Self::start_with(SECTORS, seed, set)
    }

    fn start_with(sectors: usize, seed: u64, set: impl FnOnce(&mut Blkback)) -> Self {
        let world = World::new();
        let mut back = Blkback::new(world.xen.clone(), sectors, seed);
        set(&mut back);
        back.attach(&mut world.stored.borrow_mut());
        let disk = Blkfront::start(world.xen(), &world.store, 51728);
        Self { world, back: RefCell::new(back), disk }
    }

    fn connected(seed: u64, set: impl FnOnce(&mut Blkback)) -> Self {
        let rig = Self::start(seed, set);
        rig.turn_until(|| rig.disk.is_connected() && rig.front() == Some(4));
        rig
    }

    fn front(&self) -> Option<u32> {
        self.world.stored.borrow().number(&format!("{FRONT}/state"))
    }

    fn back_state(&self) -> Option<u32> {
        self.world.stored.borrow().number(&format!("{BACK}/state"))
    }

    fn turn(&self) {
        self.world.store.poll();
        self.disk.poll();
        let mut stored = self.world.stored.borrow_mut();
        self.back.borrow_mut().turn(&mut stored);
        stored.turn();
    }

    fn turn_until(&self, mut done: impl FnMut() -> bool) {
        for _ in 0..1000 {
            if done() {
                return;
            }
            self.turn();
        }
        panic!("nothing came of it");
    }

    fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.world.try_run(10_000, future, || self.turn()).expect("an end")
    }

    fn node(&self, name: &str) -> Option<String> {
        self.world.stored.borrow().get(&format!("{FRONT}/{name}"))
    }
}

type Job<'r> = Pin<Box<dyn Future<Output = Result<(), DeviceError>> + 'r>>;

fn poll(job: &mut Job) -> Poll<Result<(), DeviceError>> {
    job.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

/// Reads and writes of all sizes, many at once, on ranges of their own.
fn mixed_load(rig: &Rig, seed: u64, jobs: usize) {
    let mut random = Random::new(seed);
    let model = RefCell::new(rig.back.borrow().image.clone());
    let unit = rig.disk.sector_size();
    let zones = 16u64;
    let zone = SECTORS * 512 / zones as usize;
    let mut busy: VecDeque<(u64, Job)> = VecDeque::new();
    let mut left = jobs;
    for _ in 0..100_000 {
        while left > 0 && busy.len() < 12 {
            let at = random.below(zones);
            if busy.iter().any(|(z, _)| *z == at) {
                break;
            }
            left -= 1;
            let start = random.below((zone / unit) as u64) as usize * unit;
            let most = (zone - start) / unit;
            let length = (1 + random.below(most.min(600) as u64) as usize).min(most) * unit;
            let offset = at as usize * zone + start;
            let (disk, model, write) = (&rig.disk, &model, random.one_in(2));
            let fill = random.next() as u8;
            let job: Job = Box::pin(async move {
                let range = offset..offset + length;
                if write {
                    let data: Vec<u8> = (0..length).map(|i| fill.wrapping_add(i as u8)).collect();
                    disk.write(offset as u64, &data).await?;
                    model.borrow_mut()[range].copy_from_slice(&data);
                } else {
                    let mut data = vec![0; length];
                    disk.read(offset as u64, &mut data).await?;
                    assert!(data == model.borrow()[range], "wrong data at {offset}");
                }
                Ok(())
            });
            busy.push_back((at, job));
        }
        busy.retain_mut(|(_, job)| match poll(job) {
            Poll::Ready(result) => {
                result.expect("an honest disk");
                false
            }
            Poll::Pending => true,
        });
        if left == 0 && busy.is_empty() {
            drop(busy);
            assert!(rig.back.borrow().image == *model.borrow());
            return;
        }
        rig.turn();
    }
    panic!("{left} jobs were not started and {} did not end", busy.len());
}

#[test]
fn data_are_right_with_every_kind_of_request() {
    for (seed, order, indirect, sector) in
        [(1, 0, "0", "512"), (2, 1, "0", "512"), (3, 0, "256", "512"), (4, 4, "20", "4096")]
    {
        let rig = Rig::connected(seed, |back| {
            back.ring_order = order;
            back.set_node("feature-max-indirect-segments", indirect);
            back.set_node("sector-size", sector);
        });
        assert_eq!(rig.disk.sector_size().to_string(), sector);
        assert_eq!(rig.disk.size(), SECTORS as u64 * 512);
        mixed_load(&rig, seed, 300);
        let back = rig.back.borrow();
        assert_eq!(back.served[3] > 0, indirect != "0");
        let slots = if order == 0 { 32 } else { 64 };
        assert!(back.most_in_flight <= slots);
        if indirect == "0" {
            assert!(back.most_in_flight > slots / 8, "{} at once", back.most_in_flight);
        }
    }
}

#[test]
fn answers_may_be_late_and_in_any_order() {
    for seed in 1..6 {
        let rig = Rig::connected(seed, |back| {
            back.vices = Vices { late: 2, shuffle: 2, ..Vices::default() };
        });
        mixed_load(&rig, seed, 200);
    }
}

#[test]
fn all_slots_of_the_ring_are_used() {
    let rig = Rig::connected(1, |back| back.vices.late = u64::MAX);
    let mut buffers = vec![[0; 512]; 40];
    let disk = &rig.disk;
    let mut jobs: Vec<Job> = Vec::new();
    for (i, buffer) in buffers.iter_mut().enumerate() {
        jobs.push(Box::pin(async move { disk.read(i as u64 * 512, buffer).await }));
    }
    assert!(jobs.iter_mut().all(|job| poll(job).is_pending()));
    rig.turn();
    // Not once in u64::MAX turns will it be late: it took all there were in that turn.
    assert_eq!(rig.back.borrow().most_in_flight, 32);
    rig.run(async {
        for job in &mut jobs {
            job.await.unwrap();
        }
    });
    drop(jobs);
    assert!(buffers.concat() == rig.back.borrow().image[..40 * 512]);
}

#[test]
fn a_flush_reaches_the_backend_in_its_own_way() {
    for (cache, barrier, flushes) in [("1", "0", 1), ("0", "1", 1), ("1", "1", 1), ("0", "0", 0)] {
        let rig = Rig::connected(1, |back| {
            back.set_node("feature-flush-cache", cache);
            back.set_node("feature-barrier", barrier);
        });
        rig.run(rig.disk.write(512, &[7; 1024])).unwrap();
        assert_eq!(rig.back.borrow().unflushed, 1);
        rig.run(rig.disk.flush()).unwrap();
        assert_eq!(rig.back.borrow().served[2], flushes);
        assert_eq!(rig.back.borrow().unflushed, 1 - flushes);
    }
}

#[test]
fn a_flush_that_is_refused_is_not_asked_for_again() {
    let rig = Rig::connected(1, |back| back.refuse_flush = true);
    rig.run(rig.disk.flush()).unwrap();
    rig.run(rig.disk.flush()).unwrap();
    assert_eq!(rig.back.borrow().served[2], 1);
}

#[test]
fn requests_that_make_no_sense_are_refused_here() {
    let rig = Rig::connected(1, |back| back.set_node("sector-size", "4096"));
    let size = rig.disk.size();
    for (offset, length) in [(512, 4096), (0, 512), (size, 4096), (size - 4096, 8192)] {
        let result = rig.run(rig.disk.write(offset, &vec![0; length]));
        assert_eq!(result, Err(DeviceError::OutOfRange), "{offset} {length}");
    }
    let result = rig.run(rig.disk.read(u64::MAX - 4095, &mut [0; 4096]));
    assert_eq!(result, Err(DeviceError::OutOfRange));
    assert_eq!(rig.back.borrow().served, [0; 4]);
}

#[test]
fn a_read_only_disk_takes_no_writes() {
    for (name, value) in [("info", "4"), ("mode", "r")] {
        let rig = Rig::connected(1, |back| back.set_node(name, value));
        assert!(rig.disk.read_only());
        assert_eq!(rig.run(rig.disk.write(0, &[0; 512])), Err(DeviceError::ReadOnly));
        rig.run(rig.disk.read(0, &mut [0; 512])).unwrap();
        assert_eq!(rig.back.borrow().served, [1, 0, 0, 0]);
    }
}

#[test]
fn an_error_of_the_backend_is_an_error() {
    let rig = Rig::connected(1, |back| back.vices.wrong_status = 1);
    let (mut failed, mut buffer) = (0, vec![0; 100 * 512]);
    for _ in 0..20 {
        failed += usize::from(rig.run(rig.disk.read(0, &mut buffer)) == Err(DeviceError::Io));
    }
    // An edge value of the status is a success now and then.
    assert!(failed > 10, "{failed}");
    rig.back.borrow_mut().vices = Vices::default();
    rig.run(rig.disk.read(0, &mut buffer)).unwrap();
    assert!(buffer == rig.back.borrow().image[..buffer.len()]);
}

#[test]
fn few_grants_are_enough() {
    for grants in [2, 3, 12, 40] {
        let rig = Rig::start(grants, |back| back.set_node("feature-max-indirect-segments", "32"));
        rig.world.xen.grants_left.set(Some(grants as usize));
        rig.turn_until(|| rig.front() == Some(4));
        mixed_load(&rig, grants, 60);
    }
    let rig = Rig::start(1, |_| ());
    rig.world.xen.grants_left.set(Some(1));
    rig.turn_until(|| rig.front() == Some(4));
    assert_eq!(rig.run(rig.disk.read(0, &mut [0; 512])), Err(DeviceError::Io));
}

#[test]
fn a_request_that_nobody_waits_for_keeps_its_pages_until_it_is_answered() {
    let rig = Rig::connected(1, |back| back.vices.never = 1);
    for _ in 0..5 {
        let mut buffer = vec![0; 40 * 512];
        let mut job: Job = Box::pin(rig.disk.read(0, &mut buffer));
        assert!(poll(&mut job).is_pending());
    }
    assert_eq!(rig.world.xen.in_use().0, 1 + 5 * 5);
}

/// More of them than there are pages, given up before the answer comes or before it is looked at.
#[test]
fn pages_of_a_request_that_is_answered_late_are_used_again() {
    for turns in [0, 3] {
        let rig = Rig::connected(1, |_| ());
        let in_use = || rig.world.xen.in_use().0;
        let ring = in_use();
        for round in 0..60 {
            let mut buffer = vec![0; 40 * 512];
            let mut job: Job = Box::pin(rig.disk.read(0, &mut buffer));
            assert!(poll(&mut job).is_pending());
            (0..turns).for_each(|_| rig.turn());
            drop(job);
            (0..3).for_each(|_| rig.turn());
            assert_eq!(in_use(), ring + 5, "round {round}, after {turns} turns");
        }
        rig.run(rig.disk.read(0, &mut vec![0; 88 * 512])).unwrap();
    }
}

#[test]
fn a_poll_says_whether_another_turn_may_find_something_to_do() {
    let rig = Rig::start(1, |_| ());
    let mut begun = 0;
    for _ in 0..100 {
        let before = rig.disk.disk.generation.get();
        rig.world.store.poll();
        let moved = rig.disk.poll();
        if rig.disk.disk.generation.get() != before {
            assert!(moved, "a connection began");
            begun += 1;
        }
        rig.turn();
    }
    assert!(begun > 0 && rig.disk.is_connected());
    assert!(!rig.disk.poll(), "nothing happened");
    let mut buffer = [0; 512];
    let mut job: Job = Box::pin(rig.disk.read(0, &mut buffer));
    assert!(poll(&mut job).is_pending());
    assert!(!rig.disk.poll(), "a request was sent, and nothing came");
    rig.back.borrow_mut().turn(&mut rig.world.stored.borrow_mut());
    assert!(rig.disk.poll(), "a response came");
    assert_eq!(poll(&mut job), Poll::Ready(Ok(())));
    assert!(!rig.disk.poll(), "all is done");
}

#[test]
fn backends_that_lie() {
    const CASES: u64 = 3000;
    let (mut wrongs, mut outcomes) = (0, [0; 5]);
    for seed in 0..CASES {
        let mut random = Random::new(seed);
        let mut vice = || if random.one_in(3) { 1 + random.below(30) } else { 0 };
        let vices = Vices {
            late: if vice() > 0 { 2 } else { 0 },
            shuffle: vice(),
            never: vice(),
            twice: vice(),
            wrong_id: vice(),
            wrong_status: vice(),
            wrong_index: vice(),
            scribble: vice(),
            close: vice(),
        };
        let nodes = ["sectors", "sector-size", "info", "feature-flush-cache"];
        let lie = random.one_in(4).then(|| nodes[random.below(4) as usize]);
        let value = match random.below(4) {
            0 => "x".into(),
            1 => "-1".into(),
            2 => u64::MAX.to_string(),
            _ => random.edge().to_string(),
        };
        let rig = Rig::start_with(1024, seed, |back| {
            back.vices = vices;
            back.wrongs = usize::from(lie.is_some());
            back.ring_order = [0, 1, random.edge()][random.below(3) as usize];
            back.set_node("feature-max-indirect-segments", &random.edge().to_string());
            if let Some(name) = lie {
                back.set_node(name, &value);
            }
        });
        lies(&rig, &mut random, &mut outcomes);
        wrongs += rig.back.borrow().wrongs;
    }
    // Past the test runner, which shows only what a failed test prints.
    let _ = writeln!(
        std::io::stderr(),
        "{CASES} lying backends, {wrongs} lies; answered, Io, OutOfRange, Gone, none: {outcomes:?}"
    );
    assert!(outcomes.iter().all(|&n| n > 0));
}

fn lies(rig: &Rig, random: &mut Random, outcomes: &mut [usize; 5]) {
    let mut buffers: Vec<Vec<u8>> = (0..8).map(|i| vec![0; (1 + i * 37) * 512]).collect();
    (0..30).for_each(|_| rig.turn());
    let disk = &rig.disk;
    let mut jobs: Vec<Job> = Vec::new();
    for (i, buffer) in buffers.iter_mut().enumerate() {
        let offset = random.below(1100) * 512;
        jobs.push(match i % 4 {
            0 => Box::pin(async move { disk.write(offset, buffer).await }),
            1 => Box::pin(disk.flush()),
            _ => Box::pin(async move { disk.read(offset, buffer).await }),
        });
    }
    for turn in 0..120 {
        jobs.retain_mut(|job| match poll(job) {
            Poll::Pending => true,
            Poll::Ready(result) => {
                let outcome = match result {
                    Ok(()) => 0,
                    Err(DeviceError::Io) => 1,
                    Err(DeviceError::OutOfRange | DeviceError::ReadOnly) => 2,
                    Err(DeviceError::Gone) => 3,
                };
                outcomes[outcome] += 1;
                false
            }
        });
        rig.turn();
        if jobs.is_empty() {
            break;
        }
        if turn == 100 {
            rig.world.xen.now.set(u64::MAX / 2);
        }
    }
    outcomes[4] += jobs.len();
}
