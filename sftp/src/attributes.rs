//! The attributes of a file on the wire (section 5).
use crate::status::Status;
use crate::wire::{Reader, Writer};

const SIZE: u32 = 1;
const UIDGID: u32 = 2;
const PERMISSIONS: u32 = 4;
const ACMODTIME: u32 = 8;
const EXTENDED: u32 = 0x8000_0000;

const S_IFMT: u32 = 0o170_000;
const S_IFDIR: u32 = 0o040_000;

/// ATTRS. What is absent in a request is to be left as it is: an absent mode is not mode 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Bytes.
    pub size: Option<u64>,
    /// User and group id.
    pub owner: Option<(u32, u32)>,
    /// `st_mode` of POSIX: file type and permission bits.
    pub permissions: Option<u32>,
    /// Last access and last modification, in seconds since 1970 (UTC).
    pub times: Option<(u32, u32)>,
}

impl Attributes {
    /// Whether the mode says that they are a directory's.
    pub(crate) fn is_folder(&self) -> bool {
        self.permissions.is_some_and(|mode| mode & S_IFMT == S_IFDIR)
    }

    /// Whether SETSTAT with them is of a symbolic link itself: times and owners alone are, unlike in OpenSSH's
    /// server. sshfs asks so, and tar and rsync through it would set those of what the link leads to.
    pub(crate) fn are_a_links(&self) -> bool {
        let others = self.size.is_some() || self.permissions.is_some();
        !others && (self.owner.is_some() || self.times.is_some())
    }

    /// Reads them, skipping extended attributes and, as OpenSSH does, flags that version 3 has not.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, Status> {
        let flags = reader.u32()?;
        let mut attributes = Self::default();
        if flags & SIZE != 0 {
            attributes.size = Some(reader.u64()?);
        }
        if flags & UIDGID != 0 {
            attributes.owner = Some((reader.u32()?, reader.u32()?));
        }
        if flags & PERMISSIONS != 0 {
            attributes.permissions = Some(reader.u32()?);
        }
        if flags & ACMODTIME != 0 {
            attributes.times = Some((reader.u32()?, reader.u32()?));
        }
        if flags & EXTENDED != 0 {
            // Each pair takes at least 8 bytes, so a huge count ends with the packet.
            for _ in 0..reader.u32()? {
                reader.string()?;
                reader.string()?;
            }
        }
        Ok(attributes)
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        let flag = |present: bool, flag: u32| if present { flag } else { 0 };
        writer.u32(
            flag(self.size.is_some(), SIZE)
                | flag(self.owner.is_some(), UIDGID)
                | flag(self.permissions.is_some(), PERMISSIONS)
                | flag(self.times.is_some(), ACMODTIME),
        );
        if let Some(size) = self.size {
            writer.u64(size);
        }
        if let Some((user, group)) = self.owner {
            writer.u32(user);
            writer.u32(group);
        }
        if let Some(permissions) = self.permissions {
            writer.u32(permissions);
        }
        if let Some((accessed, modified)) = self.times {
            writer.u32(accessed);
            writer.u32(modified);
        }
    }
}
