
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

use crate::error::TrapBug as _;

/// SSH_MSG_CHANNEL_DATA (RFC 4254 5.2).
const DATA: u8 = 94;

impl<'a> TrafOut<'a> {
    /// Sends the first `len` bytes of these pieces as SSH_MSG_CHANNEL_DATA. The caller has made sure that there is room.
    pub(crate) fn send_data(
        &mut self,
        num: u32,
        len: usize,
        pieces: &[&[u8]],
        keys: &mut KeyState,
    ) -> Result<()> {
        if keys.is_send_cleartext() {
            return Error::bug_msg("send cleartext");
        }
        let (idx, end) = match self.state {
            TxState::Idle => (0, 0),
            TxState::Write { idx, len } => (idx, len),
            TxState::Closed => return Ok(()),
        };
        let packet = self.buf.get_mut(end..).trap()?;
        let payload = packet.get_mut(SSH_PAYLOAD_START..).trap()?;
        let (head, mut rest) = payload.split_at_mut_checked(9).trap()?;
        let [kind, fields @ ..] = head else { return Error::bug() };
        *kind = DATA;
        let numbers = [num, len as u32].map(u32::to_be_bytes);
        fields.copy_from_slice(numbers.as_flattened());
        let mut left = len;
        for piece in pieces {
            let piece = &piece[..piece.len().min(left)];
            let (place, after) = rest.split_at_mut_checked(piece.len()).trap()?;
            place.copy_from_slice(piece);
            (rest, left) = (after, left - piece.len());
        }
        let sealed = keys.encrypt(9 + len, packet)?;
        self.state = TxState::Write { idx, len: end + sealed };
        Ok(())
    }

    /// Bytes of the buffer that are free.
    pub(crate) fn room(&self) -> usize {
        match self.state {
            TxState::Write { len, .. } => self.buf.len().saturating_sub(len),
            _ => self.buf.len(),
        }
    }

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
