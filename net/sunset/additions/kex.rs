
// ---- What follows is mirage-sshfs's own, added by build.rs. ----

impl AlgoConfig {
    /// Offers these key exchanges, host keys, ciphers and MACs, the best first; the markers of extensions stay, but for
    /// Dropbear's way of guessing. False, with nothing changed, when there is no room for so many.
    pub(crate) fn set_names(
        &mut self,
        exchanges: &[&'static str],
        host_keys: &[&'static str],
        ciphers: &[&'static str],
        macs: &[&'static str],
    ) -> bool {
        let markers = self.kexs.0.iter().filter(|name| marker_only_kexs.contains(name));
        let markers = markers.filter(|name| **name != SSH_NAME_KEXGUESS2);
        let kexs = exchanges.iter().chain(markers).copied();
        let mut new = LocalNames::new();
        for name in kexs {
            if new.0.push(name).is_err() {
                return false;
            }
        }
        match (host_keys.try_into(), ciphers.try_into(), macs.try_into()) {
            (Ok(host_keys), Ok(ciphers), Ok(macs)) => {
                (self.kexs, self.hostsig) = (new, host_keys);
                (self.ciphers, self.macs) = (ciphers, macs);
                true
            }
            _ => false,
        }
    }
}

/// Signatures of users' keys that a server takes, the best first.
const SIGNATURES: [&str; 6] = [
    "ssh-ed25519",
    "sk-ssh-ed25519@openssh.com",
    "ecdsa-sha2-nistp256",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "rsa-sha2-512",
    "rsa-sha2-256",
];

const NISTP256_NAME: &str = "ecdh-sha2-nistp256";

/// ECDH on NIST's curve P-256 (RFC 5656 4).
pub(crate) struct KexNistP256 {
    /// Cleared after deriving the secret; p256 overwrites it then.
    ours: Option<p256::SecretKey>,
    pubkey: p256::Sec1Point,
}

impl fmt::Debug for KexNistP256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KexNistP256").finish_non_exhaustive()
    }
}

impl KexNistP256 {
    fn new() -> Self {
        use ecdsa::elliptic_curve::{Generate, sec1::ToSec1Point};
        let ours = p256::SecretKey::generate_from_rng(&mut random::rng());
        let pubkey = ours.public_key().to_sec1_point(false);
        Self { ours: Some(ours), pubkey }
    }

    fn pubkey(&self) -> &[u8] {
        self.pubkey.as_bytes()
    }

    /// The other side's point. It must be on the curve and not the one at infinity (SEC 1, 3.2.2.1; the
    /// cofactor is 1), in the form that all implementations send.
    fn point(theirs: &[u8]) -> Result<p256::PublicKey> {
        const UNCOMPRESSED: u8 = 4;
        match theirs.first() {
            Some(&UNCOMPRESSED) => {
                p256::PublicKey::from_sec1_bytes(theirs).map_err(|_| error::BadKex.build())
            }
            _ => error::BadKex.fail(),
        }
    }

    fn secret(
        &mut self,
        theirs: &[u8],
        mut kex_hash: KexHash,
        is_client: bool,
    ) -> Result<KexOutput> {
        use ecdsa::elliptic_curve::point::AffineCoordinates;
        let point = Self::point(theirs)?.to_projective();
        if is_client {
            kex_hash.hash_pubkeys(self.pubkey(), theirs)?;
        } else {
            kex_hash.hash_pubkeys(theirs, self.pubkey())?;
        }
        let ours = self.ours.take().trap()?;
        let shared = (point * *ours.to_nonzero_scalar()).to_affine();
        let x = zeroize::Zeroizing::new(<[u8; 32]>::from(shared.x()));
        Ok(KexOutput::new(KexKey::Mpint(&*x), kex_hash))
    }
}
