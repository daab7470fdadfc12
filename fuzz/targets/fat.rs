//! Disks of arbitrary bytes: laid over a good volume, then mounted, walked, changed and checked.
#![no_main]
use fat::{MountOptions, OpenOptions, Volume};
use fuzz::{populated, wait};
use libfuzzer_sys::fuzz_target;

/// Directories that one input may make the walk visit.
const DIRECTORIES: usize = 64;

fuzz_target!(|patches: Vec<(u32, Vec<u8>)>| {
    let ram = populated();
    for (at, bytes) in patches {
        let mut disk = ram.0.borrow_mut();
        // The tables and the root directory are where bytes matter most.
        let at = at as usize % (64 << 10);
        let end = (at + bytes.len()).min(disk.len());
        disk[at..end].copy_from_slice(&bytes[..end - at]);
    }
    let _ = wait(fat::check(&ram, &mut |_| (), &mut |_, _| ()));
    let Ok(volume) = wait(Volume::mount(ram, &MountOptions::default())) else { return };
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
                let how = OpenOptions { read: true, write: true, ..OpenOptions::default() };
                if let Ok(file) = wait(volume.open(&path, &how)) {
                    let _ = wait(volume.read(&file, 0, &mut [0; 4096]));
                    let _ = wait(volume.write(&file, entry.metadata.len / 2, b"changed"));
                }
                let _ = wait(volume.rename(&path, "/moved", true));
            }
        }
        seen += usize::from(directories.len() > DIRECTORIES) * DIRECTORIES;
    }
    let how = OpenOptions { write: true, create: true, ..OpenOptions::default() };
    if let Ok(file) = wait(volume.open("/a new file", &how)) {
        let _ = wait(volume.write(&file, 5000, &[7; 3000]));
    }
    let _ = wait(volume.create_dir("/dir"));
    let _ = wait(volume.remove_file("/moved"));
    let _ = wait(volume.remove_dir("/dir"));
    let _ = wait(volume.space());
    let _ = wait(volume.unmount());
});
