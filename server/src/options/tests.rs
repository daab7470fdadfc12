//! Command lines, and what is shown of them.
use super::*;
use log::Level;

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEAEbRK5Dzoo34Fg+VS+n0ZKlZISJYSDei0s9RxkAyLB me";

#[test]
fn defaults_are_those_of_the_ocaml_version() {
    let (options, problems) = Options::parse([]);
    assert_eq!((options.port, options.user.as_str()), (18022, "mirage"));
    assert!(problems.is_empty());
}

#[test]
fn both_forms_of_a_value() {
    let (options, problems) =
        Options::parse(["--port", "22022", "--user=alice", "-l", "*:debug", "--read-only"]);
    assert_eq!(problems, Vec::<String>::new());
    assert_eq!((options.port, options.user.as_str(), options.read_only), (22022, "alice", true));
    assert!(options.levels.enabled(Level::Debug, "sftp"));
}

#[test]
fn what_becomes_of_a_blank_disk() {
    let read = |words: &[&str]| {
        let (options, problems) = Options::parse(words.iter().copied());
        (options.if_blank, options.grow, problems)
    };
    assert_eq!(read(&["--grow"]), (IfBlank::Refuse, true, Vec::new()));
    // Its value is never the next word.
    assert_eq!(read(&["--format-if-blank", "--grow"]), (IfBlank::ExFat, true, Vec::new()));
    assert_eq!(read(&["--format-if-blank=exfat"]), (IfBlank::ExFat, false, Vec::new()));
    assert_eq!(read(&["--format-if-blank=fat"]), (IfBlank::Fat, false, Vec::new()));
    let wrong = "--format-if-blank=\"ntfs\": not exfat or fat".to_owned();
    assert_eq!(read(&["--format-if-blank=ntfs"]), (IfBlank::Refuse, false, Vec::from([wrong])));
    let shown = "--format-if-blank=fat --format-if-blank";
    assert_eq!(Options::shown(shown.split(' ')), format!(" {shown}"));
}

#[test]
fn a_rekey_limit_is_read_as_openssh_reads_it() {
    let read = |value| {
        let (options, problems) = Options::parse(["--rekey-limit", value]);
        (options.rekey_limit.bytes, options.rekey_limit.seconds, problems.len())
    };
    assert_eq!(read("16"), (Some(16), None, 0));
    assert_eq!(read("64k 90"), (Some(65_536), Some(90), 0));
    assert_eq!(read("1G 1h30m"), (Some(1 << 30), Some(5_400), 0));
    assert_eq!(read("default 2w"), (None, Some(1_209_600), 0));
    assert_eq!(read("default none"), (None, None, 0));
    assert_eq!(read("0 0"), (None, None, 0));
    for wrong in ["", "15", "x", "1T", "1G 1y", "1G 1h 1", "99999999999G", "-1", "1G h"] {
        assert_eq!(read(wrong), (None, None, 1), "{wrong:?}");
    }
}

#[test]
fn strict_wins_over_nist_with_a_word() {
    let (options, problems) = Options::parse(["--nist-algorithms"]);
    assert!(options.nist_algorithms && problems.is_empty());
    let (options, problems) = Options::parse(["--nist-algorithms", "--strict-algorithms"]);
    assert!(options.strict_algorithms && !options.nist_algorithms);
    assert!(problems.len() == 1 && problems[0].contains("--strict-algorithms"), "{problems:?}");
}

#[test]
fn what_cannot_be_used_is_named_and_the_rest_still_counts() {
    let (options, problems) =
        Options::parse(["quiet", "--port", "70000", "--nonsense", "--user", "bob", "--seed"]);
    assert_eq!(options.user, "bob");
    assert_eq!(problems.len(), 4, "{problems:?}");
    assert!(problems[1].contains("70000"));
    assert!(problems[3].contains("--seed needs a value"));
}

#[test]
fn each_word_is_understood_or_named() {
    let (options, problems) =
        Options::parse(["--seed=abc", "--disk", "storage", "--reserve=10%", "--listen=eth0"]);
    assert_eq!(problems, Vec::<String>::new());
    assert_eq!(options.seed.as_deref().map(String::as_str), Some("abc"));
    assert_eq!(options.disk.as_deref(), Some("storage"));
    assert_eq!(options.reserve, Reserve::Percent(10));
    assert_eq!(options.listen.as_deref(), Some("eth0"));
    for (line, problem) in [
        ("-l=debug", "unknown option \"-l=debug\""),
        ("quiet", "unknown option \"quiet\""),
        ("--read-only=1", "--read-only takes no value"),
        ("--seed a b", "a word too many after --seed"),
        ("--seed a --nonsense", "unknown option \"--nonsense\""),
    ] {
        assert_eq!(Options::parse(line.split(' ')).1, [problem], "{line}");
    }
    for line in [" --nonsense -l debug", " --seed=… -l debug"] {
        assert_eq!(Options::shown(line.trim_start().split(' ')), line);
    }
}

#[test]
fn a_seed_is_never_shown() {
    let line =
        r#"--port=22 --seed "correct -horse" battery --key 'x' --sed staple -l debug -x q quiet"#;
    let words = crate::words(line);
    let words = || words.iter().map(String::as_str);
    let shown = Options::shown(words());
    assert_eq!(shown, " --port=22 --seed … … --key 'x' --sed … -l debug -x … …");
    let mut said = Options::parse(words()).1.join("\n");
    for line in ["--seed=correct", "--seed -horse battery", "--seed=a --sed=staple staple"] {
        let words = crate::words(line);
        let words = || words.iter().map(String::as_str);
        said += &Options::shown(words());
        said += &Options::parse(words()).1.join("\n");
    }
    for secret in ["correct", "horse", "battery", "staple"] {
        assert!(!said.contains(secret), "{said}");
    }
    let long = Options::shown(["--key", &"k".repeat(5000)]);
    assert!(long.len() < 200, "{long}");
}

