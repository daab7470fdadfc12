//! What one who only adds may do and may not, request by request.
use crate::session::{Session, wait};
use crate::{Entry, blank, mount, tree};
use client::Ram;
use fat::Volume;
use server::{Access, Reserve};
use std::rc::Rc;

const TO_READ: u32 = 0x01;
const TO_WRITE: u32 = 0x02;
/// WRITE | CREAT | TRUNC.
const TO_PUT: u32 = 0x1a;
const OK: u32 = 0;
const DENIED: u32 = 3;
const FAILURE: u32 = 4;
const FULL: u32 = 14;

const SETSTAT: u8 = 9;
const FSETSTAT: u8 = 10;
const REMOVE: u8 = 13;
const MKDIR: u8 = 14;
const RMDIR: u8 = 15;
const STAT: u8 = 17;
const RENAME: u8 = 18;
const EXTENDED: u8 = 200;
const POSIX: &[u8] = b"posix-rename@openssh.com";

/// An empty one of each format.
fn volumes() -> [(Ram, Rc<Volume<Ram>>); 2] {
    [false, true].map(|is_exfat| {
        let ram = blank(is_exfat);
        let volume = mount(&ram);
        volume.set_time(1_700_000_000);
        (ram, volume)
    })
}

fn owner(volume: &Rc<Volume<Ram>>) -> Session {
    Session::new(volume, Access::default(), Reserve::default())
}

fn adder(volume: &Rc<Volume<Ram>>) -> Session {
    let access = Access { add_only: true, ..Access::default() };
    Session::new(volume, access, Reserve::default())
}

fn drop_box(volume: &Rc<Volume<Ram>>) -> Session {
    let access =
        Access { add_only: true, write_only: true, root: "/box".into(), ..Access::default() };
    Session::new(volume, access, Reserve::default())
}

/// Attributes that change something: a size, a mode, times.
fn attributes() -> [Vec<u8>; 3] {
    [
        [1u32.to_be_bytes().as_slice(), &1u64.to_be_bytes()].concat(),
        [4u32.to_be_bytes(), 0o444u32.to_be_bytes()].concat(),
        [8u32.to_be_bytes(), [1; 4], [1; 4]].concat(),
    ]
}

#[test]
fn no_request_changes_what_was_there() {
    for (is_exfat, (_ram, volume)) in [false, true].into_iter().zip(volumes()) {
        let mut owner = owner(&volume);
        assert_eq!(owner.code(MKDIR, &[b"/d"], &[0; 4]), OK);
        assert_eq!(owner.code(MKDIR, &[b"/empty"], &[0; 4]), OK);
        for path in ["/a longer name.text", "/d/f"] {
            assert_eq!(owner.put(path, "before"), OK);
        }
        let before = tree(&volume);
        volume.set_time(1_700_000_100);
        let mut adder = adder(&volume);
        assert_eq!(adder.put("/own", "own"), OK);
        // By its name, in another case, through another folder, and by its short name, which exFAT has not.
        let names = ["/a longer name.text", "/A LONGER name.TEXT", "/d/../D/F"];
        for path in names.into_iter().chain((!is_exfat).then_some("/ALONGE~1.TEX")) {
            for flags in [0x02, 0x03, 0x04, 0x06, 0x0a, 0x0e, 0x12, 0x1a, 0x1b] {
                assert_eq!(adder.open(path, flags), Err(DENIED), "{path} {flags:#x}");
            }
            assert_eq!(adder.open(path, 0x2a), Err(FAILURE), "EXCL");
            let read = adder.open(path, TO_READ).unwrap();
            assert_eq!(adder.read_handle(&read).as_deref(), Ok("before"));
            assert_eq!(adder.write(&read, 0, b"x"), DENIED);
            let at = path.as_bytes();
            for wanted in attributes() {
                assert_eq!(adder.code(SETSTAT, &[at], &wanted), DENIED);
                let lsetstat = [b"lsetstat@openssh.com".as_slice(), at];
                assert_eq!(adder.code(EXTENDED, &lsetstat, &wanted), DENIED);
                assert_eq!(adder.code(FSETSTAT, &[&read], &wanted), DENIED);
            }
            assert_eq!(adder.code(REMOVE, &[at], &[]), DENIED);
            assert_eq!(adder.code(RENAME, &[at, b"/new"], &[]), DENIED);
            assert_eq!(adder.code(EXTENDED, &[POSIX, at, b"/new"], &[]), DENIED);
            assert_eq!(adder.code(RENAME, &[b"/own", at], &[]), FAILURE);
            assert_eq!(adder.code(EXTENDED, &[POSIX, b"/own", at], &[]), DENIED);
            assert_ne!(adder.code(EXTENDED, &[b"hardlink@openssh.com", at, b"/new"], &[]), OK);
            assert_ne!(adder.code(20, &[at, b"/new"], &[]), OK);
            let to = [&[0; 16], 8u32.to_be_bytes().as_slice(), &read, &[0; 8]].concat();
            assert_eq!(adder.code(EXTENDED, &[b"copy-data", &read], &to), DENIED);
            adder.close(&read);
        }
        for path in [b"/d".as_slice(), b"/empty", b"/D/.", b"/"] {
            let handle = adder.ask(11, &[path], &[]).string().to_vec();
            for wanted in &attributes()[1..] {
                for code in
                    [adder.code(SETSTAT, &[path], wanted), adder.code(FSETSTAT, &[&handle], wanted)]
                {
                    // The root has nothing to set.
                    assert_eq!(code, if path == b"/" { OK } else { DENIED });
                }
            }
            adder.close(&handle);
            assert_ne!(adder.code(RMDIR, &[path], &[]), OK);
            assert_ne!(adder.code(RENAME, &[path, b"/new"], &[]), OK);
            assert_ne!(adder.code(EXTENDED, &[POSIX, path, b"/new"], &[]), OK);
            assert_ne!(adder.code(EXTENDED, &[POSIX, b"/own", path], &[]), OK);
        }
        assert_eq!(adder.code(MKDIR, &[b"/own d"], &[0; 4]), OK);
        assert_eq!(adder.code(EXTENDED, &[POSIX, b"/own d", b"/empty"], &[]), DENIED);
        // Adding to a folder that was there changes nothing of the folder itself.
        assert_eq!(adder.put("/d/new", "new"), OK);
        let after = tree(&volume);
        assert!(before.iter().all(|(path, entry)| after.get(path) == Some(entry)), "{after:?}");
    }
}

