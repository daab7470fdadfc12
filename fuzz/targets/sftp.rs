//! What a client sends on the SFTP channel after INIT, against a real volume. Whatever it was, the
//! volume is whole afterwards.
#![no_main]
use fat::{MountOptions, Volume};
use fuzz::{check, formatted, wait};
use libfuzzer_sys::fuzz_target;
use server::{Access, Share, Shown};
use std::rc::Rc;

fuzz_target!(|stream: &[u8]| {
    let ram = formatted();
    let volume = Rc::new(wait(Volume::mount(ram.clone(), &MountOptions::default())).unwrap());
    volume.set_time(1_700_000_000);
    let session = sftp::Server::new(
        Rc::new(Share::new(volume.clone(), Access::default(), Shown::default())),
        8,
        Rc::default(),
    );
    let mut packets = sftp::Packets::new();
    let init = [0, 0, 0, 5, 1, 0, 0, 0, 3];
    let mut rest = [init.as_slice(), stream].concat();
    loop {
        let used = packets.push(&rest);
        rest.drain(..used);
        match packets.next() {
            Ok(Some(request)) => {
                assert!(session.may_start(&request));
                let reply = wait(session.run(request));
                assert!(reply.len() > 4);
                let length = u32::from_be_bytes(reply[..4].try_into().unwrap());
                assert_eq!(length as usize, reply.len() - 4);
            }
            Ok(None) if used == 0 => break,
            Ok(None) => (),
            Err(_) => break,
        }
    }
    drop(session);
    wait(volume.unmount()).unwrap();
    check(&ram);
});
