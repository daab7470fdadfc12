//! Reply packets (section 7), complete with their length field.
mod longname;

use crate::attributes::Attributes;
use crate::files::{Name, StatVfs};
use crate::fxp;
use crate::kinds::Requests;
use crate::reply::longname::longname;
use crate::status::Status;
use crate::wire::{Writer, set_length};
use alloc::format;
use alloc::vec::Vec;

/// The version spoken.
const VERSION: u32 = 3;

/// Name and version of what OpenSSH's PROTOCOL file adds and this server has.
const EXTENSIONS: [(&str, &str); 9] = [
    ("posix-rename@openssh.com", "1"),
    ("statvfs@openssh.com", "2"),
    ("fstatvfs@openssh.com", "2"),
    ("fsync@openssh.com", "1"),
    ("lsetstat@openssh.com", "1"),
    ("limits@openssh.com", "1"),
    ("expand-path@openssh.com", "1"),
    ("copy-data", "1"),
    ("home-directory", "1"),
];

/// The most bytes of a reply to READDIR: the packet that every client must take (section 3).
const MAX_NAMES: usize = 34_000;

/// The most bytes of one entry: a name of 255 units of UTF-16 (765 bytes) twice, and what stands
/// around it.
const MAX_NAME: usize = 2 * 765 + 128;

/// Room for fewer names is left unused: short ones would fill it in many small steps.
const FEWEST: usize = 4;

fn begin(packet_type: u8, id: u32) -> Writer {
    let mut writer = Writer::new(packet_type);
    writer.u32(id);
    writer
}

/// Tells of the extensions that may be used.
pub(crate) fn version(allowed: Requests) -> Vec<u8> {
    let mut writer = begin(fxp::VERSION, VERSION);
    for (name, version) in EXTENSIONS {
        if !allowed.has_extension(name.as_bytes()) {
            continue;
        }
        writer.string(name.as_bytes());
        writer.string(version.as_bytes());
    }
    writer.finish()
}

pub(crate) fn status(id: u32, status: Status) -> Vec<u8> {
    let mut writer = begin(fxp::STATUS, id);
    writer.u32(status.code as u32);
    writer.string(format!("{status}").as_bytes());
    writer.string(b"");
    writer.finish()
}

pub(crate) fn handle(id: u32, handle: u64) -> Vec<u8> {
    let mut writer = begin(fxp::HANDLE, id);
    writer.string(&handle.to_be_bytes());
    writer.finish()
}

pub(crate) fn attributes(id: u32, attributes: &Attributes) -> Vec<u8> {
    let mut writer = begin(fxp::ATTRS, id);
    attributes.write(&mut writer);
    writer.finish()
}

/// The answer to REALPATH: one name, without attributes.
pub(crate) fn path(id: u32, path: &str) -> Vec<u8> {
    let mut writer = begin(fxp::NAME, id);
    writer.u32(1);
    writer.string(path.as_bytes());
    writer.string(path.as_bytes());
    Attributes::default().write(&mut writer);
    writer.finish()
}

pub(crate) fn statvfs(id: u32, s: &StatVfs) -> Vec<u8> {
    let mut writer = begin(fxp::EXTENDED_REPLY, id);
    for value in [
        s.block_size,
        s.fragment_size,
        s.blocks,
        s.blocks_free,
        s.blocks_available,
        s.files,
        s.files_free,
        s.files_available,
        s.id,
        s.flags,
        s.name_max,
    ] {
        writer.u64(value);
    }
    writer.finish()
}

/// limits@openssh.com (OpenSSH's PROTOCOL, section 4.8).
pub(crate) fn limits(id: u32, handles: usize) -> Vec<u8> {
    let mut writer = begin(fxp::EXTENDED_REPLY, id);
    writer.u64(crate::MAX_PACKET.into());
    writer.u64(crate::MAX_READ.into());
    writer.u64(crate::MAX_WRITE.into());
    writer.u64(u64::try_from(handles).unwrap_or(u64::MAX));
    writer.finish()
}

/// A reply to READDIR that grows.
pub(crate) struct Names {
    writer: Writer,
    count: u32,
    id: u32,
}

impl Names {
    pub(crate) fn new(id: u32) -> Self {
        let mut writer = begin(fxp::NAME, id);
        // The count, once it is known.
        writer.u32(0);
        Self { writer, count: 0, id }
    }

    /// How many more names surely fit, if that is worth another look; else 0.
    pub(crate) fn room(&self) -> usize {
        match MAX_NAMES.saturating_sub(self.writer.len()) / MAX_NAME {
            ..FEWEST => 0,
            room => room,
        }
    }

    pub(crate) fn push(&mut self, name: &Name, now: u64) {
        self.writer.string(name.name.as_bytes());
        self.writer.string(longname(name, now).as_bytes());
        name.attributes.write(&mut self.writer);
        self.count = self.count.saturating_add(1);
    }

    /// EOF when there are no names.
    pub(crate) fn finish(self) -> Vec<u8> {
        if self.count == 0 {
            return status(self.id, Status::EOF);
        }
        let mut bytes = self.writer.finish();
        if let Some(count) = bytes.get_mut(Data::HEADER - 4..).and_then(<[u8]>::first_chunk_mut) {
            *count = self.count.to_be_bytes();
        }
        bytes
    }
}

/// A reply to READ that has its place for the data, which is read straight into it.
pub(crate) struct Data {
    bytes: Vec<u8>,
}

impl Data {
    /// Length, type, id and the data's length.
    const HEADER: usize = 13;

    /// # Errors
    ///
    /// There is no memory for `length` bytes.
    pub(crate) fn new(id: u32, length: usize) -> Result<Self, Status> {
        let total = Self::HEADER.saturating_add(length);
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(total).map_err(|_| Status::OUT_OF_MEMORY)?;
        let mut writer = Writer::from(bytes, fxp::DATA);
        writer.u32(id);
        let mut bytes = writer.finish();
        bytes.resize(total, 0);
        Ok(Self { bytes })
    }

    /// The place for what comes after the first `done` bytes.
    pub(crate) fn rest(&mut self, done: usize) -> &mut [u8] {
        let start = Self::HEADER.saturating_add(done);
        self.bytes.get_mut(start..).unwrap_or_default()
    }

    /// The packet with the first `length` bytes of the place. What a short read left over is given
    /// back: replies that wait for the client must not hold more than they say.
    pub(crate) fn finish(mut self, length: usize) -> Vec<u8> {
        self.bytes.truncate(Self::HEADER.saturating_add(length));
        set_length(&mut self.bytes, Self::HEADER - 4);
        set_length(&mut self.bytes, 0);
        self.bytes.shrink_to_fit();
        self.bytes
    }
}
