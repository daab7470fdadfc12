//! Backends and disks that go, come back, or are others.
use super::*;

#[test]
fn requests_go_on_after_the_backend_came_back() {
    let rig = Rig::connected(1, |back| back.vices.never = 1);
    let before = rig.world.xen.in_use();
    let mut data = vec![0; 300 * 512];
    let mut job: Job = Box::pin(rig.disk.read(512, &mut data));
    assert!(poll(&mut job).is_pending());
    (0..10).for_each(|_| rig.turn());
    rig.back.borrow_mut().vices = Vices::default();
    rig.back.borrow_mut().detach(&mut rig.world.stored.borrow_mut());
    rig.turn_until(|| rig.back_state() == Some(6));
    assert!(poll(&mut job).is_pending());
    assert_eq!(rig.front(), Some(6));
    assert_eq!(rig.world.xen.in_use(), (0, 1));
    assert_eq!(rig.world.xen.retired(), 0);
    rig.back.borrow_mut().attach(&mut rig.world.stored.borrow_mut());
    rig.run(job).unwrap();
    assert!(data == rig.back.borrow().image[512..512 + data.len()]);
    rig.turn_until(|| rig.front() == Some(4));
    assert_eq!(rig.world.xen.in_use().1, before.1);
}

#[test]
fn a_disk_may_be_detached_and_attached() {
    let rig = Rig::connected(1, |_| ());
    for _ in 0..3 {
        let mut stored = rig.world.stored.borrow_mut();
        rig.back.borrow_mut().vanish(&mut stored);
        drop(stored);
        (0..20).for_each(|_| rig.turn());
        assert_eq!(rig.node("state"), None, "the directory came back");
        rig.back.borrow_mut().attach(&mut rig.world.stored.borrow_mut());
        rig.run(rig.disk.read(0, &mut [0; 512])).unwrap();
    }
}

#[test]
fn what_a_dead_backend_still_maps_is_not_used_again() {
    let rig = Rig::connected(1, |_| ());
    rig.run(rig.disk.read(0, &mut [0; 512])).unwrap();
    let ring: u32 = rig.node("ring-ref").unwrap().parse().unwrap();
    rig.world.xen.map(crate::DomId(0), ring).unwrap();
    rig.back.borrow_mut().detach(&mut rig.world.stored.borrow_mut());
    rig.turn_until(|| rig.back_state() == Some(6));
    assert_eq!((rig.world.xen.in_use(), rig.world.xen.retired()), ((1, 1), 1));
    rig.world.xen.unmap(ring);
    assert_eq!((rig.world.xen.in_use(), rig.world.xen.retired()), ((0, 1), 0));
}

#[test]
fn a_disk_that_stays_away_is_gone() {
    let rig = Rig::connected(1, |_| ());
    rig.run(rig.disk.write(0, &[0; 512])).unwrap();
    rig.back.borrow_mut().detach(&mut rig.world.stored.borrow_mut());
    rig.turn_until(|| rig.back_state() == Some(6));
    let mut buffer = [0; 512];
    let mut job: Job = Box::pin(rig.disk.read(0, &mut buffer));
    assert!(poll(&mut job).is_pending());
    let deadline = rig.disk.deadline().expect("a deadline");
    rig.world.xen.now.set(deadline);
    assert_eq!(rig.run(job), Err(DeviceError::Gone));
    assert_eq!(rig.disk.deadline(), None);
    assert_eq!(rig.run(rig.disk.flush()), Err(DeviceError::Gone));
    // Even then it may come back, but what was not flushed may be lost, and that is said once.
    rig.back.borrow_mut().attach(&mut rig.world.stored.borrow_mut());
    rig.turn_until(|| rig.front() == Some(4));
    rig.run(rig.disk.read(0, &mut buffer)).unwrap();
    assert_eq!(rig.run(rig.disk.flush()), Err(DeviceError::Io));
    rig.run(rig.disk.flush()).unwrap();
}

#[test]
fn a_backend_that_begins_anew_is_followed() {
    let rig = Rig::connected(1, |_| ());
    let mut data = vec![0; 300 * 512];
    for round in 0..5 {
        let mut job: Job = Box::pin(rig.disk.read(512, &mut data));
        assert!(poll(&mut job).is_pending());
        (0..round).for_each(|_| rig.turn());
        rig.back.borrow_mut().close(&mut rig.world.stored.borrow_mut());
        rig.run(job).unwrap();
        assert!(data == rig.back.borrow().image[512..512 + data.len()]);
        rig.turn_until(|| rig.front() == Some(4) && rig.back_state() == Some(4));
    }
    assert_eq!(rig.world.xen.retired(), 0);
    assert_eq!(rig.world.stored.borrow().watches(), 2);
}

#[test]
fn another_disk_is_not_taken_for_the_first() {
    let rig = Rig::connected(1, |_| ());
    rig.back.borrow_mut().detach(&mut rig.world.stored.borrow_mut());
    rig.turn_until(|| rig.back_state() == Some(6));
    rig.back.borrow_mut().set_node("sectors", "4096");
    rig.back.borrow_mut().attach(&mut rig.world.stored.borrow_mut());
    (0..50).for_each(|_| rig.turn());
    assert_eq!((rig.front(), rig.disk.size()), (Some(6), SECTORS as u64 * 512));
    rig.world.xen.now.set(u64::MAX / 2);
    assert_eq!(rig.run(rig.disk.read(0, &mut [0; 512])), Err(DeviceError::Gone));
}

/// What was in flight is done again, and what was written before can be flushed.
#[test]
fn requests_go_on_in_a_restored_domain() {
    let rig = Rig::connected(1, |_| ());
    rig.run(rig.disk.write(0, &[7; 512])).unwrap();
    rig.back.borrow_mut().vices.never = 1;
    let mut data = vec![0; 300 * 512];
    for _ in 0..3 {
        let mut job: Job = Box::pin(rig.disk.read(512, &mut data));
        assert!(poll(&mut job).is_pending());
        (0..10).for_each(|_| rig.turn());
        rig.world.restore();
        rig.back.borrow_mut().forget();
        rig.back.borrow_mut().vices = Vices::default();
        rig.back.borrow_mut().attach(&mut rig.world.stored.borrow_mut());
        rig.disk.resume();
        rig.run(job).unwrap();
        assert!(data == rig.back.borrow().image[512..512 + data.len()]);
        rig.run(rig.disk.flush()).unwrap();
        assert_eq!(rig.world.xen.in_use().1, 2);
        assert_eq!((rig.world.xen.retired(), rig.world.stored.borrow().watches()), (0, 2));
    }
}
