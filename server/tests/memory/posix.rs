//! Modes, owners and symbolic links as clients see them, on a volume that keeps them and on others.
use crate::rig::*;
use client::{Reply, pair};

const LSTAT: u8 = 7;
const SETSTAT: u8 = 9;
const OPENDIR: u8 = 11;
const READDIR: u8 = 12;
const MKDIR: u8 = 14;
const STAT: u8 = 17;
const RENAME: u8 = 18;
const READLINK: u8 = 19;
const SYMLINK: u8 = 20;
const NAME: u8 = 104;
const ATTRS: u8 = 105;
const OP_UNSUPPORTED: u32 = 8;

/// One who may do everything, and one whose root is /home, on exFAT that keeps modes and links, or does not.
fn users(posix: bool) -> (Rig, User, User) {
    let keys =
        format!("{}command=\"internal-sftp -d /home\" {}", key_line(1, "root"), key_line(2, "ann"));
    let files = [("/authorized_keys", keys.as_str()), ("/home/cat", "cat")];
    let ((root, root_end), (ann, ann_end)) = (pair(), pair());
    let words = ["--uid=7", "--gid=8", "--umask=027"];
    let mut rig = Rig::exfat_with(posix, &files, vec![ann, root], &words);
    let root = rig.log_in("root", 1, root_end).unwrap();
    let ann = rig.log_in("ann", 2, ann_end).unwrap();
    (rig, root, ann)
}

/// Owner, group and mode of what attributes tell.
fn shown(reply: &Reply) -> [u32; 3] {
    assert_eq!(reply.kind, ATTRS, "{reply:?}");
    // After the flags and the size.
    [12, 16, 20].map(|at| u32::from_be_bytes(*reply.body[at..].first_chunk().unwrap()))
}

fn chmod(mode: u32) -> Vec<u8> {
    [4, mode].map(u32::to_be_bytes).concat()
}

#[test]
fn modes_and_owners_are_kept_where_the_volume_keeps_them() {
    let (mut rig, mut root, _ann) = users(true);
    // Made without a mode, before; a folder always has the one that all have.
    assert_eq!(shown(&root.ask(&mut rig, LSTAT, &[b"/home/cat"], &[])), [7, 8, 0o100_640]);
    assert_eq!(shown(&root.ask(&mut rig, LSTAT, &[b"/home"], &[])), [7, 8, 0o040_750]);
    for (name, asked, kept) in [("/a", 0o777, 0o100_750), ("/b", 0o600, 0o100_600)] {
        let rest = [TO_WRITE.to_be_bytes().to_vec(), chmod(asked)].concat();
        assert_eq!(root.ask(&mut rig, OPEN, &[name.as_bytes()], &rest).kind, HANDLE);
        assert_eq!(shown(&root.ask(&mut rig, LSTAT, &[name.as_bytes()], &[])), [7, 8, kept]);
    }
    root.open(&mut rig, "/c", TO_WRITE).unwrap();
    assert_eq!(shown(&root.ask(&mut rig, LSTAT, &[b"/c"], &[])), [7, 8, 0o100_640]);
    // One of the two leaves the other.
    let chown = [2u32, 11, 12].map(u32::to_be_bytes).concat();
    assert_eq!(root.code(&mut rig, SETSTAT, &[b"/a"], &chown), OK);
    assert_eq!(shown(&root.ask(&mut rig, LSTAT, &[b"/a"], &[])), [11, 12, 0o100_750]);
    assert_eq!(root.code(&mut rig, SETSTAT, &[b"/a"], &chmod(0o417)), OK);
    assert_eq!(shown(&root.ask(&mut rig, LSTAT, &[b"/a"], &[])), [11, 12, 0o100_417]);
}

#[test]
fn links_are_made_read_and_followed() {
    let (mut rig, mut root, mut ann) = users(true);
    assert_eq!(root.code(&mut rig, SYMLINK, &[b"home/cat", b"/to cat"], &[]), OK);
    assert_eq!(root.code(&mut rig, SYMLINK, &[b"home", b"/to home"], &[]), OK);
    assert_eq!(root.read(&mut rig, "/to cat").as_deref(), Ok("cat"));
    assert_eq!(root.read(&mut rig, "/to home/cat").as_deref(), Ok("cat"));
    assert_eq!(shown(&root.ask(&mut rig, LSTAT, &[b"/to cat"], &[])), [7, 8, 0o120_777]);
    assert_eq!(shown(&root.ask(&mut rig, STAT, &[b"/to cat"], &[])), [7, 8, 0o100_640]);
    let target = root.ask(&mut rig, READLINK, &[b"/to cat"], &[]);
    assert_eq!(
        (target.kind, &target.body[..16]),
        (NAME, b"\0\0\0\x01\0\0\0\x08home/cat".as_slice())
    );
    // A link leads from where its user's root is.
    assert_eq!(ann.code(&mut rig, SYMLINK, &[b"/cat", b"/to cat"], &[]), OK);
    assert_eq!(ann.read(&mut rig, "/to cat").as_deref(), Ok("cat"));
    // One in the place of the root leads nowhere.
    assert_eq!(root.code(&mut rig, RENAME, &[b"/home", b"/moved"], &[]), OK);
    assert_eq!(root.code(&mut rig, SYMLINK, &[b"moved", b"/home"], &[]), OK);
    assert_eq!(root.read(&mut rig, "/home/cat").as_deref(), Ok("cat"));
    assert_eq!(ann.read(&mut rig, "/cat"), Err(NO_SUCH_FILE));
}

#[test]
fn who_asks_for_a_link_where_none_is_kept_is_told_why() {
    let line = key_line(1, "root");
    let (ours, theirs) = pair();
    let mut fat = Rig::new(&[("/root.pub", &line)], vec![ours], LIMITS, &[]);
    let fat_user = fat.log_in("root", 1, theirs).unwrap();
    let (exfat, exfat_user, _ann) = users(false);
    for (mut rig, mut user, why) in [
        (fat, fat_user, "FAT has no symbolic links"),
        (exfat, exfat_user, "this volume keeps no symbolic links: `fat posix` has it keep them"),
    ] {
        let refused = user.ask(&mut rig, SYMLINK, &[b"x", b"/link"], &[]);
        assert_eq!(code(&refused), OP_UNSUPPORTED);
        let text = String::from_utf8_lossy(&refused.body[8..]);
        assert!(text.contains(why), "{text}");
    }
}

#[test]
fn a_long_folder_comes_in_parts_and_new_files_show_the_hour() {
    let (mut rig, mut root, _ann) = users(false);
    assert_eq!(root.code(&mut rig, MKDIR, &[b"/d"], &[0; 4]), OK);
    for number in 0..400 {
        let handle = root.open(&mut rig, &format!("/d/{number}"), TO_WRITE).unwrap();
        assert_eq!(root.code(&mut rig, CLOSE, &[&handle], &[]), OK);
    }
    let opened = root.ask(&mut rig, OPENDIR, &[b"/d"], &[]);
    let (mut found, mut most) = (0, 0);
    loop {
        let part = root.ask(&mut rig, READDIR, &[opened.string()], &[]);
        if part.kind == STATUS {
            break;
        }
        // Friday, 2023-11-10, 07:06:40; of another half year the year would stand there.
        let text = String::from_utf8_lossy(&part.body);
        assert!(text.contains(" Nov 10 07:0"), "{text}");
        let count = u32::from_be_bytes(*part.body.first_chunk().unwrap());
        found += count;
        most = most.max(count);
    }
    assert_eq!(found, 402);
    assert!(most < 402, "all in one answer");
}
