
// ---- What follows is mirage-sshfs's own, added by build.rs. ----

impl<'a> TrafIn<'a> {
    /// The channel data that has not been taken yet.
    pub(crate) fn channel_data(&self) -> Option<(ChanNum, &[u8])> {
        match self.state {
            RxState::InChannelData { chan, idx, len, .. } => Some((chan, self.buf.get(idx..len)?)),
            _ => None,
        }
    }

    /// Takes `n` bytes of the channel data.
    pub(crate) fn consume_channel_data(&mut self, n: usize) {
        if let RxState::InChannelData { ref mut idx, len, .. } = self.state {
            *idx += n.min(len - *idx);
            if *idx == len {
                self.state = RxState::Idle;
            }
        }
    }
}

impl<'a> TrafOut<'a> {
    /// Sends any bytes as the payload of a packet; false when there is no room.
    pub(crate) fn send_message(&mut self, payload: &[u8], keys: &mut KeyState) -> Result<bool> {
        if payload.len() > self.send_allowed(keys) {
            return Ok(false);
        }
        let (idx, len) = match self.state {
            TxState::Idle => (0, 0),
            TxState::Write { idx, len } => (idx, len),
            TxState::Closed => return Ok(false),
        };
        let wbuf = &mut self.buf[len..];
        wbuf[SSH_PAYLOAD_START..SSH_PAYLOAD_START + payload.len()].copy_from_slice(payload);
        let elen = keys.encrypt(payload.len(), wbuf)?;
        self.state = TxState::Write { idx, len: len + elen };
        Ok(true)
    }
}
