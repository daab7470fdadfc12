
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
