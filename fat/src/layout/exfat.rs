//! exFAT's bytes on the disk. Microsoft's "exFAT file system specification", revision 1.00.
pub(crate) mod boot;
pub(crate) mod set;
pub(crate) mod upcase;

/// The sum over a set of entries and of a name: 16 bits, turned right by one before each byte.
/// Section 6.3.3 "SetChecksum Field" and 7.6.4 "NameHash Field".
pub(crate) fn sum16(bytes: impl Iterator<Item = u8>) -> u16 {
    bytes.fold(0, |sum: u16, byte| sum.rotate_right(1).wrapping_add(u16::from(byte)))
}

/// The sum over the boot region and over the up-case table: as `sum16` with 32 bits. Sections 3.4
/// "Main and Backup Boot Checksum Sub-regions" and 7.2.2 "TableChecksum Field".
pub(crate) fn sum32(sum: u32, bytes: impl Iterator<Item = u8>) -> u32 {
    bytes.fold(sum, |sum, byte| sum.rotate_right(1).wrapping_add(u32::from(byte)))
}
