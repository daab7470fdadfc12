//! Names and directories: spelling, large directories, the limits of the root, the system folder.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // Tests may panic.
mod common;
use common::*;
use fat::Error;

#[test]
fn names_come_back_as_they_were_given() {
    let names = [
        "a",
        "A.B",
        "lower.txt",
        "Mixed Case.Text",
        "two.dots.gz",
        "ends with dot.",
        "ends with space ",
        "what?",
        "a:b*c",
        "pipe|\"<>\\",
        "\u{1}control",
        ".hidden",
        "...",
        "Grüße",
        "ΑΒΓ αβγ",
        "Привет",
        "日本語",
        "😀 emoji",
        "~1",
        "+,;=[]",
        "PERCENT%",
    ];
    for (kind, disk) in kinds() {
        let volume = mount(&disk);
        let mut expected: Vec<String> = names.iter().map(ToString::to_string).collect();
        expected.push("n".repeat(255));
        block_on(async {
            volume.create_dir("/d").await.unwrap();
            for name in &expected {
                put(&volume, &format!("/d/{name}"), name.as_bytes()).await.unwrap();
            }
            volume.unmount().await.unwrap();
        });
        expected.sort();
        let again = mount(&disk);
        block_on(async {
            assert_eq!(list(&again, "/d").await.unwrap(), expected, "{kind}");
            for name in &expected {
                let data = get(&again, &format!("/d/{name}")).await.unwrap();
                assert_eq!(data, name.as_bytes());
            }
        });
        assert_eq!(fsck(&disk.image()), "", "{kind}");
    }
}

#[test]
fn case_is_kept_and_ignored() {
    let disk = mkfs(4096, &[]);
    let volume = mount(&disk);
    block_on(async {
        put(&volume, "/Ünïcode Жук.txt", b"1").await.unwrap();
        assert_eq!(get(&volume, "/üNÏCODE жУК.TXT").await.unwrap(), b"1");
        put(&volume, "/ÜNÏCODE ЖУК.TXT", b"2").await.unwrap();
        assert_eq!(list(&volume, "/").await.unwrap(), ["Ünïcode Жук.txt"]);
        assert_eq!(volume.create_dir("/ünïcode жук.txt").await, Err(Error::AlreadyExists));
    });
}

#[test]
fn short_names_are_other_names_of_long_ones() {
    let disk = mkfs(4096, &[]);
    let volume = mount(&disk);
    block_on(async {
        put(&volume, "/a long name.text", b"1").await.unwrap();
        put(&volume, "/a long name 2.text", b"2").await.unwrap();
        assert_eq!(get(&volume, "/ALONGN~1.TEX").await.unwrap(), b"1");
        assert_eq!(get(&volume, "/alongn~2.tex").await.unwrap(), b"2");
        // A file of that very name is the same file.
        put(&volume, "/ALONGN~1.TEX", b"3").await.unwrap();
        assert_eq!(get(&volume, "/a long name.text").await.unwrap(), b"3");
        volume.unmount().await.unwrap();
    });
    assert_eq!(fsck(&disk.image()), "");
}

#[test]
fn five_thousand_files_cost_the_same_each() {
    let disk = mkfs(64 * 1024, &["-F", "32", "-s", "1"]);
    let volume = mount(&disk);
    block_on(async {
        volume.create_dir("/many").await.unwrap();
        let mut spent = Vec::new();
        for part in 0..10 {
            let before = disk.requests();
            for number in 0..500 {
                let path = format!("/many/a file with a long name {}.data", part * 500 + number);
                drop(volume.open(&path, &WRITE).await.unwrap());
            }
            volume.sync().await.unwrap();
            spent.push(disk.requests() - before);
        }
        // Linux needs about one request a file.
        assert!(spent.iter().all(|requests| *requests < 500), "{spent:?}");
        assert_eq!(list(&volume, "/many").await.unwrap().len(), 5000);
        let before = disk.requests();
        for number in 0..1000 {
            let path = format!("/many/no such file {number}");
            assert_eq!(volume.metadata(&path).await.unwrap_err(), Error::NotFound);
        }
        assert_eq!(disk.requests(), before);
        volume.unmount().await.unwrap();
    });
    assert_eq!(fsck(&disk.image()), "");
    let again = mount(&disk);
    block_on(async {
        for number in 0..5000 {
            let path = format!("/MANY/A FILE with a long name {number}.data");
            again.remove_file(&path).await.unwrap();
        }
        again.remove_dir("/many").await.unwrap();
        again.unmount().await.unwrap();
    });
    assert_eq!(fsck(&disk.image()), "");
}

