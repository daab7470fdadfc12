//! Lines of `.pub` and `authorized_keys` files: what is taken comes back the same.
#![no_main]
use libfuzzer_sys::fuzz_target;

fuzz_target!(|line: &str| {
    if let Ok(key) = server::PublicKey::parse(line) {
        assert!(key.blob.len() < 4096);
        assert!(key.fingerprint().starts_with("SHA256:"));
    }
});
