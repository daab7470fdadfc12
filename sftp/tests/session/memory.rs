//! A file system in memory whose operations can be held up.
use sftp::{Attributes, Files, Link, Name, OpenFlags, StatVfs, Status, StatusCode};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

pub const NO_SUCH_FILE: Status = Status::new(StatusCode::NoSuchFile, "no such file");
pub const NO_SPACE: Status = Status::new(StatusCode::Failure, "no space left");
pub const EXISTS: Status = Status::new(StatusCode::Failure, "it exists already");

/// The longest file that fits.
const LONGEST: u64 = 1 << 20;

#[derive(Clone, Default)]
pub struct Inode {
    pub data: Rc<RefCell<Vec<u8>>>,
    pub mode: Rc<Cell<u32>>,
    is_dir: bool,
    /// Its data is where it leads.
    is_link: bool,
}

/// Files and directories by their path; the root has none.
#[derive(Default)]
pub struct Memory {
    pub inodes: RefCell<BTreeMap<String, Inode>>,
    /// Nothing gets on while this is set.
    pub held: Cell<bool>,
    /// Each operation when it got on, in order.
    pub log: RefCell<Vec<String>>,
    /// The most bytes that one read gives, or names that one readdir does.
    pub short_reads: Cell<Option<usize>>,
    /// Files that are open, told by their drops.
    pub open: Rc<Cell<usize>>,
    pub synced: Cell<usize>,
    /// Every operation that would change something is refused.
    pub read_only: Cell<bool>,
    /// When everything was last modified.
    pub modified: Cell<u32>,
}

pub struct File {
    inode: Inode,
    open: Rc<Cell<usize>>,
}

impl Drop for File {
    fn drop(&mut self) {
        self.open.set(self.open.get() - 1);
    }
}

pub struct Dir {
    /// The entries that were not told yet.
    rest: RefCell<VecDeque<Name>>,
}

impl Memory {
    /// Makes a file.
    pub fn put(&self, path: &str, data: &[u8]) {
        let inode = Inode::default();
        inode.mode.set(0o100_644);
        *inode.data.borrow_mut() = data.to_vec();
        self.inodes.borrow_mut().insert(path.to_owned(), inode);
    }

    /// Makes a symbolic link.
    pub fn link(&self, path: &str, target: &str) {
        let inode = Inode { is_link: true, ..Inode::default() };
        inode.mode.set(0o120_777);
        *inode.data.borrow_mut() = target.into();
        self.inodes.borrow_mut().insert(path.to_owned(), inode);
    }

    fn target(&self, path: &str) -> Option<String> {
        let inodes = self.inodes.borrow();
        let link = inodes.get(path).filter(|inode| inode.is_link)?;
        Some(String::from_utf8(link.data.borrow().clone()).unwrap())
    }

    pub fn data(&self, path: &str) -> Vec<u8> {
        self.inodes.borrow()[path].data.borrow().clone()
    }

    async fn gate(&self, operation: String) {
        poll_fn(|_| if self.held.get() { Poll::Pending } else { Poll::Ready(()) }).await;
        self.log.borrow_mut().push(operation);
    }

    async fn change(&self, operation: String) -> Result<(), Status> {
        self.gate(operation).await;
        if self.read_only.get() {
            return Err(Status::new(StatusCode::PermissionDenied, "read-only"));
        }
        Ok(())
    }

    fn attributes(&self, inode: &Inode) -> Attributes {
        Attributes {
            size: Some(inode.data.borrow().len() as u64),
            owner: Some((1000, 1001)),
            permissions: Some(inode.mode.get()),
            times: Some((1, self.modified.get())),
        }
    }

    fn find(&self, path: &str) -> Result<Inode, Status> {
        if path == "/" {
            let root = Inode { is_dir: true, ..Inode::default() };
            root.mode.set(0o040_755);
            return Ok(root);
        }
        self.inodes.borrow().get(path).cloned().ok_or(NO_SUCH_FILE)
    }
}