#[test]
fn a_full_root_directory_says_so() {
    let disk = mkfs(2048, &["-F", "12", "-r", "64"]);
    let volume = mount(&disk);
    block_on(async {
        let mut made = 0;
        let error = loop {
            match volume.open(&format!("/F{made}"), &WRITE).await {
                Ok(_) => made += 1,
                Err(error) => break error,
            }
        };
        // The label has one slot.
        assert_eq!((error, made), (Error::RootFull, 63));
        assert_eq!(volume.create_dir("/D").await, Err(Error::RootFull));
        assert_eq!(
            volume.rename("/F1", "/a name that takes slots", true).await,
            Err(Error::RootFull)
        );
        volume.rename("/F1", "/G1", true).await.unwrap();
        volume.remove_file("/F2").await.unwrap();
        volume.create_dir("/D").await.unwrap();
        assert_eq!(list(&volume, "/").await.unwrap().len(), 63);
        volume.unmount().await.unwrap();
    });
    assert_eq!(fsck(&disk.image()), "");
}

#[test]
fn a_directory_has_at_most_65536_slots() {
    let disk = mkfs(128 * 1024, &["-F", "32", "-s", "2"]);
    let volume = mount(&disk);
    block_on(async {
        volume.create_dir("/d").await.unwrap();
        let long = "x".repeat(240);
        let mut made = 0;
        let error = loop {
            match volume.open(&format!("/d/{long}{made}"), &WRITE).await {
                Ok(_) => made += 1,
                Err(error) => break error,
            }
        };
        assert_eq!((error, made), (Error::FolderFull, (65_536 - 2) / 20));
        assert!(error.to_string().contains("65,536"), "{error}");
        let space = volume.space().await.unwrap();
        assert!(space.free_clusters > space.total_clusters / 2, "{space:?}");
        assert_eq!(volume.create_dir(&format!("/d/{long}")).await, Err(Error::FolderFull));
        let moved = format!("/d/{long}moved");
        put(&volume, "/f", b"1").await.unwrap();
        assert_eq!(volume.rename("/f", &moved, true).await, Err(Error::FolderFull));
        // Within a full folder the slots of the old name do.
        volume.rename(&format!("/d/{long}1"), &moved, true).await.unwrap();
        assert_eq!(get(&volume, &moved).await.unwrap(), b"");
        volume.unmount().await.unwrap();
    });
    assert_eq!(fsck(&disk.image()), "");
}

/// What would come back otherwise, or what other systems take for the padding behind a name.
#[test]
fn names_that_cannot_be_kept_are_refused() {
    for (kind, disk) in kinds() {
        let volume = mount(&disk);
        block_on(async {
            put(&volume, "/file", b"1").await.unwrap();
            volume.keep_journal().await.unwrap();
            volume.sync().await.unwrap();
            let names = [
                "\u{FFFF}",
                "photo\u{FFFF}.jpg",
                "a\u{FFFE}",
                "\u{FDD0}b",
                "\u{FDEF}",
                "a\u{1FFFE}",
                "\u{10FFFF}",
                // Where the characters are kept that FAT forbids.
                "a\u{F03A}b",
                "end\u{F02E}",
                "\u{F001}",
            ];
            for name in names {
                let path = format!("/{name}");
                let refused = Error::NameInvalid;
                assert_eq!(volume.open(&path, &WRITE).await.unwrap_err(), refused, "{name:?}");
                assert_eq!(volume.create_dir(&path).await, Err(refused), "{name:?}");
                assert_eq!(volume.rename("/file", &path, true).await, Err(refused), "{name:?}");
                assert_eq!(volume.metadata(&path).await.unwrap_err(), Error::NotFound);
            }
            // Neighbours of theirs are names.
            let kept = ["\u{FFFD}", "\u{FDCF}", "\u{FDF0}", "\u{1FFFD}", "\u{F000}x", "\u{F02E}x"];
            for name in kept {
                put(&volume, &format!("/{name}"), name.as_bytes()).await.unwrap();
            }
            let mut expected = kept.map(String::from).to_vec();
            expected.push("file".into());
            expected.sort();
            assert_eq!(list(&volume, "/").await.unwrap(), expected, "{kind}");
            volume.unmount().await.unwrap();
        });
        assert_eq!(fsck(&disk.image()), "", "{kind}");
    }
}

