//! A disk that answers late, few requests at a time, or with errors: who waits for it or is told, and who
//! goes on.
use crate::rig::*;
use client::{Failed, Reply, pair};
use server::Limits;

const SIZE: usize = 64 * 1024;

fn ask_read(handle: &[u8], offset: u64, length: u32) -> Vec<u8> {
    assert_eq!(handle.len(), 8);
    [offset.to_be_bytes().as_slice(), &length.to_be_bytes()].concat()
}

/// Two users, and two files of 64 KiB, of `a` and of `b`.
fn two(limits: Limits) -> (Rig, User, User) {
    let ((one, one_end), (two, two_end)) = (pair(), pair());
    let (key, a, b) = (key_line(1, "me"), "a".repeat(SIZE), "b".repeat(SIZE));
    let files = [("/mirage.pub", key.as_str()), ("/a", &a), ("/b", &b)];
    let mut rig = Rig::new(&files, vec![two, one], limits, &[]);
    let one = rig.log_in("mirage", 1, one_end).unwrap();
    let two = rig.log_in("mirage", 1, two_end).unwrap();
    (rig, one, two)
}

/// Turns until nothing moves; all that came.
fn settle(rig: &mut Rig, user: &mut User) -> Result<Vec<Reply>, Failed> {
    let mut replies = Vec::new();
    while let Some(reply) = rig.reply(&mut user.client, &mut user.end)? {
        replies.push(reply);
    }
    Ok(replies)
}

#[test]
fn a_late_answer_holds_up_nobody_else() {
    let ((one, one_end), (two, two_end)) = (pair(), pair());
    let (key, a) = (key_line(1, "me"), "a".repeat(SIZE));
    let files = [("/mirage.pub", key.as_str()), ("/a", &a), ("/small", "small")];
    let mut rig = Rig::new(&files, vec![two, one], LIMITS, &[]);
    let mut one = rig.log_in("mirage", 1, one_end).unwrap();
    let handle = one.open(&mut rig, "/a", TO_READ).unwrap();
    rig.disk.hold_file(b'a', SIZE);
    let id = one.send(READ, &[&handle], &ask_read(&handle, 0, SIZE as u32));
    assert_eq!(settle(&mut rig, &mut one).unwrap(), []);
    // Another one comes, and does everything else, while the volume is synced.
    let mut two = rig.log_in("mirage", 1, two_end).unwrap();
    assert_eq!(two.read(&mut rig, "/small").as_deref(), Ok("small"));
    let new = two.open(&mut rig, "/new", TO_WRITE).unwrap();
    for round in 0..5 {
        assert_eq!(two.write(&mut rig, &new, round * 20_000, &[7; 20_000]), OK);
        rig.unix += 7;
    }
    assert_eq!(two.code(&mut rig, CLOSE, &[&new], &[]), OK);
    assert_eq!(two.code(&mut rig, 14, &[b"/d"], &[0; 4]), OK);
    assert_eq!(two.code(&mut rig, 18, &[b"/new", b"/d/new"], &[]), OK);
    assert_eq!(settle(&mut rig, &mut one).unwrap(), []);
    rig.disk.hold(0..0);
    let replies = settle(&mut rig, &mut one).unwrap();
    assert_eq!((replies.len(), replies[0].kind, replies[0].id), (1, DATA, id));
    assert_eq!(replies[0].string(), a.as_bytes());
}

/// More than the window goes up, and keys are exchanged anew, while an answer is late.
#[test]
fn a_late_answer_stops_neither_windows_nor_key_exchanges() {
    let (mut rig, mut one, _two) = two(LIMITS);
    let handle = one.open(&mut rig, "/a", TO_READ).unwrap();
    let up = one.open(&mut rig, "/up", TO_WRITE).unwrap();
    // The first write allocates, so that the table is in memory.
    assert_eq!(one.write(&mut rig, &up, 0, &[7; 4096]), OK);
    rig.disk.hold_file(b'a', SIZE);
    one.send(READ, &[&handle], &ask_read(&handle, 0, SIZE as u32));
    for round in 0..20u64 {
        if round % 4 == 2 {
            one.client.exchange_keys();
        }
        assert_eq!(one.write(&mut rig, &up, round * 32_768, &[7; 32_768]), OK);
    }
    const { assert!(20 * 32_768 > 2 * net::WINDOW) };
    assert_eq!(one.client.exchanges(), 6);
    rig.disk.hold(0..0);
    let replies = settle(&mut rig, &mut one).unwrap();
    assert_eq!(replies[0].string(), "a".repeat(SIZE).as_bytes());
}

