//! What a qrexec daemon sends on the control vchan and any qube on a data vchan: input is the same
//! however it is cut.
#![no_main]
use libfuzzer_sys::fuzz_target;
use qubes::qrexec::{Agent, Command, Data};

/// All input, or None after what no call sends.
fn input(bytes: &[u8], size: usize) -> Option<Vec<u8>> {
    let (mut data, mut all, mut at) = (Data::new(false), Vec::new(), 0);
    while at < bytes.len() {
        let piece = &bytes[at..bytes.len().min(at + size)];
        let (skip, input) = data.input(piece).ok()?;
        assert!(skip + input.len() <= piece.len() && skip + input.len() > 0);
        let n = input.len().div_ceil(2);
        all.extend(&input[..n]);
        data.took(n);
        at += skip + n;
    }
    Some(all)
}

fuzz_target!(|bytes: &[u8]| {
    let mut agent = Agent::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let Ok((taken, exec)) = agent.push(rest) else { break };
        assert!(taken > 0);
        rest = &rest[taken..];
        if let Some(exec) = exec {
            agent.terminated(exec.domain, exec.port);
            if let Command::Service { source, .. } = exec.command {
                assert!(!source.is_empty() && !source.contains(['/', '.', '\\']));
            }
        }
    }
    assert_eq!(input(bytes, 1), input(bytes, 1 << 20));
});
