//! SFTP requests that are right in form, with arbitrary handles, offsets, lengths and paths, of a user
//! who has a folder as root. Whatever they were, the volume is whole, and what is outside is as it was.
#![no_main]
use fat::{MountOptions, OpenOptions, Volume};
use fuzz::{check, formatted, requests, wait};
use libfuzzer_sys::arbitrary::Unstructured;
use libfuzzer_sys::fuzz_target;
use server::{Access, Share, Shown};
use std::rc::Rc;

const SECRET: &[u8] = b"not for the user";

fuzz_target!(|bytes: &[u8]| {
    let mut u = Unstructured::new(bytes);
    let ram = formatted();
    let volume = Rc::new(wait(Volume::mount(ram.clone(), &MountOptions::default())).unwrap());
    volume.set_time(1_700_000_000);
    wait(volume.create_dir("/root")).unwrap();
    let how = OpenOptions { write: true, create: true, ..OpenOptions::default() };
    let secret = wait(volume.open("/a", &how)).unwrap();
    wait(volume.write(&secret, 0, SECRET)).unwrap();
    drop(secret);
    let [read_only, add_only, write_only] = [7, 6, 5].map(|rest| bytes.len() % 8 == rest);
    let add_only = add_only || write_only;
    let root = "/root".into();
    let access = Access { read_only, add_only, write_only, root, ..Access::default() };
    let share = Share::new(volume.clone(), access, Shown::default());
    let session = sftp::Server::new(Rc::new(share), 8, Rc::default());
    let mut packets = sftp::Packets::new();
    let mut rest = client::init();
    for _ in 0..100 {
        while !rest.is_empty() {
            let used = packets.push(&rest);
            rest.drain(..used);
            if let Some(request) = packets.next().expect("requests are right in form") {
                let reply = wait(session.run(request));
                assert_eq!(reply[..4], (reply.len() as u32 - 4).to_be_bytes());
            }
        }
        match requests::arbitrary(&mut u) {
            // A second INIT ends the session.
            Ok(request) if !u.is_empty() && request[4] != 1 => rest = request,
            _ => break,
        }
    }
    drop(session);
    let secret = wait(volume.open("/a", &OpenOptions { read: true, ..OpenOptions::default() }));
    let mut read = [0; 32];
    let length = wait(volume.read(&secret.unwrap(), 0, &mut read)).unwrap();
    assert_eq!(&read[..length], SECRET);
    let root = wait(volume.open_dir("/")).unwrap();
    assert_eq!(wait(volume.read_dir(&root, 100)).unwrap().len(), 2);
    if read_only {
        let root = wait(volume.open_dir("/root")).unwrap();
        assert!(wait(volume.read_dir(&root, 1)).unwrap().is_empty());
    }
    wait(volume.unmount()).unwrap();
    check(&ram);
});
