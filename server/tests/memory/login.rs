//! Who may log in, and how connections end.
use crate::rig::*;
use client::{Client, End, Failed, pair};
use net::Stream;
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
    let told = user.client.step(&mut user.end);
    assert!(matches!(told, Err(Failed::Told)), "{told:?}");
    assert_eq!(wait(volume.metadata("/left-open")).unwrap().len, 4);
}

/// A silent stranger comes in each turn, from where the honest client comes from and from elsewhere.
#[test]
fn a_flood_of_silent_strangers_keeps_no_slow_login_out() {
    let line = key_line(1, "me");
    for address in ["10.0.0.1", "10.0.0.2"] {
        let (mut ours, mut theirs): (Vec<_>, Vec<_>) =
            (0..400).map(|_| pair_at("10.0.0.1")).unzip();
        let (honest, mut end) = pair_at(address);
        ours.insert(390, honest);
        let mut rig = Rig::new(&[("/mirage.pub", &line)], ours, LIMITS, &[]);
        let mut client = Client::new("mirage", &[1; 32]);
        let mut turns = 0;
        while !client.is_open() {
            turns += 1;
            assert!(turns < 300, "no login");
            rig.turn();
            // One step of the client for each of the server's turns, each of which accepts one.
            client.step(&mut end).unwrap();
        }
        theirs.clear();
    }
}

#[test]
fn a_client_too_many_is_told_so_before_the_version() {
    let ((first, first_end), (more, mut more_end)) = (pair(), pair());
    let line = key_line(1, "me");
    let mut rig = Rig::new(&[("/mirage.pub", &line)], vec![first], ONE, &[]);
    let _user = rig.log_in("mirage", 1, first_end).unwrap();
    rig.server.listener().0.push(more);
    rig.turn();
    let told = String::from_utf8_lossy(more_end.fill().unwrap()).into_owned();
    assert_eq!(told, "Exceeded MaxStartups: 1 clients are served\r\n");
}

/// Of one source alone, and not for ever.
#[test]
fn a_guesser_is_made_to_wait() {
    let line = key_line(1, "me");
    let mut rig = Rig::new(&[("/mirage.pub", &line)], vec![], LIMITS, &[]);
    let log_in = |rig: &mut Rig, address, seed| {
        let (ours, theirs) = pair_at(address);
        rig.server.listener().0.push(ours);
        rig.log_in("mirage", seed, theirs).is_ok()
    };
    assert!((0..5).all(|_| !log_in(&mut rig, "10.0.0.1", 9)));
    assert!(!log_in(&mut rig, "10.0.0.1", 1));
    assert!(log_in(&mut rig, "10.0.0.2", 1));
    rig.monotonic += 30_000;
    assert!(log_in(&mut rig, "10.0.0.1", 1));
}

#[test]
fn one_source_has_no_more_than_its_share_and_a_session_no_more_channels() {
    let ends: Vec<_> = ["10.0.0.1", "10.0.0.1", "10.0.0.2"].map(pair_at).into();
    let (ours, mut theirs): (Vec<_>, Vec<_>) = ends.into_iter().rev().unzip();
    let words = ["--per-source-max-startups=1", "--login-grace-time=7"];
    let mut rig = Rig::new(&[], ours, LIMITS, &words);
    while rig.turn() == Turn::Moved {}
    let told = |end: &mut End| String::from_utf8_lossy(end.fill().unwrap_or_default()).into_owned();
    assert!(
        told(&mut theirs[2]).starts_with("SSH-2.0-")
            && told(&mut theirs[0]).starts_with("SSH-2.0-")
    );
    assert_eq!(told(&mut theirs[1]), "Exceeded PerSourceMaxStartups\r\n");
    let Turn::Idle(Some(wait)) = rig.turn() else { panic!("no deadline") };
    assert!((6_000..=7_000).contains(&wait), "{wait}");
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