fn set(inode: &Inode, attributes: &Attributes) -> Result<(), Status> {
    if let Some(size) = attributes.size {
        if size > LONGEST {
            return Err(NO_SPACE);
        }
        inode.data.borrow_mut().resize(size as usize, 0);
    }
    if let Some(mode) = attributes.permissions {
        inode.mode.set(mode);
    }
    Ok(())
}

/// 2023-11-14 22:13:20 UTC.
pub const NOW: u64 = 1_700_000_000;

impl Files for Memory {
    type File = File;
    type Dir = Dir;

    fn now(&self) -> u64 {
        NOW
    }

    async fn open(
        &self,
        path: &str,
        flags: OpenFlags,
        attributes: &Attributes,
    ) -> Result<File, Status> {
        self.gate(format!("open {path}")).await;
        let found = self.find(path);
        let inode = match found {
            Ok(_) if flags.contains(OpenFlags::EXCL) => return Err(EXISTS),
            Ok(inode) => inode,
            Err(_) if flags.contains(OpenFlags::CREAT) => {
                self.put(path, b"");
                let inode = self.find(path)?;
                set(&inode, attributes)?;
                inode
            }
            Err(e) => return Err(e),
        };
        if flags.contains(OpenFlags::TRUNC) {
            inode.data.borrow_mut().clear();
        }
        self.open.set(self.open.get() + 1);
        let open = self.open.clone();
        Ok(File { inode, open })
    }

    async fn read(&self, file: &File, offset: u64, buf: &mut [u8]) -> Result<usize, Status> {
        self.gate(format!("read {offset}")).await;
        let data = file.inode.data.borrow();
        let rest = data.get(offset as usize..).unwrap_or_default();
        let most = self.short_reads.get().unwrap_or(usize::MAX);
        let length = rest.len().min(buf.len()).min(most);
        buf[..length].copy_from_slice(&rest[..length]);
        Ok(length)
    }

    async fn write(&self, file: &File, offset: u64, data: &[u8]) -> Result<(), Status> {
        self.gate(format!("write {offset}")).await;
        if offset + data.len() as u64 > LONGEST {
            return Err(NO_SPACE);
        }
        let mut old = file.inode.data.borrow_mut();
        let (start, end) = (offset as usize, offset as usize + data.len());
        if old.len() < end {
            old.resize(end, 0);
        }
        old[start..end].copy_from_slice(data);
        Ok(())
    }

    async fn append(&self, file: &File, data: &[u8]) -> Result<(), Status> {
        self.gate("append".to_owned()).await;
        file.inode.data.borrow_mut().extend(data);
        Ok(())
    }

    async fn close(&self, file: File) -> Result<(), Status> {
        self.gate("close".to_owned()).await;
        drop(file);
        Ok(())
    }

    fn is_same_file(&self, a: &File, b: &File) -> bool {
        Rc::ptr_eq(&a.inode.data, &b.inode.data)
    }

    async fn stat(&self, path: &str) -> Result<Attributes, Status> {
        self.gate(format!("stat {path}")).await;
        Ok(self.attributes(&self.find(path)?))
    }

    fn has_links(&self) -> Result<(), Status> {
        Ok(())
    }

    async fn first_link(&self, path: &str, last: bool) -> Result<Option<Link>, Status> {
        let ends = path.match_indices('/').map(|(at, _)| at).chain(last.then_some(path.len()));
        let link = |end| self.target(&path[..end]).map(|target| Link { end, target });
        Ok(ends.filter_map(link).next())
    }

    async fn read_link(&self, path: &str) -> Result<String, Status> {
        self.gate(format!("readlink {path}")).await;
        self.find(path)?;
        self.target(path).ok_or(Status::new(StatusCode::BadMessage, "no link"))
    }

    async fn make_link(&self, path: &str, target: &str) -> Result<(), Status> {
        self.change(format!("symlink {path}")).await?;
        if self.find(path).is_ok() {
            return Err(EXISTS);
        }
        self.link(path, target);
        Ok(())
    }

