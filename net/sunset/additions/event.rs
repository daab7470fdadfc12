
// ---- What follows is mirage-sshfs's own, added by build.rs. ----

/// A request to log in with a public key (RFC 4252 7), as it came.
pub struct PubkeyOffer<'a> {
    pub algorithm: &'a [u8],
    pub key: &'a [u8],
    /// None when the client only asks whether the key would do.
    pub signature: Option<&'a [u8]>,
    /// What the signature is of, with its length in front, and what follows it.
    pub session_id: &'a [u8],
    pub request: &'a [u8],
}

#[derive(sunset_sshwire_derive::SSHDecode)]
struct PubkeyRequest<'a> {
    number: u8,
    username: TextString<'a>,
    service: TextString<'a>,
    method: TextString<'a>,
    is_signed: bool,
    algorithm: sshwire::BinString<'a>,
    key: sshwire::BinString<'a>,
}

impl<'a> PubkeyOffer<'a> {
    pub(crate) fn new(payload: &'a [u8], session_id: &'a [u8]) -> Result<Self> {
        let (request, used) = sshwire::read_ssh::<PubkeyRequest>(payload, None)?;
        let (before, rest) = payload.split_at(used);
        let (signature, used) = match request.is_signed {
            true => sshwire::read_ssh::<sshwire::BinString>(rest, None).map(|(s, n)| (Some(s.0), n))?,
            false => (None, 0),
        };
        if used != rest.len() {
            return Err(Error::WrongPacketLength);
        }
        let (algorithm, key) = (request.algorithm.0, request.key.0);
        Ok(Self { algorithm, key, signature, session_id, request: before })
    }
}

impl ServPubkeyAuth<'_, '_> {
    pub fn offer(&self) -> Result<PubkeyOffer<'_>> {
        self.runner.pubkey_offer()
    }
}
