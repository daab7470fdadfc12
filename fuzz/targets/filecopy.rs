//! What a qube sends by qvm-copy: the same events however it is cut, and no path that leads elsewhere.
#![no_main]
use libfuzzer_sys::fuzz_target;
use qubes::filecopy::{Event, Receiver};

fn receive(bytes: &[u8], size: usize, links: bool) -> (Vec<Event>, Vec<u8>, Option<u32>) {
    let (mut receiver, mut events, mut contents) = (Receiver::new(links), Vec::new(), Vec::new());
    for mut piece in bytes.chunks(size) {
        while !piece.is_empty() && !events.contains(&Event::End) {
            let data = receiver.data(piece);
            if !data.is_empty() {
                contents.extend(data);
                events.extend(receiver.took(data));
                piece = &piece[data.len()..];
                continue;
            }
            match receiver.push(piece) {
                Ok((taken, event)) => {
                    assert!(taken > 0);
                    piece = &piece[taken..];
                    events.extend(event);
                    events.extend(receiver.empty_file());
                }
                Err(refused) => return (events, contents, Some(refused.errno)),
            }
        }
    }
    assert!(receiver.result(0).len() < 20 + 16384);
    (events, contents, None)
}

/// How deep below the folder that is copied a link leads, each name as a folder; none when out of it.
fn leads(path: &str, target: &str) -> Option<usize> {
    let mut depth = path.split('/').count().checked_sub(2)?;
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => depth = depth.checked_sub(1)?,
            _ => depth += 1,
        }
    }
    Some(depth)
}

fuzz_target!(|bytes: &[u8]| {
    for links in [false, true] {
        let whole = receive(bytes, bytes.len().max(1), links);
        for event in &whole.0 {
            if let Event::Link { path, target } = event {
                assert!(links && !target.starts_with('/') && leads(path, target).is_some());
            }
            if let Event::Directory { path, .. } | Event::File { path, .. } | Event::Link { path, .. } = event {
                assert!(path.split('/').all(|part| !matches!(part, "" | "." | "..")));
            }
        }
        assert_eq!(whole, receive(bytes, 1, links));
    }
});
