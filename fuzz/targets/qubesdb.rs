//! What a QubesDB daemon sends, in pieces of any size: what is kept and what is to be sent stay
//! within their bounds.
#![no_main]
use libfuzzer_sys::fuzz_target;
use qubes::qubesdb::{Client, HEADER};

fuzz_target!(|input: (u8, &[u8])| {
    let (size, bytes) = input;
    let mut client = Client::new();
    for mut piece in bytes.chunks(usize::from(size).max(1)) {
        while !piece.is_empty() {
            let Ok(taken) = client.push(piece) else { return };
            piece = &piece[taken..];
            assert!(client.output().len() <= 17 * HEADER);
            assert!(taken > 0 || !client.output().is_empty());
            client.sent(usize::from(size));
            if size == 0 {
                client.sent(usize::MAX);
            }
        }
    }
    let all = client.below("").map(|(path, value)| path.len() + value.len()).sum::<usize>();
    assert!(all <= 256 << 10);
    for (path, value) in client.below("/") {
        let path = format!("/{path}");
        assert_eq!(client.text(&path), std::str::from_utf8(value).ok());
    }
});
