
// ---- What follows is mirage-sshfs's own, added by build.rs. ----

impl<'a> Runner<'a, server::Server> {
    /// Offers public keys only: passwords are never asked for.
    pub fn only_public_keys(&mut self) -> Result<()> {
        self.set_auth_methods(false, true)
    }

    /// The user named by the authentication request that the next `progress()` will dispatch, so
    /// that the keys can be looked up before the event that must be answered at once. None before the
    /// first exchange of keys has ended, and for names that sunset refuses for their length.
    pub fn next_auth_user(&self) -> Option<&[u8]> {
        let (payload, _seq) = self.traf_in.payload().filter(|_| self.conn.may_log_in())?;
        match self.conn.packet(payload) {
            Ok(packets::Packet::UserauthRequest(p)) => {
                Some(p.username.0).filter(|name| name.len() <= config::MAX_USERNAME)
            }
            _ => None,
        }
    }

    /// The request to log in with a public key that waits for an answer.
    pub(crate) fn pubkey_offer(&self) -> Result<event::PubkeyOffer<'_>> {
        let (payload, _seq) = self.traf_in.payload().trap()?;
        event::PubkeyOffer::new(payload, self.conn.session_id().trap()?)
    }

    /// How many attempts to log in have failed.
    pub fn login_failures(&self) -> u32 {
        self.conn.server().map_or(0, |server| server.auth.failures)
    }

    /// Ends a channel from our side. False when there is no room for it yet: try again later.
    pub fn finish_channel(&mut self, chan: &ChanHandle, status: Option<u32>) -> Result<bool> {
        const ROOM: usize = 512;
        if self.conn.is_kex_sending()
            || self.traf_out.is_draining()
            || self.traf_out.send_allowed(&self.keys) < ROOM
        {
            return Ok(false);
        }
        let mut s = self.traf_out.sender(&mut self.keys);
        self.conn.channels.finish(chan.0, status, &mut s)?;
        Ok(true)
    }

    /// Says goodbye (RFC 4253 11.1). Nothing is sent when there is no room for it.
    pub fn disconnect(&mut self, reason: u32, text: &str) {
        let desc = sshwire::TextString(text.as_bytes());
        let p = packets::Disconnect { reason, desc, lang: "" };
        let _ = self.traf_out.sender(&mut self.keys).send(p);
    }

    /// Gives the number of a channel back. The handle comes back when the channel is not yet
    /// closed in both directions.
    pub fn forget_channel(&mut self, chan: ChanHandle) -> core::result::Result<(), ChanHandle> {
        if self.conn.channels.forget(chan.0) {
            self.traf_in.discard_read_channel(chan.0);
            Ok(())
        } else {
            Err(chan)
        }
    }
}

impl<'a, CS: CliServ> Runner<'a, CS> {
    /// Offers these key exchanges, host keys, ciphers and MACs, the best first, in all exchanges of the
    /// connection. They must be names that sunset and `packet_cipher` know.
    pub fn set_algorithms(
        &mut self,
        exchanges: &[&'static str],
        host_keys: &[&'static str],
        ciphers: &[&'static str],
        macs: &[&'static str],
    ) -> Result<()> {
        match self.conn.set_algorithms(exchanges, host_keys, ciphers, macs) {
            true => Ok(()),
            false => error::BadUsage.fail(),
        }
    }

    /// The channel data that has arrived, where it lies: taken with `consume_channel_data`, and
    /// granted again with `grant_channel` when it has been dealt with.
    pub fn channel_data(&self) -> Option<(ChanNum, &[u8])> {
        self.traf_in.channel_data()
    }

    pub fn consume_channel_data(&mut self, n: usize) {
        self.traf_in.consume_channel_data(n)
    }

    /// Gives `len` bytes of the channel's receive window back to the other side.
    pub fn grant_channel(&mut self, chan: &ChanHandle, len: usize) -> Result<()> {
        self.finished_read_channel(chan, len)
    }

    /// Sends what fits of these pieces on a channel, one behind the other, as the data of one packet; how many bytes
    /// that was.
    pub fn write_pieces(&mut self, chan: &ChanHandle, pieces: &[&[u8]]) -> Result<usize> {
        let all = pieces.iter().map(|piece| piece.len()).sum::<usize>();
        let room = self.write_channel_ready(chan, ChanData::Normal)?.ok_or(Error::ChannelEOF)?;
        let len = all.min(room);
        if len == 0 {
            return Ok(0);
        }
        let num = self.conn.channels.use_window(chan.0, len)?;
        self.traf_out.send_data(num, len, pieces, &mut self.keys)?;
        Ok(len)
    }

    /// Bytes of the output buffer that are free.
    pub fn output_room(&self) -> usize {
        self.traf_out.room()
    }

    /// Starts a new key exchange, as happens by itself when the keys have served long enough.
    pub fn exchange_keys(&mut self) {
        let mut s = self.traf_out.sender(&mut self.keys);
        self.conn.exchange_keys(&mut s);
    }

    /// Sends any bytes as one message, for tests of what the other side makes of it. False when there
    /// is no room for it, or only a key exchange may go on.
    pub fn send_message(&mut self, payload: &[u8]) -> Result<bool> {
        if self.conn.is_kex_sending() || self.traf_out.is_draining() {
            return Ok(false);
        }
        self.traf_out.send_message(payload, &mut self.keys)
    }
}

impl<'a> Runner<'a, server::Server> {
    /// Whether an exchange of keys is under way, in whatever state.
    pub fn is_exchanging(&self) -> bool {
        self.conn.is_exchanging()
    }

    /// Whether packets went with the present keys.
    pub fn keys_are_used(&self) -> bool {
        self.keys.is_used()
    }

    /// New keys are due after this many bytes in one direction, if the cipher does not want them before.
    pub fn set_rekey_bytes(&mut self, bytes: u64) {
        self.keys.set_rekey_bytes(bytes);
    }
}

/// SSH_MSG_USERAUTH_PK_OK (RFC 4252 7): the algorithm and the key as they came.
fn send_pkok(payload: &[u8], out: &mut TrafOut, keys: &mut KeyState) -> Result<()> {
    const PK_OK: u8 = 60;
    let offer = event::PubkeyOffer::new(payload, &[])?;
    let mut message = alloc::vec![PK_OK];
    for part in [offer.algorithm, offer.key] {
        message.extend((part.len() as u32).to_be_bytes());
        message.extend(part);
    }
    match out.send_message(&message, keys)? {
        true => Ok(()),
        false => error::NoRoom.fail(),
    }
}
