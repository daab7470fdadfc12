//! What the options of a key allow: from where, until when, reading alone, one folder alone.
use crate::rig::*;
use client::{End, Reply, pair};

const LSTAT: u8 = 7;
const SETSTAT: u8 = 9;
const FSETSTAT: u8 = 10;
const OPENDIR: u8 = 11;
const READDIR: u8 = 12;
const REMOVE: u8 = 13;
const MKDIR: u8 = 14;
const RMDIR: u8 = 15;
const REALPATH: u8 = 16;
const STAT: u8 = 17;
const RENAME: u8 = 18;
const EXTENDED: u8 = 200;
const ATTRS: u8 = 105;
const NAME: u8 = 104;
const EXTENDED_REPLY: u8 = 201;

const NO_ATTRIBUTES: [u8; 4] = [0; 4];

/// A volume with something outside and something inside /photos, and one line of options for `ann`.
fn rig(options: &str, ends: Vec<End>) -> Rig {
    let keys = format!("{options} {}{}", key_line(1, "ann"), key_line(2, "root"));
    let files = [
        ("/authorized_keys", keys.as_str()),
        ("/secret", "secret"),
        ("/photos/cat", "cat"),
        ("/photos/a longer name/dog", "dog"),
        ("/photosx/secret", "secret"),
        ("/other/secret", "secret"),
    ];
    Rig::new(&files, ends, LIMITS, &[])
}

/// `ann` and somebody who may do everything.
fn users(options: &str) -> (Rig, User, User) {
    let ((ann, ann_end), (root, root_end)) = (pair(), pair());
    let mut rig = rig(options, vec![root, ann]);
    let ann = rig.log_in("ann", 1, ann_end).unwrap();
    let root = rig.log_in("root", 2, root_end).unwrap();
    (rig, ann, root)
}

fn mode(reply: &Reply) -> u32 {
    assert_eq!(reply.kind, ATTRS, "{reply:?}");
    // After the flags, the size and the owner.
    u32::from_be_bytes(*reply.body[4 + 8 + 8..].first_chunk().unwrap())
}

/// The names that a READDIR reply of this server has.
fn names(reply: &Reply) -> Vec<String> {
    assert_eq!(reply.kind, NAME, "{reply:?}");
    let (count, mut rest) = reply.body.split_first_chunk::<4>().unwrap();
    let mut string = |attributes: usize| {
        let (length, after) = rest.split_first_chunk::<4>().unwrap();
        let (text, after) = after.split_at(u32::from_be_bytes(*length) as usize);
        rest = &after[attributes..];
        String::from_utf8(text.to_vec()).unwrap()
    };
    let names = (0..u32::from_be_bytes(*count)).map(|_| {
        let name = string(0);
        // Flags, size, owner, mode, times.
        string(4 + 8 + 8 + 4 + 8);
        name
    });
    names.collect()
}

fn list(rig: &mut Rig, user: &mut User, path: &str) -> Vec<String> {
    let opened = user.ask(rig, OPENDIR, &[path.as_bytes()], &[]);
    assert_eq!(opened.kind, HANDLE, "{path} {opened:?}");
    let mut all = names(&user.ask(rig, READDIR, &[opened.string()], &[]));
    all.sort();
    all
}

#[test]
fn a_key_logs_in_from_its_addresses_alone() {
    let logs_in = |options: &str, address: &str| {
        let (ours, theirs) = pair_at(address);
        rig(options, vec![ours]).log_in("ann", 1, theirs).is_ok()
    };
    let options = "restrict,from=\"!10.137.0.13,10.137.0.*,192.168.0.0/16\"";
    assert!(logs_in(options, "10.137.0.12") && logs_in(options, "192.168.7.7"));
    assert!(!logs_in(options, "10.137.0.13") && !logs_in(options, "10.138.0.12"));
    // Where there is no address none is allowed.
    let (ours, theirs) = pair();
    assert!(rig("from=\"*\"", vec![ours]).log_in("ann", 1, theirs).is_err());
}

#[test]
fn a_key_logs_in_until_it_expires() {
    let logs_in = |options: &str| {
        let (ours, theirs) = pair();
        rig(options, vec![ours]).log_in("ann", 1, theirs).is_ok()
    };
    assert!(logs_in("expiry-time=\"20231110070640Z\"") && logs_in("expiry-time=\"20231111\""));
    assert!(!logs_in("expiry-time=\"20231110070639Z\"") && !logs_in("expiry-time=\"20231110\""));
}

