//! What goes over a session's channels, in and out.
use crate::channel::Channel;
use crate::ended::Ended;
use crate::program::NO_PROGRAMS;
use crate::session::Session;

impl Session {
    fn channel(&mut self, number: usize) -> Option<&mut Channel> {
        self.channels.get_mut(number)?.as_mut()
    }

    /// The data that waits on a channel, as far as it lies in one piece.
    pub fn peek(&self, number: usize) -> &[u8] {
        let Some(Some(channel)) = self.channels.get(number) else {
            return &[];
        };
        match (channel.waiting.as_slices().0, self.runner.channel_data()) {
            ([], Some((n, data))) if n.0 as usize == number => data,
            (waiting, _) => waiting,
        }
    }

    /// Takes `n` bytes of what `peek` showed and grants the client as many more.
    pub fn take(&mut self, number: usize, n: usize) -> Result<(), Ended> {
        let Some(Some(channel)) = self.channels.get_mut(number) else {
            return Ok(());
        };
        if channel.waiting.is_empty() {
            self.runner.consume_channel_data(n);
        } else {
            channel.waiting.drain(..n.min(channel.waiting.len()));
        }
        if !channel.closed_told {
            self.runner.grant_channel(&channel.handle, n)?;
        }
        Ok(())
    }

    /// Sends what fits now on a channel and says how much that was.
    pub fn send(&mut self, number: usize, data: &[u8]) -> Result<usize, Ended> {
        self.send_pieces(number, &[data])
    }

    /// Sends what fits now of these pieces, one behind the other, in one packet.
    pub fn send_pieces(&mut self, number: usize, pieces: &[&[u8]]) -> Result<usize, Ended> {
        match self.channels.get(number) {
            Some(Some(channel)) if !channel.closed_told && channel.finish.is_none() => {
                Ok(self.runner.write_pieces(&channel.handle, pieces)?)
            }
            // Nobody is there to read it.
            _ => Ok(pieces.iter().map(|piece| piece.len()).sum()),
        }
    }

    /// Ends a channel from our side with an exit status, after all that was sent.
    pub fn finish(&mut self, number: usize, status: u32) {
        if let Some(channel) = self.channel(number) {
            channel.finish.get_or_insert(status);
        }
    }

    /// Says on this channel that there are no programs, and ends it.
    pub fn refuse(&mut self, number: usize) {
        if let Some(channel) = self.channel(number) {
            channel.refuse(NO_PROGRAMS);
        }
    }
}
