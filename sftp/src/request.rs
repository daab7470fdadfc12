//! Requests (section 6 and OpenSSH's PROTOCOL section 4), parsed and checked.
pub(crate) mod fatal;
pub(crate) mod packet;
pub(crate) mod path;

use crate::attributes::Attributes;
use crate::files::OpenFlags;
use crate::fxp;
use crate::kinds::Requests;
use crate::order::Class;
use crate::request::fatal::Fatal;
use crate::request::path::{HOME, Path};
use crate::status::Status;
use crate::wire::Reader;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;
use log::debug;

/// How often a path is held: as it came, as it was walked, and below the user's root.
const HELD: usize = 3;

/// What a path may grow by where it leads through symbolic links; held as often.
const LINKS: usize = 4 * 1024;

/// What every request may hold beside the data of a READ or WRITE: short paths, a small reply.
const SMALL: usize = 8 * 1024;

/// The most bytes of a reply with names.
const NAMES: usize = 40 * 1024;

/// The most bytes that a copy holds at once.
pub(crate) const PIECE: usize = 256 * 1024;

const NOT_ALLOWED: Status = Status::denied("this key may not make such requests");

/// One request of a client.
#[derive(Debug)]
pub struct Request {
    id: u32,
    pub(crate) operation: Operation,
    /// Empty unless data of it are still needed.
    packet: Vec<u8>,
}

/// What is asked for. Nothing has been looked up.
#[derive(Debug)]
pub(crate) enum Operation {
    /// With the requests that may be made after it.
    Init(Requests),
    Open {
        path: Path,
        flags: OpenFlags,
        attributes: Attributes,
    },
    Close(u64),
    Read {
        handle: u64,
        offset: u64,
        /// Not above [`MAX_READ`](crate::MAX_READ).
        length: usize,
    },
    Write {
        handle: u64,
        offset: u64,
        /// Where the data stands in the packet.
        data: Range<usize>,
    },
    Stat(Path),
    /// As STAT, but of a symbolic link itself.
    Lstat(Path),
    Fstat(u64),
    Setstat(Path, Attributes),
    /// lsetstat@openssh.com: as SETSTAT, but of a symbolic link itself.
    Lsetstat(Path, Attributes),
    Readlink(Path),
    /// SYMLINK, whose target may be any text.
    Symlink {
        target: String,
        path: Path,
    },
    Fsetstat(u64, Attributes),
    Opendir(Path),
    Readdir(u64),
    Remove(Path),
    Mkdir(Path, Attributes),
    Rmdir(Path),
    Realpath(Path),
    Rename {
        from: Path,
        to: Path,
        replace: bool,
    },
    Statvfs(Path),
    Fstatvfs(u64),
    Fsync(u64),
    Copy(CopyData),
    Limits,
    /// It can be answered without asking the file system.
    Refused(Status),
}

/// What copy-data asks for; handles as the client names them.
#[derive(Debug)]
pub(crate) struct CopyData {
    pub(crate) from: u64,
    pub(crate) from_offset: u64,
    /// 0 is all to the end of the file.
    pub(crate) length: u64,
    pub(crate) to: u64,
    pub(crate) to_offset: u64,
}

impl Request {
    /// Takes a packet without its length field.
    pub(crate) fn parse(packet: Vec<u8>, allowed: Requests) -> Result<Self, Fatal> {
        let mut reader = Reader::new(&packet);
        let packet_type = reader.u8().map_err(|_| Fatal::NoId)?;
        // INIT has the version in this place. Whichever it is, the answer is ours.
        let id = reader.u32().map_err(|_| Fatal::NoId)?;
        let operation =
            Operation::parse(packet_type, &mut reader, allowed).unwrap_or_else(Operation::Refused);
        let packet = match operation {
            Operation::Write { .. } => packet,
            _ => Vec::new(),
        };
        Ok(Self { id, operation, packet })
    }

    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    /// About how many bytes it and its reply hold until the reply is sent, at the most.
    pub fn cost(&self) -> usize {
        let large = match self.operation {
            Operation::Read { length, .. } => length,
            Operation::Readdir(_) => NAMES,
            Operation::Copy(_) => PIECE,
            Operation::Write { .. } => self.packet.capacity(),
            _ => self.operation.paths().saturating_mul(HELD),
        };
        large.saturating_add(SMALL)
    }

    /// About how many bytes its reply holds, at the most.
    pub fn reply_cost(&self) -> usize {
        match self.operation {
            Operation::Write { .. } | Operation::Copy(_) => SMALL,
            _ => self.cost(),
        }
    }

    /// What a WRITE writes; nothing of any other request.
    pub(crate) fn data(&self) -> &[u8] {
        match &self.operation {
            Operation::Write { data, .. } => self.packet.get(data.clone()).unwrap_or_default(),
            _ => &[],
        }
    }

    pub(crate) fn class(&self) -> Class {
        match self.operation {
            Operation::Read { handle, .. } => Class::Read(handle),
            Operation::Write { handle, .. } => Class::Write(handle),
            _ => Class::Alone,
        }
    }
}