#[test]
fn an_option_that_is_not_known_makes_the_key_unusable() {
    for options in ["read-only", "command=\"sh\"", "from=10.0.0.1", "restrict,,pty"] {
        let (ours, theirs) = pair();
        assert!(rig(options, vec![ours]).log_in("ann", 1, theirs).is_err(), "{options}");
    }
}

#[test]
fn the_same_key_is_another_user_by_its_comment() {
    let keys = format!(
        "command=\"internal-sftp -d /a\" {}command=\"internal-sftp -d /b\" {}{}",
        key_line(1, "ann"),
        key_line(1, "ben"),
        // The first line with the key counts.
        key_line(1, "ann"),
    );
    let files = [("/authorized_keys", keys.as_str()), ("/a/is a", "a"), ("/b/is b", "b")];
    let ((ann, ann_end), (ben, ben_end)) = (pair(), pair());
    let mut rig = Rig::new(&files, vec![ben, ann], LIMITS, &[]);
    let mut ann = rig.log_in("ann", 1, ann_end).unwrap();
    let mut ben = rig.log_in("ben", 1, ben_end).unwrap();
    assert_eq!(list(&mut rig, &mut ann, "/"), [".", "..", "is a"]);
    assert_eq!(list(&mut rig, &mut ben, "/"), [".", "..", "is b"]);
}

#[test]
fn a_pub_file_may_have_options() {
    let line = format!("command=\"internal-sftp -d /a\" {}", key_line(1, "ann"));
    let files = [("/ann.pub", line.as_str()), ("/a/is a", "a")];
    let (ours, theirs) = pair();
    let mut rig = Rig::new(&files, vec![ours], LIMITS, &[]);
    let mut ann = rig.log_in("ann", 1, theirs).unwrap();
    assert_eq!(list(&mut rig, &mut ann, "/"), [".", "..", "is a"]);
}

#[test]
fn a_pub_file_with_keys_that_are_not_allowed_still_hides_authorized_keys() {
    let line = format!("from=\"10.0.0.1\" {}", key_line(1, "ann"));
    let listed = key_line(1, "ann");
    let files = [("/ann.pub", line.as_str()), ("/authorized_keys", listed.as_str())];
    let (ours, theirs) = pair_at("10.0.0.2");
    assert!(Rig::new(&files, vec![ours], LIMITS, &[]).log_in("ann", 1, theirs).is_err());
}

#[test]
fn a_reader_changes_nothing() {
    let (mut rig, mut ann, _root) = users("command=\"internal-sftp -R\"");
    let before = rig.disk.ram.0.borrow().clone();
    let read_only = PERMISSION_DENIED;
    assert_eq!(ann.read(&mut rig, "/photos/cat").as_deref(), Ok("cat"));
    // Every way to open for more than reading.
    for flags in [2, 3, 4, 8, 9, 0x10, 0x11, 0x1a, 0x3a, 0x2b] {
        assert_eq!(ann.open(&mut rig, "/photos/cat", flags), Err(read_only), "{flags:#x}");
        assert_eq!(ann.open(&mut rig, "/new", flags), Err(read_only), "{flags:#x}");
    }
    let handle = ann.open(&mut rig, "/photos/cat", TO_READ).unwrap();
    assert_eq!(ann.write(&mut rig, &handle, 0, b"x"), PERMISSION_DENIED);
    let size = [1u32.to_be_bytes().as_slice(), &0u64.to_be_bytes()].concat();
    let mode = [4u32.to_be_bytes(), 0o444u32.to_be_bytes()].concat();
    let times = [8u32.to_be_bytes(), [0; 4], [0; 4]].concat();
    let lsetstat = b"lsetstat@openssh.com".as_slice();
    for attributes in [size, mode, times, NO_ATTRIBUTES.to_vec()] {
        for path in [b"/photos/cat".as_slice(), b"/photos", b"/"] {
            assert_eq!(ann.code(&mut rig, SETSTAT, &[path], &attributes), read_only);
            assert_eq!(ann.code(&mut rig, EXTENDED, &[lsetstat, path], &attributes), read_only);
        }
        assert_eq!(ann.code(&mut rig, FSETSTAT, &[&handle], &attributes), read_only);
    }
    for path in [b"/photos/cat".as_slice(), b"/new", b"/photos", b"/"] {
        assert_eq!(ann.code(&mut rig, REMOVE, &[path], &[]), read_only);
        assert_eq!(ann.code(&mut rig, RMDIR, &[path], &[]), read_only);
        assert_eq!(ann.code(&mut rig, MKDIR, &[path], &NO_ATTRIBUTES), read_only);
        let posix = b"posix-rename@openssh.com".as_slice();
        assert_eq!(ann.code(&mut rig, RENAME, &[path, b"/to"], &[]), read_only);
        assert_eq!(ann.code(&mut rig, EXTENDED, &[posix, path, b"/to"], &[]), read_only);
    }
    let zeros = [0; 16];
    let copy = [b"copy-data".as_slice(), &handle];
    let rest = [zeros.as_slice(), &8u32.to_be_bytes(), &handle, &[0; 8]].concat();
    assert_eq!(ann.code(&mut rig, EXTENDED, &copy, &rest), PERMISSION_DENIED);
    // statvfs says so too: ST_RDONLY.
    let space = ann.ask(&mut rig, EXTENDED, &[b"statvfs@openssh.com", b"/"], &[]);
    assert_eq!((space.kind, space.body[9 * 8 + 7] & 1), (EXTENDED_REPLY, 1));
    assert!(before == *rig.disk.ram.0.borrow(), "the disk was written");
}

