//! Moving and removing, also what is open.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // Tests may panic.
mod common;
use common::*;
use fat::Error;

#[test]
fn the_rename_matrix() {
    for (kind, disk) in kinds() {
        let volume = mount(&disk);
        block_on(async {
            for dir in ["/a", "/a/sub", "/b", "/full", "/empty"] {
                volume.create_dir(dir).await.unwrap();
            }
            put(&volume, "/full/x", b"x").await.unwrap();
            put(&volume, "/file one", b"1").await.unwrap();
            put(&volume, "/file two", b"2").await.unwrap();
            let rename = |from, to, replace| volume.rename(from, to, replace);
            assert_eq!(rename("/none", "/x", true).await, Err(Error::NotFound));
            assert_eq!(rename("/file one", "/none/x", true).await, Err(Error::NotFound));
            assert_eq!(rename("/file one", "/file two", false).await, Err(Error::AlreadyExists));
            assert_eq!(rename("/file one", "/a", true).await, Err(Error::IsADirectory));
            assert_eq!(rename("/a", "/file one", true).await, Err(Error::NotADirectory));
            assert_eq!(rename("/a", "/full", true).await, Err(Error::NotEmpty));
            assert_eq!(rename("/a", "/a/sub/below", true).await, Err(Error::IntoItself));
            assert_eq!(rename("/a", "/a/x", true).await, Err(Error::IntoItself));
            assert_eq!(rename("/a/sub", "/a", true).await, Err(Error::NotEmpty));
            assert_eq!(rename("/", "/x", true).await, Err(Error::Root));
            assert_eq!(rename("/a", "/", true).await, Err(Error::Root));
            rename("/file one", "/file one", false).await.unwrap();
            rename("/file one", "/FILE One", false).await.unwrap();
            rename("/FILE One", "/file two", true).await.unwrap();
            assert_eq!(get(&volume, "/file two").await.unwrap(), b"1");
            rename("/file two", "/a/sub/moved", true).await.unwrap();
            rename("/a/sub", "/b/Sub", false).await.unwrap();
            rename("/b", "/empty", true).await.unwrap();
            rename("/empty", "/Empty", true).await.unwrap();
            assert_eq!(get(&volume, "/empty/SUB/moved").await.unwrap(), b"1");
            assert_eq!(list(&volume, "/").await.unwrap(), ["Empty", "a", "full"], "{kind}");
            volume.unmount().await.unwrap();
        });
        assert_eq!(fsck(&disk.image()), "", "{kind}");
        let again = mount(&disk);
        block_on(async {
            assert_eq!(list(&again, "/").await.unwrap(), ["Empty", "a", "full"]);
            assert_eq!(get(&again, "/Empty/Sub/moved").await.unwrap(), b"1");
        });
    }
}

#[test]
fn open_files_live_through_renames_and_removal() {
    for (kind, disk) in kinds() {
        let volume = mount(&disk);
        block_on(async {
            let free = volume.space().await.unwrap();
            put(&volume, "/target", &pattern(1, 50_000)).await.unwrap();
            put(&volume, "/source", &pattern(2, 60_000)).await.unwrap();
            let target = volume.open("/target", &WRITE).await.unwrap();
            let source = volume.open("/source", &WRITE).await.unwrap();
            volume.rename("/source", "/target", true).await.unwrap();
            // The replaced file is still there for who has it open, and can grow.
            volume.write(&target, 50_000, &pattern(3, 10_000)).await.unwrap();
            volume.sync().await.unwrap();
            let expected = [pattern(1, 50_000), pattern(3, 10_000)].concat();
            assert_eq!(read_file(&volume, &target).await.unwrap(), expected);
            // The renamed one is written under its new name.
            volume.write(&source, 0, b"new").await.unwrap();
            assert_eq!(get(&volume, "/target").await.unwrap()[..3], *b"new");
            volume.remove_file("/target").await.unwrap();
            assert_eq!(volume.metadata("/target").await.unwrap_err(), Error::NotFound);
            put(&volume, "/target", b"another").await.unwrap();
            volume.sync().await.unwrap();
            put(&volume, "/filler", &pattern(9, 400_000)).await.unwrap();
            assert_eq!(read_file(&volume, &source).await.unwrap()[3..], pattern(2, 60_000)[3..]);
            drop((source, target));
            assert_eq!(get(&volume, "/target").await.unwrap(), b"another");
            volume.remove_file("/target").await.unwrap();
            volume.remove_file("/filler").await.unwrap();
            volume.sync().await.unwrap();
            assert_eq!(volume.space().await.unwrap(), free, "{kind}");
            volume.unmount().await.unwrap();
        });
        assert_eq!(fsck(&disk.image()), "", "{kind}");
    }
}

#[test]
fn removing_says_what_is_wrong() {
    let disk = mkfs(4096, &[]);
    let volume = mount(&disk);
    block_on(async {
        volume.create_dir("/d").await.unwrap();
        volume.create_dir("/d/e").await.unwrap();
        put(&volume, "/f", b"1").await.unwrap();
        assert_eq!(volume.remove_file("/d").await, Err(Error::IsADirectory));
        assert_eq!(volume.remove_dir("/f").await, Err(Error::NotADirectory));
        assert_eq!(volume.remove_dir("/d").await, Err(Error::NotEmpty));
        assert_eq!(volume.remove_dir("/").await, Err(Error::Root));
        assert_eq!(volume.remove_file("/x").await, Err(Error::NotFound));
        assert_eq!(volume.create_dir("/d").await, Err(Error::AlreadyExists));
        assert_eq!(volume.create_dir("/f").await, Err(Error::AlreadyExists));
        assert_eq!(volume.create_dir("/x/y").await, Err(Error::NotFound));
        volume.remove_dir("/d/e").await.unwrap();
        volume.remove_dir("/d").await.unwrap();
        volume.unmount().await.unwrap();
    });
    assert_eq!(fsck(&disk.image()), "");
}