/// mtools writes them without a long name.
#[test]
fn the_bits_for_lower_case_are_for_all_letters() {
    let disk = mkfs(4096, &[]);
    let names = ["café.txt", "ñañ.äöü", "ÉTÉ.doc", "æ.å", "CAFÉ.été"];
    let file = TempFile::new(&disk.image());
    let source = TempFile::new(b"1");
    for name in names {
        let said = std::process::Command::new("mcopy")
            .env("LC_ALL", "C.UTF-8")
            .env("MTOOLSRC", "/dev/null")
            .arg("-i")
            .arg(&file.0)
            .arg(&source.0)
            .arg(format!("::/{name}"))
            .output()
            .unwrap();
        assert!(said.status.success(), "{said:?}");
    }
    let disk = Disk::new(std::fs::read(&file.0).unwrap());
    let volume = mount(&disk);
    block_on(async {
        let mut expected = names.map(String::from).to_vec();
        expected.sort();
        assert_eq!(list(&volume, "/").await.unwrap(), expected);
        for name in names {
            assert_eq!(get(&volume, &format!("/{name}")).await.unwrap(), b"1");
        }
        volume.rename("/café.txt", "/Café.txt", false).await.unwrap();
        volume.rename("/ÉTÉ.doc", "/été.doc", false).await.unwrap();
        volume.unmount().await.unwrap();
    });
    let again = mount(&disk);
    let listed = block_on(list(&again, "/")).unwrap();
    assert!(
        listed.contains(&"Café.txt".into()) && listed.contains(&"été.doc".into()),
        "{listed:?}"
    );
    assert_eq!(fsck(&disk.image()), "");
}

#[test]
fn the_system_folder_is_out_of_reach() {
    for (kind, disk) in kinds() {
        let volume = mount(&disk);
        block_on(async {
            assert_eq!(volume.read_record("key").await.unwrap(), None);
            volume.write_record("key", b"secret").await.unwrap();
            volume.write_record("key", &pattern(1, 65_536)).await.unwrap();
            volume.write_record("state", b"").await.unwrap();
            put(&volume, "/f", b"1").await.unwrap();
            volume.create_dir("/d").await.unwrap();
            assert_eq!(volume.write_record("big", &[0; 65_537]).await, Err(Error::TooLarge));
            assert_eq!(list(&volume, "/").await.unwrap(), ["d", "f"], "{kind}");
            for name in [".mirage-sshfs", ".MIRAGE-SSHFS", "MIRAGE~1", "mirage~1", ".mirage-ſshfs"]
            {
                let path = format!("/{name}");
                let inside = format!("/{name}/key");
                assert_eq!(volume.metadata(&path).await.unwrap_err(), Error::NotFound, "{name}");
                assert_eq!(volume.open(&inside, &READ).await.unwrap_err(), Error::NotFound);
                assert_eq!(volume.open(&inside, &WRITE).await.unwrap_err(), Error::NotFound);
                assert_eq!(volume.open(&path, &WRITE).await.unwrap_err(), Error::Reserved);
                assert_eq!(volume.open_dir(&path).await.unwrap_err(), Error::NotFound);
                assert_eq!(volume.create_dir(&path).await, Err(Error::Reserved));
                assert_eq!(volume.remove_dir(&path).await, Err(Error::NotFound));
                assert_eq!(volume.rename(&path, "/x", true).await, Err(Error::NotFound));
                assert_eq!(volume.rename("/d", &path, true).await, Err(Error::Reserved));
                assert_eq!(volume.rename("/f", &path, true).await, Err(Error::Reserved));
                assert_eq!(volume.set_read_only(&path, true).await, Err(Error::NotFound));
            }
            // Elsewhere it is a name like any other.
            put(&volume, "/d/.mirage-sshfs", b"2").await.unwrap();
            volume.unmount().await.unwrap();
        });
        assert_eq!(fsck(&disk.image()), "", "{kind}");
        let again = mount(&disk);
        block_on(async {
            assert_eq!(again.read_record("key").await.unwrap().unwrap(), pattern(1, 65_536));
            assert_eq!(again.read_record("state").await.unwrap().unwrap(), b"");
            assert_eq!(again.read_record("other").await.unwrap(), None);
        });
    }
}