impl Operation {
    /// How many bytes of paths it has.
    fn paths(&self) -> usize {
        match self {
            Self::Open { path, .. }
            | Self::Stat(path)
            | Self::Lstat(path)
            | Self::Setstat(path, _)
            | Self::Lsetstat(path, _)
            | Self::Readlink(path)
            | Self::Opendir(path)
            | Self::Remove(path)
            | Self::Mkdir(path, _)
            | Self::Rmdir(path)
            | Self::Realpath(path)
            | Self::Statvfs(path) => path.len().saturating_add(LINKS),
            Self::Rename { from, to, .. } => {
                from.len().saturating_add(to.len()).saturating_add(LINKS)
            }
            Self::Symlink { target, path } => {
                target.len().saturating_add(path.len()).saturating_add(LINKS)
            }
            _ => 0,
        }
    }

    /// Bytes after the last field are ignored, as OpenSSH does.
    fn parse(packet_type: u8, reader: &mut Reader<'_>, allowed: Requests) -> Result<Self, Status> {
        if !allowed.has_type(packet_type) {
            return Err(NOT_ALLOWED);
        }
        Ok(match packet_type {
            fxp::INIT => Self::Init(allowed),
            fxp::OPEN => Self::Open {
                path: path(reader)?,
                flags: OpenFlags::from_wire(reader.u32()?),
                attributes: Attributes::read(reader)?,
            },
            fxp::CLOSE => Self::Close(handle(reader)?),
            fxp::READ => Self::Read {
                handle: handle(reader)?,
                offset: reader.u64()?,
                length: usize::try_from(reader.u32()?.min(crate::MAX_READ))
                    .map_err(|_| Status::MALFORMED)?,
            },
            fxp::WRITE => Self::Write {
                handle: handle(reader)?,
                offset: reader.u64()?,
                data: reader.string_range()?,
            },
            fxp::STAT => Self::Stat(path(reader)?),
            fxp::LSTAT => Self::Lstat(path(reader)?),
            fxp::FSTAT => Self::Fstat(handle(reader)?),
            fxp::SETSTAT => Self::Setstat(path(reader)?, Attributes::read(reader)?),
            fxp::FSETSTAT => Self::Fsetstat(handle(reader)?, Attributes::read(reader)?),
            fxp::OPENDIR => Self::Opendir(path(reader)?),
            fxp::READDIR => Self::Readdir(handle(reader)?),
            fxp::REMOVE => Self::Remove(path(reader)?),
            fxp::MKDIR => Self::Mkdir(path(reader)?, Attributes::read(reader)?),
            fxp::RMDIR => Self::Rmdir(path(reader)?),
            fxp::REALPATH => Self::Realpath(path(reader)?),
            fxp::RENAME => rename(reader, false)?,
            fxp::READLINK => Self::Readlink(path(reader)?),
            // The target first, as OpenSSH has it (its PROTOCOL, section 4.1); the draft has the link first.
            fxp::SYMLINK => {
                Self::Symlink { target: Path::target(reader.string()?)?, path: path(reader)? }
            }
            fxp::EXTENDED => match reader.string()? {
                name if !allowed.has_extension(name) => return Err(NOT_ALLOWED),
                b"posix-rename@openssh.com" => rename(reader, true)?,
                b"statvfs@openssh.com" => Self::Statvfs(path(reader)?),
                b"fstatvfs@openssh.com" => Self::Fstatvfs(handle(reader)?),
                b"lsetstat@openssh.com" => Self::Lsetstat(path(reader)?, Attributes::read(reader)?),
                b"expand-path@openssh.com" => Self::Realpath(Path::expand(reader.string()?)?),
                // Whoever asks, and for whomever: there is one home.
                b"home-directory" => reader.string().and(Ok(Self::Realpath(Path::parse(HOME)?)))?,
                b"fsync@openssh.com" => Self::Fsync(handle(reader)?),
                b"limits@openssh.com" => Self::Limits,
                b"copy-data" => Self::Copy(CopyData::read(reader)?),
                b"hardlink@openssh.com" => {
                    return Err(Status::unsupported("FAT has no hard links"));
                }
                other => {
                    let shown = other.get(..other.len().min(64)).unwrap_or_default();
                    debug!("no extension {}", shown.escape_ascii());
                    return Err(Status::unsupported("unknown extension"));
                }
            },
            other => {
                debug!("no request of type {other}");
                return Err(Status::unsupported("unknown request"));
            }
        })
    }
}

fn path(reader: &mut Reader<'_>) -> Result<Path, Status> {
    Path::parse(reader.string()?)
}

fn rename(reader: &mut Reader<'_>, replace: bool) -> Result<Operation, Status> {
    Ok(Operation::Rename { from: path(reader)?, to: path(reader)?, replace })
}

impl CopyData {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Status> {
        Ok(Self {
            from: handle(reader)?,
            from_offset: reader.u64()?,
            length: reader.u64()?,
            to: handle(reader)?,
            to_offset: reader.u64()?,
        })
    }
}

/// A handle is 8 bytes here; of any other length there are none.
fn handle(reader: &mut Reader<'_>) -> Result<u64, Status> {
    let bytes = reader.string()?;
    match bytes.try_into() {
        Ok(bytes) => Ok(u64::from_be_bytes(bytes)),
        Err(_) => Err(Status::INVALID_HANDLE),
    }
}
