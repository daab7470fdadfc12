//! Runs the parts that the machine must carry, once, and says on the console how it went.
use crate::console::print;
use crate::{clock, memory};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use client::Client;
use core::fmt;
use net::{Event, HostKey, Session};

/// The step that failed, and how.
#[derive(Debug)]
pub struct Failed {
    step: &'static str,
    reason: String,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "self-check: {}: {}", self.step, self.reason)
    }
}

const STEPS: &[(&str, fn() -> Result<String, String>)] = &[
    ("allocation", allocation),
    ("random numbers", random_numbers),
    ("SSH", handshake),
];

pub fn run() -> Result<(), Failed> {
    for &(step, check) in STEPS {
        let start = clock::since_boot();
        let found = check().map_err(|reason| Failed { step, reason })?;
        let took = clock::since_boot().saturating_sub(start).as_millis();
        print(format_args!("self-check: {step}: {found} ({took} ms)\n"));
    }
    let (used, size) = memory::stack_use();
    print(format_args!(
        "self-check: stack: {} of {} KiB used\n",
        used >> 10,
        size >> 10
    ));
    print(format_args!("self-check: passed\n"));
    Ok(())
}

/// Blocks of every size up to 1 MiB keep their content beside each other and are given back.
fn allocation() -> Result<String, String> {
    for round in 0..3 {
        let blocks: Vec<Vec<u8>> = (0..=20)
            .map(|i| alloc::vec![i as u8 + round; 1 << i])
            .collect();
        for (i, block) in blocks.iter().enumerate() {
            if block.len() != 1 << i || block.iter().any(|&byte| byte != i as u8 + round) {
                return Err(format!("a block of {} bytes was damaged", block.len()));
            }
        }
    }
    Ok("blocks of up to 1 MiB".into())
}

/// Two seeds differ.
fn random_numbers() -> Result<String, String> {
    if seed()? == seed()? {
        return Err("the same numbers twice".into());
    }
    Ok("two seeds differ".into())
}

fn seed() -> Result<[u8; 32], String> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|e| format!("{e}"))?;
    Ok(seed)
}

/// A client logs in and opens the SFTP subsystem.
fn handshake() -> Result<String, String> {
    let host_key = HostKey::from_seed(&seed()?);
    let user_seed = seed()?;
    let user = ed25519_compact::KeyPair::from_seed(ed25519_compact::Seed::new(user_seed));
    let (mut client_end, mut server_end) = client::pair();
    let mut client = Client::new("mirage", &user_seed);
    let mut session = Session::new().map_err(|e| format!("{e}"))?;
    for turn in 1..1000 {
        client.step(&mut client_end).map_err(|e| format!("{e:?}"))?;
        loop {
            match session
                .step(&mut server_end, &host_key)
                .map_err(|e| format!("{e}"))?
            {
                Event::Login(_) => session.set_keys(alloc::vec![blob(&user.pk)]),
                Event::Sftp(_) => return Ok(format!("logged in in {turn} turns")),
                Event::Idle => break,
                _ => (),
            }
        }
    }
    Err("no login".into())
}

/// A public key in SSH wire format (RFC 8709 4).
fn blob(key: &[u8; 32]) -> Vec<u8> {
    [b"\0\0\0\x0bssh-ed25519\0\0\0\x20", key.as_slice()].concat()
}