#[test]
fn a_key_is_read_and_a_bad_one_explained() {
    let (options, problems) = Options::parse(["--key", KEY]);
    assert_eq!(problems, Vec::<String>::new());
    assert!(options.key.is_some());
    let (options, problems) = Options::parse(["--key", "ssh-ed25519 AAAA"]);
    assert!(options.key.is_none());
    assert!(problems[0].starts_with("--key: "), "{problems:?}");
}

#[test]
fn addresses_of_guests() {
    let (options, problems) = Options::parse(["--ipv4", "10.0.2.20/16", "--ipv4-gateway=10.0.2.2"]);
    assert!(problems.is_empty(), "{problems:?}");
    assert_eq!(options.ipv4, Some((Ipv4Addr::new(10, 0, 2, 20), 16)));
    assert_eq!(options.ipv4_gateway, Some(Ipv4Addr::new(10, 0, 2, 2)));
    for bad in ["10.0.2/24", "10.0.2.20/33", "10.0.2.20/", "x"] {
        assert_eq!(Options::parse(["--ipv4", bad]).1.len(), 1, "{bad}");
    }
    let words = ["--ipv6", "fd00::2", "--ipv6-gateway=fe80::1"];
    let (options, problems) = Options::parse(words);
    assert!(problems.is_empty(), "{problems:?}");
    assert_eq!(options.ipv6, Some(("fd00::2".parse().unwrap(), 64)));
    assert_eq!(options.ipv6_gateway, "fe80::1".parse().ok());
    assert_eq!(Options::parse(["--ipv6", "fd00::2/128"]).0.ipv6.unwrap().1, 128);
    for bad in ["fd00::2/129", "fd00::2/", "10.0.0.2/24", "fd00::2%1/64", "[fd00::2]/64"] {
        assert_eq!(Options::parse(["--ipv6", bad]).1.len(), 1, "{bad}");
        assert_eq!(Options::parse(["--ipv6-gateway", bad]).1.len(), 1, "{bad}");
    }
    assert_eq!(Options::parse([]).0.watchdog(), 30);
    assert_eq!(Options::parse(["--watchdog=0"]).0.watchdog(), 0);
    for bad in ["181", "-1", "on"] {
        assert_eq!(Options::parse(["--watchdog", bad]).1.len(), 1, "{bad}");
    }
    for mtu in ["576", "1420", "9000"] {
        assert_eq!(Options::parse(["--mtu", mtu]).0.mtu, mtu.parse().ok());
    }
    for bad in ["575", "9001", "65536", "-1", "auto", ""] {
        let (options, problems) = Options::parse(["--mtu", bad]);
        assert_eq!((options.mtu, problems.len()), (None, 1), "{bad}");
        assert!(problems[0].contains("from 576 to 9000"), "{problems:?}");
    }
}

#[test]
fn how_far_stamps_are_from_utc() {
    for (words, minutes) in [
        (&[][..], 0),
        (&["--time-offset", "-300"], -300),
        (&["--time-offset=120"], 120),
        (&["--time-offset=1440", "--grow"], 1440),
    ] {
        let (options, problems) = Options::parse(words.iter().copied());
        assert!(problems.is_empty(), "{problems:?}");
        assert_eq!(options.time_offset, minutes);
    }
    for bad in ["1441", "-1441", "2h", "", "+02:00", "99999999999"] {
        let (options, problems) = Options::parse(["--time-offset", bad]);
        assert!(problems[0].contains("not minutes from -1440 to 1440"), "{problems:?}");
        assert_eq!(options.time_offset, 0);
    }
}

#[test]
fn what_attributes_show() {
    let (options, problems) = Options::parse(["--uid=0", "--gid", "4294967295", "--umask=077"]);
    assert!(problems.is_empty(), "{problems:?}");
    let mut shown = Shown { uid: 0, gid: u32::MAX, umask: 0o077, ..Shown::default() };
    assert_eq!(options.shown, shown);
    // Which of them comes first does not matter.
    let (options, problems) =
        Options::parse(["--dmask=027", "--uid=0", "--gid=4294967295", "--umask=077", "--fmask=0"]);
    assert!(problems.is_empty(), "{problems:?}");
    (shown.fmask, shown.dmask) = (Some(0), Some(0o027));
    assert_eq!(options.shown, shown);
    for bad in [
        "--fmask=8",
        "--dmask=1000",
        "--dmask=x",
        "--uid=-1",
        "--gid=users",
        "--umask=8",
        "--umask=1000",
        "--umask=",
    ] {
        assert_eq!(Options::parse([bad]).1.len(), 1, "{bad}");
    }
}

#[test]
fn which_part_of_the_disk() {
    for (value, place) in
        [("whole", Place::Whole), ("1", Place::Partition(1)), ("12", Place::Partition(12))]
    {
        let (options, problems) = Options::parse(["--partition", value]);
        assert_eq!((options.place, problems.len()), (place, 0));
    }
    for bad in ["0", "-1", "", "Whole", "p1", "4294967296"] {
        let (options, problems) = Options::parse(["--partition", bad]);
        assert_eq!(options.place, Place::Found);
        assert!(problems[0].contains("number of a partition"), "{problems:?}");
    }
}
