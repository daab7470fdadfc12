//! What a client offers as a key or certificate: whatever it is, it has one spelling, and no certificate that was
//! not signed is taken for one that was.
#![no_main]
use libfuzzer_sys::fuzz_target;
use user_keys::{KeyData, blob_of, key_of, kind_of};

fuzz_target!(|blob: &[u8]| {
    let Some(key) = key_of(blob) else { return };
    assert!(kind_of(blob).is_some());
    // What is read once is read again, and then is the same.
    if let Some(again) = blob_of(&key) {
        assert!(again.len() <= blob.len());
        assert_eq!(key_of(&again).and_then(|key| blob_of(&key)), Some(again));
    }
    if let KeyData::Certificate(certificate) = &key {
        assert!(certificate.key_id().len() <= blob.len());
        // Nobody here can sign for an authority.
        let _ = certificate.verify_signature();
    }
});