#[test]
fn a_confined_user_works_in_the_folder_as_in_a_volume() {
    let (mut rig, mut ann, mut root) = users("restrict,command=\"internal-sftp -d /photos\"");
    assert_eq!(list(&mut rig, &mut ann, "/"), [".", "..", "a longer name", "cat"]);
    let handle = ann.open(&mut rig, "new", TO_WRITE).unwrap();
    assert_eq!(ann.write(&mut rig, &handle, 0, b"new"), OK);
    assert_eq!(ann.code(&mut rig, CLOSE, &[&handle], &[]), OK);
    assert_eq!(ann.code(&mut rig, MKDIR, &[b"/d"], &NO_ATTRIBUTES), OK);
    assert_eq!(ann.code(&mut rig, RENAME, &[b"/new", b"/d/new"], &[]), OK);
    assert_eq!(root.read(&mut rig, "/photos/d/new").as_deref(), Ok("new"));
    // The root's own attributes cannot be changed, and clients that try are not told off.
    assert_eq!(ann.code(&mut rig, SETSTAT, &[b"/"], &NO_ATTRIBUTES), OK);
    let root_of_ann = ann.ask(&mut rig, STAT, &[b"/"], &[]);
    assert_eq!(mode(&root_of_ann), 0o040_755);
}

/// Ways to name something outside, for which there may be nothing at most.
const OUTSIDE: [&str; 18] = [
    "/../secret",
    "../secret",
    "/..//secret",
    "//../../secret",
    "/./../secret",
    "/cat/../../secret",
    "/a longer name/../../secret",
    "/nothing/../../secret",
    "/folder/../../secret",
    "/folder/../folder/../../secret",
    "/ALONGE~1/../../secret",
    "/photos/../secret",
    "/../photosx/secret",
    "x/secret",
    "/../PHOTOS~1/secret",
    "/../photos/../secret",
    "..\\secret",
    "/..\0/secret",
];

