//! Command lines: words split at newlines, so that values may hold spaces.
#![no_main]
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let (options, problems) = server::Options::parse(text.split('\n'));
    if problems.is_empty() {
        assert!(!options.user.contains('/'));
    }
});
