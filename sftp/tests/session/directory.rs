//! Directories: listings and their long names.
use crate::client::*;
use sftp::Attributes;

/// Every name of a listing, reply by reply.
fn list(s: &mut Session, path: &str) -> Vec<Vec<(String, String, Attributes)>> {
    let handle = s.opendir(path);
    let mut replies = Vec::new();
    loop {
        match s.ask(READDIR, string(&handle)) {
            Reply::Names(names) => replies.push(names),
            other => {
                assert_eq!(other.code(), EOF);
                break;
            }
        }
    }
    assert_eq!(s.ask(READDIR, string(&handle)).code(), EOF, "once more");
    assert_eq!(s.close(&handle), OK);
    replies
}

#[test]
fn a_directory_is_made_listed_and_removed() {
    let mut s = Session::new();
    assert_eq!(s.ask(MKDIR, string("/d").u32(0)).code(), OK);
    assert_eq!(s.ask(MKDIR, string("/d").u32(0)).code(), FAILURE);
    s.open("/d/f", F_WRITE | F_CREAT);
    let names: Vec<_> = list(&mut s, "/d").concat();
    let names: Vec<_> = names.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(names, [".", "..", "f"]);
    assert_eq!(s.ask(RMDIR, string("/d")).code(), FAILURE, "not empty");
    assert_eq!(s.ask(REMOVE, string("/d/f")).code(), OK);
    assert_eq!(s.ask(RMDIR, string("/d")).code(), OK);
    assert_eq!(s.ask(OPENDIR, string("/d")).code(), NO_SUCH_FILE);
}

#[test]
fn a_large_directory_comes_whole_and_in_large_replies() {
    let mut s = Session::new();
    for n in 0..1000 {
        s.files.put(&format!("/file-{n:04}.txt"), b"");
    }
    let replies = list(&mut s, "/");
    let names: Vec<_> = replies.concat().into_iter().map(|(name, ..)| name).collect();
    assert_eq!(names.len(), 1002);
    assert_eq!(names[2], "file-0000.txt");
    assert_eq!(names[1001], "file-0999.txt");
    assert!(replies.len() <= 10, "{} replies", replies.len());
}

#[test]
fn a_file_system_may_give_fewer_names_than_it_is_asked_for() {
    let mut s = Session::new();
    s.files.put("/a", b"");
    s.files.put("/b", b"");
    s.files.short_reads.set(Some(1));
    let names = list(&mut s, "/").concat();
    let names: Vec<_> = names.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(names, [".", "..", "a", "b"]);
}

#[test]
fn replies_with_the_longest_names_stay_within_what_every_client_takes() {
    let mut s = Session::new();
    for n in 0..100 {
        s.files.put(&format!("/{n:03}{}", "\u{20ac}".repeat(252)), b"");
    }
    let handle = s.opendir("/");
    let mut names = 0;
    loop {
        let request = s.build(READDIR, string(&handle));
        let reply = s.run(request);
        assert!(reply.len() <= 34_004, "{}", reply.len());
        match Reply::parse(&reply).1 {
            Reply::Names(more) => names += more.len(),
            other => break assert_eq!(other.code(), EOF),
        }
    }
    assert_eq!(names, 102);
}

#[test]
fn long_names_look_like_ls() {
    let mut s = Session::new();
    s.files.put("/a b.txt", &[0; 12_345]);
    s.ask(MKDIR, string("/sub").u32(0));
    // Fri Feb 29 23:59:59 2008 UTC.
    s.files.modified.set(1_204_329_599);
    let names = list(&mut s, "/").concat();
    let of = |wanted: &str| {
        let found = names.iter().find(|(name, ..)| name == wanted);
        found.map(|(_, long, _)| long.clone()).unwrap()
    };
    assert_eq!(of("a b.txt"), "-rw-r--r--   1 1000     1001        12345 Feb 29  2008 a b.txt");
    assert_eq!(of("sub"), "drwxr-xr-x   1 1000     1001            0 Feb 29  2008 sub");
}

#[test]
fn long_names_have_each_bit_of_the_mode() {
    for (mode, shown) in [
        (0o100_421, "-r---w---x"),
        (0o100_356, "--wxr-xrw-"),
        (0o100_000, "----------"),
        (0o120_777, "lrwxrwxrwx"),
        (0o040_311, "d-wx--x--x"),
        (0o060_200, "?-w-------"),
    ] {
        let mut s = Session::new();
        s.files.put("/f", b"");
        s.files.inodes.borrow()["/f"].mode.set(mode);
        let names = list(&mut s, "/").concat();
        assert_eq!(names[2].1.split(' ').next(), Some(shown), "{mode:o}");
    }
}

#[test]
fn the_dates_of_long_names_are_right_at_the_edges() {
    let day = 86_400;
    for (seconds, date) in [
        (0, "Jan  1  1970"),
        (365 * day - 1, "Dec 31  1970"),
        (365 * day, "Jan  1  1971"),
        (951_782_400, "Feb 29  2000"),
        (951_782_400 + day, "Mar  1  2000"),
        (4_107_542_400, "Mar  1  2100"),
        (4_107_542_399, "Feb 28  2100"),
        (u32::MAX, "Feb  7  2106"),
        // The clock of these tests stands at Nov 14 22:13:20 2023; what is recent has its time.
        (1_700_000_000, "Nov 14 22:13"),
        (1_700_000_001, "Nov 14  2023"),
        (1_700_000_000 - 100 * day, "Aug  6 22:13"),
        (1_700_000_000 - 200 * day, "Apr 28  2023"),
        // Half a year of 365.2425 days.
        (1_700_000_000 - 15_778_475, "May 16 07:18"),
        (1_700_000_000 - 15_778_476, "May 16  2023"),
    ] {
        let mut s = Session::new();
        s.files.put("/f", b"");
        s.files.modified.set(seconds);
        let names = list(&mut s, "/").concat();
        assert!(names[2].1.ends_with(&format!(" {date} f")), "{}", names[2].1);
    }
}

#[test]
fn fstat_and_fsetstat_work_on_a_directory() {
    let mut s = Session::new();
    s.ask(MKDIR, string("/d").u32(0));
    let handle = s.opendir("/d");
    let Reply::Attrs(attributes) = s.ask(FSTAT, string(&handle)) else {
        panic!("no attributes");
    };
    assert_eq!(attributes.permissions, Some(0o040_755));
    let chmod = string(&handle).u32(4).u32(0o040_700);
    assert_eq!(s.ask(FSETSTAT, chmod).code(), OK);
    assert_eq!(s.files.inodes.borrow()["/d"].mode.get(), 0o040_700);
}