#[test]
fn a_confined_user_names_nothing_outside() {
    let (mut rig, mut ann, mut root) = users("command=\"internal-sftp -d /photos\"");
    assert_eq!(ann.code(&mut rig, MKDIR, &[b"/folder"], &NO_ATTRIBUTES), OK);
    for path in OUTSIDE {
        let bytes = path.as_bytes();
        assert!(ann.read(&mut rig, path).is_err(), "{path:?}");
        for kind in [LSTAT, STAT, OPENDIR, REMOVE, RMDIR] {
            assert_ne!(ann.code(&mut rig, kind, &[bytes], &[]), OK, "{path:?} {kind}");
        }
        assert_ne!(ann.code(&mut rig, SETSTAT, &[bytes], &NO_ATTRIBUTES), OK, "{path:?}");
        for extension in [b"statvfs@openssh.com".as_slice(), b"lsetstat@openssh.com"] {
            let code = ann.code(&mut rig, EXTENDED, &[extension, bytes], &NO_ATTRIBUTES);
            assert_ne!(code, OK, "{path:?}");
        }
        for posix in [false, true] {
            let mut rename = |from: &[u8], to: &[u8]| match posix {
                true => {
                    let name = b"posix-rename@openssh.com".as_slice();
                    ann.code(&mut rig, EXTENDED, &[name, from, to], &[])
                }
                false => ann.code(&mut rig, RENAME, &[from, to], &[]),
            };
            assert_ne!(rename(bytes, b"/stolen"), OK, "{path:?}");
            // What this makes it makes inside.
            if rename(b"/cat", bytes) == OK {
                let inside = path.rsplit(['/']).next().unwrap().as_bytes();
                assert_eq!(ann.code(&mut rig, RENAME, &[inside, b"/cat"], &[]), OK, "{path:?}");
            }
        }
    }
    for path in ["/secret", "/photosx/secret", "/other/secret"] {
        assert_eq!(root.read(&mut rig, path).as_deref(), Ok("secret"), "{path}");
    }
    assert_eq!(list(&mut rig, &mut root, "/photos"), [".", "..", "a longer name", "cat", "folder"]);
    assert_eq!(
        list(&mut rig, &mut root, "/"),
        [".", "..", "authorized_keys", "other", "photos", "photosx", "secret"]
    );
}

#[test]
fn realpath_tells_paths_below_the_users_root() {
    let (mut rig, mut ann, _root) = users("command=\"internal-sftp -d /photos\"");
    let extended = |name: &'static str| (EXTENDED, vec![name.as_bytes()]);
    for ((kind, mut strings), path, expected) in [
        ((REALPATH, vec![]), ".", "/"),
        ((REALPATH, vec![]), "../../cat", "/cat"),
        ((REALPATH, vec![]), "/..", "/"),
        (extended("expand-path@openssh.com"), "~/cat", "/cat"),
        (extended("expand-path@openssh.com"), "~root/../cat", "/cat"),
        (extended("home-directory"), "root", "/"),
    ] {
        strings.push(path.as_bytes());
        assert_eq!(name_of(&ann.ask(&mut rig, kind, &strings, &[])), expected, "{path}");
    }
}

fn name_of(reply: &Reply) -> String {
    assert_eq!(reply.kind, NAME, "{reply:?}");
    let length = u32::from_be_bytes(*reply.body[4..].first_chunk().unwrap()) as usize;
    String::from_utf8(reply.body[8..8 + length].to_vec()).unwrap()
}

#[test]
fn the_users_root_itself_stays() {
    let (mut rig, mut ann, mut root) = users("command=\"internal-sftp -d /other\"");
    assert_eq!(ann.code(&mut rig, REMOVE, &[b"/secret"], &[]), OK);
    let posix = b"posix-rename@openssh.com".as_slice();
    for path in [b"/".as_slice(), b"", b".", b"..", b"/../other/.."] {
        assert_ne!(ann.code(&mut rig, RMDIR, &[path], &[]), OK);
        assert_ne!(ann.code(&mut rig, REMOVE, &[path], &[]), OK);
        assert_ne!(ann.code(&mut rig, MKDIR, &[path], &NO_ATTRIBUTES), OK);
        assert_ne!(ann.code(&mut rig, RENAME, &[path, b"/x"], &[]), OK);
        assert_ne!(ann.code(&mut rig, EXTENDED, &[posix, b"/x", path], &[]), OK);
    }
    assert_eq!(list(&mut rig, &mut root, "/other"), [".", ".."]);
}

