
// ---- What follows is mirage-sshfs's own, added by build.rs. ----

impl<CS: CliServ> Conn<CS> {
    /// Starts a new key exchange (RFC 4253 9), unless one is under way.
    pub(crate) fn exchange_keys(&mut self, s: &mut TrafSend) {
        if matches!(self.kex, Kex::Idle) {
            self.kex.start_kexinit(s);
        }
    }

    /// The identifier of the session (RFC 4253 7.2), once keys were agreed on.
    pub(crate) fn session_id(&self) -> Option<&[u8]> {
        self.sess_id.as_ref().map(|id| id.as_ref())
    }

    /// Whether a key exchange is under way.
    pub(crate) fn is_exchanging(&self) -> bool {
        !matches!(self.kex, Kex::Idle)
    }

    /// Whether strict key exchange lets nothing but its own messages through: from the first KEXINIT to
    /// the NEWKEYS of the other side.
    fn is_strict_now(&self) -> bool {
        !matches!(self.state, ConnState::PreAuth | ConnState::Authed) && self.kex.is_strict()
    }

    /// Whether a login may be asked for now.
    pub(crate) fn may_log_in(&self) -> bool {
        matches!(self.state, ConnState::PreAuth) && !self.kex.is_receiving()
    }

    /// What is offered in exchanges of keys. Once the first has begun, it is too late.
    pub(crate) fn set_algorithms(
        &mut self,
        exchanges: &[&'static str],
        host_keys: &[&'static str],
        ciphers: &[&'static str],
        macs: &[&'static str],
    ) -> bool {
        matches!(self.state, ConnState::SendIdent)
            && self.algo_conf.set_names(exchanges, host_keys, ciphers, macs)
    }
}
