//! exFAT disks of arbitrary bytes: laid over a good volume, then checked, mounted and walked without being
//! written, then mounted again, repaired and changed.
#![no_main]
use client::Ram;
use fat::{Change, MountOptions, OpenOptions, Posix, Volume};
use fuzz::exfat::{METADATA, populated, sign};
use fuzz::wait;
use libfuzzer_sys::fuzz_target;

/// Directories that one input may make the walk visit.
const DIRECTORIES: usize = 64;

fuzz_target!(|input: (bool, Vec<(u16, Vec<u8>)>)| {
    let (signed, patches) = input;
    let ram = populated();
    for (at, bytes) in patches {
        let mut disk = ram.0.borrow_mut();
        let at = usize::from(at) % METADATA;
        let end = (at + bytes.len()).min(disk.len());
        disk[at..end].copy_from_slice(&bytes[..end - at]);
    }
    if signed {
        sign(&mut ram.0.borrow_mut());
    }
    let before = ram.0.borrow().clone();
    let _ = wait(fat::check(&ram, &mut |_| (), &mut |_, _| ()));
    let options = MountOptions { read_only: true, ..MountOptions::default() };
    let Ok(volume) = wait(Volume::mount(ram.clone(), &options)) else { return };
    if volume.geometry().kind != fat::FatKind::ExFat {
        return;
    }
    let mut directories = vec![String::from("/")];
    let mut seen = 0;
    while let Some(path) = directories.pop() {
        seen += 1;
        let Ok(dir) = wait(volume.open_dir(&path)) else { continue };
        while let Ok(entries) = wait(volume.read_dir(&dir, 16)) {
            if entries.is_empty() || seen > DIRECTORIES {
                break;
            }
            for entry in entries {
                let path = format!("{}/{}", path.trim_end_matches('/'), entry.name);
                if entry.metadata.is_dir {
                    directories.push(path);
                    continue;
                }
                let _ = wait(volume.first_link(&format!("{path}/x"), true));
                if entry.metadata.is_link()
                    && let Ok(link) = wait(volume.read_link(&path))
                {
                    assert!((1..4096).contains(&link.target.len()) && !link.target.contains('\0'));
                }
                let how = OpenOptions { read: true, ..OpenOptions::default() };
                if let Ok(file) = wait(volume.open(&path, &how)) {
                    for at in [0, entry.metadata.len / 2, u64::MAX - 5000] {
                        let _ = wait(volume.read(&file, at, &mut [0; 4096]));
                    }
                }
                assert!(wait(volume.remove_file(&path)).is_err());
            }
        }
        seen += usize::from(directories.len() > DIRECTORIES) * DIRECTORIES;
    }
    assert!(wait(volume.create_dir("/dir")).is_err());
    let _ = wait(volume.space());
    let _ = wait(volume.unmount());
    drop(volume);
    assert!(*ram.0.borrow() == before, "something was written");
    change(&ram);
});

/// Damage may have any of it fail.
fn change(ram: &Ram) {
    let Ok(volume) = wait(Volume::mount(ram.clone(), &MountOptions::default())) else { return };
    volume.set_time(1_700_000_000);
    let how = OpenOptions { read: true, write: true, create: true, ..OpenOptions::default() };
    let plain = Posix::file(0o644, 1000, 1000);
    wait(async {
        for path in
            ["/in pieces", "/folder/new", "/empty", "/folder/a name of more than fifteen units"]
        {
            if let Ok(file) = volume.open(path, &how).await {
                let _ = volume.write(&file, 600, &[7; 1500]).await;
                let _ = volume.set_len(&file, 900).await;
                let _ = volume.append(&file, &[8; 600]).await;
                let _ = volume.change_file(&file, Change::posix(Some(0o711), None, plain)).await;
            }
        }
        for path in ["/folder/script", "/folder/link", "/in pieces", "/folder"] {
            let _ = volume.change_attributes(path, Change::posix(Some(0o640), Some((1, 2)), plain), None).await;
        }
        let _ = volume.create_link_by("/folder/new link", "a", (3, 4), None).await;
        let _ = volume.rename("/folder/link", "/folder/script", true).await;
        let _ = volume.create_dir("/folder/dir").await;
        let _ = volume.rename("/in pieces", "/folder/another", true).await;
        let _ = volume.sync().await;
        let _ = volume.rename("/folder/new", "/empty", true).await;
        let _ = volume.rename("/folder/a name of more than fifteen units", "/x", true).await;
        let _ = volume.remove_file("/folder/another").await;
        let _ = volume.remove_dir("/folder/dir").await;
        let _ = volume.unmark_posix().await;
        let _ = volume.unmount().await;
    });
}