/// What a disk that answers nothing at all leaves: the session itself.
#[test]
fn a_dead_disk_leaves_sessions_alive() {
    let (mut rig, mut one, mut two) = two(LIMITS);
    rig.disk.answer(0);
    let write = one.send(14, &[b"/d"], &[0; 4]);
    assert_eq!(settle(&mut rig, &mut one).unwrap(), []);
    two.client.exchange_keys();
    let realpath = two.ask(&mut rig, 16, &[b"."], &[]);
    assert_eq!((realpath.kind, two.client.exchanges()), (104, 2));
    rig.disk.answer(usize::MAX);
    let replies = settle(&mut rig, &mut one).unwrap();
    assert_eq!((replies[0].id, code(&replies[0])), (write, OK));
}

/// SSH_FX_NO_MEDIA of later versions: sshfs makes "Input/output error" of it, others say the text.
#[test]
fn a_failing_disk_is_told_of_and_served_again() {
    const NO_MEDIA: u32 = 13;
    let (mut rig, mut one, mut two) = two(LIMITS);
    let handle = one.open(&mut rig, "/a", TO_READ).unwrap();
    let up = two.open(&mut rig, "/up", TO_WRITE).unwrap();
    assert_eq!(two.write(&mut rig, &up, 0, &[7; 4096]), OK);
    rig.disk.fail(true);
    let failed = one.ask(&mut rig, READ, &[&handle], &ask_read(&handle, 0, SIZE as u32));
    assert_eq!(code(&failed), NO_MEDIA);
    assert!(String::from_utf8_lossy(&failed.body).contains("the disk reported an error"));
    assert_eq!(two.write(&mut rig, &up, 4096, &[8; 4096]), NO_MEDIA);
    assert_eq!(two.code(&mut rig, 200, &[b"fsync@openssh.com", &up], &[]), NO_MEDIA);
    assert_eq!(one.code(&mut rig, 14, &[b"/d"], &[0; 4]), NO_MEDIA);
    rig.disk.fail(false);
    assert_eq!(one.read(&mut rig, "/a").unwrap(), "a".repeat(SIZE));
    assert_eq!(two.write(&mut rig, &up, 4096, &[8; 4096]), OK);
    assert_eq!(two.code(&mut rig, 200, &[b"fsync@openssh.com", &up], &[]), OK);
    assert_eq!(one.code(&mut rig, 14, &[b"/d"], &[0; 4]), OK);
    assert_eq!(two.code(&mut rig, CLOSE, &[&up], &[]), OK);
    let volume = rig.stop();
    let file = wait(volume.open("/up", &fat::OpenOptions { read: true, ..Default::default() }));
    let mut data = [0; 9000];
    assert_eq!(wait(volume.read(&file.unwrap(), 0, &mut data)), Ok(8192));
    assert_eq!((data[4095], data[4096], data[8191]), (7, 8, 8));
}

/// What each of two clients gets that ask for more than the disk gives: bytes of data, after so many
/// answers of the disk. `lengths` is how much each asks for at once.
fn shares(lengths: [u32; 2]) -> [usize; 2] {
    let limits = Limits { operations: 4, operation_bytes: 64 << 10, ..LIMITS };
    let (mut rig, one, two) = two(limits);
    let mut users = [(one, "/a"), (two, "/b")].map(|(mut user, path)| {
        let handle = user.open(&mut rig, path, TO_READ).unwrap();
        (user, handle)
    });
    rig.disk.answer(0);
    for ((user, handle), length) in users.iter_mut().zip(lengths) {
        for _ in 0..150 {
            user.send(READ, &[handle], &ask_read(handle, 0, length));
        }
    }
    let mut got = [0; 2];
    for _ in 0..100 {
        rig.disk.answer(1);
        rig.turn();
        for ((user, _), got) in users.iter_mut().zip(&mut got) {
            user.client.step(&mut user.end).unwrap();
            while let Some(reply) = Reply::take(user.client.received()) {
                assert_eq!(reply.kind, DATA);
                *got += reply.string().len();
            }
        }
    }
    got
}

#[test]
fn two_greedy_clients_share_a_slow_disk() {
    let [one, two] = shares([4096, 4096]);
    assert!(one + two > 80 * 4096, "{one} {two}");
    assert!(one * 2 > two && two * 2 > one, "{one} {two}");
}

#[test]
fn small_requests_do_not_keep_large_ones_out() {
    for lengths in [[4096, 32_768], [32_768, 4096]] {
        let [one, two] = shares(lengths);
        let (small, large) = if lengths[0] < lengths[1] { (one, two) } else { (two, one) };
        assert!(large > 20 * 32_768 && small > 20 * 4096, "{small} small, {large} large");
    }
}
