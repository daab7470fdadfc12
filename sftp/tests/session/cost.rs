//! What requests say that they hold, beside what they do hold: the server divides its memory by it.
use crate::client::*;

/// Beside its data, a request holds a future, paths and a little more.
const LITTLE: usize = 8 * 1024;

/// What a reply was, and what the request said of it before.
fn run(s: &mut Session, packet_type: u8, fields: Fields) -> (usize, usize, usize) {
    let request = s.build(packet_type, fields);
    let (cost, reply_cost) = (request.cost(), request.reply_cost());
    (s.run(request).len(), cost, reply_cost)
}

#[test]
fn a_read_holds_its_reply() {
    let mut s = Session::new();
    s.files.put("/a", &vec![1; 300_000]);
    let handle = s.open("/a", F_READ);
    for length in [1, 50_000, sftp::MAX_READ, u32::MAX] {
        let (reply, cost, reply_cost) = run(&mut s, READ, string(&handle).u64(0).u32(length));
        assert!(reply <= reply_cost && reply_cost <= reply + LITTLE, "{length}: {reply_cost}");
        assert!(reply <= cost && cost <= reply + LITTLE, "{length}: {cost}");
    }
}

#[test]
fn a_listing_holds_as_many_names_as_fit() {
    let mut s = Session::new();
    (0..40).for_each(|n| s.files.put(&format!("/{}{n:02}", "€".repeat(253)), b""));
    let handle = s.opendir("/");
    let (reply, cost, reply_cost) = run(&mut s, READDIR, string(&handle));
    assert!(reply > 25_000, "{reply}");
    assert!(reply <= reply_cost && reply_cost <= 48 * 1024, "{reply_cost}");
    assert!(reply <= cost && cost <= 48 * 1024, "{cost}");
}

#[test]
fn a_write_holds_its_data_until_it_is_answered() {
    let mut s = Session::new();
    let handle = s.open("/a", F_WRITE | F_CREAT);
    for length in [1, 50_000, sftp::MAX_WRITE as usize] {
        let data = vec![1; length];
        let (reply, cost, reply_cost) = run(&mut s, WRITE, string(&handle).u64(0).string(&data));
        assert!(length <= cost && cost <= length + LITTLE + 64, "{length}: {cost}");
        assert!(reply <= reply_cost && reply_cost <= LITTLE, "{length}: {reply_cost}");
    }
}

#[test]
fn a_copy_holds_a_piece_until_it_is_answered() {
    let mut s = Session::new();
    s.files.put("/a", b"data");
    let (from, to) = (s.open("/a", F_READ), s.open("/b", F_WRITE | F_CREAT));
    let copy = string("copy-data").string(&from).u64(0).u64(0).string(&to).u64(0);
    let (reply, cost, reply_cost) = run(&mut s, EXTENDED, copy);
    assert!((256 * 1024..=256 * 1024 + LITTLE).contains(&cost), "{cost}");
    assert!(reply <= reply_cost && reply_cost <= LITTLE, "{reply_cost}");
}

#[test]
fn long_paths_are_held_too() {
    let mut s = Session::new();
    let (short, long) = (|| string("/a"), || string("/".repeat(4096)));
    for (packet_type, fields, paths) in [
        (STAT, short(), 0),
        (STAT, long(), 4096),
        (RENAME, long().string("/".repeat(4096)), 8192),
        (EXTENDED, string("posix-rename@openssh.com").string("/").string("/".repeat(4096)), 4096),
        (SYMLINK, string("x".repeat(4095)).string("/".repeat(4096)), 8191),
    ] {
        // As the client wrote it, as it was walked, and below the user's root; each may become longer by
        // the targets of links.
        let (_, cost, _) = run(&mut s, packet_type, fields);
        assert!((3 * paths..=3 * (paths + 4096) + LITTLE + 64).contains(&cost), "{paths}: {cost}");
    }
}

#[test]
fn a_path_holds_what_links_make_of_it() {
    let mut s = Session::new();
    let mut target = String::new();
    for _ in 0..16 {
        target = target + "/" + &"x".repeat(250);
        assert_eq!(s.ask(MKDIR, string(&target).u32(0)).code(), OK);
    }
    s.files.link("/l", &target);
    let (reply, cost, reply_cost) = run(&mut s, REALPATH, string("/l"));
    assert!(reply > target.len() && reply <= reply_cost, "{reply} of {reply_cost}");
    assert!(3 * target.len() <= cost, "{cost}");
}

/// The server's own future of a request has a little more than 4 KiB; `server/src/serve/transfer.rs` holds it to this.
#[test]
fn a_short_request_has_room_for_its_future() {
    let mut s = Session::new();
    assert!(s.build(FSTAT, string("12345678")).cost() >= 4 * 1024);
}