    async fn fstat(&self, file: &File) -> Result<Attributes, Status> {
        self.gate("fstat".to_owned()).await;
        Ok(self.attributes(&file.inode))
    }

    async fn setstat(&self, path: &str, attributes: &Attributes) -> Result<(), Status> {
        self.change(format!("setstat {path}")).await?;
        set(&self.find(path)?, attributes)
    }

    async fn fsetstat(&self, file: &File, attributes: &Attributes) -> Result<(), Status> {
        self.change("fsetstat".to_owned()).await?;
        set(&file.inode, attributes)
    }

    async fn opendir(&self, path: &str) -> Result<Dir, Status> {
        self.gate(format!("opendir {path}")).await;
        let own = self.find(path)?;
        if !own.is_dir {
            return Err(NO_SUCH_FILE);
        }
        let inside = format!("{}/", path.trim_end_matches('/'));
        let inodes = self.inodes.borrow();
        let children = inodes.iter().filter_map(|(path, inode)| {
            let name = path.strip_prefix(&inside)?;
            (!name.contains('/')).then_some((name, inode))
        });
        let rest = [(".", &own), ("..", &own)]
            .into_iter()
            .chain(children)
            .map(|(name, inode)| Name { name: name.to_owned(), attributes: self.attributes(inode) })
            .collect();
        let rest = RefCell::new(rest);
        Ok(Dir { rest })
    }

    async fn readdir(&self, dir: &Dir, most: usize) -> Result<Vec<Name>, Status> {
        self.gate(format!("readdir {most}")).await;
        let mut rest = dir.rest.borrow_mut();
        let most = most.min(self.short_reads.get().unwrap_or(most));
        let most = most.min(rest.len());
        Ok(rest.drain(..most).collect())
    }

    async fn remove(&self, path: &str) -> Result<(), Status> {
        self.change(format!("remove {path}")).await?;
        let removed = self.inodes.borrow_mut().remove(path);
        removed.map(drop).ok_or(NO_SUCH_FILE)
    }

    async fn mkdir(&self, path: &str, attributes: &Attributes) -> Result<(), Status> {
        self.change(format!("mkdir {path}")).await?;
        if self.find(path).is_ok() {
            return Err(EXISTS);
        }
        let inode = Inode { is_dir: true, ..Inode::default() };
        inode.mode.set(0o040_755);
        set(&inode, attributes)?;
        self.inodes.borrow_mut().insert(path.to_owned(), inode);
        Ok(())
    }

    async fn rmdir(&self, path: &str) -> Result<(), Status> {
        self.change(format!("rmdir {path}")).await?;
        let inside = format!("{path}/");
        if self.inodes.borrow().keys().any(|p| p.starts_with(&inside)) {
            return Err(Status::new(StatusCode::Failure, "not empty"));
        }
        let removed = self.inodes.borrow_mut().remove(path);
        removed.map(drop).ok_or(NO_SUCH_FILE)
    }

    async fn rename(&self, from: &str, to: &str, replace: bool) -> Result<(), Status> {
        self.change(format!("rename {from} {to}")).await?;
        if !replace && self.find(to).is_ok() {
            return Err(EXISTS);
        }
        let inode = self.inodes.borrow_mut().remove(from).ok_or(NO_SUCH_FILE)?;
        self.inodes.borrow_mut().insert(to.to_owned(), inode);
        Ok(())
    }

    async fn statvfs(&self) -> Result<StatVfs, Status> {
        self.gate("statvfs".to_owned()).await;
        Ok(StatVfs {
            block_size: 1,
            fragment_size: 2,
            blocks: 3,
            blocks_free: 4,
            blocks_available: 5,
            files: 6,
            files_free: 7,
            files_available: 8,
            id: 9,
            flags: 10,
            name_max: 11,
        })
    }

    async fn fsync(&self, _file: &File) -> Result<(), Status> {
        self.gate("fsync".to_owned()).await;
        self.synced.set(self.synced.get() + 1);
        Ok(())
    }
}