#[test]
fn what_a_session_made_is_its_own() {
    for (_ram, volume) in volumes() {
        let mut adder = adder(&volume);
        assert_eq!(adder.code(MKDIR, &[b"/d"], &[0; 4]), OK);
        for path in ["/temporary", "/final", "/d/f"] {
            assert_eq!(adder.put(path, path), OK);
        }
        for wanted in attributes() {
            assert_eq!(adder.code(SETSTAT, &[b"/d/f"], &wanted), OK);
        }
        assert_eq!(adder.code(SETSTAT, &[b"/d"], &attributes()[2]), OK);
        assert_eq!(adder.code(EXTENDED, &[POSIX, b"/temporary", b"/final"], &[]), OK);
        assert_eq!(adder.code(RENAME, &[b"/final", b"/d/final"], &[]), OK);
        // A folder goes with all that is in it.
        assert_eq!(adder.code(RENAME, &[b"/d", b"/e"], &[]), OK);
        assert_eq!(adder.read("/e/final").as_deref(), Ok("/temporary"));
        let handle = adder.open("/e/final", TO_PUT).unwrap();
        assert_eq!(adder.write(&handle, 0, b"again"), OK);
        adder.close(&handle);
        for path in [b"/e/f".as_slice(), b"/e/final"] {
            assert_eq!(adder.code(REMOVE, &[path], &[]), OK);
        }
        assert_eq!(adder.code(RMDIR, &[b"/e"], &[]), OK);
        assert!(tree(&volume).is_empty());
    }
}

