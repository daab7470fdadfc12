//! Runs the parts that the machine must carry, once, and says on the console how it went: memory,
//! random numbers, and a client that reads a file over SSH and SFTP from a volume in memory.
mod served;

use crate::console::print;
use crate::{clock, memory};
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

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

/// Gives what to say of a step that went well, or what was wrong.
type Check = fn() -> Result<String, String>;

const STEPS: &[(&str, Check)] = &[
    ("allocation", allocation),
    ("random numbers", random_numbers),
    ("a file over SSH", served::read_a_file),
];

/// Prints one line for each step. `passed` is the last line, and only when every step went well.
pub fn run() -> Result<(), Failed> {
    for &(step, check) in STEPS {
        let start = clock::since_boot();
        let found = check().map_err(|reason| Failed { step, reason })?;
        let took = clock::since_boot().saturating_sub(start).as_millis();
        print(format_args!("self-check: {step}: {found} ({took} ms)\n"));
    }
    let (used, size) = memory::stack_use();
    print(format_args!("self-check: stack: {} of {} KiB used\n", used >> 10, size >> 10));
    print(format_args!("self-check: passed\n"));
    Ok(())
}

/// Blocks of every size up to 1 MiB keep their content beside each other and are given back.
fn allocation() -> Result<String, String> {
    // More rounds than the memory would last if nothing were given back.
    for round in 0..20u8 {
        let blocks: Vec<Vec<u8>> = (0..=20u8).map(|i| vec![i ^ round; 1 << i]).collect();
        for (i, block) in (0..=20u8).zip(&blocks) {
            if block.len() != 1 << i || block.iter().any(|&byte| byte != i ^ round) {
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

/// 32 random bytes.
fn seed() -> Result<[u8; 32], String> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|e| format!("{e}"))?;
    Ok(seed)
}
