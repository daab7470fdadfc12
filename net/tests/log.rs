//! What a client can write into the log through sunset: little, escaped, and nothing above `debug`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod rig;

use log::{Level, LevelFilter, Log, Metadata, Record};
use net::Event;
use rig::Pair;
use std::sync::Mutex;

struct Kept(Mutex<Vec<(Level, String, String)>>);

impl Log for Kept {
    fn enabled(&self, _: &Metadata) -> bool {
        true
    }

    fn log(&self, record: &Record) {
        let line = (record.level(), record.target().into(), record.args().to_string());
        self.0.lock().unwrap().push(line);
    }

    fn flush(&self) {}
}

static LOG: Kept = Kept(Mutex::new(Vec::new()));

fn string(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_be_bytes(), bytes].concat()
}

#[test]
fn lines_of_messages_are_short_and_in_clear_letters() {
    log::set_logger(&LOG).unwrap();
    log::set_max_level(LevelFilter::Trace);
    for length in [1, 30_000] {
        for word in [&b"\x1b[2J\r\n"[..], "\u{85}\u{9b}ü".as_bytes(), b"\xff\0", b"letters"] {
            let word: Vec<u8> =
                word.iter().copied().cycle().take(word.len() * length).take(30_000).collect();
            let number = vec![0; 4];
            for message in [
                [vec![90], string(&word), vec![0; 12]].concat(),
                [vec![98], number.clone(), string(&word), vec![1]].concat(),
                [vec![98], vec![9; 4], string(&word), vec![1]].concat(),
                [vec![98], number.clone(), string(b"subsystem"), vec![1], string(&word)].concat(),
                [vec![98], number.clone(), string(b"exec"), vec![1], string(&word)].concat(),
                [vec![80], string(&word), vec![1]].concat(),
                [vec![4, 1], string(&word), string(b"")].concat(),
                [vec![5], string(&word)].concat(),
                [vec![50], string(b"mirage"), string(b"x"), string(&word)].concat(),
                [vec![1], vec![0; 4], string(&word), string(b"")].concat(),
                [vec![200], word.clone()].concat(),
            ] {
                let mut pair = Pair::open();
                LOG.0.lock().unwrap().clear();
                assert!(pair.client.send_message(&message).unwrap());
                pair.client.flush(&mut pair.theirs).unwrap();
                while let Ok(event) = pair.session.step(&mut pair.ours, &pair.host_key) {
                    if event == Event::Idle {
                        break;
                    }
                }
                let lines = core::mem::take(&mut *LOG.0.lock().unwrap());
                assert!(lines.len() < 20, "{} lines", lines.len());
                for (level, target, line) in lines {
                    assert!(line.len() <= 250, "{} bytes: {}", line.len(), &line[..80]);
                    assert!(!line.chars().any(char::is_control), "{line:?}");
                    assert!(target != "sunset" || level >= Level::Debug, "{level} {line}");
                }
            }
        }
    }
}
