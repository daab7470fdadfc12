//! Checked reading and writing of SFTP's numbers and strings (RFC 4251 section 5).
use crate::status::Status;
use alloc::vec::Vec;
use core::ops::Range;

/// Reads a packet from its start. Each method fails as a malformed request when too little is left.
pub(crate) struct Reader<'a> {
    packet: &'a [u8],
    position: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(packet: &'a [u8]) -> Self {
        Self { packet, position: 0 }
    }

    fn range(&mut self, length: usize) -> Result<Range<usize>, Status> {
        let end = self.position.checked_add(length);
        match end.filter(|&end| end <= self.packet.len()) {
            Some(end) => {
                let range = self.position..end;
                self.position = end;
                Ok(range)
            }
            None => Err(Status::MALFORMED),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Status> {
        let range = self.range(N)?;
        let bytes = self.packet.get(range).and_then(<[u8]>::first_chunk);
        bytes.copied().ok_or(Status::MALFORMED)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Status> {
        self.array().map(u8::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Status> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Status> {
        self.array().map(u64::from_be_bytes)
    }

    pub(crate) fn string(&mut self) -> Result<&'a [u8], Status> {
        let range = self.string_range()?;
        self.packet.get(range).ok_or(Status::MALFORMED)
    }

    /// A string as the place where it stands in the packet, for data that is not to be copied.
    pub(crate) fn string_range(&mut self) -> Result<Range<usize>, Status> {
        let length = usize::try_from(self.u32()?).map_err(|_| Status::MALFORMED)?;
        self.range(length)
    }
}

/// Builds one packet with its length field in front.
pub(crate) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    pub(crate) fn new(packet_type: u8) -> Self {
        Self::from(Vec::new(), packet_type)
    }

    /// As `new`, in a buffer that is empty and has its memory already.
    pub(crate) fn from(mut bytes: Vec<u8>, packet_type: u8) -> Self {
        bytes.extend([0, 0, 0, 0, packet_type]);
        Self { bytes }
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.bytes.extend(value.to_be_bytes());
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.bytes.extend(value.to_be_bytes());
    }

    pub(crate) fn string(&mut self, value: &[u8]) {
        self.u32(field_length(value.len()));
        self.bytes.extend(value);
    }

    /// Bytes so far, the length field among them.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        let mut bytes = self.bytes;
        set_length(&mut bytes, 0);
        bytes
    }
}

/// Sets the length field at `at` to the number of bytes that follow it.
pub(crate) fn set_length(bytes: &mut [u8], at: usize) {
    if let Some((field, rest)) = bytes.get_mut(at..).and_then(<[u8]>::split_first_chunk_mut::<4>) {
        *field = field_length(rest.len()).to_be_bytes();
    }
}

/// Replies are bounded far below 4 GiB.
fn field_length(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
