
// ---- What follows is mirage-sshfs's own, added by build.rs. ----

impl Channels {
    /// Sends the exit status, EOF and CLOSE (RFC 4254 5.3 and 6.10), each once. The caller has
    /// made sure that there is room for all three.
    pub(crate) fn finish(&mut self, num: ChanNum, status: Option<u32>, s: &mut TrafSend) -> Result<()> {
        let ch = self.get_mut(num)?;
        if ch.sent_close {
            return Ok(());
        }
        let num = ch.send_num()?;
        if let Some(status) = status {
            let req = ChannelReqType::ExitStatus(packets::ExitStatus { status });
            s.send(ChannelRequest { num, want_reply: false, req })?;
        }
        if !ch.sent_eof {
            ch.sent_eof = true;
            s.send(packets::ChannelEof { num })?;
        }
        ch.sent_close = true;
        s.send(packets::ChannelClose { num })
    }

    /// Takes `len` bytes of the other side's window; its number of the channel.
    pub(crate) fn use_window(&mut self, num: ChanNum, len: usize) -> Result<u32> {
        let send = self.get_mut(num)?.send.as_mut().trap()?;
        send.window = send.window.checked_sub(len).trap()?;
        Ok(send.num)
    }

    /// Forgets a channel that both sides have closed, so that its number can be used again.
    pub(crate) fn forget(&mut self, num: ChanNum) -> bool {
        match self.get(num) {
            Ok(ch) if ch.sent_close && ch.is_closed() => self.remove_any(num).is_ok(),
            _ => false,
        }
    }
}
