//! What a client sends before any key is agreed, in pieces of any size.
#![no_main]
use libfuzzer_sys::fuzz_target;
use net::{Event, HostKey, Session, Stream};

fuzz_target!(|input: (u8, &[u8])| {
    let (size, bytes) = input;
    let (mut ours, mut theirs) = client::pair();
    let host_key = HostKey::from_seed(&[7; 32]);
    let Ok(mut session) = Session::new(Default::default(), Default::default()) else { return };
    for piece in bytes.chunks(usize::from(size).max(1)) {
        if theirs.write(piece).is_err() {
            return;
        }
        loop {
            match session.step(&mut ours, &host_key) {
                Ok(Event::Idle) => break,
                Ok(Event::Login(_)) => session.set_keys(Vec::new()),
                Ok(Event::Authenticated) => panic!("logged in without a key"),
                Ok(_) => (),
                Err(_) => return,
            }
        }
        while let Ok(sent) = theirs.fill() {
            let n = sent.len();
            if n == 0 {
                break;
            }
            theirs.consume(n);
        }
    }
});
