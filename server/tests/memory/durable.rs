//! What is promised of data that was accepted into memory: it is on the disk after 5 seconds at most, and
//! a write that fails later is told.
use crate::rig::*;
use client::{Ram, Reply, pair};
use fat::{MountOptions, OpenOptions, Volume};
use server::Turn;

/// SSH_FX_NO_MEDIA of later versions.
const NO_MEDIA: u32 = 13;

/// WRITE and CREAT, without TRUNC.
const TO_CHANGE: u32 = 0x0a;

fn one() -> (Rig, User) {
    let (ours, theirs) = pair();
    let line = key_line(1, "me");
    let mut rig = Rig::with_memory(1 << 20, &[("/mirage.pub", &line)], vec![ours], LIMITS, &[]);
    let user = rig.log_in("mirage", 1, theirs).unwrap();
    // What the login and the mount left to do is done.
    sleep(&mut rig, 10);
    (rig, user)
}

/// Lets so many seconds pass as a machine does: it takes turns while something moves, and then waits no
/// longer than it was told, to the millisecond.
fn sleep(rig: &mut Rig, seconds: u64) {
    let (start, mut passed) = (rig.unix, 0);
    loop {
        match rig.turn() {
            Turn::Moved => continue,
            Turn::Idle(_) if passed >= seconds * 1000 => return,
            Turn::Idle(longest) => {
                let left = seconds * 1000 - passed;
                passed += longest.unwrap_or(left).clamp(1, left);
                rig.unix = start + passed / 1000;
            }
            Turn::Stopped => panic!("it stopped"),
        }
    }
}

/// What a power cut would leave of a file now.
fn left(rig: &Rig, path: &str) -> Option<Vec<u8>> {
    let disk = Ram::new(rig.disk.ram.0.borrow().clone());
    let volume = wait(Volume::mount(disk, &MountOptions::default())).unwrap();
    let how = OpenOptions { read: true, ..OpenOptions::default() };
    let file = wait(volume.open(path, &how)).ok()?;
    let mut data = vec![0; 100_000];
    let length = wait(volume.read(&file, 0, &mut data)).unwrap();
    data.truncate(length);
    Some(data)
}

#[test]
fn what_was_never_synced_is_at_most_5_seconds_old() {
    let (mut rig, mut user) = one();
    let handle = user.open(&mut rig, "/new", TO_WRITE).unwrap();
    assert_eq!(user.write(&mut rig, &handle, 0, b"first"), OK);
    assert_eq!(left(&rig, "/new").unwrap_or_default(), b"", "it waits for what follows");
    sleep(&mut rig, 5);
    assert_eq!(left(&rig, "/new").as_deref(), Some(&b"first"[..]));
    // An entry, too, and what comes after the first time.
    assert_eq!(user.code(&mut rig, 18, &[b"/new", b"/moved"], &[]), OK);
    assert_eq!(user.write(&mut rig, &handle, 5, b", second"), OK);
    sleep(&mut rig, 5);
    assert_eq!(left(&rig, "/moved").as_deref(), Some(&b"first, second"[..]));
    assert_eq!(left(&rig, "/new"), None);
}

/// It is the age of the oldest that counts: others may go on writing.
#[test]
fn a_client_that_never_rests_puts_off_nothing() {
    let (mut rig, mut user) = one();
    let handle = user.open(&mut rig, "/new", TO_WRITE).unwrap();
    assert_eq!(user.write(&mut rig, &handle, 0, b"0"), OK);
    for second in 1..=5 {
        sleep(&mut rig, 1);
        assert_eq!(user.write(&mut rig, &handle, second, b"."), OK);
    }
    sleep(&mut rig, 0);
    assert_eq!(left(&rig, "/new").unwrap_or_default().first(), Some(&b'0'));
}

/// A write is answered when it is in memory. When it fails on its way to the disk, each handle that had
/// the file open for writing is told at its close, once.
#[test]
fn a_late_write_that_failed_is_told_at_close() {
    let (mut rig, mut user) = one();
    let handle = user.open(&mut rig, "/new", TO_WRITE).unwrap();
    let other = user.open(&mut rig, "/new", TO_CHANGE).unwrap();
    let reader = user.open(&mut rig, "/new", TO_READ).unwrap();
    assert_eq!(user.code(&mut rig, 200, &[b"fsync@openssh.com", &handle], &[]), OK);
    assert_eq!(user.write(&mut rig, &handle, 0, &[7; 40_000]), OK);
    rig.disk.fail(true);
    sleep(&mut rig, 6);
    rig.disk.fail(false);
    let told = user.ask(&mut rig, CLOSE, &[&handle], &[]);
    assert_eq!(text(&told), (NO_MEDIA, "No media: the disk reported an error".into()));
    assert_eq!(user.code(&mut rig, CLOSE, &[&other], &[]), NO_MEDIA);
    assert_eq!(user.code(&mut rig, CLOSE, &[&reader], &[]), OK);
    // The handles are gone all the same, and the file can be written again.
    assert_ne!(user.code(&mut rig, CLOSE, &[&handle], &[]), OK);
    let again = user.open(&mut rig, "/new", TO_WRITE).unwrap();
    assert_eq!(user.write(&mut rig, &again, 0, b"again"), OK);
    assert_eq!(user.code(&mut rig, CLOSE, &[&again], &[]), OK);
    assert_eq!(user.read(&mut rig, "/new").as_deref(), Ok("again"));
}

fn text(reply: &Reply) -> (u32, String) {
    let length = u32::from_be_bytes(*reply.body[4..].first_chunk().unwrap()) as usize;
    (code(reply), String::from_utf8(reply.body[8..8 + length].to_vec()).unwrap())
}