#[test]
fn listing_goes_on_while_entries_come_and_go() {
    let volume = mount(&mkfs(4096, &[]));
    block_on(async {
        volume.create_dir("/d").await.unwrap();
        for number in 0..100 {
            put(&volume, &format!("/d/file number {number}"), b"").await.unwrap();
        }
        let dir = volume.open_dir("/d").await.unwrap();
        let mut seen = Vec::new();
        loop {
            let entries = volume.read_dir(&dir, 10).await.unwrap();
            if entries.is_empty() {
                break;
            }
            for entry in entries {
                volume.remove_file(&format!("/d/{}", entry.name)).await.unwrap();
                seen.push(entry.name);
            }
        }
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 100);
        let gone = volume.open_dir("/d").await.unwrap();
        volume.remove_dir("/d").await.unwrap();
        volume.sync().await.unwrap();
        put(&volume, "/f", &[b'A'; 100_000]).await.unwrap();
        assert!(volume.read_dir(&gone, 10).await.unwrap().is_empty());
    });
}

#[test]
fn a_volume_gets_a_journal_once() {
    let disk = mkfs(9000, &["-F", "16", "-s", "2"]);
    let volume = mount(&disk);
    let journal = |disk: &Disk| {
        let listed = mtools("mdir", &disk.image(), &["-a", "-b", "::/.mirage-sshfs"]);
        String::from_utf8(listed).unwrap().contains("/journal")
    };
    block_on(async {
        volume.keep_journal().await.unwrap();
        volume.unmount().await.unwrap();
        assert!(journal(&disk));
        assert!(list(&volume, "/").await.unwrap().is_empty());
        let before = disk.image();
        let again = mount(&disk);
        again.keep_journal().await.unwrap();
        assert!(disk.image() == before);
    });
    assert_eq!(fsck(&disk.image()), "");
    // A volume of which it would be more than a thirty-second part goes without.
    let small = mkfs(1400, &["-F", "12"]);
    let before = small.image();
    block_on(mount(&small).keep_journal()).unwrap();
    assert!(small.image() == before);
}

/// A journal in two pieces cannot be used, and is replaced.
#[test]
fn a_journal_in_pieces_is_made_anew() {
    let disk = mkfs(9000, &["-F", "16", "-s", "2"]);
    let volume = mount(&disk);
    block_on(volume.keep_journal()).unwrap();
    block_on(volume.unmount()).unwrap();
    let geometry = volume.geometry().clone();
    let used = |disk: &Disk| {
        let space = block_on(mount(disk).space()).unwrap();
        space.total_clusters - space.free_clusters
    };
    let before = used(&disk);
    // The third cluster of the chain, by way of another place: the folder has cluster 2.
    for copy in 0..2 {
        let table = (geometry.table_start + copy * geometry.table_size) as usize;
        disk.poke(table + 4 * 2, &4000u16.to_le_bytes());
        disk.poke(table + 4000 * 2, &6u16.to_le_bytes());
        disk.poke(table + 5 * 2, &[0, 0]);
    }
    let volume = mount(&disk);
    block_on(async {
        volume.keep_journal().await.unwrap();
        volume.unmount().await.unwrap();
    });
    assert_eq!((used(&disk), fsck(&disk.image())), (before, String::new()));
    let whole = disk.image();
    block_on(mount(&disk).keep_journal()).unwrap();
    assert!(disk.image() == whole);
}