#[test]
fn what_others_touched_is_not_its_own_any_more() {
    type Touch = (&'static str, fn(&mut Session));
    let touches: [Touch; 6] = [
        ("opened", |owner| drop(owner.open("/f", TO_WRITE).unwrap())),
        ("times", |owner| assert_eq!(owner.code(SETSTAT, &[b"/f"], &attributes()[2]), OK)),
        ("by a handle to read", |owner| {
            let handle = owner.open("/f", TO_READ).unwrap();
            assert_eq!(owner.code(FSETSTAT, &[&handle], &attributes()[1]), OK);
            owner.close(&handle);
        }),
        ("replaced", |owner| {
            assert_eq!(owner.put("/other", "the owner's"), OK);
            assert_eq!(owner.code(EXTENDED, &[POSIX, b"/other", b"/f"], &[]), OK);
        }),
        ("another in its place", |owner| {
            assert_eq!(owner.code(REMOVE, &[b"/f"], &[]), OK);
            assert_eq!(owner.put("/f", "the owner's"), OK);
        }),
        ("moved there and back", |owner| {
            assert_eq!(owner.code(RENAME, &[b"/f", b"/g"], &[]), OK);
            assert_eq!(owner.code(RENAME, &[b"/g", b"/f"], &[]), OK);
        }),
    ];
    for (what, touch) in touches {
        for (_ram, volume) in volumes() {
            let (mut adder, mut owner) = (adder(&volume), owner(&volume));
            let handle = adder.open("/f", TO_PUT).unwrap();
            assert_eq!(adder.write(&handle, 0, b"first"), OK);
            // Reading is not touching.
            assert_eq!(owner.read("/f").as_deref(), Ok("first"));
            assert_eq!(adder.write(&handle, 5, b" more"), OK);
            touch(&mut owner);
            let before = tree(&volume);
            assert_eq!(adder.write(&handle, 0, b"x"), DENIED, "{what}");
            for wanted in attributes() {
                assert_eq!(adder.code(FSETSTAT, &[&handle], &wanted), DENIED, "{what}");
                assert_eq!(adder.code(SETSTAT, &[b"/f"], &wanted), DENIED, "{what}");
            }
            assert_eq!(adder.open("/f", TO_WRITE), Err(DENIED), "{what}");
            assert_eq!(adder.code(REMOVE, &[b"/f"], &[]), DENIED, "{what}");
            assert_eq!(adder.code(RENAME, &[b"/f", b"/g"], &[]), DENIED, "{what}");
            assert!(before == tree(&volume), "{what}");
        }
    }
}

#[test]
fn a_second_session_of_a_key_is_another() {
    for (_ram, volume) in volumes() {
        let (mut one, mut two) = (adder(&volume), adder(&volume));
        assert_eq!(one.put("/f", "one's"), OK);
        assert_eq!(two.code(REMOVE, &[b"/f"], &[]), DENIED);
        assert_eq!(two.open("/f", TO_WRITE), Err(DENIED));
        // What was refused has touched nothing.
        assert_eq!(one.code(RENAME, &[b"/f", b"/g"], &[]), OK);
        drop(one);
        assert_eq!(adder(&volume).code(REMOVE, &[b"/g"], &[]), DENIED);
    }
}

#[test]
fn a_folder_with_what_is_not_its_own_stays() {
    for (_ram, volume) in volumes() {
        let (mut adder, mut owner) = (adder(&volume), owner(&volume));
        for folder in [b"/d".as_slice(), b"/d/e", b"/free"] {
            assert_eq!(adder.code(MKDIR, &[folder], &[0; 4]), OK);
        }
        assert_eq!(owner.put("/d/e/f", "the owner's"), OK);
        assert_eq!(adder.code(RENAME, &[b"/d", b"/x"], &[]), DENIED);
        assert_eq!(adder.code(RENAME, &[b"/d/e", b"/x"], &[]), DENIED);
        assert_eq!(adder.code(RENAME, &[b"/free", b"/x"], &[]), OK);
        // When the owner moves a folder, what is in it is not the session's any more.
        assert_eq!(adder.put("/x/own", "own"), OK);
        let handle = adder.open("/x/own", TO_WRITE).unwrap();
        assert_eq!(owner.code(RENAME, &[b"/x", b"/archive"], &[]), OK);
        assert_eq!(adder.write(&handle, 0, b"x"), DENIED);
        assert_eq!(adder.code(REMOVE, &[b"/archive/own"], &[]), DENIED);
    }
}

#[test]
fn the_oldest_is_forgotten_first() {
    const MADE: usize = 1024;
    for (_ram, volume) in volumes() {
        let mut adder = adder(&volume);
        assert_eq!(adder.code(MKDIR, &[b"/d"], &[0; 4]), OK);
        for number in 0..MADE {
            let handle = adder.open(&format!("/d/{number}"), TO_PUT).unwrap();
            adder.close(&handle);
        }
        assert_eq!(adder.code(SETSTAT, &[b"/d"], &attributes()[2]), DENIED);
        assert_eq!(adder.code(REMOVE, &[b"/d/0"], &[]), OK);
        assert_eq!(adder.put("/d/0", "again"), OK);
        assert_eq!(adder.put("/d/more", "more"), OK);
        assert_eq!(adder.code(REMOVE, &[b"/d/1"], &[]), DENIED);
        assert_eq!(adder.code(REMOVE, &[b"/d/2"], &[]), OK);
    }
}

#[test]
fn no_keys_are_added() {
    for (_ram, volume) in volumes() {
        let mut adder = adder(&volume);
        assert_eq!(adder.put("/f", "ssh-ed25519 AAAA"), OK);
        for path in
            ["/bob.pub", "/BOB.PUB", "/d/../bob.Pub", "/authorized_keys", "/Authorized_Keys"]
        {
            assert_ne!(adder.put(path, "ssh-ed25519 AAAA"), OK, "{path}");
            assert_ne!(adder.code(RENAME, &[b"/f", path.as_bytes()], &[]), OK, "{path}");
            assert_ne!(adder.code(MKDIR, &[path.as_bytes()], &[0; 4]), OK, "{path}");
        }
        assert_eq!(tree(&volume).into_keys().collect::<Vec<_>>(), ["/f"]);
    }
}

#[test]
fn a_drop_box_tells_nothing() {
    for (_ram, volume) in volumes() {
        let mut owner = owner(&volume);
        assert_eq!(owner.code(MKDIR, &[b"/box"], &[0; 4]), OK);
        assert_eq!(owner.code(MKDIR, &[b"/box/d"], &[0; 4]), OK);
        for path in ["/box/secret", "/box/d/secret"] {
            assert_eq!(owner.put(path, "secret"), OK);
        }
        let mut guest = drop_box(&volume);
        assert_eq!(guest.put("/own", "own"), OK);
        assert_eq!(guest.read("/own").as_deref(), Ok("own"));
        assert!(guest.lists("/", "own") && !guest.lists("/", "secret") && !guest.lists("/", "d"));
        for path in ["/secret", "/d/secret"] {
            assert_eq!(guest.open(path, TO_READ), Err(DENIED));
            assert_eq!(guest.open(path, 0x03), Err(DENIED));
            assert_eq!(guest.code(STAT, &[path.as_bytes()], &[]), DENIED);
        }
        assert_eq!(guest.code(11, &[b"/d"], &[]), DENIED);
        assert_eq!(guest.code(STAT, &[b"/d"], &[]), DENIED);
        // What the owner writes into a file that the guest still has open is not told.
        let handle = guest.open("/own", TO_READ).unwrap();
        let taken = owner.open("/box/own", TO_WRITE).unwrap();
        assert_eq!(owner.write(&taken, 0, b"secret"), OK);
        assert_eq!(guest.read_handle(&handle), Err(DENIED));
        assert_eq!(guest.code(8, &[&handle], &[]), DENIED);
        assert_eq!(guest.read("/own"), Err(DENIED));
        assert!(!guest.lists("/", "own"));
    }
}

#[test]
fn the_reserve_is_left_to_who_may_do_everything() {
    for reserve in [Reserve::Bytes(1 << 20), Reserve::Percent(25)] {
        for (ram, volume) in volumes() {
            let access = Access { add_only: true, ..Access::default() };
            let mut adder = Session::new(&volume, access, reserve);
            let mut owner = Session::new(&volume, Access::default(), reserve);
            let [all, free, left, size] = adder.space();
            assert_eq!(owner.space(), [all, free, free, size]);
            let kept = free - left;
            let expected = match reserve {
                Reserve::Bytes(bytes) => bytes / size,
                Reserve::Percent(part) => all * u64::from(part) / 100,
            };
            assert!(kept.abs_diff(expected) <= all / 50, "{kept} of {all}");
            let data = vec![7; 50_000];
            let mut whole = 0;
            loop {
                let path = format!("/f{whole}");
                let handle = adder.open(&path, TO_PUT).unwrap();
                let code = adder.write(&handle, 0, &data);
                adder.close(&handle);
                if code != OK {
                    // A write that finds no room is a failure to sshfs as to others.
                    assert_eq!(code, FAILURE);
                    assert_eq!(adder.code(REMOVE, &[path.as_bytes()], &[]), OK);
                    break;
                }
                whole += 1;
            }
            // The rest in small pieces, and folders.
            let mut more = 0;
            while adder.code(MKDIR, &[format!("/d{more}").as_bytes()], &[0; 4]) == OK {
                more += 1;
            }
            assert_eq!(adder.code(MKDIR, &[b"/x"], &[0; 4]), FULL);
            let handle = adder.open("/f0", TO_WRITE).unwrap();
            assert_eq!(adder.write(&handle, 3_000_000, b"x"), FAILURE);
            adder.close(&handle);
            let [_, free, left, _] = adder.space();
            assert_eq!((free, left), (kept, 0));
            // A name that is free is still to be had in the same folder.
            assert_eq!(adder.code(RENAME, &[b"/f0", b"/final"], &[]), OK);
            let big = vec![1; (kept * size) as usize / 2];
            let handle = owner.open("/the owner's", TO_PUT).unwrap();
            for (at, piece) in big.chunks(100_000).enumerate() {
                assert_eq!(owner.write(&handle, at as u64 * 100_000, piece), OK);
            }
            owner.close(&handle);
            drop((adder, owner));
            wait(volume.unmount()).unwrap();
            let found = tree(&mount(&ram));
            let is_whole = |entry: &Entry| entry.bytes == data;
            assert_eq!(found.values().filter(|entry| is_whole(entry)).count(), whole);
            assert!(whole > 10 && more > 0 && is_whole(&found["/final"]));
        }
    }
}
