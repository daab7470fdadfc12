//! A plain file system in memory that answers as SFTP on FAT should: the other half of the model test.
use sftp::StatusCode;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// The most bytes of a file on FAT.
const LARGEST: u64 = u32::MAX as u64;

pub type Answer<T> = Result<T, StatusCode>;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct File {
    pub bytes: Vec<u8>,
    pub read_only: bool,
    pub modified: u32,
}

#[derive(Clone, Debug)]
pub enum Node {
    File(Rc<RefCell<File>>),
    Dir(Dir),
}

/// Names in capitals, because FAT finds them so, and as they were given.
pub type Dir = BTreeMap<String, (String, Node)>;

/// What SETSTAT asks for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Attributes {
    pub size: Option<u64>,
    pub permissions: Option<u32>,
    pub modified: Option<u32>,
}

pub struct Tree {
    pub root: Dir,
    pub now: u32,
}

impl File {
    pub fn write(&mut self, offset: u64, data: &[u8], now: u32) -> Answer<()> {
        if data.is_empty() {
            return Ok(());
        }
        let end = offset.checked_add(data.len() as u64).filter(|end| *end <= LARGEST);
        let end = end.ok_or(StatusCode::Failure)? as usize;
        self.bytes.resize(self.bytes.len().max(end), 0);
        self.bytes[end - data.len()..end].copy_from_slice(data);
        self.modified = now;
        Ok(())
    }

    pub fn resize(&mut self, size: u64, now: u32) -> Answer<()> {
        if size > LARGEST {
            return Err(StatusCode::Failure);
        }
        self.bytes.resize(size as usize, 0);
        self.modified = now;
        Ok(())
    }

    /// What size, times and permissions make of a file, in this order.
    pub fn set(&mut self, asked: &Attributes, now: u32) -> Answer<()> {
        if let Some(size) = asked.size {
            self.resize(size, now)?;
        }
        self.modified = asked.modified.unwrap_or(self.modified);
        self.read_only = asked.permissions.map_or(self.read_only, |mode| mode & 0o200 == 0);
        Ok(())
    }
}

/// Whether a path ends with a name and slashes behind it.
pub fn has_slash(path: &str) -> bool {
    path.ends_with('/') && !has_dots(path)
}

/// Whether a path ends with `.` or `..`.
pub fn has_dots(path: &str) -> bool {
    matches!(path.split('/').rfind(|name| !name.is_empty()), Some("." | ".."))
}

