
// ---- What follows is mirage-sshfs's own, added by build.rs. ----

impl SignKey {
    /// The key on NIST's curve P-256 whose private key is this number, big-endian; none when there is no such
    /// key. It stands here and not in `net` so that the kernel has the curve's arithmetic once.
    pub fn nist_p256(private: &[u8; 32]) -> Option<Self> {
        p256::SecretKey::from_slice(private).ok().map(|key| Self::ECDSA256(key.into()))
    }
}
