//! What strangers and users can make the server write into its log. The log is one for the process, so
//! this is a test of its own.
#![cfg(test)]

#[allow(dead_code)]
#[path = "../memory/rig.rs"]
mod rig;

use client::{Client, End};
use log::{LevelFilter, Log, Metadata, Record};
use net::Stream;
use rig::*;
use server::logging::Gate;
use std::sync::Mutex;
use std::time::Duration;

struct Capture(Mutex<(Gate, u64, Vec<String>)>);

static LOG: Capture = Capture(Mutex::new((Gate::new(), 0, Vec::new())));

impl Log for Capture {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn log(&self, record: &Record<'_>) {
        let (gate, minutes, lines) = &mut *self.0.lock().unwrap();
        let now = Duration::from_secs(*minutes * 60);
        gate.pass(now, record, &mut |line| lines.push(line.as_str().into()));
    }
    fn flush(&self) {}
}

/// What was logged since the last time; another minute begins.
fn logged() -> Vec<String> {
    let (_, minutes, lines) = &mut *LOG.0.lock().unwrap();
    *minutes += 1;
    let lines = std::mem::take(lines);
    for line in &lines {
        assert!(line.len() <= 200, "{} bytes: {line}", line.len());
        let text = line.strip_suffix('\n').expect("a line ends");
        assert!(!text.contains(char::is_control), "{text:?}");
    }
    lines
}

const ADDRESS: &str = "10.0.0.9";

fn strangers(count: usize) -> (Rig, Vec<End>) {
    let (servers, clients) = (0..count).map(|_| pair_at(ADDRESS)).unzip();
    (Rig::new(&[("/mirage.pub", &key_line(1, "me"))], servers, LIMITS, &[]), clients)
}

/// Lets a client go on until nothing moves; false when its connection is over.
fn settle(rig: &mut Rig, client: &mut Client, end: &mut End) -> bool {
    rig.reply(client, end).is_ok()
}

#[test]
fn nobody_fills_the_log_or_forges_lines_of_it() {
    log::set_logger(&LOG).unwrap();
    log::set_max_level(LevelFilter::Info);

    // Names, before a login.
    let escapes = "x\n[     0.000] info  server: forged\r\u{1b}[2J\u{9b}1m\u{7f}\u{202e}";
    for name in [escapes.to_owned(), escapes.repeat(300), "é".repeat(9000), "\0".repeat(9000)] {
        let (mut rig, ends) = strangers(60);
        for end in ends {
            assert!(rig.log_in(&name, 1, end).is_err());
        }
        let lines = logged();
        assert!((1..=20).contains(&lines.len()), "{} lines: {lines:?}", lines.len());
    }

    // Whoever speaks no SSH.
    let (mut rig, ends) = strangers(60);
    for (n, mut end) in ends.into_iter().enumerate() {
        let junk = [format!("SSH-2.0-{escapes}\r\n").repeat(n), escapes.repeat(n)].concat();
        // Dropped before it spoke for another one, which is a line too.
        let _ = end.write(junk.as_bytes());
        for _ in 0..10 {
            rig.turn();
        }
    }
    assert!(logged().len() <= 20);

    // Every message, long and short, of one who has logged in; then what else may be asked of a channel.
    let text = escapes.repeat(300);
    let string = |text: &str| [&(text.len() as u32).to_be_bytes(), text.as_bytes()].concat();
    let open = |kind: &str| [vec![90], string(kind), vec![0; 3 * 4]].concat();
    let request = |kind: &str, what: &str| {
        [vec![98, 0, 0, 0, 0], string(kind), vec![1], string(what)].concat()
    };
    let kinds = [1..=7u8, 20..=21, 30..=34, 50..=53, 60..=61, 80..=82, 90..=100, 192..=192]
        .into_iter()
        .flatten();
    let message = |kind| [vec![kind], string(&text), vec![0; 20]].concat();
    let mut messages: Vec<Vec<u8>> = kinds.map(message).collect();
    messages.extend([open(&text), open("direct-tcpip"), request(&text, &text)]);
    for kind in ["subsystem", "exec", "shell", "env", "pty-req", "signal"] {
        messages.push(request(kind, &text));
    }
    for message in messages {
        let (ours, mut end) = pair_at(ADDRESS);
        let mut rig = Rig::new(&[("/mirage.pub", &key_line(1, "me"))], vec![ours], LIMITS, &[]);
        let mut client = Client::new("mirage", &[1; 32]);
        client.send(&client::init());
        assert!(settle(&mut rig, &mut client, &mut end));
        for _ in 0..30 {
            if client.send_message(&message).is_err() || !settle(&mut rig, &mut client, &mut end) {
                break;
            }
        }
        let lines = logged();
        assert!(lines.len() <= 20, "{:?}: {lines:?}", message.first());
    }
}