impl Tree {
    /// The names that a path leads through, of which the last may be missing. Whatever has something
    /// behind it is a directory, slashes too.
    pub fn walk<'p>(&mut self, path: &'p str) -> Answer<Vec<&'p str>> {
        let mut at = Vec::new();
        for component in path.split('/') {
            match component {
                "" | "." => drop(self.list(&at)?),
                ".." => {
                    self.list(&at)?;
                    at.pop();
                }
                name => at.push(name),
            }
        }
        Ok(at)
    }

    /// As `walk`, where slashes at the end do not matter.
    pub fn walk_new<'p>(&mut self, path: &'p str) -> Answer<Vec<&'p str>> {
        let end = if has_dots(path) { path } else { path.trim_end_matches('/') };
        self.walk(end)
    }

    /// The directory of all components but the last.
    fn parent(&mut self, path: &[&str]) -> Answer<&mut Dir> {
        let mut dir = &mut self.root;
        for name in &path[..path.len().saturating_sub(1)] {
            dir = match dir.get_mut(&name.to_uppercase()) {
                Some((_, Node::Dir(dir))) => dir,
                _ => return Err(StatusCode::NoSuchFile),
            };
        }
        Ok(dir)
    }

    /// Fails when the last name of a path is in nothing.
    pub fn has_parent(&mut self, path: &[&str]) -> Answer<()> {
        self.parent(path).map(drop)
    }

    /// A node but the root; none when there is nothing.
    fn find(&mut self, path: &[&str]) -> Answer<Option<&mut Node>> {
        let name = path.last().expect("not the root").to_uppercase();
        Ok(self.parent(path)?.get_mut(&name).map(|(_, node)| node))
    }

    pub fn get(&mut self, path: &[&str]) -> Answer<&mut Node> {
        self.find(path)?.ok_or(StatusCode::NoSuchFile)
    }

    pub fn list(&mut self, path: &[&str]) -> Answer<&Dir> {
        if path.is_empty() {
            return Ok(&self.root);
        }
        match self.get(path)? {
            Node::Dir(dir) => Ok(dir),
            Node::File(_) => Err(StatusCode::NoSuchFile),
        }
    }

    pub fn open(
        &mut self,
        path: &[&str],
        [write, create, truncate, exclusive]: [bool; 4],
    ) -> Answer<Rc<RefCell<File>>> {
        if path.is_empty() {
            return Err(StatusCode::Failure);
        }
        let now = self.now;
        let file = match self.find(path)? {
            None if create => {
                let file = Rc::new(RefCell::new(File { modified: now, ..File::default() }));
                self.insert(path, Node::File(file.clone()));
                file
            }
            None => return Err(StatusCode::NoSuchFile),
            Some(_) if create && exclusive => return Err(StatusCode::Failure),
            Some(Node::Dir(_)) => return Err(StatusCode::Failure),
            Some(Node::File(file)) if write && file.borrow().read_only => {
                return Err(StatusCode::PermissionDenied);
            }
            Some(Node::File(file)) => file.clone(),
        };
        if truncate && !file.borrow().bytes.is_empty() {
            file.borrow_mut().resize(0, now)?;
        }
        Ok(file)
    }

    fn insert(&mut self, path: &[&str], node: Node) {
        let name = *path.last().expect("not the root");
        let dir = self.parent(path).expect("it was looked at before");
        dir.insert(name.to_uppercase(), (name.into(), node));
    }

    fn take(&mut self, path: &[&str]) -> Option<(String, Node)> {
        let name = path.last()?.to_uppercase();
        self.parent(path).ok()?.remove(&name)
    }

    pub fn set(&mut self, path: &[&str], asked: &Attributes) -> Answer<()> {
        let now = self.now;
        if path.is_empty() {
            return asked.size.map_or(Ok(()), |_| Err(StatusCode::Failure));
        }
        match self.get(path)? {
            Node::Dir(_) => asked.size.map_or(Ok(()), |_| Err(StatusCode::Failure)),
            Node::File(file) if asked.size.is_some() && file.borrow().read_only => {
                Err(StatusCode::PermissionDenied)
            }
            Node::File(file) => file.borrow_mut().set(asked, now),
        }
    }

    pub fn mkdir(&mut self, path: &[&str]) -> Answer<()> {
        if path.is_empty() || self.find(path)?.is_some() {
            return Err(StatusCode::Failure);
        }
        self.insert(path, Node::Dir(Dir::new()));
        Ok(())
    }

    pub fn rmdir(&mut self, path: &[&str]) -> Answer<()> {
        if path.is_empty() {
            return Err(StatusCode::PermissionDenied);
        }
        if !self.list(path)?.is_empty() {
            return Err(StatusCode::Failure);
        }
        self.take(path);
        Ok(())
    }

    pub fn remove(&mut self, path: &[&str]) -> Answer<()> {
        if path.is_empty() || matches!(self.get(path)?, Node::Dir(_)) {
            return Err(StatusCode::Failure);
        }
        self.take(path);
        Ok(())
    }

    pub fn rename(&mut self, from: &[&str], to: &[&str], replace: bool) -> Answer<()> {
        self.parent(from)?;
        if from.is_empty() {
            return Err(StatusCode::PermissionDenied);
        }
        self.parent(to)?;
        if to.is_empty() {
            return Err(StatusCode::PermissionDenied);
        }
        let upper = |path: &[&str]| path.iter().map(|name| name.to_uppercase()).collect::<Vec<_>>();
        let (source, target) = (upper(from), upper(to));
        let is_dir = matches!(self.get(from)?, Node::Dir(_));
        if is_dir && target.len() > source.len() && target.starts_with(&source) {
            return Err(StatusCode::Failure);
        }
        let mut name = String::from(*to.last().expect("not the root"));
        match self.find(to)? {
            _ if source == target => (),
            None => (),
            Some(_) if !replace => return Err(StatusCode::Failure),
            Some(Node::File(_)) if is_dir => return Err(StatusCode::NoSuchFile),
            Some(Node::Dir(_)) if !is_dir => return Err(StatusCode::Failure),
            Some(Node::Dir(dir)) if !dir.is_empty() => return Err(StatusCode::Failure),
            // Its name keeps the case it had.
            Some(_) => name = self.take(to).expect("it is there").0,
        }
        let (_, node) = self.take(from).expect("it is there");
        let dir = self.parent(to)?;
        dir.insert(name.to_uppercase(), (name, node));
        Ok(())
    }
}
