
// ---- What follows is mirage-sshfs's own, added by build.rs. ----

impl AlgoConfig {
    /// Offers these key exchanges, ciphers and MACs, the best first; the markers of extensions stay, but for
    /// Dropbear's way of guessing. False, with nothing changed, when there is no room for so many.
    pub(crate) fn set_names(
        &mut self,
        exchanges: &[&'static str],
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
        match (ciphers.try_into(), macs.try_into()) {
            (Ok(ciphers), Ok(macs)) => {
                (self.kexs, self.ciphers, self.macs) = (new, ciphers, macs);
                true
            }
            _ => false,
        }
    }
}
