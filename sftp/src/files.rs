//! What the protocol asks of a file system.
use crate::attributes::Attributes;
use crate::status::Status;
use alloc::string::String;
use alloc::vec::Vec;

bitflags::bitflags! {
    /// How a file is opened: SSH_FXF_* (section 6.3).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct OpenFlags: u32 {
        const READ = 0x01;
        const WRITE = 0x02;
        /// Every write goes to the end of the file.
        const APPEND = 0x04;
        /// A missing file is made.
        const CREAT = 0x08;
        /// The file is emptied.
        const TRUNC = 0x10;
        /// With CREAT: an existing file is an error.
        const EXCL = 0x20;
    }
}

impl OpenFlags {
    /// What a client's bits mean, so that a file system has fewer combinations to know: APPEND
    /// implies WRITE, neither READ nor WRITE is READ (as OpenSSH takes it), EXCL counts with CREAT
    /// alone, and bits that version 3 has not are ignored.
    pub(crate) fn from_wire(bits: u32) -> Self {
        let mut flags = Self::from_bits_truncate(bits);
        if flags.contains(Self::APPEND) {
            flags.insert(Self::WRITE);
        }
        if !flags.intersects(Self::READ | Self::WRITE) {
            flags.insert(Self::READ);
        }
        if !flags.contains(Self::CREAT) {
            flags.remove(Self::EXCL);
        }
        flags
    }
}

/// A symbolic link on the way along a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The path up to this byte leads to it.
    pub end: usize,
    /// Not empty.
    pub target: String,
}

/// One entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    pub name: String,
    pub attributes: Attributes,
}

/// Sizes of the volume, as statvfs@openssh.com tells them (OpenSSH's PROTOCOL, section 4.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatVfs {
    /// Bytes that are best read and written at once.
    pub block_size: u64,
    /// Bytes in each of the blocks that are counted below.
    pub fragment_size: u64,
    pub blocks: u64,
    pub blocks_free: u64,
    /// Free for users other than root.
    pub blocks_available: u64,
    pub files: u64,
    pub files_free: u64,
    pub files_available: u64,
    pub id: u64,
    /// Bits: 1 is read-only, 2 is no setuid.
    pub flags: u64,
    /// The longest name.
    pub name_max: u64,
}

/// A file system as the protocol needs it. Paths have been walked as far as they have `..` or symbolic links
/// in them: they are absolute, separated by `/`, without `.`, `..`, empty components and NUL; the root is `/`.
/// None leads through a link: what became one meanwhile is a file where a folder is asked for, and is not
/// opened.
///
/// Several calls run at once only where the protocol allows it: reads of any files, writes of any
/// files, and reads of one open file with writes of another. Writes of one file must take effect
/// in the order in which they were first polled.
#[allow(async_fn_in_trait)] // Everything runs on one thread, so no future needs to be Send.
pub trait Files {
    /// An open file; dropping it closes it.
    type File;
    /// An open directory; dropping it closes it.
    type Dir;

    /// The time in seconds since 1970, which says how old what is listed is.
    fn now(&self) -> u64;

    /// `attributes` are for a file that is made.
    async fn open(
        &self,
        path: &str,
        flags: OpenFlags,
        attributes: &Attributes,
    ) -> Result<Self::File, Status>;

    /// Reads into `buf` at `offset` and says how many bytes; 0 is the end of the file.
    async fn read(&self, file: &Self::File, offset: u64, buf: &mut [u8]) -> Result<usize, Status>;

    /// Writes all of `data` at `offset`.
    async fn write(&self, file: &Self::File, offset: u64, data: &[u8]) -> Result<(), Status>;

    /// Writes all of `data` at the end, wherever that is.
    async fn append(&self, file: &Self::File, data: &[u8]) -> Result<(), Status>;

    async fn close(&self, file: Self::File) -> Result<(), Status>;

    /// Whether both are the same file, so that what is written to one is read from the other.
    fn is_same_file(&self, a: &Self::File, b: &Self::File) -> bool;

    /// Of a link itself, and says by the mode what is a directory and what a link.
    async fn stat(&self, path: &str) -> Result<Attributes, Status>;

    /// Fails when there are no symbolic links at all.
    fn has_links(&self) -> Result<(), Status>;

    /// The first symbolic link on the way along a path; with `last` its last name counts, too.
    async fn first_link(&self, path: &str, last: bool) -> Result<Option<Link>, Status>;

    /// Where a symbolic link leads, as it was made.
    async fn read_link(&self, path: &str) -> Result<String, Status>;

    /// Makes a symbolic link.
    async fn make_link(&self, path: &str, target: &str) -> Result<(), Status>;

    async fn fstat(&self, file: &Self::File) -> Result<Attributes, Status>;

    async fn setstat(&self, path: &str, attributes: &Attributes) -> Result<(), Status>;

    async fn fsetstat(&self, file: &Self::File, attributes: &Attributes) -> Result<(), Status>;

    async fn opendir(&self, path: &str) -> Result<Self::Dir, Status>;

    /// The next entries, about `most` of them at the most, `.` and `..` included; none is the end.
    async fn readdir(&self, dir: &Self::Dir, most: usize) -> Result<Vec<Name>, Status>;

    async fn remove(&self, path: &str) -> Result<(), Status>;

    async fn mkdir(&self, path: &str, attributes: &Attributes) -> Result<(), Status>;

    async fn rmdir(&self, path: &str) -> Result<(), Status>;

    /// Without `replace` an existing `to` is an error (RENAME); with it, it is replaced at once, as
    /// rename(2) does (posix-rename@openssh.com).
    async fn rename(&self, from: &str, to: &str, replace: bool) -> Result<(), Status>;

    async fn statvfs(&self) -> Result<StatVfs, Status>;

    /// Returns once all of the file that was written before is durable.
    async fn fsync(&self, file: &Self::File) -> Result<(), Status>;
}
