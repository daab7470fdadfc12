//! Who may log in, and how connections end.
use crate::rig::*;
use client::{Client, Failed, pair};
use server::{Limits, ToldKeys, Turn};

const ONE: Limits = Limits { connections: 1, ..LIMITS };

#[test]
fn a_user_with_a_pub_file_reads_it() {
    let (ours, theirs) = pair();
    let line = key_line(1, "me");
    let mut rig = Rig::new(&[("/mirage.pub", &line)], vec![ours], LIMITS, &[]);
    let mut user = rig.log_in("mirage", 1, theirs).unwrap();
    assert_eq!(user.read(&mut rig, "/mirage.pub"), Ok(line));
}

#[test]
fn another_key_and_an_unknown_user_stay_out() {
    for (user, seed) in [("mirage", 2), ("nobody", 1), ("../mirage", 1)] {
        let (ours, theirs) = pair();
        let files = [("/mirage.pub", key_line(1, "me"))];
        let mut rig = Rig::new(&[(files[0].0, &files[0].1)], vec![ours], LIMITS, &[]);
        assert!(rig.log_in(user, seed, theirs).is_err(), "{user}");
    }
}

#[test]
fn a_pub_file_hides_the_users_authorized_keys() {
    let listed = key_line(2, "mirage") + &key_line(3, "alice");
    let files = [("/mirage.pub", key_line(1, "me")), ("/authorized_keys", listed)];
    let files = files.each_ref().map(|(path, text)| (*path, text.as_str()));
    for (user, seed, works) in [("mirage", 1, true), ("mirage", 2, false), ("alice", 3, true)] {
        let (ours, theirs) = pair();
        let mut rig = Rig::new(&files, vec![ours], LIMITS, &[]);
        assert_eq!(rig.log_in(user, seed, theirs).is_ok(), works, "{user} {seed}");
    }
}

/// The volume ignores case, so a name is the same user in any.
#[test]
fn an_earlier_place_hides_a_later_one_however_a_name_is_written() {
    let [line, pub_file, listed] = [1, 2, 3].map(|seed| key_line(seed, "Mirage"));
    let files = [("/mirage.pub", pub_file.as_str()), ("/authorized_keys", listed.as_str())];
    let told = ToldKeys::from([("miRage".into(), key_line(4, ""))]);
    let works = |files: &[(&str, &str)], words: &[&str], told: &ToldKeys, user: &str, seed| {
        let (ours, theirs) = pair();
        let mut rig = Rig::new(files, vec![ours], LIMITS, words);
        rig.server.set_told_keys(told.clone());
        rig.log_in(user, seed, theirs).is_ok()
    };
    for user in ["mirage", "MIRAGE", "Mirage"] {
        let with =
            |files, words, told| [1, 4, 2, 3].map(|seed| works(files, words, told, user, seed));
        let none = &ToldKeys::new();
        let key = ["--user", "mirAge", "--key", &line];
        assert_eq!(with(&files, &key, &told), [true, false, false, false], "{user}");
        assert_eq!(with(&files, &[], &told), [false, true, false, false], "{user}");
        assert_eq!(with(&files, &[], none), [false, false, true, false], "{user}");
        assert_eq!(with(&files[1..], &[], none), [false, false, false, true], "{user}");
    }
}

#[test]
fn a_key_written_by_one_client_lets_another_in_at_once() {
    let ((first, first_end), (second, second_end)) = (pair(), pair());
    let line = key_line(1, "me");
    let mut rig = Rig::new(&[("/mirage.pub", &line)], vec![second, first], LIMITS, &[]);
    let mut user = rig.log_in("mirage", 1, first_end).unwrap();
    let handle = user.open(&mut rig, "/bob.pub", TO_WRITE).unwrap();
    assert_eq!(user.write(&mut rig, &handle, 0, key_line(9, "bob").as_bytes()), OK);
    assert_eq!(user.code(&mut rig, CLOSE, &[&handle], &[]), OK);
    assert!(rig.log_in("bob", 9, second_end).is_ok());
}

#[test]
fn stopping_tells_clients_and_leaves_the_volume_clean() {
    let (ours, theirs) = pair();
    let line = key_line(1, "me");
    let mut rig = Rig::new(&[("/mirage.pub", &line)], vec![ours], LIMITS, &[]);
    let mut user = rig.log_in("mirage", 1, theirs).unwrap();
    let handle = user.open(&mut rig, "/left-open", TO_WRITE).unwrap();
    assert_eq!(user.write(&mut rig, &handle, 0, b"kept"), OK);
    let volume = rig.stop();
    assert!(matches!(user.client.step(&mut user.end), Err(Failed::Closed)));
    assert_eq!(wait(volume.metadata("/left-open")).unwrap().len, 4);
}

#[test]
fn clients_that_never_log_in_do_not_keep_others_out() {
    let ((idle, _idle_end), (real, real_end)) = (pair(), pair());
    let line = key_line(1, "me");
    let mut rig = Rig::new(&[("/mirage.pub", &line)], vec![real, idle], ONE, &[]);
    assert!(rig.log_in("mirage", 1, real_end).is_ok());
}

#[test]
fn a_client_that_does_not_log_in_in_time_is_dropped() {
    let (ours, mut theirs) = pair();
    let mut rig = Rig::new(&[], vec![ours], LIMITS, &[]);
    while rig.turn() == Turn::Moved {}
    let Turn::Idle(Some(wait)) = rig.turn() else { panic!("no deadline") };
    rig.monotonic += wait;
    rig.turn();
    let mut client = Client::new("mirage", &[1; 32]);
    assert!((0..3).any(|_| matches!(client.step(&mut theirs), Err(Failed::Closed))));
}

#[test]
fn nonsense_on_the_sftp_channel_ends_that_client_alone() {
    let ((bad, bad_end), (good, good_end)) = (pair(), pair());
    let line = key_line(1, "me");
    let mut rig = Rig::new(&[("/mirage.pub", &line)], vec![good, bad], LIMITS, &[]);
    let mut user = rig.log_in("mirage", 1, bad_end).unwrap();
    user.client.send(&[0xff; 64]);
    assert!(matches!(rig.reply(&mut user.client, &mut user.end), Err(Failed::Closed)));
    assert!(rig.log_in("mirage", 1, good_end).is_ok());
}

#[test]
fn the_key_of_the_command_line_belongs_to_its_user_alone() {
    let (line, others) = (key_line(5, "x"), key_line(1, "me"));
    let files = [("/mirage.pub", others.as_str()), ("/carol.pub", &others)];
    let words = ["--user", "carol", "--key", line.as_str()];
    // The key of the command line hides what carol has on the volume.
    for (user, seed, works) in [
        ("carol", 5, true),
        ("carol", 1, false),
        ("mirage", 1, true),
        ("mirage", 5, false),
        ("x", 5, false),
    ] {
        let (ours, theirs) = pair();
        let mut rig = Rig::new(&files, vec![ours], LIMITS, &words);
        assert_eq!(rig.log_in(user, seed, theirs).is_ok(), works, "{user} {seed}");
    }
}
