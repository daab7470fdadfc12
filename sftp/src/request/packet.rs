//! The stream of one channel cut into packets (section 3), one at a time.
use crate::fxp;
use crate::kinds::Requests;
use crate::request::Request;
use crate::request::fatal::Fatal;
use alloc::vec::Vec;

/// The longest packet taken: OpenSSH's limit, and some room for clients that count it without the
/// fields around the data.
const LONGEST: u32 = crate::MAX_PACKET + 1024;

/// Gathers the bytes of one packet, straight into the buffer that its request keeps. At most one
/// packet is held: while it is complete and not taken, no further byte is.
#[derive(Debug, Default)]
pub struct Packets {
    length: u32,
    /// How many bytes of the length field have come.
    length_bytes: u8,
    packet: Vec<u8>,
    initialised: bool,
    fatal: Option<Fatal>,
    allowed: Requests,
}

impl Packets {
    pub fn new() -> Self {
        Self::default()
    }

    /// Of a session that may make these requests; others are answered with a refusal.
    pub fn allowing(allowed: Requests) -> Self {
        Self { allowed, ..Self::default() }
    }

    /// Takes bytes up to the end of the current packet and says how many. 0 (of more than none)
    /// means that [`next`](Self::next) has something to say first.
    pub fn push(&mut self, bytes: &[u8]) -> usize {
        let mut rest = bytes;
        while self.length_bytes < 4 && self.fatal.is_none() {
            let Some((&first, after)) = rest.split_first() else {
                break;
            };
            rest = after;
            self.length = self.length << 8 | u32::from(first);
            self.length_bytes = self.length_bytes.saturating_add(1);
            if self.length_bytes == 4 {
                self.fatal = self.reserve().err();
            }
        }
        let (taken, rest) =
            rest.split_at_checked(self.missing()).unwrap_or((rest, Default::default()));
        self.packet.extend_from_slice(taken);
        bytes.len().saturating_sub(rest.len())
    }

    /// The request whose last byte was pushed, if there is one.
    ///
    /// # Errors
    ///
    /// What came is no SFTP; every later call says so again.
    #[allow(clippy::should_implement_trait)] // It is no iterator: None is not the end.
    pub fn next(&mut self) -> Result<Option<Request>, Fatal> {
        if let Some(fatal) = self.fatal {
            return Err(fatal);
        }
        if self.length_bytes < 4 || self.missing() > 0 {
            return Ok(None);
        }
        self.length = 0;
        self.length_bytes = 0;
        let request = self.parse().inspect_err(|&fatal| self.fatal = Some(fatal))?;
        Ok(Some(request))
    }

    fn parse(&mut self) -> Result<Request, Fatal> {
        let packet = core::mem::take(&mut self.packet);
        match packet.first() {
            Some(&fxp::INIT) if self.initialised => return Err(Fatal::InitAgain),
            Some(&fxp::INIT) => self.initialised = true,
            Some(&other) if !self.initialised => return Err(Fatal::NotInit(other)),
            _ => {}
        }
        Request::parse(packet, self.allowed)
    }

    /// The length is known: checks it, and gets the memory in one piece, so that nothing is moved.
    fn reserve(&mut self) -> Result<(), Fatal> {
        let length = self.length;
        if length == 0 || length > LONGEST {
            return Err(Fatal::Length(length));
        }
        self.packet.try_reserve_exact(self.missing()).map_err(|_| Fatal::OutOfMemory(length))
    }

    /// Bytes of the packet that have not come, once its length is known; none when that is refused.
    fn missing(&self) -> usize {
        if self.fatal.is_some() {
            return 0;
        }
        usize::try_from(self.length).unwrap_or(usize::MAX).saturating_sub(self.packet.len())
    }
}
