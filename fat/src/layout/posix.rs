//! What POSIX keeps of a file and exFAT does not: one benign entry behind the name, of our own vendor. The
//! specification's section 7.8 "Vendor Extension Directory Entry"; docs/exfat.md has the bytes.
use crate::bytes::{put, u8_at, u16_at, u32_at};
use crate::layout::entry::SLOT;

const VENDOR: u8 = 0xE0;
/// 04A783FA-FED6-4C0A-B8B9-7E19D5F695BE, in the order of the specification's GUIDs.
const GUID: [u8; 16] = [
    0xFA, 0x83, 0xA7, 0x04, 0xD6, 0xFE, 0x0A, 0x4C, 0xB8, 0xB9, 0x7E, 0x19, 0xD5, 0xF6, 0x95, 0xBE,
];
/// Where what it says begins.
const DATA: usize = 18;

const S_IFMT: u16 = 0o170_000;
pub(crate) const S_IFREG: u16 = 0o100_000;
pub(crate) const S_IFLNK: u16 = 0o120_000;
const PERMISSIONS: u16 = 0o7777;
/// The owner may write.
const S_IWUSR: u16 = 0o200;
const ANY_WRITE: u16 = 0o222;

/// Mode, owner and group of a file or symbolic link, and the part of its modification time below a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Posix {
    /// `st_mode`: the type, which is that of a file or of a link, and the permission bits.
    pub mode: u16,
    pub nanoseconds: u32,
    pub uid: u32,
    pub gid: u32,
}

impl Posix {
    /// How many bytes of the entry say it.
    pub(crate) const LEN: usize = 14;

    /// A file with these permission bits.
    pub fn file(mode: u32, uid: u32, gid: u32) -> Self {
        let mode = u16::try_from(mode & u32::from(PERMISSIONS)).unwrap_or(0) | S_IFREG;
        Self { mode, nanoseconds: 0, uid, gid }
    }

    pub(crate) fn link((uid, gid): (u32, u32)) -> Self {
        Self { mode: S_IFLNK | 0o777, nanoseconds: 0, uid, gid }
    }

    pub(crate) fn is_link(&self) -> bool {
        self.mode & S_IFMT == S_IFLNK
    }

    /// The permission bits.
    pub fn permissions(&self) -> u32 {
        u32::from(self.mode & PERMISSIONS)
    }

    pub(crate) fn with_permissions(self, mode: u32) -> Self {
        Self { mode: Self::file(mode, 0, 0).mode, ..self }
    }

    /// Whether the owner may not write.
    pub(crate) fn is_read_only(&self) -> bool {
        self.mode & S_IWUSR == 0
    }

    /// As a file has it whose read-only attribute says this: that attribute is what others change.
    pub(crate) fn agreeing(self, read_only: bool) -> Self {
        match (self.is_link() || self.is_read_only() == read_only, read_only) {
            (true, _) => self,
            (false, true) => self.not_to_be_written(),
            (false, false) => Self { mode: self.mode | S_IWUSR, ..self },
        }
    }

    /// Without any write bit.
    pub(crate) fn not_to_be_written(self) -> Self {
        Self { mode: self.mode & !ANY_WRITE, ..self }
    }

    /// The bytes of an entry of ours, whatever they say.
    pub(crate) fn of_entry(entry: &[u8; SLOT]) -> Option<[u8; Self::LEN]> {
        let is_ours = u8_at(entry, 0) == VENDOR
            && u8_at(entry, 1) == 0
            && entry.get(2..DATA).is_some_and(|guid| guid == GUID);
        entry.get(DATA..).filter(|_| is_ours)?.first_chunk().copied()
    }

    /// The entry with these bytes.
    pub(crate) fn entry(bytes: &[u8; Self::LEN]) -> [u8; SLOT] {
        let mut entry = [0; SLOT];
        entry[0] = VENDOR;
        put(&mut entry, 2, &GUID);
        put(&mut entry, DATA, bytes);
        entry
    }

    pub(crate) fn read(bytes: &[u8; Self::LEN]) -> Option<Self> {
        let posix = Self {
            mode: u16_at(bytes, 0),
            nanoseconds: u32_at(bytes, 2),
            uid: u32_at(bytes, 6),
            gid: u32_at(bytes, 10),
        };
        matches!(posix.mode & S_IFMT, S_IFREG | S_IFLNK).then_some(posix)
    }

    pub(crate) fn bytes(&self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        put(&mut bytes, 0, &self.mode.to_le_bytes());
        put(&mut bytes, 2, &self.nanoseconds.to_le_bytes());
        put(&mut bytes, 6, &self.uid.to_le_bytes());
        put(&mut bytes, 10, &self.gid.to_le_bytes());
        bytes
    }
}