#[test]
fn a_root_that_goes_away_leaves_nothing_and_one_that_comes_back_is_there() {
    let (mut rig, mut ann, mut root) = users("command=\"internal-sftp -d /photos\"");
    let opened = ann.ask(&mut rig, OPENDIR, &[b"/a longer name"], &[]).string().to_vec();
    assert_eq!(root.code(&mut rig, RENAME, &[b"/photos", b"/moved"], &[]), OK);
    assert_eq!(ann.read(&mut rig, "/cat"), Err(NO_SUCH_FILE));
    assert_eq!(ann.open(&mut rig, "/cat", TO_WRITE), Err(NO_SUCH_FILE));
    assert_eq!(ann.code(&mut rig, STAT, &[b"/"], &[]), NO_SUCH_FILE);
    assert_eq!(ann.code(&mut rig, OPENDIR, &[b"/"], &[]), NO_SUCH_FILE);
    assert_ne!(ann.code(&mut rig, MKDIR, &[b"/"], &NO_ATTRIBUTES), OK);
    assert_eq!(ann.code(&mut rig, MKDIR, &[b"/d"], &NO_ATTRIBUTES), NO_SUCH_FILE);
    // An open handle is of what was opened, as in POSIX: no more than was given.
    assert!(matches!(ann.ask(&mut rig, READDIR, &[&opened], &[]).kind, NAME | STATUS));
    // A file in its place is not the user's.
    assert_eq!(root.code(&mut rig, RENAME, &[b"/secret", b"/photos"], &[]), OK);
    for path in ["/", "", "/photos", "/.."] {
        assert!(ann.read(&mut rig, path).is_err(), "{path}");
        assert!(ann.open(&mut rig, path, TO_WRITE).is_err(), "{path}");
    }
    assert_eq!(root.code(&mut rig, REMOVE, &[b"/photos"], &[]), OK);
    assert_eq!(root.code(&mut rig, RENAME, &[b"/moved", b"/PHOTOS"], &[]), OK);
    assert_eq!(ann.read(&mut rig, "/CAT").as_deref(), Ok("cat"));
}

#[test]
fn a_confined_reader_has_both_bounds() {
    let (mut rig, mut ann, mut root) = users("command=\"internal-sftp -R -d /photos\"");
    assert_eq!(ann.read(&mut rig, "/cat").as_deref(), Ok("cat"));
    for path in OUTSIDE {
        assert!(ann.read(&mut rig, path).is_err(), "{path:?}");
        assert!(ann.open(&mut rig, path, TO_WRITE).is_err(), "{path:?}");
    }
    assert_eq!(ann.open(&mut rig, "/cat", TO_WRITE), Err(PERMISSION_DENIED));
    assert_eq!(root.read(&mut rig, "/photos/cat").as_deref(), Ok("cat"));
}

#[test]
fn what_attributes_show_is_one_thing_everywhere() {
    let line = key_line(1, "me");
    let (ours, theirs) = pair();
    let words = ["--uid=7", "--gid=8", "--umask=027", "--fmask=126"];
    let mut rig = Rig::new(&[("/mirage.pub", &line)], vec![ours], LIMITS, &words);
    let mut user = rig.log_in("mirage", 1, theirs).unwrap();
    let handle = user.open(&mut rig, "/mirage.pub", TO_READ).unwrap();
    let owner_and_mode = [[0, 0, 0, 7], [0, 0, 0, 8], 0o100_651u32.to_be_bytes()].concat();
    for (kind, what) in [(STAT, b"/mirage.pub".as_slice()), (LSTAT, b"/mirage.pub"), (8, &handle)] {
        let reply = user.ask(&mut rig, kind, &[what], &[]);
        assert_eq!(&reply.body[12..24], owner_and_mode);
    }
    let root = user.ask(&mut rig, STAT, &[b"/"], &[]);
    assert_eq!(mode(&root), 0o040_750);
    // chmod keeps the read-only bit, and what cannot be kept is no error.
    let chmod = |mode: u32| [4u32.to_be_bytes(), mode.to_be_bytes()].concat();
    for (asked, shown) in [(0o400, 0o100_451), (0o4777, 0o100_651)] {
        assert_eq!(user.code(&mut rig, SETSTAT, &[b"/mirage.pub"], &chmod(asked)), OK);
        assert_eq!(mode(&user.ask(&mut rig, 8, &[&handle], &[])), shown);
    }
    let chown = [2u32.to_be_bytes(), [0; 4], [0; 4]].concat();
    assert_eq!(user.code(&mut rig, SETSTAT, &[b"/mirage.pub"], &chown), OK);
    // The long name says the same.
    let opened = user.ask(&mut rig, OPENDIR, &[b"/"], &[]);
    let listed = user.ask(&mut rig, READDIR, &[opened.string()], &[]);
    let listed = String::from_utf8_lossy(&listed.body).into_owned();
    assert!(listed.contains("-rw-r-x--x   1 7        8  "), "{listed}");
    assert!(listed.contains("drwxr-x---   1 7        8  "), "{listed}");
}
